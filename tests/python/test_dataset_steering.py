# SPDX-License-Identifier: Apache-2.0
"""sync_wait, batches by length, flat_map, and transforms of any values."""

import numpy as np
import pytest

import rutile.dataset as ds
from rutile.dataset import transforms


class Augment:
    def __init__(self, loss):
        self.loss, self.seen = loss, []

    def preprocess(self, x):
        self.seen.append((int(x), self.loss))
        return x

    def update(self, data):
        self.loss = data["loss"]


@pytest.mark.parametrize("workers", [1, None, 3])
def test_what_comes_next_depends_on_what_was_learned(workers):
    aug = Augment(0)
    data = ds.NumpySlicesDataset(list(range(12)), ["x"], shuffle=False)
    data = data.sync_wait(condition_name="policy", callback=aug.update).map(aug.preprocess, ["x"], num_parallel_workers=workers).batch(4)
    for epoch in range(2):
        aug.loss, count = 0, 0
        aug.seen.clear()
        for row in data.create_dict_iterator(num_epochs=1, output_numpy=True):
            assert row["x"][0] == count
            count += 4
            data.sync_update(condition_name="policy", data={"loss": count})
        assert aug.seen == [(i, i // 4 * 4) for i in range(12)]
    assert data.is_sync() and data.get_dataset_size() == 3


def test_waiting_ends(caplog):
    before = ds.config.get_callback_timeout()
    ds.config.set_callback_timeout(1)
    try:
        data = ds.NumpySlicesDataset([1, 2, 3], shuffle=False).sync_wait("c", num_batch=2)
        assert [int(x) for x, in data] == [1, 2, 3] and "no sync_update" in caplog.text
    finally:
        ds.config.set_callback_timeout(before)
    data = ds.NumpySlicesDataset([1, 2, 3], shuffle=False).sync_wait("c")
    rows = data.create_tuple_iterator()
    assert int(next(rows)[0]) == 1
    rows.stop()
    data.disable_sync()
    assert len(list(data)) == 3


def test_mistakes_of_steering():
    data = ds.NumpySlicesDataset([1, 2, 3])
    with pytest.raises(RuntimeError, match="in use"):
        data.sync_wait("c").sync_wait("c")
    with pytest.raises(RuntimeError, match="no condition"):
        data.sync_wait("c").sync_update("d")
    with pytest.raises(RuntimeError, match="shuffle"):
        data.sync_wait("c").shuffle(2)
    for bad, error in (((1,), TypeError), (("c", 0), ValueError), (("c", 1, 3), TypeError)):
        with pytest.raises(error):
            data.sync_wait(*bad)
    with pytest.raises(ValueError):
        data.sync_wait("c").sync_update("c", 0)


def rows_of(lengths):
    return ds.GeneratorDataset(lambda: ((np.int64(i), np.arange(1, n + 1)) for i, n in enumerate(lengths)), ["i", "x"])


def test_batches_by_length():
    data = rows_of([1, 6, 2, 12, 7, 3, 8]).bucket_batch_by_length(["i", "x"], [5, 10], [2, 3, 1], lambda i, x: len(x),
                                                                 pad_info={"x": ([None], -1)})
    got = [(i.asnumpy().tolist(), x.shape, int((x.asnumpy() == -1).sum())) for i, x in data]
    assert got == [([0, 2], (2, 2), 1), ([3], (1, 12), 0), ([1, 4, 6], (3, 8), 3), ([5], (1, 3), 0)]
    data = rows_of([1, 6, 2, 7]).bucket_batch_by_length("x", [5, 10], [2, 2, 1], pad_info={"x": ([None], 0)},
                                                        pad_to_bucket_boundary=True, drop_remainder=True)
    assert [x.shape for _, x in data] == [(2, 4), (2, 9)]
    with pytest.raises(RuntimeError, match="longer than the last boundary"):
        list(rows_of([20]).bucket_batch_by_length("x", [5], [1, 1], pad_info={"x": ([None], 0)}, pad_to_bucket_boundary=True))
    for bad, error in ((("x", [5, 5], [1, 1, 1]), ValueError), (("x", [5], [1]), ValueError), ((["i", "x"], [5], [1, 1]), ValueError),
                       (("y", [5], [1, 1]), ValueError), (("x", 5, [1, 1]), TypeError)):
        with pytest.raises(error):
            rows_of([1]).bucket_batch_by_length(*bad)


def test_numbers_beside_what_is_padded():
    data = rows_of([1, 3]).padded_batch(2)
    (i, x), = data
    assert i.asnumpy().tolist() == [0, 1] and x.asnumpy().tolist() == [[1, 0, 0], [1, 2, 3]]


def test_flat_map():
    data = ds.NumpySlicesDataset([2, 3], shuffle=False).flat_map(lambda n: ds.NumpySlicesDataset(np.arange(int(n)), shuffle=False))
    assert [int(x) for x, in data] == [0, 1, 0, 1, 2]
    pairs = ds.NumpySlicesDataset(([[0, 1], [2, 3]], [[0, -1], [-2, -3]]), shuffle=False)
    data = pairs.flat_map(lambda a, b: ds.NumpySlicesDataset((a + 1, b - 1), shuffle=False))
    assert [(int(a), int(b)) for a, b in data] == [(1, -1), (2, -2), (3, -3), (4, -4)]
    with pytest.raises(TypeError):
        ds.NumpySlicesDataset([1]).flat_map(lambda row: row)


def test_facts_of_a_pipeline():
    data = ds.NumpySlicesDataset([1, 2, 3, 4], num_shards=2, shard_id=0)
    assert data.is_sharded() and data.is_shuffled()
    plain = ds.NumpySlicesDataset([1, 2, 3, 4], shuffle=False)
    assert not plain.is_sharded() and not plain.is_shuffled() and plain.shuffle(2).is_shuffled() and not plain.is_sync()


def test_transforms_of_values():
    x = np.array([[1, 2, 3], [4, 5, 6]])
    assert transforms.Mask(transforms.Relational.EQ, 2)(x).tolist() == [[False, True, False], [False] * 3]
    assert transforms.Mask(transforms.Relational.LT, 3, "int8")(x).dtype == np.int8
    assert transforms.Slice(1)(x).tolist() == [[4, 5, 6]] and transforms.Slice(None, [0, 2])(x).tolist() == [[1, 3], [4, 6]]
    assert transforms.Slice(..., slice(0, 2))(x).tolist() == [[1, 2], [4, 5]]
    values, places, counts = transforms.Unique()(np.array([3, 1, 3, 2, 1]))
    assert (values.tolist(), places.tolist(), counts.tolist()) == ([3, 1, 2], [0, 1, 0, 2, 1], [2, 2, 1])
    for bad in (lambda: transforms.Mask(1, 2), lambda: transforms.Mask(transforms.Relational.EQ, []), lambda: transforms.Slice("a")):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(RuntimeError):
        transforms.Slice(1, 1, 1)(x)


def test_settings_are_kept():
    ds.config.set_enable_shared_mem(True)
    assert ds.config.get_enable_shared_mem() is True
    ds.config.set_enable_shared_mem(False)
    with pytest.raises(TypeError):
        ds.config.set_autotune_interval("1")
    with pytest.raises(ValueError):
        ds.config.set_multiprocessing_start_method("fork")
    assert ds.Shuffle.GLOBAL == "global"


def test_slices_may_differ_in_shape():
    data = ds.NumpySlicesDataset([[1], [1, 2], [1, 2, 3], [4]], "x", shuffle=False)
    assert [x.asnumpy().tolist() for x, in data] == [[1], [1, 2], [1, 2, 3], [4]]
    assert [x.asnumpy().tolist() for x, in data.padded_batch(2, True, pad_info={})] == [[[1, 0], [1, 2]], [[1, 2, 3], [4, 0, 0]]]
    with pytest.raises(ValueError, match="column 'column_0'"):
        ds.NumpySlicesDataset([[1], [[1], [1, 2]]])


def test_values_of_further_shapes():
    labels = transforms.OneHot(3)(np.array([[0], [2]]))
    assert labels.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert ds.vision.ToType("float32")(np.array([0.5, 1.5])).dtype == np.float32
