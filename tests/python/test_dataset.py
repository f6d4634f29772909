# SPDX-License-Identifier: Apache-2.0
"""Pipelines: order, shards, epochs, workers, errors."""

import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import rutile as ms
import rutile.dataset as ds


@pytest.fixture(autouse=True)
def seed():
    ds.config.set_seed(7)


def numbers(n, **kw):
    return ds.NumpySlicesDataset(np.arange(n), ["x"], **kw)


def values(data, **kw):
    return [int(np.asarray(row[0])) for row in data.create_tuple_iterator(output_numpy=True, **kw)]


class Rows:
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.full((2,), i, np.float32), i


def test_order_and_epochs():
    data = numbers(50)
    it = data.create_tuple_iterator(num_epochs=2, output_numpy=True)
    first, second = [int(r[0]) for r in it], [int(r[0]) for r in it]
    assert sorted(first) == sorted(second) == list(range(50)) and first != second != list(range(50))
    with pytest.raises(RuntimeError, match="2 epochs"):
        next(it)
    assert values(data) == first, "a new iterator begins again"
    ds.config.set_seed(8)
    assert values(data) != first
    assert values(numbers(5, shuffle=False)) == [0, 1, 2, 3, 4]
    assert values(numbers(5, shuffle=False, num_samples=3)) == [0, 1, 2] and len(values(numbers(5, num_samples=3))) == 3
    with pytest.raises(ValueError, match="num_epochs must be positive or -1"):
        data.create_dict_iterator(num_epochs=0)


def test_the_seed_of_the_process():
    ds.config._settings["seed"] = None
    ms.set_seed(1)
    first = values(numbers(50))
    assert values(numbers(50)) == first
    ms.set_seed(2)
    assert values(numbers(50)) != first


def test_shards():
    whole = values(numbers(10, shuffle=False, num_shards=3, shard_id=2))
    assert whole == [2, 5, 8, 1], "wraps to the beginning, ceil(10 / 3) each"
    parts = [numbers(12, num_shards=3, shard_id=i) for i in range(3)]
    assert all(p.get_dataset_size() == 4 for p in parts) and sorted(sum((values(p) for p in parts), [])) == list(range(12))
    with pytest.raises(RuntimeError, match="go together"):
        numbers(3, num_shards=2)
    with pytest.raises(ValueError, match="shard_id 2 must be below"):
        numbers(3, num_shards=2, shard_id=2)


def test_samplers():
    data = lambda s, **kw: values(numbers(6, sampler=s, **kw))  # noqa: E731
    assert data(ds.SequentialSampler(2, 3)) == [2, 3, 4] and sorted(data(ds.RandomSampler())) == list(range(6))
    assert len(data(ds.RandomSampler(replacement=True, num_samples=20))) == 20
    assert data(ds.SubsetSampler([4, 1])) == [4, 1] and sorted(data(ds.SubsetRandomSampler([5, 0, 3]))) == [0, 3, 5]
    assert set(data(ds.WeightedRandomSampler([0, 1, 0, 1], 50))) == {1, 3}
    assert data(ds.DistributedSampler(2, 1, shuffle=False)) == [1, 3, 5] and data([3, 3]) == [3, 3]
    assert data(ds.SubsetSampler([4, 1, 0]), num_samples=2) == [4, 1]
    chained = ds.SequentialSampler(1, 2)
    chained.add_child(ds.SubsetSampler([5, 4, 3, 2]))
    assert data(chained) == [4, 3] and numbers(6, sampler=chained).get_dataset_size() == 2
    labels = np.array([0, 1, 0, 1, 2, 2, 2])
    pk = ds.NumpySlicesDataset((np.arange(7), labels), ["x", "label"], sampler=ds.PKSampler(2))
    assert pk.get_dataset_size() == 6 and sorted(labels[values(pk)]) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(RuntimeError, match="a sampler says the order"):
        numbers(3, sampler=ds.RandomSampler(), shuffle=True)
    with pytest.raises(IndexError, match="there is no row 9 of 3"):
        values(numbers(3, sampler=ds.SubsetSampler([9])))


