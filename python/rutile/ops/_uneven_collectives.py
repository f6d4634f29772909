# SPDX-License-Identifier: Apache-2.0
"""Operators that exchange tensors of different sizes between the processes of a group."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops._collectives import _group, _reduction
from rutile.ops.operations import Primitive

_errors = _rutile.errors

__all__ = ["AllGatherV", "AlltoAllV", "AlltoAllVC", "BatchISendIRecv", "CollectiveGather", "CollectiveScatter", "NeighborExchange",
           "NeighborExchangeV2", "ReduceScatterV"]


def _uneven():
    from rutile.communication import _uneven
    return _uneven


def _block(who, size):
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise _errors.ValueError(f"[{who}] block_size must be a positive int, got {size!r}")
    return size


class AlltoAllV(Primitive):
    """AlltoAllV(group, block_size)(x, send_numel_list, recv_numel_list): of the line x so many blocks go to each process; the line of
    what comes, recv_numel_list[r] blocks from process r.

    >>> import rutile
    >>> rutile.ops.AlltoAllV()(rutile.Tensor([1.0, 2.0]), [2], [2]).asnumpy().tolist()
    [1.0, 2.0]
    """

    def __init__(self, group="world", block_size=1):
        super().__init__()
        self.group, self.block_size = _group(group), _block("AlltoAllV", block_size)

    def __call__(self, x, send_numel_list, recv_numel_list):
        u = _uneven()
        sent, received = ([n * self.block_size for n in u.counts_from("AlltoAllV", what, v)]
                          for what, v in (("send_numel_list", send_numel_list), ("recv_numel_list", recv_numel_list)))
        return u.all_to_all("AlltoAllV", x, sent, received, self.group)


class AlltoAllVC(Primitive):
    """AlltoAllVC(group, block_size, transpose)(x, send_count_matrix): as AlltoAllV where send_count_matrix[i * n + j], the blocks that
    process i sends to process j, is known to all (with transpose: those that it gets from it)."""

    def __init__(self, group="world", block_size=1, transpose=False):
        super().__init__()
        self.group, self.block_size, self.transpose = _group(group), _block("AlltoAllVC", block_size), bool(transpose)

    def __call__(self, x, send_count_matrix):
        u, n = _uneven(), _rutile.dist.size(self.group)
        matrix = [k * self.block_size for k in u.counts_from("AlltoAllVC", "send_count_matrix", send_count_matrix)]
        if self.transpose and len(matrix) == n * n:
            matrix = [matrix[j * n + i] for i in range(n) for j in range(n)]
        return u.all_to_all_by_matrix("AlltoAllVC", x, matrix, self.group)


class AllGatherV(Primitive):
    """AllGatherV(group)(x, output_split_sizes): the processes' lines behind one another; so many elements are of each.

    >>> import rutile
    >>> rutile.ops.AllGatherV()(rutile.Tensor([1.0, 2.0]), [2]).asnumpy().tolist()
    [1.0, 2.0]
    """

    def __init__(self, group="world"):
        super().__init__()
        self.group = _group(group)

    def __call__(self, x, output_split_sizes):
        u = _uneven()
        return u.all_gather("AllGatherV", x, u.counts_from("AllGatherV", "output_split_sizes", output_split_sizes), self.group)


class ReduceScatterV(Primitive):
    """ReduceScatterV(op, group)(x, input_split_sizes): this process's piece of the reduction of the processes' lines; so many elements
    go to each."""

    def __init__(self, op="sum", group="world"):
        super().__init__()
        self.op, self.group = _reduction("ReduceScatterV", op), _group(group)

    def __call__(self, x, input_split_sizes):
        u = _uneven()
        counts = u.counts_from("ReduceScatterV", "input_split_sizes", input_split_sizes)
        return u.reduce_scatter("ReduceScatterV", x, counts, self.op, self.group)


def _rank(who, what, rank, group):
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise _errors.TypeError(f"[{who}] {what} must be an int, got {rank!r}")
    if not 0 <= rank < _rutile.dist.size(group):
        raise _errors.ValueError(f"[{who}] {what} must be below {_rutile.dist.size(group)}, the processes of the group, got {rank}")
    return rank


class CollectiveScatter(Primitive):
    """CollectiveScatter(src_rank, group)(x): this process's part, along dimension 0, of one process's tensor (its rank in the group);
    the others give one of its shape.

    >>> import rutile
    >>> rutile.ops.CollectiveScatter()(rutile.Tensor([1.0, 2.0])).asnumpy().tolist()
    [1.0, 2.0]
    """

    def __init__(self, src_rank=0, group="world"):
        super().__init__()
        self.group = _group(group)
        self.src_rank, self.rank_size = _rank("CollectiveScatter", "src_rank", src_rank, self.group), _rutile.dist.size(self.group)

    def __call__(self, x):
        if x.ndim == 0 or x.shape[0] % self.rank_size:
            raise _errors.ValueError(f"[CollectiveScatter] dimension 0 must be a multiple of {self.rank_size}, got the shape {x.shape}")
        part, r = x.shape[0] // self.rank_size, _rutile.dist.rank(self.group)
        return _table.broadcast(x, root=self.src_rank, group=self.group)[r * part:(r + 1) * part]


class CollectiveGather(Primitive):
    """CollectiveGather(dest_rank, group)(x): the processes' tensors behind one another in one process (its rank in the group); the
    others get a tensor with one zero."""

    def __init__(self, dest_rank, group="world"):
        super().__init__()
        self.group = _group(group)
        self.dest_rank, self.rank_size = _rank("CollectiveGather", "dest_rank", dest_rank, self.group), _rutile.dist.size(self.group)

    def __call__(self, x):
        gathered = _table.all_gather(x, group=self.group, size=self.rank_size)
        return gathered if _rutile.dist.rank(self.group) == self.dest_rank else _table.full((1,), 0, x.dtype)


class BatchISendIRecv(Primitive):
    """BatchISendIRecv(op_types, remote_ranks, receive_shapes, receive_dtypes, group)(xs): messages that are on their way at the same
    time. op_types: "isend" or "irecv" for each, remote_ranks the other process in the group. A tuple: what came for each irecv, a
    zero for each isend. Not in compiled functions."""

    def __init__(self, op_types, remote_ranks, receive_shapes=None, receive_dtypes=None, group="world"):
        super().__init__()
        shapes, dtypes = list(receive_shapes or ()), list(receive_dtypes or ())
        if len(op_types) != len(remote_ranks) or any(t not in ("isend", "irecv") for t in op_types):
            raise _errors.ValueError("[BatchISendIRecv] op_types holds 'isend' or 'irecv' for each of remote_ranks, got "
                                     f"{op_types!r} and {remote_ranks!r}")
        if len(shapes) != len(dtypes) or len(shapes) != list(op_types).count("irecv"):
            raise _errors.ValueError("[BatchISendIRecv] receive_shapes and receive_dtypes have one entry for each 'irecv', got "
                                     f"{len(shapes)} and {len(dtypes)}")
        self.op_types, self.remote_ranks, self.group = tuple(op_types), tuple(remote_ranks), _group(group)
        self.receive_shapes, self.receive_dtypes = shapes, dtypes

    def __call__(self, xs):
        from rutile.communication import comm_func
        xs = [xs] if isinstance(xs, Tensor) else list(xs)
        sends = self.op_types.count("isend")
        if len(xs) != sends:
            raise _errors.ValueError(f"[BatchISendIRecv] sends {sends} tensors, got {len(xs)}")
        given, wanted, messages = iter(xs), iter(zip(self.receive_shapes, self.receive_dtypes)), []
        for kind, rank in zip(self.op_types, self.remote_ranks):
            peer = _rutile.dist.world_rank(self.group, rank)
            if kind == "isend":
                messages.append(comm_func.P2POp("isend", next(given), peer, self.group))
            else:
                shape, dtype = next(wanted)
                messages.append(comm_func.P2POp("irecv", tuple(shape), peer, self.group, recv_dtype=dtype))
        return comm_func.batch_isend_irecv(messages)


def _exchange(who, sends, receives, like, group):
    """sends, receives: (rank, tensor) and (rank, shape); the tensors that come, in the order of `receives`."""
    n, u = _rutile.dist.size(group), _uneven()
    numel = lambda shape: 1 if not shape else shape[0] * numel(shape[1:])  # noqa: E731
    sent, received = [0] * n, [0] * n
    for rank, x in sends:
        sent[rank] += numel(tuple(x.shape))
    for rank, shape in receives:
        received[rank] += numel(shape)
    lines = [x.reshape((-1,)) for rank in range(n) for r, x in sends if r == rank]
    line = _table.concat(lines, axis=0) if lines else _table.full((0,), 0, like.dtype)
    came = u.all_to_all(who, line, sent, received, group)
    begin, out = [sum(received[:r]) for r in range(n)], []
    for rank, shape in receives:
        k = numel(shape)
        out.append(came[begin[rank]:begin[rank] + k].reshape(shape))
        begin[rank] += k
    return out


class NeighborExchange(Primitive):
    """NeighborExchange(send_rank_ids, recv_rank_ids, recv_shapes, send_shapes, recv_type, group)(xs): xs[i] goes to the process
    send_rank_ids[i]; a tuple of what comes from recv_rank_ids. All processes of the group call it together."""

    def __init__(self, send_rank_ids, recv_rank_ids, recv_shapes, send_shapes, recv_type, group="world"):
        super().__init__()
        self.group = _group(group)
        for what, ranks, shapes in (("send", send_rank_ids, send_shapes), ("recv", recv_rank_ids, recv_shapes)):
            if not isinstance(ranks, (list, tuple)) or len(ranks) != len(shapes):
                raise _errors.ValueError(f"[NeighborExchange] {what}_shapes has one shape for each of {what}_rank_ids, got {shapes!r} and "
                                         f"{ranks!r}")
            for r in ranks:
                _rank("NeighborExchange", f"{what}_rank_ids", r, self.group)
        self.send_rank_ids, self.recv_rank_ids, self.recv_type = list(send_rank_ids), list(recv_rank_ids), recv_type
        self.recv_shapes, self.send_shapes = [tuple(s) for s in recv_shapes], [tuple(s) for s in send_shapes]

    def __call__(self, xs):
        xs = (xs,) if isinstance(xs, Tensor) else tuple(xs)
        shapes = [tuple(x.shape) for x in xs]
        if shapes != self.send_shapes:
            raise _errors.ValueError(f"[NeighborExchange] was made for tensors of {self.send_shapes}, got {shapes}")
        like = xs[0] if xs else _table.full((0,), 0, self.recv_type)
        return tuple(_exchange("NeighborExchange", list(zip(self.send_rank_ids, xs)), list(zip(self.recv_rank_ids, self.recv_shapes)), like,
                               self.group))


class NeighborExchangeV2(Primitive):
    """NeighborExchangeV2(send_rank_ids, send_lens, recv_rank_ids, recv_lens, data_format, group)(x): an image [N, C, H, W] with the
    borders of the neighbouring processes around it. All processes of the group call it together.

    The ranks are of the neighbours above, above right, right, below right, below, below left, left, above left, -1 for none;
    the lengths of the borders at the top, bottom, left and right. Where no neighbour is, a border is zero.
    """

    def __init__(self, send_rank_ids, send_lens, recv_rank_ids, recv_lens, data_format, group="world"):
        super().__init__()
        self.group = _group(group)
        for what, values, n, least in (("send_rank_ids", send_rank_ids, 8, -1), ("recv_rank_ids", recv_rank_ids, 8, -1),
                                       ("send_lens", send_lens, 4, 0), ("recv_lens", recv_lens, 4, 0)):
            if not isinstance(values, list) or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
                raise _errors.TypeError(f"[NeighborExchangeV2] {what} must be a list of ints, got {values!r}")
            if len(values) != n or min(values) < least:
                raise _errors.ValueError(f"[NeighborExchangeV2] {what} has {n} numbers from {least} on, got {values}")
        for what, ranks in (("send_rank_ids", send_rank_ids), ("recv_rank_ids", recv_rank_ids)):
            there = [_rank("NeighborExchangeV2", what, r, self.group) for r in ranks if r >= 0]
            if len(set(there)) < len(there):
                raise _errors.ValueError(f"[NeighborExchangeV2] {what} names each process once, got {ranks}")
        if data_format != "NCHW":
            raise _errors.ValueError(f"[NeighborExchangeV2] data_format must be 'NCHW', got {data_format!r}")
        self.send_rank_ids, self.send_lens, self.recv_rank_ids, self.recv_lens = send_rank_ids, send_lens, recv_rank_ids, recv_lens

    def __call__(self, x):
        if x.ndim != 4:
            raise _errors.ValueError(f"[NeighborExchangeV2] expects [N, C, H, W], got {x.shape}")
        n, c, h, w = x.shape
        top, bottom, left, right = self.send_lens
        if max(top, bottom) > h or max(left, right) > w:
            raise _errors.ValueError(f"[NeighborExchangeV2] send_lens {self.send_lens} are more than the image {x.shape} has")
        up, down, whole = slice(0, top), slice(h - bottom, h), slice(0, h)
        west, east, wide = slice(0, left), slice(w - right, w), slice(0, w)
        places = ((up, wide), (up, east), (whole, east), (down, east), (down, wide), (down, west), (whole, west), (up, west))
        sends = [(r, x[:, :, rows, columns]) for r, (rows, columns) in zip(self.send_rank_ids, places) if r >= 0]
        top, bottom, left, right = self.recv_lens
        sizes = ((top, w), (top, right), (h, right), (bottom, right), (bottom, w), (bottom, left), (h, left), (top, left))
        wanted = [(r, (n, c, *size)) for r, size in zip(self.recv_rank_ids, sizes) if r >= 0]
        came = iter(_exchange("NeighborExchangeV2", sends, wanted, x, self.group))
        above, above_right, beside_right, below_right, below, below_left, beside_left, above_left = (
            next(came) if r >= 0 else _table.full((n, c, *size), 0, x.dtype) for r, size in zip(self.recv_rank_ids, sizes))
        rows = [(above_left, above, above_right), (beside_left, x, beside_right), (below_left, below, below_right)]
        return _table.concat([_table.concat(row, axis=3) for row in rows], axis=2)
