# SPDX-License-Identifier: Apache-2.0
"""Collectives as functions, under MindSpore's names.

>>> import rutile
>>> from rutile.communication.comm_func import all_reduce
>>> all_reduce(rutile.Tensor([1.0, 2.0]))[0].asnumpy().tolist()
[1.0, 2.0]
"""

from rutile import _rutile
from rutile._rutile import dist as _dist
from rutile._rutile import ops as _table
from rutile.communication import GlobalComm, _name

_errors = _rutile.errors
_WORLD = GlobalComm.WORLD_COMM_GROUP

__all__ = ["all_gather_into_tensor", "all_reduce", "all_to_all_single_with_output_shape", "barrier", "broadcast", "gather_into_tensor",
           "irecv", "isend", "recv", "reduce", "reduce_scatter_tensor", "send"]


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


def all_to_all_single_with_output_shape(output_shape, tensor, group=_WORLD, async_op=False):
    """(equal parts along dimension 0, one of every process, handle)"""
    name = _name(group)
    out = _table.all_to_all(tensor, group=name, size=_dist.size(name))
    return out.reshape(tuple(output_shape.shape if hasattr(output_shape, "shape") else output_shape)), _handle(async_op)


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
