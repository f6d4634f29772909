# SPDX-License-Identifier: Apache-2.0
"""Iterators: a thread per epoch makes rows ahead of the reader."""

import queue as _queue
import threading as _threading
import weakref as _weakref

from rutile import _rutile
from rutile.dataset import config
from rutile.dataset.engine.core import Run

_errors = _rutile.errors
_END = object()


class _Producer:
    """Walks through one epoch on a thread of its own; refers to no iterator, so that a dropped one ends it."""

    def __init__(self, dataset, run):
        self._queue = _queue.Queue(max(1, config.get_prefetch_size()))
        self._stop = _threading.Event()
        self._thread = _threading.Thread(target=self._walk, args=(dataset, run), daemon=True, name="rutile-dataset")
        self._thread.start()

    def _put(self, item):
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except _queue.Full:
                continue
        return False

    def _walk(self, dataset, run):
        rows = dataset._rows(run)
        try:
            for row in rows:
                if not self._put((row, None)):
                    return
            self._put((_END, None))
        except BaseException as e:  # noqa: BLE001 - raised where the rows are read
            self._put((_END, e))
        finally:
            rows.close()

    def next(self):
        while True:
            try:
                return self._queue.get(timeout=0.5)
            except _queue.Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    raise _errors.RuntimeError("the pipeline's thread is gone") from None

    def stop(self):
        self._stop.set()


def _end(state):
    if state["producer"] is not None:
        state["producer"].stop()
    state["run"].close()


class _Iterator:
    def __init__(self, dataset, columns, num_epochs, output_numpy):
        name = type(self).__name__
        if isinstance(num_epochs, bool) or not isinstance(num_epochs, int):
            raise _errors.TypeError(f"[{name}] num_epochs must be an int, got {type(num_epochs).__name__}")
        if num_epochs < -1 or num_epochs == 0:
            raise _errors.ValueError(f"[{name}] num_epochs must be positive or -1, got {num_epochs}")
        if not isinstance(output_numpy, bool):
            raise _errors.TypeError(f"[{name}] Argument output_numpy with value {output_numpy} is not of type [<class 'bool'>], "
                                    f"but got {type(output_numpy)}.")
        self.dataset, self._epochs, self._numpy = dataset, num_epochs, output_numpy
        names = dataset._columns()
        if columns is not None:
            columns = [columns] if isinstance(columns, str) else list(columns)
            missing = [c for c in columns if c not in names]
            if missing:
                raise _errors.ValueError(f"[{name}] there is no column {missing[0]!r} among {list(names)}")
        self._names = list(names) if columns is None else columns
        self._picks = None if columns is None else [list(names).index(c) for c in columns]
        self._state = {"run": Run(dataset), "producer": None}
        self._done = 0
        self._finalizer = _weakref.finalize(self, _end, self._state)

    def __iter__(self):
        return self

    def stop(self):
        """Ends threads and processes; the iterator gives no more rows."""
        self._finalizer()
        self._epochs = self._done = 0

    release = stop

    def start_at(self, epoch):
        """Begins with the order of epoch number `epoch` (from 0), as a run that was interrupted goes on."""
        self._state["producer"], self._done = None, epoch

    def __next__(self):
        state = self._state
        if state["producer"] is None:
            if self._epochs >= 0 and self._done >= self._epochs:
                raise _errors.RuntimeError(f"[{type(self).__name__}] {self._epochs} epochs were asked for (num_epochs) and walked "
                                           "through; make another iterator, or one without limit")
            state["run"].epoch = self._done
            state["producer"] = _Producer(self.dataset, state["run"])
        row, error = state["producer"].next()
        if row is _END:
            state["producer"] = None
            self._done += 1
            if error is not None:
                raise error
            raise StopIteration
        if self._picks is not None:
            row = [row[i] for i in self._picks]
        return self._give([self._value(v) for v in row])

    def _value(self, v):
        if self._numpy or v.dtype.kind in "USO":
            return v
        return _rutile.Tensor(v)

    def _give(self, values):
        return values

    def get_next(self):
        """The next row; the first of the next epoch behind the last one."""
        try:
            return next(self)
        except StopIteration:
            return next(self)


class TupleIterator(_Iterator):
    """Rows as lists; made by create_tuple_iterator."""


class DictIterator(_Iterator):
    """Rows as dicts; made by create_dict_iterator."""

    def _give(self, values):
        return dict(zip(self._names, values))
