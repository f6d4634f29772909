# SPDX-License-Identifier: Apache-2.0
"""Collectives as functions, under MindSpore's names.

>>> import rutile
>>> from rutile.communication.comm_func import all_reduce
>>> all_reduce(rutile.Tensor([1.0, 2.0]))[0].asnumpy().tolist()
[1.0, 2.0]
"""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import dist as _dist
from rutile._rutile import ops as _table
from rutile.communication import GlobalComm, _name, _uneven

_errors = _rutile.errors
_WORLD = GlobalComm.WORLD_COMM_GROUP

__all__ = ["P2POp", "all_gather_into_tensor", "all_reduce", "all_to_all_single_with_output_shape", "all_to_all_v_c",
           "all_to_all_with_output_shape", "barrier", "batch_isend_irecv", "broadcast", "gather_into_tensor", "irecv", "isend", "recv",
           "reduce", "reduce_scatter_tensor", "scatter_tensor", "send"]


class _Done:
    """What asynchronous calls give: here they are done when they return."""

    def wait(self):
        """Returns."""

    def is_completed(self):
        """True."""
        return True


def _handle(async_op):
    return _Done() if async_op else None


def _reduction(op):
    if op not in ("sum", "prod", "max", "min", "mean"):
        raise _errors.ValueError(f"a reduction is 'sum', 'prod', 'max' or 'min', got {op!r}")
    return op


def all_reduce(tensor, op="sum", group=_WORLD, async_op=False):
    """(the reduction over all processes, handle)"""
    return _table.all_reduce(tensor, reduce=_reduction(op), group=_name(group)), _handle(async_op)


def all_gather_into_tensor(tensor, group=_WORLD, async_op=False):
    """(the processes' tensors behind one another along dimension 0, handle)"""
    name = _name(group)
    return _table.all_gather(tensor, group=name, size=_dist.size(name)), _handle(async_op)


def reduce_scatter_tensor(tensor, op="sum", group=_WORLD, async_op=False):
    """(this process's part along dimension 0 of the reduction, handle)"""
    name = _name(group)
    return _table.reduce_scatter(tensor, reduce=_reduction(op), group=name, size=_dist.size(name)), _handle(async_op)


def _shape_of(shape):
    return tuple(shape.shape if isinstance(shape, Tensor) else shape)


