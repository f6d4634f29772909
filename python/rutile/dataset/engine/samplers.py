# SPDX-License-Identifier: Apache-2.0
"""Samplers: which rows of a source an epoch has, in which order."""

import numpy as _np

from rutile import _rutile
from rutile.dataset import _random

_errors = _rutile.errors

__all__ = ["DistributedSampler", "PKSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "SubsetSampler",
           "WeightedRandomSampler"]


def _count(name, what, value, low=1, none=True):
    if value is None and none:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _errors.TypeError(f"[{name}] {what} must be an int, got {type(value).__name__}")
    if value < low:
        raise _errors.ValueError(f"[{name}] {what} must be at least {low}, got {value}")
    return value


class Sampler:
    """Base of samplers; a subclass of the user's gives row numbers by __iter__ (self.dataset_size is set before).

    >>> import rutile.dataset as ds
    >>> class Backwards(ds.Sampler):
    ...     def __iter__(self):
    ...         return iter(range(self.dataset_size - 1, -1, -1))
    >>> [int(x) for x, in ds.NumpySlicesDataset([1, 2, 3], sampler=Backwards())]
    [3, 2, 1]
    """

    def __init__(self, num_samples=None):
        self.num_samples = _count(type(self).__name__, "num_samples", num_samples)
        self.dataset_size, self.child_sampler = 0, None

    def __iter__(self):
        raise NotImplementedError

    def add_child(self, sampler):
        """The rows are chosen among those that another sampler chooses."""
        if not isinstance(sampler, Sampler):
            raise _errors.TypeError(f"[{type(self).__name__}] a child is a sampler, got {type(sampler).__name__}")
        if self.child_sampler is not None:
            raise _errors.RuntimeError(f"[{type(self).__name__}] there is a child already")
        self.child_sampler = sampler

    def get_child(self):
        """The sampler among whose rows this one chooses."""
        return self.child_sampler

    def get_num_samples(self):
        """The most rows that are chosen; None for all."""
        return self.num_samples

    def _choose(self, n, rng, run, labels):
        """Positions among n rows."""
        self.dataset_size = n
        picks = [int(i) for i in self]
        bad = [i for i in picks if not 0 <= i < n]
        if bad:
            raise _errors.IndexError(f"[{type(self).__name__}] gave row {bad[0]} of {n}")
        return picks[:getattr(self, "num_samples", None)]

    def _number(self, n):
        """How many rows are chosen of n; None where only choosing tells."""
        return None

    def indices(self, n, rng, run, labels=None):
        """The row numbers of one epoch of a source with n rows."""
        child = getattr(self, "child_sampler", None)
        if child is None:
            return self._choose(n, rng, run, labels)
        inner = child.indices(n, rng, run, labels)
        inner_labels = None if labels is None else (lambda name: labels(name)[_np.asarray(inner, _np.int64)])
        return [inner[i] for i in self._choose(len(inner), rng, run, inner_labels)]

    def number(self, n):
        """How many rows an epoch has; None where only choosing tells."""
        child = getattr(self, "child_sampler", None)
        n = n if child is None else child.number(n)
        return None if n is None else self._number(n)


class BuiltinSampler(Sampler):
    """Base of the samplers of this module."""


def _limited(n, limit):
    return n if limit is None else min(n, limit)


class SequentialSampler(BuiltinSampler):
    """All rows in order, from start_index on, at most num_samples."""

    def __init__(self, start_index=None, num_samples=None):
        super().__init__(num_samples)
        self.start_index = _count("SequentialSampler", "start_index", start_index, 0) or 0

    def _number(self, n):
        return _limited(max(n - self.start_index, 0), self.num_samples)

    def _choose(self, n, rng, run, labels):
        return range(self.start_index, self.start_index + self._number(n))


class RandomSampler(BuiltinSampler):
    """Rows in random order, at most num_samples; with replacement each draw is of all rows."""

    def __init__(self, replacement=False, num_samples=None):
        super().__init__(num_samples)
        if not isinstance(replacement, bool):
            raise _errors.TypeError(f"[RandomSampler] replacement must be a bool, got {type(replacement).__name__}")
        self.replacement = replacement

    def _number(self, n):
        return (n if self.num_samples is None else self.num_samples) if self.replacement else _limited(n, self.num_samples)

    def _choose(self, n, rng, run, labels):
        picks = rng.integers(n, size=self._number(n)) if self.replacement and n else rng.permutation(n)[:self._number(n)]
        return picks.tolist()


