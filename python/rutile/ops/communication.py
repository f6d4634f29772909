# SPDX-License-Identifier: Apache-2.0
"""Collectives as functions that write into the tensors they are given, as MindSpore's ops.communication and mint.distributed have them.

Each returns None, or with async_op a handle, whose work is done. group: a name, None for all processes; ranks are those among all
processes. set_comm_ops_inplace(False) makes some of them return new tensors instead.

>>> import rutile
>>> from rutile.ops import communication
>>> x = rutile.Tensor([1.0, 2.0])
>>> communication.all_reduce(x)
>>> x.asnumpy().tolist()
[1.0, 2.0]
"""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import dist as _dist
from rutile._rutile import ops as _table

_errors = _rutile.errors

_FUNCTIONS = ("all_gather", "all_gather_into_tensor", "all_gather_into_tensor_uneven", "all_gather_object", "all_reduce", "all_to_all",
              "all_to_all_single", "all_to_all_v_c", "barrier", "batch_isend_irecv", "broadcast", "broadcast_object_list", "gather",
              "gather_into_tensor", "gather_object", "irecv", "isend", "recv", "recv_object_list", "reduce", "reduce_scatter",
              "reduce_scatter_tensor", "reduce_scatter_tensor_uneven", "scatter", "scatter_object_list", "scatter_tensor", "send",
              "send_object_list")
# Those that may return a new tensor instead.
_EITHER = frozenset("all_gather_into_tensor all_reduce all_to_all_single irecv recv reduce_scatter_tensor".split())
_elsewhere = set()  # those that shall

__all__ = ["P2POp", "TCPStore", "destroy_process_group", "get_backend", "get_global_rank", "get_group_rank", "get_process_group_ranks",
           "get_rank", "get_world_size", "init_process_group", "is_available", "is_initialized", "new_group", "set_comm_ops_inplace",
           *_FUNCTIONS]


def set_comm_ops_inplace(is_enable, func_list=None):
    """Whether these functions (all unless func_list names some) write into their arguments. Of those that do not, all_reduce,
    all_gather_into_tensor, reduce_scatter_tensor, all_to_all_single and irecv return (a new tensor, handle), recv a new tensor;
    the others raise ValueError."""
    if not isinstance(is_enable, bool):
        raise _errors.TypeError(f"[set_comm_ops_inplace] is_enable must be a bool, got {type(is_enable).__name__}")
    if func_list is not None and not isinstance(func_list, (list, tuple)):
        raise _errors.TypeError(f"[set_comm_ops_inplace] func_list must be a list of names, got {type(func_list).__name__}")
    names = _FUNCTIONS if func_list is None else func_list
    unknown = [n for n in names if n not in _FUNCTIONS]
    if unknown:
        raise _errors.ValueError(f"[set_comm_ops_inplace] there is no function {unknown[0]!r}")
    _elsewhere.difference_update(names) if is_enable else _elsewhere.update(names)


# ---- Arguments

def _group(who, group, async_op=False):
    from rutile.communication import _name
    if group is not None and not isinstance(group, str):
        raise _errors.TypeError(f"[{who}] group must be a name or None, got {type(group).__name__}")
    if not isinstance(async_op, bool):
        raise _errors.TypeError(f"[{who}] async_op must be a bool, got {type(async_op).__name__}")
    if who in _elsewhere and who not in _EITHER:
        raise _errors.ValueError(f"[{who}] only writes into its arguments: set_comm_ops_inplace(True, ['{who}'])")
    return _name(group)


def _tensors(who, **given):
    for what, value in given.items():
        if not isinstance(value, Tensor):
            raise _errors.TypeError(f"[{who}] {what} must be a Tensor, got {type(value).__name__}")


def _list(who, what, tensors, n=None, one_shape=False):
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, Tensor) for t in tensors):
        raise _errors.TypeError(f"[{who}] {what} must be a list of Tensors, got {tensors if not isinstance(tensors, (list, tuple)) else 'others'}")
    if n is not None and len(tensors) != n:
        raise _errors.ValueError(f"[{who}] {what} has one tensor for each of the {n} processes, got {len(tensors)}")
    if len({t.dtype for t in tensors}) > 1 or one_shape and len({t.shape for t in tensors}) > 1:
        raise _errors.TypeError(f"[{who}] {what} expects one dtype{' and shape' if one_shape else ''}, got "
                                f"{[(t.shape, str(t.dtype)) for t in tensors]}")
    return list(tensors)


