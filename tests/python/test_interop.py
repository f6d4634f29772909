# SPDX-License-Identifier: Apache-2.0
"""Memory shared with NumPy and through DLPack, pickling and copies."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import rutile
from rutile import Parameter, Tensor, from_dlpack, from_numpy, ops

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32",
          "float64", "complex64", "complex128"]
SHAPES = [(), (0,), (3,), (2, 3), (2, 0, 3), (2, 1, 3, 2)]


def sample(shape, dtype):
    return (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)


def address(a):
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trips(dtype, shape):
    a = sample(shape, dtype)
    for t in (Tensor(a), from_numpy(a), from_dlpack(a)):
        for b in (t.asnumpy(), np.from_dlpack(t), pickle.loads(pickle.dumps(t)).asnumpy(),
                  from_dlpack(t).asnumpy(), copy.deepcopy(t).asnumpy()):
            assert b.dtype == a.dtype and b.shape == a.shape
            np.testing.assert_array_equal(a, b)


def test_no_copies():
    a = np.arange(24, dtype=np.float32).reshape(4, 6)
    for make in (from_numpy, from_dlpack):
        for view in (a, a.T, a[::2, 1:], a[::-1]):
            t = make(view)
            assert address(t.asnumpy()) == address(view) and t.asnumpy().strides == view.strides
            assert address(np.from_dlpack(t)) == address(view)
            np.testing.assert_array_equal((t * 2.0).asnumpy(), view * 2)
    t = Tensor(a)
    assert address(t.asnumpy()) != address(a)
    alone = address(t.asnumpy())
    assert address(from_dlpack(t).asnumpy()) == alone == address(np.asarray(t))
    kept = np.asarray(t)  # while others look at the memory an array that can be written to is a copy
    assert address(t.asnumpy()) != alone == address(kept)
    a[0, 0] = 7
    assert from_numpy(a)[0, 0].item() == 7 and t[0, 0].item() == 0


def test_readonly_and_copy_flags():
    a = np.ones(100, np.float32)
    a.flags.writeable = False
    t = from_numpy(a)
    assert not t.asnumpy().flags.writeable and not np.from_dlpack(t).flags.writeable
    b = np.from_dlpack(t, copy=True)
    assert b.flags.writeable and address(b) != address(a)
    assert address(np.from_dlpack(t, copy=False)) == address(a)
    assert t.__dlpack_device__() == (1, 0)
    for call in (lambda: t.__dlpack__(dl_device=(2, 0)), lambda: memoryview(Tensor([1.0], "bfloat16"))):
        with pytest.raises(BufferError):
            call()
    for call in (lambda: t.__dlpack__(max_version=3), lambda: t.__dlpack__(nothing=1),
                 lambda: t.__dlpack__(dl_device="a")):
        with pytest.raises(TypeError):
            call()


def test_capsules():
    t = Tensor([1.0, 2.0])
    t.__dlpack__(), t.__dlpack__(max_version=(1, 0))  # dropped unused
    for capsule in (t.__dlpack__(), t.__dlpack__(max_version=(1, 1))):
        assert from_dlpack(capsule).asnumpy().tolist() == [1, 2]
        with pytest.raises(rutile.Error):
            from_dlpack(capsule)
    low = Tensor([1.5, -2.0], "bfloat16")
    assert from_dlpack(low).dtype == "bfloat16" and from_dlpack(low).asnumpy().tolist() == [1.5, -2]


class OldProducer:
    """Of the protocol's version 0."""

    def __init__(self, a):
        self.a = a

    def __dlpack__(self, stream=None):
        return self.a.__dlpack__()

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


def test_version_0():
    a = np.arange(3.0)
    assert address(from_dlpack(OldProducer(a)).asnumpy()) == address(a)


def test_memory_lives_and_goes():
    class Array(np.ndarray):
        pass

    for make in (from_numpy, from_dlpack):
        a = np.arange(1000.0).view(Array)
        alive = weakref.ref(a)
        t = make(a)
        view = t[10:].asnumpy()
        del a, t
        gc.collect()
        assert view.sum() == np.arange(10, 1000).sum()
        del view
        gc.collect()
        if make is from_numpy:
            assert alive() is None


def test_nothing_writes_to_foreign_memory():
    a = np.zeros(1000, np.float32)
    w = Parameter(from_numpy(a), name="w")
    step = rutile.jit(lambda: [w.set_data(w + 1.0)] and None)
    for _ in range(3):
        step()
    assert a.sum() == 0 and w.asnumpy().sum() == 3000


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol):
    t = Tensor([[1.5, 2.5]], "bfloat16")
    b = pickle.loads(pickle.dumps({"t": t, "n": Tensor(np.arange(6).reshape(2, 3).T)}, protocol))
    assert b["t"].dtype == "bfloat16" and b["t"].asnumpy().tolist() == [[1.5, 2.5]]
    assert b["n"].asnumpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    p = pickle.loads(pickle.dumps(Parameter(t.cast("float32"), name="a.b", requires_grad=False), protocol))
    assert isinstance(p, Parameter) and p.name == "a.b" and not p.requires_grad and p.shape == (1, 2)


def test_out_of_band_pickles():
    t = Tensor(np.arange(10000, dtype=np.float32))
    buffers = []
    data = pickle.dumps(t, 5, buffer_callback=buffers.append)
    assert len(data) < 300 and len(buffers) == 1
    assert pickle.loads(data, buffers=buffers).asnumpy().sum() == t.asnumpy().sum()


