# SPDX-License-Identifier: Apache-2.0
"""Rows joined to batches."""

import numpy as _np

from rutile import _rutile
from rutile.dataset import _random
from rutile.dataset._parallel import ordered
from rutile.dataset.engine.core import Dataset, as_array, name_of, user_error
from rutile.dataset.engine.nodes import count, names, places

_errors = _rutile.errors


class BatchInfo:
    """What functions of batch are told: get_batch_num() in this epoch and get_epoch_num(), both from 0."""

    def __init__(self, batch, epoch):
        self._batch, self._epoch = batch, epoch

    def get_batch_num(self):
        """The number of the batch in the epoch."""
        return self._batch

    def get_epoch_num(self):
        """The number of the epoch."""
        return self._epoch


class CallbackInfo(BatchInfo):
    """MindSpore's other name of it."""


def _pad(values, shape, fill, column):
    largest = [max(v.shape[i] for v in values) for i in range(values[0].ndim)]
    if shape is None:
        shape = largest
    if len(shape) != len(largest):
        raise _errors.ValueError(f"[BatchDataset] column {column!r} has {len(largest)} dimensions, pad_info {list(shape)}")
    target = tuple(n if s is None or s == -1 else s for s, n in zip(shape, largest))
    out = _np.full((len(values), *target), fill, values[0].dtype)
    for i, v in enumerate(values):
        place = tuple(slice(0, min(a, b)) for a, b in zip(v.shape, target))
        out[(i, *place)] = v[place]
    return out


class BatchTask:
    """Joins the rows of one batch; goes to processes as a whole."""

    def __init__(self, node):
        self._in, self._outputs, self._map, self._pads = node._in, node._outputs, node._map, node._pads
        self._names = node._names

    def __call__(self, item):
        info, key, rows = item
        columns = [list(c) for c in zip(*rows)]
        if self._map is not None:
            columns = self._mapped(info, key, columns)
        return tuple(self._join(name, values) for name, values in zip(self._names, columns))

    def _mapped(self, info, key, columns):
        _random.use_key(key)
        try:
            out = self._map(*(columns[i] for i in self._in), info)
        except Exception as e:  # noqa: BLE001 - with its place
            raise user_error("BatchDataset", f"per_batch_map {name_of(self._map)} failed on batch {info.get_batch_num()}", e)
        finally:
            _random.use_key(None)
        out = out if isinstance(out, tuple) else (out,)
        if len(out) != self._outputs:
            raise _errors.RuntimeError(f"[BatchDataset] per_batch_map returned {len(out)} values for {self._outputs} output "
                                       "columns")
        out = [v if isinstance(v, list) else list(v) for v in out]
        if self._outputs == len(self._in):
            for i, v in zip(self._in, out):
                columns[i] = v
            return columns
        return out + [c for i, c in enumerate(columns) if i not in self._in]

    def _join(self, name, values):
        values = [as_array(v) for v in values]
        if self._pads is not None and (not self._pads or name in self._pads) and values[0].dtype.kind not in "USO":
            return _pad(values, *(self._pads.get(name) or (None, 0)), name)
        first = values[0]
        for v in values:
            if v.shape != first.shape:
                raise _errors.RuntimeError(f"[BatchDataset] column {name!r} has rows of the shapes {list(first.shape)} and "
                                           f"{list(v.shape)} in one batch; pad or crop them, or use padded_batch")
            if v.dtype != first.dtype and first.dtype.kind not in "US":
                raise _errors.RuntimeError(f"[BatchDataset] column {name!r} has rows of the types {first.dtype} and {v.dtype} in "
                                           "one batch")
        return _np.stack(values)


class BatchDataset(Dataset):
    """Made by Dataset.batch and padded_batch."""

    def __init__(self, child, batch_size, drop_remainder=False, num_parallel_workers=None, per_batch_map=None,
                 input_columns=None, output_columns=None, column_order=None, pad_info=None, padded=False,
                 python_multiprocessing=False, max_rowsize=None):
        super().__init__(child, num_parallel_workers=num_parallel_workers)
        if not callable(batch_size):
            count("BatchDataset", "batch_size", batch_size, 1)
        if not isinstance(drop_remainder, bool):
            raise _errors.TypeError(f"[BatchDataset] drop_remainder must be a bool, got {type(drop_remainder).__name__}")
        if per_batch_map is not None and not callable(per_batch_map):
            raise _errors.TypeError(f"[BatchDataset] per_batch_map must be a function, got {type(per_batch_map).__name__}")
        self.batch_size, self._drop, self._map = batch_size, drop_remainder, per_batch_map
        columns = list(child._columns())
        chosen = columns if input_columns is None else names("BatchDataset", "input_columns", input_columns)
        self._in = places("BatchDataset", columns, chosen)
        out = chosen if output_columns is None else names("BatchDataset", "output_columns", output_columns)
        self._outputs, self._names = len(out), list(columns)
        if len(out) == len(chosen):
            for i, name in zip(self._in, out):
                self._names[i] = name
        else:
            self._names = out + [c for c in columns if c not in chosen]
        if pad_info is not None and not isinstance(pad_info, dict):
            raise _errors.TypeError(f"[BatchDataset] pad_info must be a dict, got {type(pad_info).__name__}")
        places("BatchDataset", self._names, pad_info or {})
        self._pads = pad_info if padded or pad_info else None
        self._processes = bool(python_multiprocessing) and per_batch_map is not None and self._workers() > 1

    def _columns(self):
        return self._names

    def _size(self):
        size = self.children[0]._size()
        if size is None or callable(self.batch_size):
            return None
        return size // self.batch_size if self._drop else -(-size // self.batch_size)

    def _groups(self, run):
        key, number, rows = run.key(self), 0, []
        size = self._size_of(BatchInfo(0, run.epoch))
        for row in self.children[0]._rows(run):
            rows.append(row)
            if len(rows) == size:
                yield BatchInfo(number, run.epoch), (*key, number), rows
                number, rows = number + 1, []
                size = self._size_of(BatchInfo(number, run.epoch))
        if rows and not self._drop:
            yield BatchInfo(number, run.epoch), (*key, number), rows

    def _size_of(self, info):
        if not callable(self.batch_size):
            return self.batch_size
        try:
            return count("BatchDataset", "what batch_size returns", self.batch_size(info), 1)
        except _rutile.Error:
            raise
        except Exception as e:  # noqa: BLE001 - with its place
            raise user_error("BatchDataset", f"batch_size {name_of(self.batch_size)} failed", e)

    def _rows(self, run):
        task = BatchTask(self)
        if self._map is None or self._workers() == 1:
            # Joining is one copy: the thread that walks the epoch does it.
            yield from map(task, self._groups(run))
            return
        try:
            pool = run.pool(self, task, self._workers(), self._processes)
            yield from ordered(self._groups(run), pool)
        finally:
            if not self._processes:
                pool.close()
