# SPDX-License-Identifier: Apache-2.0
"""Sources of rows: functions, objects and arrays of the user's."""

import copy as _copy
import inspect as _inspect

import numpy as _np

from rutile import _rutile
from rutile.dataset import _random
from rutile.dataset._parallel import ordered
from rutile.dataset.engine.core import Dataset, as_array, name_of, user_error
from rutile.dataset.engine.nodes import count, names
from rutile.dataset.engine.samplers import (DistributedSampler, RandomSampler, Sampler, SequentialSampler,
                                            SubsetRandomSampler, SubsetSampler)

_errors = _rutile.errors


def _sampler(dataset, sampler, shuffle, num_samples, num_shards, shard_id):
    """The sampler that the arguments of a source ask for."""
    if shuffle is not None and not isinstance(shuffle, bool):
        raise _errors.TypeError(f"[{dataset}] shuffle must be a bool, got {type(shuffle).__name__}")
    if num_samples is not None:
        num_samples = count(dataset, "num_samples", num_samples, 0) or None
    if (num_shards is None) != (shard_id is None):
        raise _errors.RuntimeError(f"[{dataset}] num_shards and shard_id go together")
    if sampler is not None:
        if shuffle is not None or num_shards is not None:
            raise _errors.RuntimeError(f"[{dataset}] a sampler says the order and the part: no shuffle and no shards beside it")
        if isinstance(sampler, Sampler):
            chosen = sampler
        elif hasattr(sampler, "__getitem__") or isinstance(sampler, range):
            chosen = SubsetSampler(sampler)
        elif hasattr(sampler, "__iter__"):
            chosen = _Iterated(sampler)
        else:
            raise _errors.TypeError(f"[{dataset}] sampler must be a sampler or row numbers, got {type(sampler).__name__}")
        if num_samples is not None:
            outer = SequentialSampler(num_samples=num_samples)
            outer.add_child(chosen)
            return outer
        return chosen
    if num_shards is not None:
        count(dataset, "num_shards", num_shards, 1)
        count(dataset, "shard_id", shard_id, 0)
        if shard_id >= num_shards:
            raise _errors.ValueError(f"[{dataset}] shard_id {shard_id} must be below num_shards {num_shards}")
        return DistributedSampler(num_shards, shard_id, shuffle is not False, num_samples)
    return SequentialSampler(num_samples=num_samples) if shuffle is False else RandomSampler(num_samples=num_samples)


class _Iterated(Sampler):
    """An object of the user's that gives row numbers."""

    def __init__(self, source):
        super().__init__()
        self._source = source

    def __iter__(self):
        return iter(self._source)


class _Reader:
    """Reads a row by its number, as a task of workers."""

    def __init__(self, node):
        self._node = node

    def __call__(self, item):
        number, key = item
        _random.use_key(key)
        try:
            return self._node._read(number)
        finally:
            _random.use_key(None)

    def __getstate__(self):
        node = _copy.copy(self._node)
        node.sampler = None
        return {"_node": node}