class SubsetSampler(BuiltinSampler):
    """The rows of these numbers, in this order."""

    def __init__(self, indices, num_samples=None):
        super().__init__(num_samples)
        indices = [indices] if isinstance(indices, int) else list(indices)
        if not all(isinstance(i, (int, _np.integer)) and not isinstance(i, bool) for i in indices):
            raise _errors.TypeError(f"[{type(self).__name__}] indices are ints")
        self.indices_ = [int(i) for i in indices]

    def _number(self, n):
        return _limited(len(self.indices_), self.num_samples)

    def _choose(self, n, rng, run, labels):
        bad = [i for i in self.indices_ if not 0 <= i < n]
        if bad:
            raise _errors.IndexError(f"[{type(self).__name__}] there is no row {bad[0]} of {n}")
        return self._order(rng)[:self._number(n)]

    def _order(self, rng):
        return self.indices_


class SubsetRandomSampler(SubsetSampler):
    """The rows of these numbers in random order, at most num_samples."""

    def _order(self, rng):
        return [self.indices_[i] for i in rng.permutation(len(self.indices_))]


class PKSampler(BuiltinSampler):
    """num_val rows of each class (of num_class classes), by the labels of class_column; shuffle: the classes in random
    order."""

    def __init__(self, num_val, num_class=None, shuffle=False, class_column="label", num_samples=None):
        super().__init__(num_samples)
        self.num_val = _count("PKSampler", "num_val", num_val, none=False)
        self.num_class = _count("PKSampler", "num_class", num_class)
        self.shuffle, self.class_column = shuffle, class_column

    def _choose(self, n, rng, run, labels):
        if labels is None:
            raise _errors.RuntimeError("[PKSampler] the source has no labels")
        values = _np.asarray(labels(self.class_column)).reshape(n)
        classes = _np.unique(values)
        if self.shuffle:
            classes = rng.permutation(classes)
        picks = []
        for c in classes[:self.num_class]:
            own = _np.flatnonzero(values == c)
            picks += rng.permutation(own)[:self.num_val].tolist() if len(own) >= self.num_val else (
                rng.choice(own, self.num_val).tolist())
        return picks[:self.num_samples]


class WeightedRandomSampler(BuiltinSampler):
    """num_samples rows, each with the probability that its weight says."""

    def __init__(self, weights, num_samples=None, replacement=True):
        super().__init__(num_samples)
        weights = _np.asarray(list(weights), _np.float64)
        if weights.ndim != 1 or not len(weights) or not _np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
            raise _errors.ValueError("[WeightedRandomSampler] weights are numbers of at least 0, one of them above")
        self.weights, self.replacement = weights, bool(replacement)

    def _number(self, n):
        return len(self.weights) if self.num_samples is None else self.num_samples

    def _choose(self, n, rng, run, labels):
        if len(self.weights) > n:
            raise _errors.RuntimeError(f"[WeightedRandomSampler] has {len(self.weights)} weights for {n} rows")
        size = self._number(n)
        if not self.replacement and size > _np.count_nonzero(self.weights):
            raise _errors.RuntimeError(f"[WeightedRandomSampler] cannot draw {size} rows without replacement")
        return rng.choice(len(self.weights), size, self.replacement, self.weights / self.weights.sum()).tolist()


class DistributedSampler(BuiltinSampler):
    """Every num_shards-th row from shard_id on, ceil(rows / num_shards) of them: the last ones begin at the front again.

    shuffle: in random order, the same for all shards of an epoch, also in other processes with the same seed. offset: the
    number of the shard that begins with the first row, where the rows are not spread evenly; -1: 0.
    """

    def __init__(self, num_shards, shard_id, shuffle=True, num_samples=None, offset=-1):
        super().__init__(num_samples)
        self.num_shards = _count("DistributedSampler", "num_shards", num_shards, none=False)
        self.shard_id = _count("DistributedSampler", "shard_id", shard_id, 0, none=False)
        if shard_id >= num_shards:
            raise _errors.ValueError(f"[DistributedSampler] shard_id {shard_id} must be below num_shards {num_shards}")
        if not isinstance(shuffle, bool):
            raise _errors.TypeError(f"[DistributedSampler] shuffle must be a bool, got {type(shuffle).__name__}")
        if isinstance(offset, bool) or not isinstance(offset, int) or not -1 <= offset < num_shards:
            raise _errors.ValueError(f"[DistributedSampler] offset must be -1 to {num_shards - 1}, got {offset!r}")
        self.shuffle, self.offset = shuffle, max(offset, 0)

    def _number(self, n):
        return _limited(-(-n // self.num_shards), self.num_samples)

    def _choose(self, n, rng, run, labels):
        if n == 0:
            return []
        order = _random.generator_for(_random.shared_seed(), 11, run.epoch).permutation(n) if self.shuffle else _np.arange(n)
        first = (self.shard_id - self.offset) % self.num_shards
        return order[(first + self.num_shards * _np.arange(self._number(n))) % n].tolist()
