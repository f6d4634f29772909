# SPDX-License-Identifier: Apache-2.0
"""Operators that all processes of a group run together (rutile.communication)."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.operations import Primitive

_errors = _rutile.errors

__all__ = ["AllGather", "AllReduce", "AlltoAll", "Barrier", "Broadcast", "Receive", "Reduce", "ReduceOp", "ReduceScatter", "Send"]


class ReduceOp:
    """The reductions of AllReduce, ReduceScatter and Reduce."""

    SUM, MAX, MIN, PROD = "sum", "max", "min", "prod"


def _group(group):
    from rutile.communication import _name
    return _name(group)


def _reduction(who, op):
    if not isinstance(op, str):
        raise _errors.TypeError(f"[{who}] op must be a ReduceOp, got {op!r}")
    if op not in ("sum", "max", "min", "prod"):
        raise _errors.ValueError(f"[{who}] op must be one of ReduceOp's, got {op!r}")
    return op


class AllReduce(Primitive):
    """AllReduce(op, group)(x): the sum (max, min, prod) of the processes' tensors, the same in each.

    >>> import rutile
    >>> rutile.ops.AllReduce()(rutile.Tensor([1.0, 2.0])).asnumpy().tolist()
    [1.0, 2.0]
    """

    def __init__(self, op=ReduceOp.SUM, group="world"):
        super().__init__()
        self.op, self.group = _reduction("AllReduce", op), _group(group)

    def __call__(self, x):
        return _table.all_reduce(x, reduce=self.op, group=self.group)


class AllGather(Primitive):
    """AllGather(group)(x): the processes' tensors behind one another along dimension 0."""

    def __init__(self, group="world"):
        super().__init__()
        self.group = _group(group)
        self.rank_size = _rutile.dist.size(self.group)

    def __call__(self, x):
        return _table.all_gather(x, group=self.group, size=self.rank_size)


class ReduceScatter(Primitive):
    """ReduceScatter(op, group)(x): this process's part along dimension 0 of the reduction."""

    def __init__(self, op=ReduceOp.SUM, group="world"):
        super().__init__()
        self.op, self.group = _reduction("ReduceScatter", op), _group(group)
        self.rank_size = _rutile.dist.size(self.group)

    def __call__(self, x):
        return _table.reduce_scatter(x, reduce=self.op, group=self.group, size=self.rank_size)


class Broadcast(Primitive):
    """Broadcast(root_rank, group)((x, ...)): a tuple of the tensors of one process (its rank in the group)."""

    def __init__(self, root_rank, group="world"):
        super().__init__()
        if isinstance(root_rank, bool) or not isinstance(root_rank, int):
            raise _errors.TypeError(f"[Broadcast] root_rank must be an int, got {root_rank!r}")
        self.root_rank, self.group = root_rank, _group(group)

    def __call__(self, xs):
        if isinstance(xs, Tensor):
            return _table.broadcast(xs, root=self.root_rank, group=self.group)
        return tuple(_table.broadcast(x, root=self.root_rank, group=self.group) for x in xs)


class Reduce(Primitive):
    """Reduce(dest_rank, op, group)(x): the reduction in one process; the others get their own tensor back."""

    def __init__(self, dest_rank, op=ReduceOp.SUM, group="world"):
        super().__init__()
        self.dest_rank, self.op, self.group = dest_rank, _reduction("Reduce", op), _group(group)

    def __call__(self, x):
        total = _table.all_reduce(x, reduce=self.op, group=self.group)
        return total if _rutile.dist.rank(self.group) == self.dest_rank else x


class AlltoAll(Primitive):
    """AlltoAll(split_count, split_dim, concat_dim, group)(x): part r of split_dim goes to process r; what comes is joined along
    concat_dim. split_count is the number of processes."""

    def __init__(self, split_count, split_dim, concat_dim, group="world"):
        super().__init__()
        self.split_count, self.split_dim, self.concat_dim, self.group = split_count, split_dim, concat_dim, _group(group)
        size = _rutile.dist.size(self.group)
        if split_count != size:
            raise _errors.ValueError(f"[AlltoAll] split_count must be the {size} processes of the group, got {split_count}")

    def __call__(self, x):
        n = self.split_count
        if x.shape[self.split_dim] % n:
            raise _errors.ValueError(f"[AlltoAll] dimension {self.split_dim} must be a multiple of {n}, got {x.shape[self.split_dim]}")
        parts = _table.concat([p.reshape((1, *p.shape)) for p in _table.split(x, sections=n, axis=self.split_dim)], axis=0)
        came = _table.all_to_all(parts, group=self.group, size=n)
        return _table.concat([came[r] for r in range(n)], axis=self.concat_dim)


class Barrier(Primitive):
    """Barrier(group)(): waits until all processes of the group are here."""

    def __init__(self, group="world"):
        super().__init__()
        self.group = _group(group)

    def __call__(self):
        _rutile.dist.barrier(self.group)


class Send(Primitive):
    """Send(sr_tag, dest_rank, group)(x): to a process (its rank in the group)."""

    def __init__(self, sr_tag, dest_rank, group="world", group_back="world"):
        super().__init__()
        self.sr_tag, self.dest_rank, self.group = sr_tag, dest_rank, _group(group)

    def __call__(self, x):
        _rutile.dist.send(x, self.dest_rank, self.group)


class Receive(Primitive):
    """Receive(sr_tag, src_rank, shape, dtype, group)(): from a process (its rank in the group)."""

    def __init__(self, sr_tag, src_rank, shape, dtype, group="world", group_back="world"):
        super().__init__()
        self.sr_tag, self.src_rank, self.shape, self.dtype, self.group = sr_tag, src_rank, tuple(shape), dtype, _group(group)

    def __call__(self, x=None):
        return _rutile.dist.receive(self.shape, self.dtype, self.src_rank, self.group)