def _count(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def _rows(who, sizes, rows, name, what):
    """How many of the rows go to each process or come from it: as sizes say, else equally many."""
    n = _dist.size(name)
    if not sizes:
        if rows % n:
            raise _errors.ValueError(f"[{who}] dimension 0 of the {what} must be a multiple of {n}, got {rows}")
        return [rows // n] * n
    sizes = _uneven.counts_from(who, f"{what}_split_sizes", sizes)
    if len(sizes) != n or sum(sizes) != rows:
        raise _errors.ValueError(f"[{who}] the group {name!r} has {n} processes and the {what} {rows} rows, got {what}_split_sizes {sizes}")
    return sizes


def _all_to_all_rows(who, shape, tensor, output_sizes, input_sizes, name):
    """The rows of a tensor in pieces, and what comes as a tensor of this shape."""
    sent = _rows(who, input_sizes, tensor.shape[0], name, "input")
    received = _rows(who, output_sizes, shape[0], name, "output")
    inside, outside = _count(tensor.shape[1:]), _count(shape[1:])
    if not output_sizes and not input_sizes and inside == outside:
        return _table.all_to_all(tensor, group=name, size=_dist.size(name)).reshape(shape)
    came = _uneven.all_to_all(who, tensor.reshape((-1,)), [n * inside for n in sent], [n * outside for n in received], name)
    return came.reshape(shape)


def all_to_all_single_with_output_shape(output_shape, tensor, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """(rows of a tensor, input_split_sizes[r] of them to process r, and those of every process behind one another, handle)

    Without sizes all get equally many. output_shape: a shape, or a tensor of it.
    """
    out = _all_to_all_rows("all_to_all_single_with_output_shape", _shape_of(output_shape), tensor, output_split_sizes, input_split_sizes,
                           _name(group))
    return out, _handle(async_op)


def all_to_all_with_output_shape(output_shape_list, input_tensor_list, group=None, async_op=False):
    """(a tuple of the tensors that the processes send here, handle): input_tensor_list[r] goes to process r, and what it sends
    has the shape output_shape_list[r] (or that of the tensor there)."""
    who, name = "all_to_all_with_output_shape", _name(group)
    shapes = [_shape_of(s) for s in output_shape_list]
    _same_dtype(who, input_tensor_list)
    counts = [_count(s) for s in shapes]
    line = _uneven._together([x.reshape((-1,)) for x in input_tensor_list])
    came = _uneven.all_to_all(who, line, [_count(x.shape) for x in input_tensor_list], counts, name)
    pieces = _uneven._pieces(who, came, counts)
    return tuple(p.reshape(s) for p, s in zip(pieces, shapes)), _handle(async_op)


def _same_dtype(who, tensors):
    if not isinstance(tensors, (list, tuple)) or not tensors or not all(isinstance(x, Tensor) for x in tensors):
        raise _errors.TypeError(f"[{who}] expects a list of Tensors")
    if len({x.dtype for x in tensors}) > 1:
        raise _errors.TypeError(f"[{who}] expects tensors of one dtype, got {sorted({str(x.dtype) for x in tensors})}")


def all_to_all_v_c(output, input, send_count_matrix, group=None, async_op=False):
    """Writes what the processes send to this one into output and returns a handle (None without async_op).

    send_count_matrix[i * n + j] elements of process i's flattened input go to process j; it is the same in all n processes.
    """
    who = "all_to_all_v_c"
    came = _uneven.all_to_all_by_matrix(who, input.reshape((-1,)), _uneven.counts_from(who, "send_count_matrix", send_count_matrix), _name(group))
    if _count(came.shape) != _count(output.shape):
        raise _errors.ValueError(f"[{who}] the output has {_count(output.shape)} elements, {_count(came.shape)} come")
    output._rebind(came.reshape(output.shape).cast(output.dtype))
    return _handle(async_op)


def broadcast(tensor, src=0, group=_WORLD):
    """The tensor of the process src, a rank among all processes."""
    name = _name(group)
    return _table.broadcast(tensor, root=_dist.group_rank(name, src), group=name)


def reduce(tensor, dst=0, op="sum", group=_WORLD):
    """The reduction in the process dst; the others get their own tensor back."""
    name = _name(group)
    total = _table.all_reduce(tensor, reduce=_reduction(op), group=name)
    return total if _dist.rank(name) == _dist.group_rank(name, dst) else tensor


def gather_into_tensor(tensor, dst=0, group=_WORLD):
    """The processes' tensors behind one another in the process dst; the others get a tensor with one zero."""
    name = _name(group)
    gathered = _table.all_gather(tensor, group=name, size=_dist.size(name))
    return gathered if _dist.rank(name) == _dist.group_rank(name, dst) else _table.full((1,), 0, tensor.dtype)


def scatter_tensor(tensor, src=0, group=_WORLD):
    """This process's part, along dimension 0, of the tensor of process src (its rank among all); the others give one of its shape."""
    name = _name(group)
    n, whole = _dist.size(name), tensor.shape[0] if tensor.ndim else 0
    if tensor.ndim == 0 or whole % n:
        raise _errors.ValueError(f"[scatter_tensor] dimension 0 must be a multiple of {n}, got the shape {tensor.shape}")
    part, r = whole // n, _dist.rank(name)
    return _table.broadcast(tensor, root=_dist.group_rank(name, src), group=name)[r * part:(r + 1) * part]


def barrier(group=_WORLD):
    """Waits until all processes of the group are here."""
    _dist.barrier(_name(group))


def send(tensor, dst=0, group=_WORLD, tag=0):
    """To a process (its rank among all)."""
    name = _name(group)
    _dist.send(tensor, _dist.group_rank(name, dst), name)


def recv(tensor, src=0, group=_WORLD, tag=0):
    """From a process: a new tensor of this one's shape and dtype."""
    name = _name(group)
    return _dist.receive(tuple(tensor.shape), tensor.dtype, _dist.group_rank(name, src), name)


class _Message:
    """A message on its way."""

    def __init__(self, message):
        self._message = message

    def wait(self):
        """Returns when the message is sent, or has come."""
        self._message.wait()

    def is_completed(self):
        """Whether wait() would return at once."""
        return self._message.done()


def isend(tensor, dst=0, group=_WORLD, tag=0):
    """As send(), but returns at once: a handle, whose wait() returns when the process dst has taken the tensor.

    Every process of a ring may send so before it receives.
    """
    name = _name(group)
    return _Message(_dist.isend(tensor, _dist.group_rank(name, dst), name))


def irecv(tensor, src=0, group=_WORLD, tag=0):
    """As recv(), but returns at once: (the new tensor, a handle), whose values are there after the handle's wait()."""
    name = _name(group)
    out, message = _dist.ireceive(tuple(tensor.shape), tensor.dtype, _dist.group_rank(name, src), name)
    return out, _Message(message)


class P2POp:
    """A message for batch_isend_irecv: op is isend or irecv (or its name), tensor what is sent, or like what comes (a shape does with
    recv_dtype), peer the other process's rank among all."""

    def __init__(self, op, tensor, peer, group=None, tag=0, *, recv_dtype=None):
        name = op if isinstance(op, str) else getattr(op, "__name__", None)
        if name not in ("isend", "irecv"):
            raise _errors.ValueError(f"[P2POp] op must be isend or irecv, got {op!r}")
        if not isinstance(tensor, (Tensor, tuple)) or isinstance(tensor, tuple) and (name == "isend" or recv_dtype is None):
            raise _errors.TypeError("[P2POp] tensor must be a Tensor; for irecv a shape does, with recv_dtype")
        if isinstance(peer, bool) or not isinstance(peer, int):
            raise _errors.TypeError(f"[P2POp] peer must be an int, got {peer!r}")
        if tag != 0:
            raise NotImplementedError("[P2POp] there is no tag but 0: messages of one direction come in their order")
        self.op, self.tensor, self.peer, self.group, self.tag, self.recv_dtype = op, tensor, peer, group, tag, recv_dtype
        self._sends = name == "isend"


def _start_all(ops):
    """(what comes or None for each message, their handles)"""
    if not isinstance(ops, list) or not ops or not all(isinstance(p, P2POp) for p in ops):
        raise _errors.TypeError("[batch_isend_irecv] p2p_op_list must be a list of P2POp, and not empty")
    came, handles = [], []
    for p in ops:
        if p._sends:
            came.append(None)
            handles.append(isend(p.tensor, p.peer, p.group))
            continue
        name, like = _name(p.group), p.tensor
        shape, dtype = (like, p.recv_dtype) if isinstance(like, tuple) else (tuple(like.shape), like.dtype)
        out, message = _dist.ireceive(shape, dtype, _dist.group_rank(name, p.peer), name)
        came.append(out)
        handles.append(_Message(message))
    return came, handles


def batch_isend_irecv(p2p_op_list):
    """Messages that are on their way at the same time: a tuple with what came for each irecv, and a zero for each isend."""
    came, handles = _start_all(p2p_op_list)
    for h in handles:
        h.wait()
    return tuple(_table.full((), 0, p.tensor.dtype) if x is None else x for p, x in zip(p2p_op_list, came))