class MappableDataset(Dataset):
    """A source whose rows have numbers. Subclasses define _total() and _read(number)."""

    _processes = False

    def __init__(self, num_samples=None, num_parallel_workers=None, shuffle=None, sampler=None, num_shards=None, shard_id=None):
        super().__init__(num_parallel_workers=num_parallel_workers)
        self.sampler = _sampler(type(self).__name__, sampler, shuffle, num_samples, num_shards, shard_id)
        self.num_shards = num_shards

    def _total(self):
        raise NotImplementedError

    def _read(self, number):
        raise NotImplementedError

    def _size(self):
        n = self.sampler.number(self._total())
        return len(self._order(None)) if n is None else n

    def _labels(self, column):
        at = list(self._columns()).index(column) if column in self._columns() else None
        if at is None:
            raise _errors.ValueError(f"[{type(self).__name__}] there is no column {column!r}")
        return _np.asarray([self._read(i)[at] for i in range(self._total())])

    def _order(self, run):
        from rutile.dataset.engine.core import Run
        run = Run(self) if run is None else run
        return self.sampler.indices(self._total(), _random.generator_for(*run.key(self)), run, self._labels)

    def _part(self, indices):
        part = _copy.copy(self)
        part.sampler = (SubsetSampler if isinstance(self.sampler, SequentialSampler) else SubsetRandomSampler)(indices)
        if type(self.sampler) not in (SequentialSampler, RandomSampler):
            raise _errors.RuntimeError(f"[split] a {type(self).__name__} with a sampler or shards of its own cannot be split")
        return part

    def add_sampler(self, new_sampler):
        """The rows that the sampler so far chooses are chosen from by this one."""
        if new_sampler is not None:
            new_sampler = _copy.copy(new_sampler)
            new_sampler.add_child(self.sampler)
            self.sampler = new_sampler

    def use_sampler(self, new_sampler):
        """The sampler from here on."""
        if not isinstance(new_sampler, Sampler):
            raise _errors.TypeError(f"[{type(self).__name__}] use_sampler takes a sampler, got {type(new_sampler).__name__}")
        self.sampler = new_sampler

    def _rows(self, run):
        key = run.key(self)
        items = ((i, (*key, n)) for n, i in enumerate(self._order(run)))
        reader, workers = _Reader(self), self.num_parallel_workers or 1
        if workers == 1:
            yield from map(reader, items)
            return
        try:
            pool = run.pool(self, reader, workers, self._processes)
            yield from ordered(items, pool)
        finally:
            if not self._processes:
                pool.close()


def _slices(name, rows, error):
    """An array of the arrays that rows of several shapes are."""
    out = _np.empty(len(rows), object)
    try:
        for i, row in enumerate(rows):
            out[i] = _np.asarray(row)
    except ValueError:
        raise _errors.ValueError(f"[NumpySlicesDataset] column {name!r}: {error}") from error
    return out


class NumpySlicesDataset(MappableDataset):
    """The slices of an array, list, tuple of arrays (one for each column) or dict of arrays (by column name). Those of a
    list may differ in shape.

    Shuffled unless shuffle is False. column_names: "column_0", ... by default.

    >>> import rutile.dataset as ds
    >>> data = ds.NumpySlicesDataset({"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0, 1]}, shuffle=False)
    >>> [row["x"].shape for row in data.create_dict_iterator()]
    [(2,), (2,)]
    """

    def __init__(self, data, column_names=None, num_samples=None, num_parallel_workers=None, shuffle=None, sampler=None,
                 num_shards=None, shard_id=None):
        super().__init__(num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id)
        if isinstance(data, dict):
            found, arrays = list(data), list(data.values())
        elif isinstance(data, tuple):
            found, arrays = [f"column_{i}" for i in range(len(data))], list(data)
        else:
            found, arrays = ["column_0"], [data]
        if not arrays:
            raise _errors.ValueError("[NumpySlicesDataset] there are no columns")
        self._arrays = []
        for name, a in zip(found, arrays):
            try:
                self._arrays.append(a.asnumpy() if isinstance(a, _rutile.Tensor) else _np.asarray(a))
            except ValueError as e:
                self._arrays.append(_slices(name, a, e))
        if column_names is not None:
            chosen = names("NumpySlicesDataset", "column_names", column_names)
            if len(chosen) != len(found):
                raise _errors.ValueError(f"[NumpySlicesDataset] {len(chosen)} names for {len(found)} columns")
            found = chosen
        self._names = found
        sizes = {a.shape[0] if a.ndim else None for a in self._arrays}
        if sizes == {0}:
            raise _errors.ValueError("[NumpySlicesDataset] Argument data cannot be empty")
        if len(sizes) != 1 or None in sizes:
            raise _errors.ValueError(f"[NumpySlicesDataset] columns must have as many rows, got {[a.shape for a in self._arrays]}")

    def _columns(self):
        return self._names

    def _total(self):
        return self._arrays[0].shape[0]

    def _read(self, number):
        # Copies: what comes behind may write in place.
        return tuple(_np.array(a[number]) for a in self._arrays)

    def _labels(self, column):
        return self._arrays[self._names.index(column)]


