# SPDX-License-Identifier: Apache-2.0
"""Nodes that the training steers (sync_wait), and batches of rows of similar length."""

import logging as _logging
import threading as _threading
import time as _time

import numpy as _np

from rutile import _rutile
from rutile.dataset import config
from rutile.dataset.engine.batch import _pad
from rutile.dataset.engine.core import Dataset, name_of, user_error
from rutile.dataset.engine.nodes import count, names, places

_errors, _log = _rutile.errors, _logging.getLogger("rutile")


class SyncWaitDataset(Dataset):
    """Made by Dataset.sync_wait: lets so many rows through and waits for sync_update."""

    def __init__(self, child, condition_name, num_batch, callback):
        super().__init__(child)
        if not isinstance(condition_name, str):
            raise _errors.TypeError(f"[sync_wait] condition_name must be a string, got {type(condition_name).__name__}")
        if callback is not None and not callable(callback):
            raise _errors.TypeError(f"[sync_wait] callback must be a function, got {type(callback).__name__}")
        if any(isinstance(n, SyncWaitDataset) and n.condition_name == condition_name for n in child._walk()):
            raise _errors.RuntimeError(f"[sync_wait] the condition {condition_name!r} is in use already")
        self.condition_name, self._batches = condition_name, count("sync_wait", "num_batch", num_batch, 1)
        self._callback, self._changed, self._free, self._rows_of_batch, self._off = callback, _threading.Condition(), 0, 1, False

    def update(self, num_batch, data):
        """Lets num_batch more batches through."""
        with self._changed:
            self._free += (self._batches if num_batch is None else num_batch) * self._rows_of_batch
            if self._callback is not None:
                self._callback(data)
            self._changed.notify_all()

    def disable(self):
        """Waits no more."""
        with self._changed:
            self._off = True
            self._changed.notify_all()

    def _wait(self, run):
        end = _time.monotonic() + config.get_callback_timeout()
        with self._changed:
            while self._free <= 0 and not self._off and not run.stopped:
                if not self._changed.wait(0.1) and _time.monotonic() > end:
                    _log.warning("sync_wait: no sync_update(%r) came within %s s; it waits no more", self.condition_name,
                                 config.get_callback_timeout())
                    self._off = True
            self._free -= 1

    def _rows(self, run):
        # Counted in batches where a batch stands behind it.
        self._rows_of_batch = getattr(self, "_batch_size", 1)
        self._free = self._batches * self._rows_of_batch
        for row in self.children[0]._rows(run):
            self._wait(run)
            yield row


class BucketBatchDataset(Dataset):
    """Made by Dataset.bucket_batch_by_length."""

    def __init__(self, child, column_names, boundaries, sizes, length, pad_info, to_boundary, drop_remainder):
        super().__init__(child)
        who = "bucket_batch_by_length"
        self._names = list(child._columns())
        chosen = names(who, "column_names", column_names)
        self._picks = places(who, self._names, chosen)
        for what, some in (("bucket_boundaries", boundaries), ("bucket_batch_sizes", sizes)):
            if not isinstance(some, (list, tuple)) or not some:
                raise _errors.TypeError(f"[{who}] {what} is a list of ints, got {some!r}")
            for n in some:
                count(who, what, n, 1)
        if any(a >= b for a, b in zip(boundaries, boundaries[1:])):
            raise _errors.ValueError(f"[{who}] bucket_boundaries must grow, got {list(boundaries)}")
        if len(sizes) != len(boundaries) + 1:
            raise _errors.ValueError(f"[{who}] {len(boundaries)} boundaries make {len(boundaries) + 1} buckets, got {len(sizes)} sizes")
        if length is None and len(chosen) != 1:
            raise _errors.ValueError(f"[{who}] without element_length_function there is one column, got {chosen}")
        if length is not None and not callable(length):
            raise _errors.TypeError(f"[{who}] element_length_function must be a function, got {type(length).__name__}")
        places(who, self._names, pad_info or {})
        self._bounds, self._sizes, self._length = list(boundaries), list(sizes), length
        self._pads, self._to_boundary, self._drop = pad_info, bool(to_boundary), bool(drop_remainder)

    def _columns(self):
        return self._names

    def _size(self):
        return None

    def _bucket(self, row, number):
        values = [row[i] for i in self._picks]
        if self._length is None:
            n = values[0].shape[0] if values[0].ndim else 0
        else:
            try:
                n = int(self._length(*values))
            except Exception as e:  # noqa: BLE001 - with its place
                raise user_error("bucket_batch_by_length", f"{name_of(self._length)} failed on row {number}", e)
        return int(_np.searchsorted(self._bounds, n, side="right"))

    def _join(self, bucket, rows):
        columns = []
        for name, values in zip(self._names, zip(*rows)):
            shape, fill = (self._pads or {}).get(name) or (None, 0)
            if shape is not None and self._to_boundary and None in shape:
                if bucket == len(self._bounds):
                    raise _errors.RuntimeError("[bucket_batch_by_length] a row is longer than the last boundary: there is nothing to "
                                               "pad it to")
                shape = [self._bounds[bucket] - 1 if n is None else n for n in shape]
            if values[0].dtype.kind in "USO" or (self._pads is None and len({v.shape for v in values}) == 1):
                columns.append(_np.stack(values))
            else:
                columns.append(_pad(values, shape, fill, name))
        return tuple(columns)

    def _rows(self, run):
        waiting = [[] for _ in self._sizes]
        for number, row in enumerate(self.children[0]._rows(run)):
            b = self._bucket(row, number)
            waiting[b].append(row)
            if len(waiting[b]) == self._sizes[b]:
                yield self._join(b, waiting[b])
                waiting[b] = []
        for b, rows in enumerate(waiting):
            if rows and not self._drop:
                yield self._join(b, rows)
