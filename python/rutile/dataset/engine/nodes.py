# SPDX-License-Identifier: Apache-2.0
"""Nodes that change, order, choose and join rows."""

import itertools as _itertools

import numpy as _np

from rutile import _rutile
from rutile.dataset import _random
from rutile.dataset._checks import INT32
from rutile.dataset._parallel import ordered
from rutile.dataset.engine.core import Dataset, as_array, name_of, user_error

_errors = _rutile.errors


def names(dataset, what, columns):
    """A column name or several as a list of distinct strings."""
    columns = [columns] if isinstance(columns, str) else list(columns)
    if not columns:
        raise _errors.ValueError(f"[{dataset}] {what} should not be empty: it is a column name or several")
    for i, c in enumerate(columns):
        if not isinstance(c, str):
            raise _errors.TypeError(f"[{dataset}] Argument {what}[{i}] with value {c!r} is not of type [<class 'str'>], but got {type(c)}.")
        if not c:
            raise _errors.ValueError(f"[{dataset}] {what}[{i}] should not be empty")
    if len(set(columns)) != len(columns):
        raise _errors.ValueError(f"[{dataset}] {what} names a column twice: {columns}")
    return columns


def places(dataset, columns, chosen):
    """The positions of columns."""
    for c in chosen:
        if c not in columns:
            raise _errors.ValueError(f"[{dataset}] there is no column {c!r} among {list(columns)}")
    return [list(columns).index(c) for c in chosen]