def test_hostile_pickles():
    from rutile import _rutile
    for args in ((b"1234", (2,), "float32"), (b"", (-1,), "float32"), (b"", (2**40, 2**40), "float32"),
                 (b"1234", (1,), "nothing"), ("text", (1,), "float32"), (b"1234", (1,), "float32", 3), ()):
        with pytest.raises((rutile.Error, TypeError)):
            _rutile._rebuild(*args)


def test_copies():
    t, p = Tensor([1.0]), Parameter(Tensor([1.0]), name="w")
    assert copy.copy(t).asnumpy().tolist() == [1] and copy.copy(t) is not t
    q = copy.deepcopy({"p": p, "again": p})
    assert q["p"] is q["again"] and q["p"].name == "w"
    q["p"].set_data([5.0])
    assert p.asnumpy().tolist() == [1] and q["p"].asnumpy().tolist() == [5]


def test_lists_of_tensors():
    rows = Tensor([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    assert rows.asnumpy().tolist() == [[1, 2], [3, 4]]
    assert Tensor([[np.float32(1), np.float32(2)]]).shape == (1, 2)
    with pytest.raises(rutile.Error):
        Tensor([Tensor([1.0]), 2.0])


def test_truth_values_of_others():
    """Masks of 0 and 255 are common; whatever a byte is, it counts as one truth value."""
    mask = np.full(5000, 255, np.uint8)
    mask[::3] = 0
    mask = mask.view(np.bool_)
    want = int(np.count_nonzero(mask))
    x = Tensor(np.arange(5000, dtype=np.float32))
    made = [
        Tensor(mask), from_numpy(mask), from_numpy(mask[::-1]), from_dlpack(mask), rutile.Tensor(memoryview(mask)),
        pickle.loads(pickle.dumps(from_numpy(mask))), Tensor([mask, mask])[1]
    ]  # fmt: skip
    for m in made:
        assert m.dtype == rutile.bool_
        assert m.astype(rutile.int32).sum().item() == want
        assert x.masked_select(m).shape == (want,)
        assert rutile.ops.logical_not(m).astype(rutile.int32).sum().item() == 5000 - want
    assert address(from_numpy(np.ones(5, bool)).asnumpy()) != 0
    plain = np.array([True, False, True])
    assert address(from_numpy(plain).asnumpy()) == address(plain)  # shared where nothing is to be done


def test_functions_of_numpy_in_a_trace(capfd):
    """They need values: the function runs as it is written, with one warning that names the line, or where that is not wanted is
    an error of this line."""

    def f(x):
        return rutile.ops.relu(x) + Tensor(np.sin(x))
    x = np.array([1.0, 2.0], np.float32)
    loose, strict = rutile.jit(f), rutile.jit(f, fullgraph=True)
    for _ in range(2):
        np.testing.assert_allclose(loose(Tensor(x)).asnumpy(), x + np.sin(x), rtol=1e-6)
    told = capfd.readouterr().err
    assert told.count("runs as it is written") == 1 and f"{__file__.rsplit('/', 1)[1]}:" in told
    with pytest.raises(RuntimeError, match=r"test_interop.py:\d+ needs the value of a tensor(.|\n)*where\(\)"):
        strict(Tensor(x))


def test_asnumpy_can_be_written_to():
    x = ops.ones((2, 40))
    a, y, row = x.asnumpy(), x.copy(), x[0]
    a[:] = 7  # as in MindSpore: the Tensor and views of it see that, copies do not
    assert x.asnumpy().min() == row.asnumpy().min() == 7 and y.asnumpy().max() == 1
    kept, x[0, 0] = a, 3.0  # another value of x: the array has the old one
    assert kept[0, 0] == 7 and x[0, 0] == 3
    for t in (Tensor([1.0, 2.0]), Tensor(3), ops.broadcast_to(Tensor([1.0, 2.0]), (3, 2)), ops.ones((2, 3)).T, ops.zeros((0, 2)),
              Tensor([1.0], "bfloat16"), Parameter(ops.ones(3))):
        b = t.asnumpy()
        assert b.flags.writeable and 0 not in b.strides
        b += 1
    p = Parameter(ops.ones(3))
    p.asnumpy()[:] = 5  # of Parameters it is a copy
    assert p.asnumpy().tolist() == [1, 1, 1] and p.value().asnumpy().flags.writeable


@pytest.mark.parametrize("make", [from_numpy, lambda a: Tensor(a)], ids=["from_numpy", "asnumpy"])
def test_what_is_written_to_an_array_reaches_no_copy(make):
    source = np.ones((2, 20), np.float32)
    x = make(source)
    a = source if make is from_numpy else x.asnumpy()
    p, q = Parameter(x), Parameter(ops.zeros((2, 20)))
    q.set_data(x)
    copies = [x.copy(), copy.copy(x), copy.deepcopy(x), p, q, Parameter(x, requires_grad=False)]
    a[:] = 5
    assert x.asnumpy().min() == 5
    for c in copies:
        assert c.asnumpy().max() == 1
    # Copies of a variable count for its gradient.
    assert rutile.grad(lambda v: (v.copy() * v.asnumpy()).sum())(x).asnumpy().min() == 5


def test_dlpack_by_name():
    assert from_dlpack(rutile.to_dlpack(Tensor([1.0, 2.0]))).asnumpy().tolist() == [1, 2]
    with pytest.raises(TypeError):
        rutile.to_dlpack(np.ones(2))
