# SPDX-License-Identifier: Apache-2.0
"""Messages between two processes and collectives of Python objects, for rutile.ops.communication."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import dist as _dist
from rutile._rutile import ops as _table
from rutile.ops.communication import _elsewhere, _group, _peer, _tensors, _write

_errors = _rutile.errors

# ---- Messages

class _Coming:
    """A message whose tensor is written when it has come."""

    def __init__(self, tensor, value, message):
        self._tensor, self._value, self._message = tensor, value, message

    def wait(self):
        """Returns when the tensor has its value."""
        self._message.wait()
        if self._value is not None:
            self._tensor._rebind(self._value)
            self._value = None

    def is_completed(self):
        """Whether wait() would return at once."""
        return self._message.done()


def _other(who, what, rank, name):
    to = _peer(who, what, rank, name)
    if to == _dist.rank(name):
        raise _errors.ValueError(f"[{who}] {what} is another process, got this one, {rank}")
    return to


def send(tensor, dst=0, group=None, tag=0):
    """To the process dst."""
    name = _group("send", group)
    _tensors("send", tensor=tensor)
    _dist.send(tensor, _other("send", "dst", dst, name), name)


def recv(tensor, src=0, group=None, tag=0):
    """tensor becomes that which the process src sends; returns 0."""
    name = _group("recv", group)
    _tensors("recv", tensor=tensor)
    value = _dist.receive(tuple(tensor.shape), tensor.dtype, _other("recv", "src", src, name), name)
    if "recv" in _elsewhere:
        return value
    _write("recv", tensor, value)
    return 0


def isend(tensor, dst=0, group=None, tag=0):
    """As send(), but returns at once: a handle to wait for."""
    from rutile.communication.comm_func import _Message
    name = _group("isend", group)
    _tensors("isend", tensor=tensor)
    return _Message(_dist.isend(tensor, _other("isend", "dst", dst, name), name))


def irecv(tensor, src=0, group=None, tag=0):
    """As recv(), but returns at once: a handle, whose wait() writes the tensor."""
    return _receive(tensor, src, group, False)


def _receive(tensor, src, group, in_place):
    from rutile.communication.comm_func import _Message
    name = _group("irecv", group)
    _tensors("irecv", tensor=tensor)
    value, message = _dist.ireceive(tuple(tensor.shape), tensor.dtype, _other("irecv", "src", src, name), name)
    return (value, _Message(message)) if "irecv" in _elsewhere and not in_place else _Coming(tensor, value, message)


class P2POp:
    """A message for batch_isend_irecv: op is isend or irecv (or its name), tensor what is sent or written, peer the other process."""

    def __init__(self, op, tensor, peer, group=None, tag=0):
        self._name = op if isinstance(op, str) else getattr(op, "__name__", None)
        if self._name not in ("isend", "irecv"):
            raise _errors.TypeError(f"[P2POp] op must be isend or irecv, got {op!r}")
        _tensors("P2POp", tensor=tensor)
        if isinstance(peer, bool) or not isinstance(peer, int):
            raise _errors.TypeError(f"[P2POp] peer must be an int, got {peer!r}")
        if tag != 0:
            raise NotImplementedError("[P2POp] there is no tag but 0: messages of one direction come in their order")
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag


class _All:
    """Several messages."""

    def __init__(self, handles):
        self._handles = handles

    def wait(self):
        """Returns when all are through."""
        for h in self._handles:
            h.wait()

    def is_completed(self):
        """Whether wait() would return at once."""
        return all(h.is_completed() for h in self._handles)


def batch_isend_irecv(p2p_op_list):
    """Starts messages of one group together; a list with one handle for all."""
    if not isinstance(p2p_op_list, (list, tuple)) or not p2p_op_list or not all(isinstance(p, P2POp) for p in p2p_op_list):
        raise _errors.TypeError("[batch_isend_irecv] p2p_op_list must be a list of P2POp, and not empty")
    _group("batch_isend_irecv", p2p_op_list[0].group)
    if any(p.group != p2p_op_list[0].group for p in p2p_op_list):
        raise _errors.TypeError("[batch_isend_irecv] all messages are of one group")
    handles = []
    for p in p2p_op_list:
        if p._name == "isend":
            handles.append(isend(p.tensor, p.peer, p.group))
        else:
            handles.append(_receive(p.tensor, p.peer, p.group, True))
    return [_All(handles)]


# ---- Objects

def _bytes(value):
    import pickle
    import numpy as np
    return Tensor(np.frombuffer(pickle.dumps(value), np.uint8).copy())


def _object(line):
    import pickle
    return pickle.loads(line.asnumpy().tobytes())


def _objects(who, value, name):
    """Every process's object."""
    from rutile.communication import _uneven
    mine = _bytes(value)
    counts = _dist.all_counts([mine.size], name)
    return [_object(p) for p in _uneven._pieces(who, _uneven.all_gather(who, mine, counts, name), counts)]