def test_nodes():
    a = numbers(6, shuffle=False)
    assert values(a.take(2)) == [0, 1] and values(a.skip(4)) == [4, 5] and values(a.repeat(2)) == [*range(6)] * 2
    assert values(a.filter(lambda x: x % 2 == 0)) == [0, 2, 4] and a.filter(lambda x: x > 3).get_dataset_size() == 2
    assert values(a + a.take(1)) == [0, 1, 2, 3, 4, 5, 0] and (a + a).get_dataset_size() == 12
    assert sorted(values(a.shuffle(3))) == list(range(6)) and values(a.shuffle(1)) == list(range(6))
    b = ds.NumpySlicesDataset({"y": np.arange(4) * 10, "z": np.arange(4)}, shuffle=False)
    z = ds.zip((a, b))
    assert z.get_col_names() == ["x", "y", "z"] and z.get_dataset_size() == 4 and values(z.project(["y", "x"])) == [0, 10, 20, 30]
    assert z.rename("x", "w").column_names == ["w", "y", "z"]
    with pytest.raises(ValueError, match="same names"):
        z.rename("x", "y")
    assert values(a.map(lambda x: x + 1).batch(2).map(lambda x: x.sum())) == [3, 7, 11]
    p, q = a.split([4, 2])
    assert sorted(values(p) + values(q)) == list(range(6)) and len(values(p)) == 4
    p, q = a.split([0.5, 0.5], randomize=False)
    assert (values(p), values(q)) == ([0, 1, 2], [3, 4, 5])
    r = numbers(5).repeat(2)
    both = values(r)
    assert sorted(both[:5]) == list(range(5)) and both[:5] != both[5:], "each pass has an order of its own"
    assert a.apply(lambda d: d.take(1)).get_dataset_size() == 1 and len(a.batch(4)) == 2 and r.get_repeat_count() == 2
    it = a.take(2).repeat().create_tuple_iterator(output_numpy=True)
    assert [int(next(it)[0]) for _ in range(5)] == [0, 1, 0, 1, 0]
    it.stop()


def test_map():
    data = ds.NumpySlicesDataset({"a": np.arange(3), "b": np.arange(3) * 10}, shuffle=False)
    assert data.map(lambda a, b: a + b, ["a", "b"], "c").get_col_names() == ["c"]
    rows = list(data.map(lambda b: (b, b + 1), "b", ["c", "d"]).create_dict_iterator(output_numpy=True))
    assert list(rows[1]) == ["c", "d", "a"] and [int(v) for v in rows[1].values()] == [10, 11, 1]
    assert values(data.map([lambda x: (x, 2), lambda x, k: x * k], "b").project("b")) == [0, 20, 40]
    from rutile.dataset import transforms
    row = next(iter(data.map(transforms.TypeCast(ms.float16), "a").create_tuple_iterator()))
    assert row[0].dtype == ms.float16 and row[0].shape == ()
    with pytest.raises(ValueError, match="there is no column 'q'"):
        data.map(lambda x: x, "q")


def test_functions_may_write_in_place():
    source = np.zeros((3, 2), np.float32)

    class Views(Rows):
        def __getitem__(self, i):
            return source[i]

    def add(x):
        x += 1
        return x

    for data in (ds.NumpySlicesDataset(source, ["x"]), ds.GeneratorDataset(Views(3), ["x"])):
        for _ in range(2):
            assert all(r[0].tolist() == [1, 1] for r in data.map(add).create_tuple_iterator(output_numpy=True))
    assert not source.any()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_nothing(workers):
    from rutile.dataset import vision
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    data = ds.NumpySlicesDataset((images, np.arange(40)), ["image", "i"])
    data = data.map([vision.RandomCrop(6), vision.RandomHorizontalFlip(), lambda x: (time.sleep(0.0005), x)[1]], "image",
                    num_parallel_workers=workers).batch(7)
    got = [(x.copy(), i.copy()) for _ in range(2) for x, i in data.create_tuple_iterator(output_numpy=True)]
    want = getattr(test_workers_change_nothing, "want", None) or got
    test_workers_change_nothing.want = want
    assert len(got) == 12 and all(np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(got, want))


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(3, timeout=20)
    assert len(values(numbers(3).map(lambda x: (barrier.wait(), x)[1], num_parallel_workers=3))) == 3
    assert len(list(ds.GeneratorDataset(Rows(3), ["a", "b"], num_parallel_workers=3))) == 3


def test_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import os
import numpy as np
import rutile.dataset as ds

def where(x):
    return np.array([int(x), os.getpid()])

def bad(x):
    if x == 2:
        raise KeyError("two")
    return x

class Source:
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return np.array([i, os.getpid()])

if __name__ == "__main__":
    data = ds.NumpySlicesDataset(np.arange(20), ["x"], shuffle=False).map(where, num_parallel_workers=2, python_multiprocessing=True)
    rows = [r[0] for r in data.create_tuple_iterator(output_numpy=True)]
    assert [int(r[0]) for r in rows] == list(range(20)) and os.getpid() not in {int(r[1]) for r in rows}
    rows = [r[0] for r in ds.GeneratorDataset(Source(), ["x"], shuffle=False, num_parallel_workers=2,
                                              python_multiprocessing=True).create_tuple_iterator(output_numpy=True)]
    assert [int(r[0]) for r in rows] == list(range(8)) and os.getpid() not in {int(r[1]) for r in rows}
    try:
        list(ds.NumpySlicesDataset(np.arange(4), shuffle=False).map(bad, num_parallel_workers=2, python_multiprocessing=True))
    except RuntimeError as e:
        print(e)