class GeneratorDataset(MappableDataset):
    """Rows from an object of the user's: one with __getitem__ and __len__, an iterable, or a function that makes one.

    A row is a value or a tuple with a value for each column: arrays, numbers, strings, Tensors. An object with __getitem__
    is SHUFFLED unless shuffle is False, and can be split into shards; others come as they come. num_parallel_workers reads
    an object with __getitem__ on threads, or with python_multiprocessing=True in processes (by spawn). column_types are
    checked. An error of the user's code names the row, its file and line.

    >>> import rutile.dataset as ds
    >>> class Squares:
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return float(i), float(i * i)
    >>> [float(y) for x, y in ds.GeneratorDataset(Squares(), ["x", "y"], shuffle=False)]
    [0.0, 1.0, 4.0, 9.0]
    """

    def __init__(self, source, column_names=None, column_types=None, schema=None, num_samples=None, num_parallel_workers=None,
                 shuffle=None, sampler=None, num_shards=None, shard_id=None, python_multiprocessing=None, max_rowsize=None,
                 batch_sampler=None, collate_fn=None):
        if batch_sampler is not None or collate_fn is not None:
            raise _errors.UnsupportedError("[GeneratorDataset] use .batch(n, per_batch_map=...) in place of batch_sampler and collate_fn")
        for name, value in (("schema", schema),):
            if value is not None:
                raise _errors.UnsupportedError(f"[GeneratorDataset] {name} is not supported")
        if column_names is None:
            raise _errors.ValueError("[GeneratorDataset] column_names are needed")
        self._indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        if not self._indexed:
            if not callable(source) and not hasattr(source, "__iter__"):
                raise _errors.TypeError("[GeneratorDataset] source must have __getitem__ and __len__, be an iterable or a function "
                                        f"that makes one, got {type(source).__name__}")
            if sampler is not None or num_shards is not None or shuffle:
                raise _errors.RuntimeError("[GeneratorDataset] a source without __getitem__ and __len__ has no sampler, shuffle or "
                                           "shards; use .shuffle(buffer_size)")
            shuffle = False
        super().__init__(num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id)
        self._source, self._names = source, names("GeneratorDataset", "column_names", column_names)
        self._types = None if column_types is None else [_np.dtype(getattr(t, "name", t)) for t in column_types]
        if self._types is not None and len(self._types) != len(self._names):
            raise _errors.ValueError(f"[GeneratorDataset] {len(self._types)} column_types for {len(self._names)} columns")
        self._processes = bool(python_multiprocessing) and (num_parallel_workers or 1) > 1

    def _columns(self):
        return self._names

    def _total(self):
        return len(self._source)

    def _size(self):
        if self._indexed:
            return super()._size()
        n = len(self._source) if hasattr(self._source, "__len__") else None
        return n if n is None else self.sampler.number(n)

    def _row(self, value, number):
        value = value if isinstance(value, tuple) else (value,)
        if len(value) != len(self._names):
            raise _errors.RuntimeError(f"[GeneratorDataset] row {number} of {name_of(self._source)} has {len(value)} values for the "
                                       f"columns {self._names}")
        # Copies: what comes behind may write in place.
        row = tuple(_np.array(as_array(v)) for v in value)
        for name, v in zip(self._names, row):
            if v.dtype == object:
                raise _errors.TypeError(f"[GeneratorDataset] row {number}: column {name!r} is no array of numbers or strings")
        for name, v, t in zip(self._names, row, self._types or ()):
            if v.dtype != t:
                raise _errors.TypeError(f"[GeneratorDataset] row {number}: column {name!r} is {v.dtype}, column_types say {t}")
        return row

    def _read(self, number):
        try:
            value = self._source[number]
        except Exception as e:  # noqa: BLE001 - with its place
            raise user_error("GeneratorDataset", f"{name_of(self._source)}[{number}] failed", e)
        return self._row(value, number)

    def _rows(self, run):
        if self._indexed:
            yield from super()._rows(run)
            return
        limit = self.sampler.num_samples
        number = 0
        try:
            rows = iter(self._source() if callable(self._source) and not _inspect.isgenerator(self._source) else self._source)
        except Exception as e:  # noqa: BLE001 - with its place
            raise user_error("GeneratorDataset", f"{name_of(self._source)} failed", e)
        while limit is None or number < limit:
            try:
                value = next(rows)
            except StopIteration:
                return
            except Exception as e:  # noqa: BLE001 - with its place
                raise user_error("GeneratorDataset", f"{name_of(self._source)} failed at row {number}", e)
            yield self._row(value, number)
            number += 1