def count(dataset, name, value, low):
    """value, an int of at least low."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _errors.TypeError(f"[{dataset}] Argument {name} with value {value!r} is not of type [<class 'int'>], but got {type(value)}.")
    if not low <= value <= INT32:
        raise _errors.ValueError(f"[{dataset}] Input {name} is not within the required interval of [{low}, {INT32}]. Got {value}")
    return value


def datasets(dataset, values):
    """A tuple of Datasets."""
    for v in values:
        if not isinstance(v, Dataset):
            raise _errors.TypeError(f"[{dataset}] takes datasets, got {type(v).__name__}")
    return tuple(values)


class MapTask:
    """The operations of a map on one numbered row; goes to processes as a whole."""

    def __init__(self, operations, inputs, outputs, total):
        self.operations, self.inputs, self.outputs, self.total = operations, inputs, outputs, total

    def __call__(self, item):
        number, key, row = item
        _random.use_key(key)
        op = None
        try:
            values = tuple(row[i] for i in self.inputs)
            for op in self.operations:
                values = op(*values)
                values = values if isinstance(values, tuple) else (values,)
            values = tuple(as_array(v) for v in values)
        except Exception as e:  # noqa: BLE001 - with its place
            raise user_error("MapDataset", f"operation {name_of(op)} failed on row {number}", e)
        finally:
            _random.use_key(None)
        if len(values) != self.outputs:
            raise _errors.RuntimeError(f"[MapDataset] {name_of(op)} returned {len(values)} values for {self.outputs} output "
                                       "columns")
        if self.outputs == len(self.inputs):
            row = list(row)
            for i, v in zip(self.inputs, values):
                row[i] = v
            return tuple(row)
        return values + tuple(v for i, v in enumerate(row) if i not in self.inputs)


class MapDataset(Dataset):
    """Made by Dataset.map."""

    def __init__(self, child, operations, input_columns, output_columns, num_parallel_workers, processes):
        super().__init__(child, num_parallel_workers=num_parallel_workers)
        operations = list(operations) if isinstance(operations, (list, tuple)) else [operations]
        for op in operations:
            if not callable(op):
                raise _errors.TypeError(f"[MapDataset] operations are functions or transforms, got {type(op).__name__}")
        if not operations:
            raise _errors.ValueError("[MapDataset] there are no operations")
        if not isinstance(processes, bool):
            raise _errors.TypeError(f"[MapDataset] python_multiprocessing must be a bool, got {type(processes).__name__}")
        columns = child._columns()
        chosen = [columns[0]] if input_columns is None else names("MapDataset", "input_columns", input_columns)
        self._in = places("MapDataset", columns, chosen)
        out = chosen if output_columns is None else names("MapDataset", "output_columns", output_columns)
        rest = [c for c in columns if c not in chosen]
        if set(out) & set(rest):
            raise _errors.ValueError(f"[MapDataset] output_columns {out} name columns that exist: {rest}")
        self._out = list(columns)
        if len(out) == len(chosen):
            for i, name in zip(self._in, out):
                self._out[i] = name
        else:
            self._out = out + rest
        self._task = MapTask(operations, self._in, len(out), len(columns))
        self._processes = processes and (num_parallel_workers is None or num_parallel_workers > 1)

    def _columns(self):
        return self._out

    def _rows(self, run):
        key = run.key(self)
        items = ((i, (*key, i), row) for i, row in enumerate(self.children[0]._rows(run)))
        workers = self._workers()
        # Rows ahead of their turn would wait at a sync_wait for what the turn before has to tell.
        if (workers == 1 and not self._processes) or self.is_sync():
            yield from map(self._task, items)
            return
        try:
            pool = run.pool(self, self._task, workers, self._processes)
            yield from ordered(items, pool)
        finally:
            if not self._processes:
                pool.close()


class FilterDataset(Dataset):
    """Made by Dataset.filter."""

    def __init__(self, child, predicate, input_columns, num_parallel_workers):
        super().__init__(child, num_parallel_workers=num_parallel_workers)
        if not callable(predicate):
            raise _errors.TypeError(f"[FilterDataset] predicate must be a function, got {type(predicate).__name__}")
        columns = child._columns()
        chosen = columns if input_columns is None else names("FilterDataset", "input_columns", input_columns)
        self._predicate, self._in = predicate, places("FilterDataset", columns, chosen)

    def _size(self):
        return None

    def _rows(self, run):
        for i, row in enumerate(self.children[0]._rows(run)):
            try:
                keep = bool(self._predicate(*(row[k] for k in self._in)))
            except Exception as e:  # noqa: BLE001 - with its place
                raise user_error("FilterDataset", f"{name_of(self._predicate)} failed on row {i}", e)
            if keep:
                yield row


class ShuffleDataset(Dataset):
    """Made by Dataset.shuffle."""

    def __init__(self, child, buffer_size):
        super().__init__(child)
        self.buffer_size = count("ShuffleDataset", "buffer_size", buffer_size, 1)

    def _rows(self, run):
        rng, buffer = _random.generator_for(*run.key(self)), []
        for row in self.children[0]._rows(run):
            if len(buffer) < self.buffer_size:
                buffer.append(row)
                continue
            i = int(rng.integers(len(buffer)))
            buffer[i], row = row, buffer[i]
            yield row
        for i in rng.permutation(len(buffer)):
            yield buffer[i]


class RepeatDataset(Dataset):
    """Made by Dataset.repeat."""

    def __init__(self, child, repeat_count):
        super().__init__(child)
        repeat_count = -1 if repeat_count is None else repeat_count
        if repeat_count != -1:
            count("RepeatDataset", "count", repeat_count, 1)
        self.repeat_count = repeat_count

    def _size(self):
        size = self.children[0].get_dataset_size()
        return size if self.repeat_count == -1 else size * self.repeat_count

    def _rows(self, run):
        epoch = run.epoch
        passes = _itertools.count() if self.repeat_count == -1 else range(self.repeat_count)
        try:
            for i in passes:
                # Each pass is an epoch of its own to what lies below.
                run.epoch = epoch * max(self.repeat_count, 1) + i
                empty = True
                for row in self.children[0]._rows(run):
                    empty = False
                    yield row
                if empty:
                    return
        finally:
            run.epoch = epoch


class TakeDataset(Dataset):
    """Made by Dataset.take."""

    def __init__(self, child, number):
        super().__init__(child)
        self._count = number if number == -1 else count("TakeDataset", "count", number, 1)

    def _size(self):
        size = self.children[0]._size()
        return size if size is None or self._count == -1 else min(size, self._count)

    def _rows(self, run):
        rows = self.children[0]._rows(run)
        yield from rows if self._count == -1 else _itertools.islice(rows, self._count)


class SkipDataset(Dataset):
    """Made by Dataset.skip."""

    def __init__(self, child, number):
        super().__init__(child)
        self._count = count("SkipDataset", "count", number, 0)

    def _size(self):
        size = self.children[0]._size()
        return None if size is None else max(size - self._count, 0)

    def _rows(self, run):
        yield from _itertools.islice(self.children[0]._rows(run), self._count, None)


class ZipDataset(Dataset):
    """The columns of several datasets side by side; also Dataset.zip.

    >>> import rutile.dataset as ds
    >>> a, b = (ds.NumpySlicesDataset([1, 2, 3], [name], shuffle=False) for name in ("a", "b"))
    >>> ds.zip((a, b)).get_col_names()
    ['a', 'b']
    """

    def __init__(self, parts):
        if not isinstance(parts, (tuple, list)) or len(parts) < 1:
            raise _errors.TypeError("[ZipDataset] takes a tuple of datasets")
        super().__init__(*datasets("ZipDataset", parts))
        self._all = [c for d in parts for c in d._columns()]
        if len(set(self._all)) != len(self._all):
            raise _errors.ValueError(f"[ZipDataset] columns have the same names: {self._all}")

    def _columns(self):
        return self._all

    def _size(self):
        sizes = [d._size() for d in self.children]
        return None if None in sizes else min(sizes)

    def _rows(self, run):
        for rows in zip(*(d._rows(run) for d in self.children)):
            yield tuple(v for row in rows for v in row)


class ConcatDataset(Dataset):
    """The rows of several datasets one after the other; also Dataset.concat and +."""

    def __init__(self, parts):
        super().__init__(*datasets("ConcatDataset", parts))
        columns = parts[0]._columns()
        for d in parts:
            if list(d._columns()) != list(columns):
                raise _errors.ValueError(f"[ConcatDataset] columns differ: {list(columns)} and {list(d._columns())}")

    def _size(self):
        sizes = [d._size() for d in self.children]
        return None if None in sizes else sum(sizes)

    def _rows(self, run):
        for d in self.children:
            yield from d._rows(run)


class ProjectDataset(Dataset):
    """Made by Dataset.project."""

    def __init__(self, child, columns):
        super().__init__(child)
        self._names = names("ProjectDataset", "columns", columns)
        self._picks = places("ProjectDataset", child._columns(), self._names)

    def _columns(self):
        return self._names

    def _rows(self, run):
        for row in self.children[0]._rows(run):
            yield tuple(row[i] for i in self._picks)


class RenameDataset(Dataset):
    """Made by Dataset.rename."""

    def __init__(self, child, input_columns, output_columns):
        super().__init__(child)
        old = names("RenameDataset", "input_columns", input_columns)
        new = names("RenameDataset", "output_columns", output_columns)
        if len(old) != len(new):
            raise _errors.ValueError(f"[RenameDataset] {len(old)} columns get {len(new)} names")
        self._names = list(child._columns())
        for i, name in zip(places("RenameDataset", self._names, old), new):
            self._names[i] = name
        if len(set(self._names)) != len(self._names):
            raise _errors.ValueError(f"[RenameDataset] columns would have the same names: {self._names}")

    def _columns(self):
        return self._names

    def _rows(self, run):
        return self.children[0]._rows(run)


class SubsetDataset(Dataset):
    """Rows of these numbers of a dataset that keeps its order; made by Dataset.split."""

    def __init__(self, child, indices):
        super().__init__(child)
        self._indices = [int(i) for i in indices]

    def _size(self):
        return len(self._indices)

    def _rows(self, run):
        wanted, kept = set(self._indices), {}
        # In the order asked for, as soon as what comes before is there.
        at = 0
        for i, row in enumerate(self.children[0]._rows(run)):
            if i in wanted:
                kept[i] = row
            while at < len(self._indices) and self._indices[at] in kept:
                yield kept.pop(self._indices[at])
                at += 1


def split(dataset, sizes, randomize):
    """Dataset.split."""
    if not isinstance(sizes, (list, tuple)) or not sizes:
        raise _errors.TypeError("[split] sizes is a list of row numbers or fractions")
    total = dataset.get_dataset_size()
    if all(isinstance(s, int) and not isinstance(s, bool) for s in sizes):
        rows = list(sizes)
    elif all(isinstance(s, float) for s in sizes):
        if abs(sum(sizes) - 1) > 1e-9:
            raise _errors.ValueError(f"[split] the fractions sum up to {sum(sizes)}, not to 1")
        rows = [int(round(s * total)) for s in sizes]
        rows[0] += total - sum(rows)
    else:
        raise _errors.TypeError("[split] sizes are all ints or all floats")
    if any(r <= 0 for r in rows) or sum(rows) != total:
        raise _errors.ValueError(f"[split] {total} rows cannot be split into parts of {rows}")
    order = _random.generator_for(_random.shared_seed(), 7).permutation(total) if randomize else _np.arange(total)
    parts, at = [], 0
    for r in rows:
        parts.append(dataset._part(order[at:at + r]) if hasattr(dataset, "_part") else
                     SubsetDataset(dataset, sorted(order[at:at + r])))
        at += r
    return parts