""")
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert "operation bad failed on row 2: KeyError: 'two' | at " in out.stdout and "script.py:11" in out.stdout


def test_batch():
    data = numbers(7, shuffle=False)
    sizes = lambda d: [r[0].shape for r in d.create_tuple_iterator()]  # noqa: E731
    assert sizes(data.batch(3)) == [(3,), (3,), (1,)] and sizes(data.batch(3, drop_remainder=True)) == [(3,), (3,)]
    assert data.batch(3).get_dataset_size() == 3 and data.batch(3, True).get_dataset_size() == 2
    assert data.batch(3).get_batch_size() == 3 and sizes(data.batch(lambda info: info.get_batch_num() + 1)) == [(1,), (2,), (3,), (1,)]
    mapped = data.batch(2, per_batch_map=lambda x, info: ([v + 100 * info.get_batch_num() for v in x],))
    assert [r[0].tolist() for r in mapped.create_tuple_iterator(output_numpy=True)] == [[0, 1], [102, 103], [204, 205], [306]]
    two = data.batch(2, per_batch_map=lambda x, info: (x, x), input_columns="x", output_columns=["p", "q"])
    assert two.get_col_names() == ["p", "q"]
    ragged = ds.GeneratorDataset(lambda: (np.ones(n) for n in (1, 3, 2)), ["x"])
    with pytest.raises(RuntimeError, match=r"column 'x' has rows of the shapes \[1\] and \[3\]"):
        list(ragged.batch(2))
    assert [r[0].tolist() for r in ragged.padded_batch(2, pad_info={"x": (None, -1)}).create_tuple_iterator(output_numpy=True)] == [
        [[1, -1, -1], [1, 1, 1]], [[1, 1]]]
    assert sizes(ragged.padded_batch(3, pad_info={"x": ([5], 0)})) == [(3, 5)] and sizes(ragged.padded_batch(3)) == [(3, 3)]
    words = ds.NumpySlicesDataset(["a", "bcd"], ["w"], shuffle=False).batch(2)
    assert next(iter(words))[0].tolist() == ["a", "bcd"], "strings stay arrays"


def test_generator_sources():
    def rows():
        for i in range(3):
            yield i, float(i)

    data = ds.GeneratorDataset(rows, ["i", "f"])
    assert values(data) == [0, 1, 2] == values(data) and data.get_dataset_size() == 3
    assert values(ds.GeneratorDataset(rows, ["i", "f"], num_samples=2)) == [0, 1]
    assert data.output_shapes() == [[], []] and data.output_types() == [np.int64, np.float64]
    assert values(ds.GeneratorDataset([(np.int32(5),), (np.int32(6),)], ["i"], shuffle=False)) == [5, 6]
    indexed = ds.GeneratorDataset(Rows(20), ["x", "i"])
    order = [int(r["i"]) for r in indexed.create_dict_iterator()]
    assert sorted(order) == list(range(20)) != order, "shuffled by default"
    assert [r["x"].shape for r in indexed.batch(8).create_dict_iterator()] == [(8, 2), (8, 2), (4, 2)]
    with pytest.raises(RuntimeError, match="without __getitem__"):
        ds.GeneratorDataset(rows, ["i", "f"], num_shards=2, shard_id=0)
    with pytest.raises(RuntimeError, match="row 0 of rows has 2 values for the columns"):
        list(ds.GeneratorDataset(rows, ["i"]))
    with pytest.raises(TypeError, match="source must have"):
        ds.GeneratorDataset(3, ["i"])
    with pytest.raises(TypeError, match="column 'f' is float64, column_types say float32"):
        list(ds.GeneratorDataset(rows, ["i", "f"], column_types=[ms.int64, ms.float32]))


def test_errors_name_the_place():
    def broken(x):
        return 1 // (int(x) - 2)

    line = broken.__code__.co_firstlineno + 1
    data = numbers(4, shuffle=False).map(broken)
    for workers in (1, 3):
        data = numbers(4, shuffle=False).map(broken, num_parallel_workers=workers)
        it = data.create_tuple_iterator(output_numpy=True)
        assert [int(next(it)[0]) for _ in range(2)] == [-1, -1]
        with pytest.raises(RuntimeError, match="operation broken failed on row 2: ZeroDivisionError") as info:
            next(it)
        assert f"{__file__}:{line}" in str(info.value) and isinstance(info.value, ms.Error)
        assert isinstance(info.value.__cause__, ZeroDivisionError)
    with pytest.raises(RuntimeError, match=r"\[FilterDataset\] broken failed on row 2"):
        list(numbers(4, shuffle=False).filter(broken))

    class Bad(Rows):
        def __getitem__(self, i):
            return self.missing

    with pytest.raises(RuntimeError, match=r"Bad\[0\] failed: AttributeError.*test_dataset.py:\d+"):
        list(ds.GeneratorDataset(Bad(2), ["x"], shuffle=False))
    with pytest.raises(RuntimeError, match="returned 2 values for 1 output columns"):
        list(numbers(2).map(lambda x: (x, x), output_columns=["x"]))


def test_a_dropped_iterator_ends_its_thread():
    ds.config.set_prefetch_size(2)
    try:
        before = threading.active_count()
        for _ in range(5):
            next(numbers(1000).create_tuple_iterator())
        deadline = time.monotonic() + 10
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert threading.active_count() <= before
    finally:
        ds.config.set_prefetch_size(16)


def cifar(path, counts, head=1):
    path.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    out = {}
    for name, n in counts.items():
        records = rng.integers(0, 256, (n, 3072 + head)).astype(np.uint8)
        records[:, :head] %= 10
        records.tofile(path / name)
        out[name] = records
    return out


def test_cifar(tmp_path):
    files = cifar(tmp_path, {"data_batch_1.bin": 4, "data_batch_3.bin": 2, "test_batch.bin": 3})
    data = ds.Cifar10Dataset(str(tmp_path), shuffle=False)
    assert data.get_dataset_size() == 9 and ds.Cifar10Dataset(str(tmp_path), "train").get_dataset_size() == 6
    image, label = next(data.create_tuple_iterator())
    record = files["data_batch_1.bin"][0]
    assert image.shape == (32, 32, 3) and image.dtype == ms.uint8 and label.dtype == ms.uint32 and int(label) == record[0]
    assert np.array_equal(image.asnumpy(), record[1:].reshape(3, 32, 32).transpose(1, 2, 0)) and data.num_classes() <= 10
    assert sorted(sum((values(ds.Cifar10Dataset(str(tmp_path), num_shards=3, shard_id=i).project("label")) for i in range(3)), [])
                  ) == sorted(int(r[0]) for f in files.values() for r in f)
    (tmp_path / "data_batch_2.bin").write_bytes(b"1" * 100)
    with pytest.raises(ValueError, match="data_batch_2.bin"):
        ds.Cifar10Dataset(str(tmp_path))
    with pytest.raises(ValueError, match="does not exist"):
        ds.Cifar10Dataset(str(tmp_path / "no"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match="has none of data_batch_1.bin"):
        ds.Cifar10Dataset(str(tmp_path / "empty"))
    hundred = cifar(tmp_path / "c100", {"train.bin": 3}, 2)["train.bin"]
    rows = list(ds.Cifar100Dataset(str(tmp_path / "c100"), shuffle=False).create_dict_iterator())
    assert [int(r["fine_label"]) for r in rows] == hundred[:, 1].tolist() and int(rows[0]["coarse_label"]) == hundred[0, 0]


def test_mnist(tmp_path):
    import gzip
    import struct
    x, y = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8), np.arange(5, dtype=np.uint8)
    for prefix, pack in (("train", lambda b: b), ("t10k", gzip.compress)):
        suffix = "" if prefix == "train" else ".gz"
        (tmp_path / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(pack(struct.pack(">IIII", 0x803, 5, 28, 28) + x.tobytes()))
        (tmp_path / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(pack(struct.pack(">II", 0x801, 5) + y.tobytes()))
    for kind in (ds.MnistDataset, ds.FashionMnistDataset):
        image, label = next(kind(str(tmp_path), "test", shuffle=False).create_tuple_iterator(output_numpy=True))
        assert np.array_equal(image, x[0][..., None]) and label.dtype == np.uint32
        assert kind(str(tmp_path)).get_dataset_size() == 10
    assert pathlib.Path(tmp_path).exists()


def test_image_folder(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.fromarray(x).save(tmp_path / name / "b.png")
        Image.fromarray(x).save(tmp_path / name / "a.jpg")
        (tmp_path / name / "notes.txt").write_text("no image")
    data = ds.ImageFolderDataset(str(tmp_path), shuffle=False, decode=True)
    rows = list(data.create_dict_iterator(output_numpy=True))
    assert [int(r["label"]) for r in rows] == [0, 0, 1, 1] and rows[0]["label"].dtype == np.int32
    assert np.array_equal(rows[1]["image"], x) and data.get_class_indexing() == {"cat": 0, "dog": 1} and data.num_classes() == 2
    from rutile.dataset import vision
    raw = ds.ImageFolderDataset(str(tmp_path), shuffle=False, extensions=[".png"]).map(vision.Decode(), "image")
    assert raw.get_dataset_size() == 2 and np.array_equal(next(raw.create_tuple_iterator(output_numpy=True))[0], x)
