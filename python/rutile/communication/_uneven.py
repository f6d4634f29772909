# SPDX-License-Identifier: Apache-2.0
"""Collectives of parts that are not equally long, made of those of equal ones: shorter parts are filled up with zeros on their way."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import dist as _dist
from rutile._rutile import ops as _table

_errors = _rutile.errors


def counts_from(who, what, values):
    """A list of counts as ints: of a list, a tuple or a Tensor of any shape."""
    if isinstance(values, Tensor):
        values = values.asnumpy().reshape(-1).tolist()
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values):
        raise _errors.TypeError(f"[{who}] {what} must be a list of counts, got {values!r}")
    return [int(v) for v in values]


def _filled(x, n):
    """A tensor of one dimension with zeros behind it, n elements in all."""
    missing = n - x.shape[0]
    return x if missing == 0 else _table.concat([x, _table.full((missing,), 0, x.dtype)], axis=0)


def _together(parts):
    return parts[0] if len(parts) == 1 else _table.concat(parts, axis=0)


def _pieces(who, x, counts):
    """A line in pieces of so many elements."""
    if x.ndim != 1:
        raise _errors.ValueError(f"[{who}] expects a tensor of one dimension, got {x.shape}")
    if sum(counts) != x.shape[0]:
        raise _errors.ValueError(f"[{who}] the counts {counts} are of {sum(counts)} elements, the tensor has {x.shape[0]}")
    out, at = [], 0
    for n in counts:
        out.append(x[at:at + n])
        at += n
    return out


def _sized(who, counts, name):
    if len(counts) != _dist.size(name):
        raise _errors.ValueError(f"[{who}] the group {name!r} has {_dist.size(name)} processes, got {len(counts)} counts: {counts}")


def all_to_all(who, x, sent, received, name):
    """Of the line x the piece r, sent[r] elements, goes to process r; what comes, received[r] from each, stands behind one another."""
    _sized(who, sent, name)
    _sized(who, received, name)
    pieces = _pieces(who, x, sent)
    size, me = _dist.size(name), _dist.rank(name)
    every = _dist.all_counts(sent, name)
    came = [every[r * size + me] for r in range(size)]
    if came != received:
        r = next(r for r in range(size) if came[r] != received[r])
        raise _errors.ValueError(f"[{who}] expects {received[r]} elements of process {r}, which sends {came[r]}")
    return _exchanged(pieces, received, max(every), name)


def all_to_all_by_matrix(who, x, matrix, name):
    """The same where matrix[i * size + j], the elements that process i sends to j, is known to all."""
    size, me = _dist.size(name), _dist.rank(name)
    if len(matrix) != size * size:
        raise _errors.ValueError(f"[{who}] the group {name!r} has {size} processes, so send_count_matrix has {size * size} numbers, "
                                 f"got {len(matrix)}")
    pieces = _pieces(who, x, matrix[me * size:(me + 1) * size])
    return _exchanged(pieces, [matrix[r * size + me] for r in range(size)], max(matrix), name)


def _exchanged(pieces, received, n, name):
    if n == 0:
        return pieces[0]
    came = _table.all_to_all(_together([_filled(p, n) for p in pieces]), group=name, size=len(pieces))
    return _together([came[r * n:r * n + k] for r, k in enumerate(received)])


def all_gather(who, x, counts, name):
    """The processes' lines behind one another; counts[r] elements are of process r."""
    _sized(who, counts, name)
    mine = counts[_dist.rank(name)]
    if x.ndim != 1 or x.shape[0] != mine:
        raise _errors.ValueError(f"[{who}] expects a line of {mine} elements, as the counts {counts} say, got {x.shape}")
    n = max(counts)
    if n == 0:
        return x
    came = _table.all_gather(_filled(x, n), group=name, size=len(counts))
    return _together([came[r * n:r * n + k] for r, k in enumerate(counts)])


def reduce_scatter(who, x, counts, op, name):
    """This process's piece of the reduction of the processes' lines; counts[r] elements go to process r."""
    _sized(who, counts, name)
    pieces, n = _pieces(who, x, counts), max(counts)
    if n == 0:
        return x
    whole = _together([_filled(p, n) for p in pieces])
    return _table.reduce_scatter(whole, reduce=op, group=name, size=len(counts))[:counts[_dist.rank(name)]]
