# SPDX-License-Identifier: Apache-2.0
"""Data sets walked through as MindSpore's own training loops do it. Nothing is sunk: each batch goes from the data set into the
network's call.

>>> import rutile
>>> import rutile.dataset as ds
>>> data = ds.NumpySlicesDataset({"x": [1, 2], "y": [10, 20]}, shuffle=False)
>>> step = rutile.data_sink(lambda x, y: x + y, data)
>>> [int(step()) for _ in range(3)]
[11, 22, 11]
"""

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

__all__ = ["DatasetHelper", "connect_network_with_dataset", "data_sink"]


def _tensors(batch):
    batch = tuple(batch.values()) if isinstance(batch, dict) else batch
    batch = batch if isinstance(batch, (tuple, list)) else (batch,)
    return tuple(x if isinstance(x, Tensor) else Tensor(x) for x in batch)


class _Endless:
    """The batches of a data set, epoch after epoch."""

    def __init__(self, dataset):
        self._dataset = dataset.create_tuple_iterator() if hasattr(dataset, "create_tuple_iterator") else dataset
        self._rows = None

    def __next__(self):
        for _ in range(2):
            if self._rows is None:
                self._rows = iter(self._dataset)
            for row in self._rows:
                return _tensors(row)
            self._rows = None
        raise _errors.RuntimeError("data_sink: the data set has no rows")


class DatasetHelper:
    """The batches of a data set for a training loop: each walk through it is an epoch (of sink_size batches with
    dataset_sink_mode, -1: all; such walks go on where the last one ended)."""

    def __init__(self, dataset, dataset_sink_mode=True, sink_size=-1, epoch_num=1):
        for name, value, kind in (("dataset_sink_mode", dataset_sink_mode, bool), ("sink_size", sink_size, int), ("epoch_num", epoch_num, int)):
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise _errors.TypeError(f"DatasetHelper: {name} must be a {kind.__name__}, got {type(value).__name__}")
        if sink_size < -1 or sink_size == 0:
            raise _errors.ValueError(f"DatasetHelper: sink_size must be -1 or positive, got {sink_size}")
        self.dataset, self._sink, self._size = dataset, dataset_sink_mode, sink_size
        self._endless = _Endless(dataset) if dataset_sink_mode and sink_size > 0 else None
        self._walks = dataset.create_tuple_iterator() if hasattr(dataset, "create_tuple_iterator") else dataset

    def __iter__(self):
        if self._endless is not None:
            return (next(self._endless) for _ in range(self._size))
        return (_tensors(row) for row in self._walks)

    def sink_size(self):
        """The batches of an epoch in sink mode; 1 without it, as a step takes one batch."""
        if not self._sink:
            return 1
        return self._size if self._size > 0 else self.dataset.get_dataset_size()

    def types_shapes(self):
        """(the types, the shapes) of a batch's columns."""
        row = next(iter(self.dataset.create_tuple_iterator(num_epochs=1)))
        row = _tensors(row)
        return [x.dtype for x in row], [list(x.shape) for x in row]

    def get_data_info(self):
        """(the types, the shapes) of a batch's columns."""
        return self.types_shapes()

    def stop_send(self):
        """Nothing: no thread sends."""

    def release(self):
        """Nothing: no queue is held."""

    def continue_send(self):
        """Nothing: no thread sends."""


def connect_network_with_dataset(network, dataset_helper):
    """The network itself: calls get the batches of the DatasetHelper, for batch in helper: network(*batch)."""
    from rutile.nn import Cell
    if not isinstance(network, Cell):
        raise _errors.TypeError(f"connect_network_with_dataset: network must be a Cell, got {type(network).__name__}")
    if not isinstance(dataset_helper, DatasetHelper):
        raise _errors.TypeError(f"connect_network_with_dataset: expects a DatasetHelper, got {type(dataset_helper).__name__}")
    return network


def data_sink(fn, dataset, sink_size=1, jit_config=None, input_signature=None):
    """A function without arguments that calls fn with the columns of the next sink_size batches, one after the other, and
    gives the last result; behind the last batch it begins anew. With jit_config fn is compiled."""
    if isinstance(sink_size, bool) or not isinstance(sink_size, int):
        raise _errors.TypeError(f"data_sink: sink_size must be an int, got {type(sink_size).__name__}")
    if sink_size <= 0:
        raise _errors.ValueError(f"data_sink: sink_size must be positive, got {sink_size}")
    if not callable(fn):
        raise _errors.TypeError(f"data_sink: fn must be a function, got {type(fn).__name__}")
    if jit_config is not None:
        import rutile
        fn = rutile.jit(fn, jit_config=jit_config, input_signature=input_signature)
    batches = _Endless(dataset)

    def sink_process(*args, **kwargs):
        out = None
        for _ in range(sink_size):
            out = fn(*next(batches), *args, **kwargs)
        return out
    return sink_process