def _reduction(who, op):
    if not isinstance(op, str) or op not in ("sum", "prod", "min", "max", "avg"):
        raise _errors.TypeError(f"[{who}] op must be one of 'sum', 'prod', 'min', 'max', 'avg', got {op!r}")
    return "mean" if op == "avg" else op


def _peer(who, what, rank, name):
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise _errors.TypeError(f"[{who}] {what} must be an int, got {rank!r}")
    return _dist.group_rank(name, rank)


def _write(who, tensor, value):
    if tensor.shape != value.shape or tensor.dtype != value.dtype:
        raise _errors.ValueError(f"[{who}] gives {value.dtype}{list(value.shape)}, the tensor for it is {tensor.dtype}{list(tensor.shape)}")
    tensor._rebind(value)


def _handle(async_op):
    from rutile.communication.comm_func import _Done
    return _Done() if async_op else None


def _given(who, tensor, value, async_op):
    """Writes the value, or returns it."""
    if who in _elsewhere:
        return value, _handle(async_op)
    _write(who, tensor, value)
    return _handle(async_op)


# ---- Groups

class TCPStore:
    """Not supported: processes meet at MASTER_ADDR and MASTER_PORT."""

    def __init__(self, *args, **kwargs):
        raise _errors.UnsupportedError("TCPStore is not supported: processes meet at MASTER_ADDR:MASTER_PORT, which their launcher sets, or "
                                       "where init_process_group(init_method='tcp://host:port', rank=..., world_size=...) says")


def init_process_group(backend=None, init_method=None, timeout=None, world_size=-1, rank=-1, store=None, group_name="", pg_options=None,
                       device_id=None):
    """Joins the other processes, as communication.init(backend). init_method "tcp://host:port" with rank and world_size takes the place of
    what a launcher sets; timeout (a timedelta) is how long to wait for them. pg_options and device_id have no effect."""
    import os
    import urllib.parse
    from rutile import communication
    if store is not None:
        raise _errors.UnsupportedError("[init_process_group] there are no stores; init_method='tcp://host:port' says where to meet")
    if init_method not in (None, "env://"):
        url = urllib.parse.urlsplit(init_method) if isinstance(init_method, str) else None
        if url is None or url.scheme != "tcp" or not url.hostname or not url.port:
            raise _errors.ValueError(f"[init_process_group] init_method must be 'tcp://host:port' or 'env://', got {init_method!r}")
        if world_size <= 0 or not 0 <= rank < world_size:
            raise _errors.ValueError(f"[init_process_group] init_method needs world_size and rank, got {world_size} and {rank}")
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), MASTER_ADDR=url.hostname, MASTER_PORT=str(url.port))
        for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"):
            os.environ.setdefault(name, os.environ["RANK" if name == "LOCAL_RANK" else "WORLD_SIZE"])
    if timeout is not None:
        os.environ["RUTILE_RENDEZVOUS_TIMEOUT"] = str(timeout.total_seconds())
    communication.init(backend)
    if world_size not in (-1, _dist.size("world")):
        raise _errors.ValueError(f"[init_process_group] there are {_dist.size('world')} processes, world_size is {world_size}")


def destroy_process_group(group=None):
    """Takes a group away; None: leaves all other processes."""
    from rutile import communication
    if _group("destroy_process_group", group) == "world":
        communication.release()
    else:
        communication.destroy_group(group)


def is_available():
    """Whether there is a backend for several processes."""
    return not _dist.plugin_error("gloo")


def is_initialized():
    """Whether this process has joined the others."""
    return _dist.initialized()


def get_rank(group=None):
    """This process's number in a group, -1 if it is not in it."""
    return _dist.rank(_group("get_rank", group))