def all_gather_object(object_list, obj, group=None):
    """object_list[r] becomes the object of process r of the group. Objects travel by pickle: only among processes that trust one another."""
    name = _group("all_gather_object", group)
    if not isinstance(object_list, list) or len(object_list) != _dist.size(name):
        raise _errors.TypeError(f"[all_gather_object] object_list must be a list with a place for each of the {_dist.size(name)} processes, "
                                f"got {object_list!r}")
    object_list[:] = _objects("all_gather_object", obj, name)


def gather_object(obj, object_gather_list=None, dst=0, group=None):
    """As all_gather_object, in the process dst only; the others leave object_gather_list out."""
    name = _group("gather_object", group)
    to = _peer("gather_object", "dst", dst, name)
    if _dist.rank(name) == to and (not isinstance(object_gather_list, list) or len(object_gather_list) != _dist.size(name)):
        raise _errors.TypeError(f"[gather_object] object_gather_list must be a list with a place for each of the {_dist.size(name)} processes, "
                                f"got {object_gather_list!r}")
    found = _objects("gather_object", obj, name)
    if _dist.rank(name) == to:
        object_gather_list[:] = found


def _broadcast_objects(who, objects, root, name):
    mine = _bytes(objects) if _dist.rank(name) == root else None
    count = _dist.all_counts([0 if mine is None else mine.size], name)[root]
    line = _table.full((count,), 0, "uint8") if mine is None else mine
    return _object(_table.broadcast(line, root=root, group=name))


def broadcast_object_list(object_list, src=0, group=None, device=None):
    """object_list becomes that of the process src, as long in all of them."""
    name = _group("broadcast_object_list", group)
    if not isinstance(object_list, list) or not object_list:
        raise _errors.TypeError(f"[broadcast_object_list] object_list must be a list, and not empty, got {object_list!r}")
    root = _peer("broadcast_object_list", "src", src, name)
    found = _broadcast_objects("broadcast_object_list", list(object_list), root, name)
    if len(found) != len(object_list):
        raise _errors.ValueError(f"[broadcast_object_list] process {src} has {len(found)} objects, this one expects {len(object_list)}")
    if _dist.rank(name) != root:
        object_list[:] = found


def scatter_object_list(scatter_object_output_list, scatter_object_input_list, src=0, group=None):
    """scatter_object_output_list[0] becomes the process src's scatter_object_input_list[r], r being this one's number in the group."""
    name, who = _group("scatter_object_list", group), "scatter_object_list"
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise _errors.TypeError(f"[{who}] scatter_object_output_list must be a list with a place, got {scatter_object_output_list!r}")
    root, n = _peer(who, "src", src, name), _dist.size(name)
    if _dist.rank(name) == root and (not isinstance(scatter_object_input_list, list) or len(scatter_object_input_list) != n):
        raise _errors.TypeError(f"[{who}] scatter_object_input_list must be a list with an object for each of the {n} processes, got "
                                f"{scatter_object_input_list!r}")
    scatter_object_output_list[0] = _broadcast_objects(who, scatter_object_input_list, root, name)[_dist.rank(name)]


def send_object_list(object_list, dst, group=None, device=None):
    """To the process dst."""
    name = _group("send_object_list", group)
    if not isinstance(object_list, list):
        raise _errors.TypeError(f"[send_object_list] object_list must be a list, got {type(object_list).__name__}")
    to, line = _other("send_object_list", "dst", dst, name), _bytes(object_list)
    _dist.send(Tensor([line.size], "int64"), to, name)
    _dist.send(line, to, name)


def recv_object_list(object_list, src=0, group=None, device=None):
    """object_list becomes that which the process src sends, as long; returns 0."""
    name = _group("recv_object_list", group)
    if not isinstance(object_list, list):
        raise _errors.TypeError(f"[recv_object_list] object_list must be a list, got {type(object_list).__name__}")
    source = _other("recv_object_list", "src", src, name)
    count = int(_dist.receive((1,), "int64", source, name).asnumpy()[0])
    found = _object(_dist.receive((count,), "uint8", source, name))
    if len(found) != len(object_list):
        raise _errors.ValueError(f"[recv_object_list] process {src} sends {len(found)} objects, this one expects {len(object_list)}")
    object_list[:] = found
    return 0
