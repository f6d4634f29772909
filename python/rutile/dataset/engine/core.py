# SPDX-License-Identifier: Apache-2.0
"""Dataset: a pipeline node; its methods add nodes behind it."""

import traceback as _traceback

import numpy as _np

from rutile import _rutile
from rutile.dataset import _random, config
from rutile.dataset._parallel import Pool

_errors = _rutile.errors


def as_array(value):
    """A value of a row as an array: numbers, strings, lists, Tensors, PIL images."""
    if isinstance(value, _np.ndarray):
        return value
    if isinstance(value, _rutile.Tensor):
        return value.asnumpy()
    return _np.asarray(value)


def user_error(dataset, what, error):
    """What the user's function raised, with the node, the function's file and line."""
    if isinstance(error, _rutile.Error) and getattr(error, "_rutile_dataset", False):
        return error
    frames = _traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/rutile/" not in f.filename and not f.filename.startswith("<")]
    where = f" | at {own[-1].filename}:{own[-1].lineno}" if own else ""
    text = f"[{dataset}] {what}: {type(error).__name__}: {error}"
    out = _errors.RuntimeError(text if " | at " in text else text + where)
    out._rutile_dataset = True
    out.__cause__ = error
    return out


def name_of(fn):
    """How messages call a function or transform."""
    return getattr(fn, "__name__", None) or type(fn).__name__


class Run:
    """One iterator's walk through a pipeline."""

    def __init__(self, root):
        self.seed, self.epoch, self.stopped = _random.seed_of_run(), 0, False
        self.numbers, self._pools = {}, {}
        self._number(root)

    def _number(self, node):
        # By place in the pipeline, so that the same pipeline draws the same numbers.
        if id(node) not in self.numbers:
            self.numbers[id(node)] = len(self.numbers)
            for child in node.children:
                self._number(child)

    def key(self, node, *more):
        """What a random choice of a node depends on."""
        return (self.seed, self.numbers[id(node)], self.epoch, *more)

    def pool(self, node, task, workers, processes):
        """The node's workers; processes live as long as the iterator."""
        if not processes:
            return Pool(task, workers, False)
        if id(node) not in self._pools:
            self._pools[id(node)] = Pool(task, workers, True)
        return self._pools[id(node)]

    def close(self):
        """Ends all processes."""
        self.stopped = True
        for pool in self._pools.values():
            pool.close()