def get_world_size(group=None):
    """How many processes a group has, -1 if this one is not in it."""
    name = _group("get_world_size", group)
    return -1 if _dist.rank(name) < 0 else _dist.size(name)


_made = {}  # groups by their ranks


def new_group(ranks=None, timeout=None, backend=None, pg_options=None, use_local_synchronization=False, group_desc=None):
    """The name of a new group of these processes, called by all of them; the group of all without ranks. All else has no effect."""
    from rutile import communication
    if ranks is None:
        return communication.GlobalComm.WORLD_COMM_GROUP
    if not isinstance(ranks, list):
        raise _errors.TypeError(f"[new_group] ranks must be a list, got {type(ranks).__name__}")
    key = tuple(sorted(ranks))
    _made[key] = _made.get(key, 0) + 1
    name = f"group_{_made[key]}_of_{'_'.join(map(str, key))}"
    communication.create_group(name, list(key))
    return name


def get_backend(group=None):
    """The name of what carries tensors: "mccl" (Gloo) for the processor's memory, "nccl" for that of GPUs."""
    from rutile import communication
    _dist.size(_group("get_backend", group))
    return communication.GlobalComm.BACKEND or "mccl"


def get_global_rank(group, group_rank):
    """The number among all processes of one that the group numbers so."""
    return _dist.world_rank(_group("get_global_rank", group), group_rank)


def get_group_rank(group, global_rank):
    """The group's number of a process."""
    return _dist.group_rank(_group("get_group_rank", group), global_rank)


def get_process_group_ranks(group=None):
    """The processes of a group, in its order."""
    return _dist.group_ranks(_group("get_process_group_ranks", group))


# ---- Tensors

def all_reduce(tensor, op="sum", group=None, async_op=False):
    """tensor becomes the sum (prod, min, max, avg) of the processes' tensors."""
    name = _group("all_reduce", group, async_op)
    _tensors("all_reduce", tensor=tensor)
    return _given("all_reduce", tensor, _table.all_reduce(tensor, reduce=_reduction("all_reduce", op), group=name), async_op)


def reduce(tensor, dst, op="sum", group=None, async_op=False):
    """In the process dst, tensor becomes the reduction; in the others it stays."""
    name = _group("reduce", group, async_op)
    _tensors("reduce", tensor=tensor)
    to = _peer("reduce", "dst", dst, name)
    total = _table.all_reduce(tensor, reduce=_reduction("reduce", op), group=name)
    if _dist.rank(name) == to:
        _write("reduce", tensor, total)
    return _handle(async_op)


def broadcast(tensor, src, group=None, async_op=False):
    """tensor becomes that of the process src."""
    name = _group("broadcast", group, async_op)
    _tensors("broadcast", tensor=tensor)
    _write("broadcast", tensor, _table.broadcast(tensor, root=_peer("broadcast", "src", src, name), group=name))
    return _handle(async_op)


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """output_tensor becomes the processes' tensors behind one another along dimension 0."""
    who = "all_gather_into_tensor"
    name = _group(who, group, async_op)
    _tensors(who, input_tensor=input_tensor, **({} if who in _elsewhere else {"output_tensor": output_tensor}))
    return _given(who, output_tensor, _table.all_gather(input_tensor, group=name, size=_dist.size(name)), async_op)


def reduce_scatter_tensor(output, input, op="sum", group=None, async_op=False):
    """output becomes this process's part, along dimension 0, of the reduction of the inputs."""
    who = "reduce_scatter_tensor"
    name = _group(who, group, async_op)
    _tensors(who, input=input, **({} if who in _elsewhere else {"output": output}))
    out = _table.reduce_scatter(input, reduce=_reduction(who, op), group=name, size=_dist.size(name))
    return _given(who, output, out, async_op)


def _row(tensor):
    """Elements of a row."""
    n = 1
    for d in tensor.shape[1:]:
        n *= d
    return n


def _line(tensors):
    from rutile.communication import _uneven
    return _uneven._together([t.reshape((-1,)) for t in tensors])


def _write_pieces(who, tensors, line):
    from rutile.communication import _uneven
    for t, piece in zip(tensors, _uneven._pieces(who, line, [t.size for t in tensors])):
        _write(who, t, piece.reshape(t.shape))


def all_gather_into_tensor_uneven(output, input, output_split_sizes=None, group=None, async_op=False):
    """As all_gather_into_tensor, where output_split_sizes says how many rows each process gives."""
    from rutile.communication import _uneven
    from rutile.communication.comm_func import _rows
    who = "all_gather_into_tensor_uneven"
    name = _group(who, group, async_op)
    _tensors(who, output=output, input=input)
    rows = _rows(who, output_split_sizes, output.shape[0], name, "output")
    line = _uneven.all_gather(who, input.reshape((-1,)), [n * _row(output) for n in rows], name)
    _write(who, output, line.reshape(output.shape))
    return _handle(async_op)


def reduce_scatter_tensor_uneven(output, input, input_split_sizes=None, op="sum", group=None, async_op=False):
    """As reduce_scatter_tensor, where input_split_sizes says how many rows each process gets."""
    from rutile.communication import _uneven
    from rutile.communication.comm_func import _rows
    who = "reduce_scatter_tensor_uneven"
    name = _group(who, group, async_op)
    _tensors(who, output=output, input=input)
    rows = _rows(who, input_split_sizes, input.shape[0], name, "input")
    line = _uneven.reduce_scatter(who, input.reshape((-1,)), [n * _row(input) for n in rows], _reduction(who, op), name)
    _write(who, output, line.reshape((-1, *input.shape[1:])))
    return _handle(async_op)


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """tensor_list[r] becomes the tensor of process r of the group; their shapes may differ."""
    from rutile.communication import _uneven
    name = _group("all_gather", group, async_op)
    _tensors("all_gather", tensor=tensor)
    out = _list("all_gather", "tensor_list", tensor_list, _dist.size(name))
    _write_pieces("all_gather", out, _uneven.all_gather("all_gather", tensor.reshape((-1,)), [t.size for t in out], name))
    return _handle(async_op)


def reduce_scatter(output, input_list, op="sum", group=None, async_op=False):
    """output becomes the reduction of the processes' input_list[r], r being this one's number in the group."""
    from rutile.communication import _uneven
    name = _group("reduce_scatter", group, async_op)
    _tensors("reduce_scatter", output=output)
    inputs = _list("reduce_scatter", "input_list", input_list, _dist.size(name))
    line = _uneven.reduce_scatter("reduce_scatter", _line(inputs), [t.size for t in inputs], _reduction("reduce_scatter", op), name)
    _write("reduce_scatter", output, line.reshape(inputs[_dist.rank(name)].shape))
    return _handle(async_op)


def gather(tensor, gather_list, dst=0, group=None, async_op=False):
    """In the process dst, gather_list[r] becomes the tensor of process r of the group."""
    name = _group("gather", group, async_op)
    _tensors("gather", tensor=tensor)
    to = _peer("gather", "dst", dst, name)
    line = _table.all_gather(tensor.reshape((-1,)), group=name, size=_dist.size(name))
    if _dist.rank(name) == to:
        _write_pieces("gather", _list("gather", "gather_list", gather_list, _dist.size(name), True), line)
    return _handle(async_op)


def gather_into_tensor(output_tensor, input_tensor, dst=0, group=None, async_op=False):
    """In the process dst, output_tensor becomes the processes' tensors behind one another along dimension 0."""
    who = "gather_into_tensor"
    name = _group(who, group, async_op)
    _tensors(who, output_tensor=output_tensor, input_tensor=input_tensor)
    to = _peer(who, "dst", dst, name)
    gathered = _table.all_gather(input_tensor, group=name, size=_dist.size(name))
    if _dist.rank(name) == to:
        _write(who, output_tensor, gathered)
    return _handle(async_op)


def _scattered(who, whole, tensor, src, name):
    """This process's part of the line that the process src has."""
    n, size = tensor.size, _dist.size(name)
    line = _table.full((n * size,), 0, tensor.dtype) if whole is None else whole.reshape((-1,))
    r = _dist.rank(name)
    _write(who, tensor, _table.broadcast(line, root=src, group=name)[r * n:(r + 1) * n].reshape(tensor.shape))