class Dataset:
    """A pipeline node; the methods make new ones and leave this one as it is.

    Subclasses define _columns() (names), _rows(run) (one epoch's rows, tuples of arrays) and _size() (rows of an epoch, or
    None where only counting tells).
    """

    _numbers_epochs = True  # to Model: one iterator serves all epochs

    def __init__(self, *children, num_parallel_workers=None):
        self.children = children
        self.num_parallel_workers = num_parallel_workers
        if num_parallel_workers is not None:
            config.workers(type(self).__name__, num_parallel_workers)

    # ---- What nodes define

    def _columns(self):
        return self.children[0]._columns()

    def _rows(self, run):
        raise NotImplementedError

    def _size(self):
        return self.children[0]._size()

    def _workers(self):
        return config.workers(type(self).__name__, self.num_parallel_workers)

    # ---- Facts

    def get_dataset_size(self):
        """Rows of an epoch (batches, behind batch). Counts them in a pass where nothing else tells."""
        size = self._size()
        if size is None:
            run = Run(self)
            try:
                size = sum(1 for _ in self._rows(run))
            finally:
                run.close()
        return size

    def __len__(self):
        return self.get_dataset_size()

    def get_col_names(self):
        """The names of the columns."""
        return list(self._columns())

    @property
    def column_names(self):
        """The names of the columns."""
        return self.get_col_names()

    def _first(self):
        run = Run(self)
        rows = self._rows(run)
        try:
            for row in rows:
                return row
            return ()
        finally:
            rows.close()
            run.close()

    def output_shapes(self, estimate=False):
        """The shape of each column, from the first row."""
        return [list(v.shape) for v in self._first()]

    def output_types(self):
        """NumPy's type of each column, from the first row."""
        return [v.dtype for v in self._first()]

    def _walk(self):
        yield self
        for child in self.children:
            yield from child._walk()

    def get_batch_size(self):
        """The rows of a batch; 1 without batch."""
        return next((n.batch_size for n in self._walk() if isinstance(getattr(n, "batch_size", None), int)), 1)

    def get_repeat_count(self):
        """The product of the repeat counts."""
        count = 1
        for n in self._walk():
            count *= getattr(n, "repeat_count", 1)
        return count

    def num_classes(self):
        """The number of classes of the source; None where it does not know."""
        return next((n._classes() for n in self._walk() if hasattr(n, "_classes")), None)

    def get_class_indexing(self):
        """Names and numbers of the classes of an ImageFolderDataset; empty for others."""
        return next((dict(n.class_indexing) for n in self._walk() if getattr(n, "class_indexing", None)), {})

    def get_dataset_shards(self):
        """The number of shards of the source."""
        return next((n.num_shards for n in self._walk() if getattr(n, "num_shards", None)), 1)

    def __repr__(self):
        inner = ", ".join(repr(c) for c in self.children)
        return f"{type(self).__name__}({inner})"

    # ---- Iterators

    def create_tuple_iterator(self, columns=None, num_epochs=-1, output_numpy=False, do_copy=False):
        """An iterator of rows as lists of Tensors (NumPy arrays with output_numpy; strings always are).

        columns: which, in that order. num_epochs: how often it may be walked through, -1 for any; a for loop is one
        epoch, and one beyond num_epochs is a RuntimeError.
        """
        from rutile.dataset.engine.iterators import TupleIterator
        return TupleIterator(self, columns, num_epochs, output_numpy)

    def create_dict_iterator(self, num_epochs=-1, output_numpy=False, do_copy=False):
        """As create_tuple_iterator, with rows as dicts by column name."""
        from rutile.dataset.engine.iterators import DictIterator
        return DictIterator(self, None, num_epochs, output_numpy)

    def __iter__(self):
        return self.create_tuple_iterator(num_epochs=1)

    # ---- Pipeline

    def map(self, operations, input_columns=None, output_columns=None, column_order=None, num_parallel_workers=None,
            python_multiprocessing=False, cache=None, callbacks=None, max_rowsize=None, offload=None):
        """Applies operations (functions or transforms, one or a list) to columns of each row.

        input_columns: given to the first operation, by default the first column; what one returns (a value or a tuple) is
        given to the next. output_columns: names of the results, by default those of the input. Where their number differs
        from the input's they stand in front of the other columns. num_parallel_workers: threads, or with
        python_multiprocessing processes (by spawn: the functions must be importable, scripts need the __main__ guard).
        An error names the operation, the row, the function's file and line.

        >>> import rutile.dataset as ds
        >>> data = ds.NumpySlicesDataset([1, 2, 3], ["x"], shuffle=False).map(lambda x: x * 10)
        >>> [int(x) for x, in data]
        [10, 20, 30]
        """
        from rutile.dataset.engine.nodes import MapDataset, ProjectDataset
        out = MapDataset(self, operations, input_columns, output_columns, num_parallel_workers, python_multiprocessing)
        return out if column_order is None else ProjectDataset(out, column_order)

    def filter(self, predicate, input_columns=None, num_parallel_workers=None):
        """Keeps the rows for which predicate(columns...) is true."""
        from rutile.dataset.engine.nodes import FilterDataset
        return FilterDataset(self, predicate, input_columns, num_parallel_workers)

    def batch(self, batch_size, drop_remainder=False, num_parallel_workers=None, **kwargs):
        """Joins batch_size rows (an int, or a function of BatchInfo); shapes must agree.

        drop_remainder leaves out a last batch that is smaller. per_batch_map(*columns as lists, BatchInfo) with
        input_columns and output_columns changes the rows before they are joined. pad_info: as padded_batch.
        """
        from rutile.dataset.engine.batch import BatchDataset
        if isinstance(batch_size, int):
            for n in self._notifiers().values():
                n._batch_size = batch_size  # of which a sync_wait counts
        return BatchDataset(self, batch_size, drop_remainder, num_parallel_workers, **kwargs)

    def padded_batch(self, batch_size, drop_remainder=False, num_parallel_workers=None, pad_info=None):
        """As batch, each column padded at its ends: pad_info = {column: (shape or None, value)}; None, and None in a shape,
        is the largest of the batch; without pad_info all columns are padded with 0."""
        from rutile.dataset.engine.batch import BatchDataset
        return BatchDataset(self, batch_size, drop_remainder, num_parallel_workers, pad_info=pad_info or {}, padded=True)

    def shuffle(self, buffer_size):
        """Draws each row from a buffer of buffer_size rows."""
        if self.is_sync():
            raise _errors.RuntimeError("[shuffle] a shuffle behind a sync_wait would wait for rows that it holds back")
        from rutile.dataset.engine.nodes import ShuffleDataset
        return ShuffleDataset(self, buffer_size)

    def repeat(self, count=None):
        """The rows count times in an epoch; None or -1: without end."""
        from rutile.dataset.engine.nodes import RepeatDataset
        return RepeatDataset(self, count)

    def take(self, count=-1):
        """The first count rows; -1: all."""
        from rutile.dataset.engine.nodes import TakeDataset
        return TakeDataset(self, count)

    def skip(self, count):
        """Without the first count rows."""
        from rutile.dataset.engine.nodes import SkipDataset
        return SkipDataset(self, count)

    def zip(self, datasets):
        """The columns of this one and of others side by side, as many rows as the shortest has."""
        from rutile.dataset.engine.nodes import ZipDataset
        return ZipDataset((self, *(datasets if isinstance(datasets, (tuple, list)) else (datasets,))))

    def concat(self, datasets):
        """The rows of this one, then those of others with the same columns."""
        from rutile.dataset.engine.nodes import ConcatDataset
        return ConcatDataset((self, *(datasets if isinstance(datasets, (tuple, list)) else (datasets,))))

    def __add__(self, other):
        return self.concat(other)

    def project(self, columns):
        """Only these columns, in this order."""
        from rutile.dataset.engine.nodes import ProjectDataset
        return ProjectDataset(self, columns)

    def rename(self, input_columns, output_columns):
        """Gives columns other names."""
        from rutile.dataset.engine.nodes import RenameDataset
        return RenameDataset(self, input_columns, output_columns)

    def split(self, sizes, randomize=True):
        """Parts of these sizes (rows, or fractions that sum up to 1), of random rows or of those in order."""
        from rutile.dataset.engine.nodes import split
        return split(self, sizes, randomize)

    def apply(self, apply_func):
        """apply_func(self), which must be a Dataset."""
        out = apply_func(self)
        if not isinstance(out, Dataset):
            raise _errors.TypeError(f"[apply] {name_of(apply_func)} must return a Dataset, got {type(out).__name__}")
        return out

    def flat_map(self, func):
        """The rows of all datasets that func gives, one after the other; it is called with the arrays of a row's columns."""
        parts = [func(*row) for row in self.create_tuple_iterator(num_epochs=1, output_numpy=True)]
        for part in parts:
            if not isinstance(part, Dataset):
                raise _errors.TypeError(f"[flat_map] {name_of(func)} must return a Dataset, got {type(part).__name__}")
        if not parts:
            raise _errors.RuntimeError("[flat_map] there are no rows")
        return parts[0] if len(parts) == 1 else parts[0].concat(parts[1:])

    def bucket_batch_by_length(self, column_names, bucket_boundaries, bucket_batch_sizes, element_length_function=None, pad_info=None,
                               pad_to_bucket_boundary=False, drop_remainder=False):
        """Batches of rows of similar length: a row goes into the bucket of its length (the first dimension of the one
        column, or what element_length_function(columns...) gives), below each boundary and above the last; a bucket with
        its batch size of rows is a batch.

        pad_info: as padded_batch; with pad_to_bucket_boundary None in a shape is the boundary less one.

        >>> import rutile.dataset as ds
        >>> rows = ds.GeneratorDataset(lambda: ((list(range(n)),) for n in (1, 5, 2, 6)), ["x"])
        >>> [x.shape for x, in rows.bucket_batch_by_length("x", [4], [2, 2], pad_info={"x": ([None], 0)})]
        [(2, 2), (2, 6)]
        """
        from rutile.dataset.engine.steering import BucketBatchDataset
        return BucketBatchDataset(self, column_names, bucket_boundaries, bucket_batch_sizes, element_length_function, pad_info,
                                  pad_to_bucket_boundary, drop_remainder)

    def sync_wait(self, condition_name, num_batch=1, callback=None):
        """Lets num_batch batches through at the beginning of an epoch, and more at each sync_update(condition_name), which
        calls callback(data) before: what the training learns steers what comes next."""
        from rutile.dataset.engine.steering import SyncWaitDataset
        return SyncWaitDataset(self, condition_name, num_batch, callback)

    def _notifiers(self):
        from rutile.dataset.engine.steering import SyncWaitDataset
        return {n.condition_name: n for n in self._walk() if isinstance(n, SyncWaitDataset)}

    def sync_update(self, condition_name, num_batch=None, data=None):
        """Lets num_batch more batches (as many as at the beginning) through a sync_wait, whose callback gets data."""
        found = self._notifiers()
        if num_batch is not None and (isinstance(num_batch, bool) or not isinstance(num_batch, int) or num_batch <= 0):
            raise _errors.ValueError(f"[sync_update] num_batch must be a positive int, got {num_batch!r}")
        if condition_name not in found:
            self.disable_sync()
            raise _errors.RuntimeError(f"[sync_update] there is no condition {condition_name!r} among {sorted(found)}")
        found[condition_name].update(num_batch, data)

    def disable_sync(self):
        """Every sync_wait lets everything through."""
        for n in self._notifiers().values():
            n.disable()

    def is_sync(self):
        """Whether there is a sync_wait."""
        return bool(self._notifiers())

    def is_shuffled(self):
        """Whether rows come in another order than they lie in."""
        from rutile.dataset.engine.samplers import DistributedSampler, SequentialSampler, SubsetSampler
        for n in self._walk():
            sampler = getattr(n, "sampler", None)
            if hasattr(n, "buffer_size") or (sampler is not None and type(sampler) not in (SequentialSampler, SubsetSampler)
                                             and not (isinstance(sampler, DistributedSampler) and not sampler.shuffle)):
                return True
        return False

    def is_sharded(self):
        """Whether the source gives one of several parts."""
        return self.get_dataset_shards() > 1

    def reset(self):
        """Nothing: a new iterator begins anew."""