def scatter(tensor, scatter_list, src=0, group=None, async_op=False):
    """tensor becomes the process src's scatter_list[r], r being this one's number in the group; the lists of the others do not count."""
    name = _group("scatter", group, async_op)
    _tensors("scatter", tensor=tensor)
    root, whole = _peer("scatter", "src", src, name), None
    if _dist.rank(name) == root:
        parts = _list("scatter", "scatter_list", scatter_list, _dist.size(name), True)
        if parts[0].shape != tensor.shape or parts[0].dtype != tensor.dtype:
            raise _errors.TypeError(f"[scatter] scatter_list expects tensors like the one that is written, {tensor.dtype}{list(tensor.shape)}, "
                                    f"got {parts[0].dtype}{list(parts[0].shape)}")
        whole = _line(parts)
    _scattered("scatter", whole, tensor, root, name)
    return _handle(async_op)


def scatter_tensor(output_tensor, input_tensor, src=0, group=None, async_op=False):
    """output_tensor becomes this process's part, along dimension 0, of the process src's input_tensor."""
    who = "scatter_tensor"
    name = _group(who, group, async_op)
    _tensors(who, output_tensor=output_tensor, input_tensor=input_tensor)
    root, whole = _peer(who, "src", src, name), None
    if _dist.rank(name) == root:
        wanted = (output_tensor.shape[0] * _dist.size(name), *output_tensor.shape[1:]) if output_tensor.ndim else None
        if input_tensor.shape != wanted or input_tensor.dtype != output_tensor.dtype:
            raise _errors.ValueError(f"[{who}] the output {output_tensor.dtype}{list(output_tensor.shape)} expects an input of "
                                     f"{list(wanted or ())}, got {input_tensor.dtype}{list(input_tensor.shape)}")
        whole = input_tensor
    _scattered(who, whole, output_tensor, root, name)
    return _handle(async_op)


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """output_tensor_list[r] becomes the input_tensor_list[k] of process r, k being this one's number in the group."""
    from rutile.communication import _uneven
    name = _group("all_to_all", group, async_op)
    n = _dist.size(name)
    given, out = _list("all_to_all", "input_tensor_list", input_tensor_list, n), _list("all_to_all", "output_tensor_list", output_tensor_list, n)
    line = _uneven.all_to_all("all_to_all", _line(given), [t.size for t in given], [t.size for t in out], name)
    _write_pieces("all_to_all", out, line)
    return _handle(async_op)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """Of the input's rows input_split_sizes[r] go to process r; output becomes what comes, output_split_sizes[r] rows of each. Without
    sizes all are equal."""
    from rutile.communication.comm_func import _all_to_all_rows
    who = "all_to_all_single"
    name = _group(who, group, async_op)
    _tensors(who, input=input, **({} if who in _elsewhere else {"output": output}))
    rows = input.shape[0] if not output_split_sizes else sum(output_split_sizes)
    shape = (rows, *input.shape[1:]) if who in _elsewhere else output.shape
    return _given(who, output, _all_to_all_rows(who, shape, input, output_split_sizes, input_split_sizes, name), async_op)


def all_to_all_v_c(output, input, send_count_matrix, group=None, async_op=False):
    """output becomes what comes: send_count_matrix[i * n + j] elements of process i's flattened input go to process j."""
    from rutile.communication import comm_func
    _group("all_to_all_v_c", group, async_op)
    _tensors("all_to_all_v_c", output=output, input=input)
    return comm_func.all_to_all_v_c(output, input, send_count_matrix, group, async_op)


def barrier(group=None, async_op=False, device_ids=None):
    """Waits until all processes of the group are here."""
    _dist.barrier(_group("barrier", group, async_op))
    return _handle(async_op)


from rutile.ops._messages import (P2POp, all_gather_object, batch_isend_irecv, broadcast_object_list, gather_object, irecv, isend,  # noqa: E402,F401
                                  recv, recv_object_list, scatter_object_list, send, send_object_list)
