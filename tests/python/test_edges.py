# SPDX-License-Identifier: Apache-2.0
"""Edges of functions where a wrong number would be easy: compared with NumPy or worked out by hand."""

import numpy as np
import pytest

import rutile
import rutile.numpy as rnp
from rutile import Tensor, ops


def test_cross_takes_two_or_three():
    with pytest.raises(ValueError, match="2 or 3"):
        rnp.cross([1.5, -2.5, 0, 3], [1.5, -2.5, 0, 3])
    np.testing.assert_allclose(rnp.cross([1.0, 2.0, 3.0], [3.0, 1.0, 2.0]).asnumpy(), np.cross([1.0, 2, 3], [3.0, 1, 2]))


def test_integers_have_no_nan():
    a = np.array([[2**40 + 1, 3], [5, -7]])
    for ours, theirs in ((rnp.nansum, np.nansum), (rnp.nanmax, np.nanmax), (rnp.nanmin, np.nanmin), (rnp.nancumsum, np.nancumsum)):
        for axis in (None, 0):
            got, want = ours(Tensor(a), axis=axis).asnumpy(), theirs(a, axis=axis)
            assert got.dtype.kind == "i" and np.array_equal(got, want), ours.__name__


def test_infinities_have_no_variance():
    a = np.array([1, np.nan, -np.inf, np.inf, -0.0], np.float32)
    assert np.isnan(rnp.nanstd(Tensor(a)).asnumpy()) and np.isnan(rnp.nanvar(Tensor(a)).asnumpy())
    b = np.array([[1, np.nan, 3], [4, 5, np.nan]], np.float32)
    np.testing.assert_allclose(rnp.nanvar(Tensor(b), axis=1).asnumpy(), np.nanvar(b, axis=1), rtol=1e-6)


def test_vmap_of_dicts():
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    f = rutile.vmap(lambda d, v: (d["w"] * v).sum(), 0)
    np.testing.assert_allclose(f({"w": Tensor(x)}, Tensor(x)).asnumpy(), (x * x).sum(1))
    g = rutile.vmap(lambda d: (d["w"] * d["s"]).sum(), ({"w": 0, "s": None},))
    np.testing.assert_allclose(g({"w": Tensor(x), "s": Tensor([2.0, 3.0])}).asnumpy(), (x * [2, 3]).sum(1))


@pytest.mark.parametrize("name, none, both", [("sum", [0, 0], [4, 6]), ("prod", [1, 1], [3, 8])])
def test_negative_segments_are_left_out(name, none, both):
    f = getattr(ops, "unsorted_segment_" + name)
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert f(x, Tensor([-1, 1]), 2).asnumpy().tolist() == [none, [3, 4]]
    assert f(x, Tensor([1, 1]), 2).asnumpy().tolist() == [none, both]
    with pytest.raises(IndexError, match=f"unsorted_segment_{name}.*below num_segments, 2, got 2"):
        f(x, Tensor([0, 2]), 2)


def test_scatter_div_of_small_integers():
    got = ops.tensor_scatter_div(Tensor([100, 5], rutile.int8), Tensor([[0], [0]]), Tensor([100, 100], rutile.int8))
    assert got.asnumpy().tolist() == [0, 5] and got.dtype == rutile.int8


def test_a_float_is_rounded_once():
    assert Tensor(0.1, rutile.float64).asnumpy() == 0.1 and Tensor(0.1).dtype == rutile.float32
    assert Tensor(2.0**24 + 1, rutile.int64).asnumpy() == 2**24 + 1


def test_negative_powers_of_integers():
    whole = Tensor([3, -1], rutile.int32)
    for f in (lambda: whole**-1, lambda: ops.pow(whole, -2), lambda: whole.pow(-1), lambda: rutile.jit(lambda x: x**-1)(whole)):
        with pytest.raises(ValueError, match="negative powers.*float"):
            f()
    assert (whole ** Tensor([-1, -1], rutile.int32)).asnumpy().tolist() == [0, -1]  # as MindSpore and PyTorch
    np.testing.assert_allclose((whole**-1.0).asnumpy(), [1 / 3, -1], rtol=1e-6)
    np.testing.assert_allclose((Tensor([2.0]) ** -1).asnumpy(), [0.5])
    assert (whole**2).asnumpy().tolist() == [9, 1] and (2 ** Tensor([3], rutile.int32)).asnumpy().tolist() == [8]


def test_labels_of_nll_loss():
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(5), 4)).astype(np.float32)
    for label in (-1, 5):
        with pytest.raises(IndexError, match="out of range"):
            ops.nll_loss(Tensor(logs), Tensor([0, 1, 2, label], rutile.int32))
    weight = np.arange(1, 6, dtype=np.float32)
    for smoothing in (0.0, 0.3):
        got = ops.nll_loss(Tensor(logs), Tensor([0, 1, 2, -1], rutile.int32), Tensor(weight), -1, label_smoothing=smoothing)
        picked = -logs[[0, 1, 2], [0, 1, 2]] * weight[:3] * (1 - smoothing) - (logs * weight)[:3].sum(1) * smoothing / 5
        np.testing.assert_allclose(got.asnumpy(), picked.sum() / weight[:3].sum(), rtol=1e-5)
    deep = np.stack([logs, logs[:, ::-1]], 2)
    per = ops.nll_loss(Tensor(deep), Tensor([[0, 1]] * 3 + [[-100, 2]], rutile.int32), reduction="none")
    assert per.shape == (4, 2) and float(per[3, 0]) == 0


def test_gradients_do_not_depend_on_what_else_is_asked_for():
    def f(x, i):
        return (x.astype(rutile.int32).astype(rutile.float32) * 3).sum() + (x * i).sum()

    x, i = Tensor([1.5, 2.5]), Tensor([1, 0], rutile.int32)
    alone, (both, whole) = rutile.grad(f)(x, i), rutile.grad(f, (0, 1))(x, i)
    assert alone.asnumpy().tolist() == both.asnumpy().tolist() == [4, 3] and whole.asnumpy().tolist() == [1, 2]
    assert rutile.jit(rutile.grad(f))(x, i).asnumpy().tolist() == [4, 3]
    net = rutile.Parameter(x, name="w")
    by_weights = rutile.value_and_grad(lambda v: f(net, v), None, [net])(i)[1][0]
    assert by_weights.asnumpy().tolist() == [4, 3]


def test_refused_numbers():
    x = Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    for repeats in (-1, [1, -1, 2], Tensor([1, -1, 2])):
        with pytest.raises(ValueError, match="negative"):
            ops.repeat_interleave(x, repeats, 0)
    with pytest.raises(ValueError, match="has 3 entries, repeats has 2"):
        ops.repeat_interleave(x, [1, 2], 0)
    assert ops.repeat_interleave(x, Tensor([0, 1, 2]), 0).asnumpy().tolist() == [[3, 4], [5, 6], [5, 6]]
    for chunks in (0, -2):
        with pytest.raises(ValueError, match="positive"):
            ops.chunk(x, chunks)
    drawn = [lambda v: ops.normal((2,), 0.0, v), lambda v: ops.gamma((2,), v, Tensor(1.0)), lambda v: ops.gamma((2,), Tensor(1.0), v),
             lambda v: ops.random_gamma((2,), v), lambda v: ops.random_poisson((2,), v), lambda v: ops.poisson((2,), v)]
    for f in drawn:
        with pytest.raises(ValueError, match="-1"):
            f(Tensor(-1.0))
        assert f(Tensor(1.0)).shape == (2,)
    with pytest.raises(ValueError, match="stddev must not be negative"):
        ops.normal((2,), 0.0, -1.0)


def test_limits_of_integers():
    x = Tensor([1, 9], rutile.int32)
    assert ops.clamp(x, 2.5, None).asnumpy().tolist() == [2.5, 9.0]
    kept = ops.clip_by_value(x, 2.5, None)  # MindSpore keeps the dtype here
    assert kept.asnumpy().tolist() == [2, 9] and kept.dtype == rutile.int32


# PyTorch 2: F.interpolate(arange(30).reshape(1, 1, 5, 6), scale_factor=(0.7, 1.3), mode=...)[0, 0, -1]
SCALED = {"nearest": [12, 12, 13, 14, 15, 15, 16], "nearest-exact": [18, 19, 19, 20, 21, 22, 23],
          "bilinear": [18.42857, 19.08242, 19.85165, 20.62088, 21.39011, 22.15934, 22.92857],
          "bicubic": [18.55273, 19.18072, 20.06231, 20.86056, 21.56492, 22.30582, 23.21420]}


@pytest.mark.parametrize("mode", SCALED)
def test_positions_from_the_factor(mode):
    x = Tensor(np.arange(30, dtype=np.float32).reshape(1, 1, 5, 6))
    got = ops.interpolate(x, scale_factor=(0.7, 1.3), mode=mode).asnumpy()
    assert got.shape == (1, 1, 3, 7)
    np.testing.assert_allclose(got[0, 0, -1], SCALED[mode], rtol=1e-5)
    sizes = ops.interpolate(x, scale_factor=(0.7, 1.3), mode=mode, recompute_scale_factor=True).asnumpy()
    np.testing.assert_array_equal(sizes, ops.interpolate(x, size=(3, 7), mode=mode).asnumpy())


@pytest.mark.parametrize("options, message", [
    ({"size": (4, 4), "recompute_scale_factor": True}, "needs scale_factor"),
    ({"size": (4, 4), "align_corners": True}, "no meaning"), ({"size": (4, 4), "align_corners": False}, "no meaning"),
    ({"scale_factor": (1.0, 2.0, 3.0)}, "3 numbers for 2"), ({}, "either size or scale_factor")])
def test_interpolate_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ops.interpolate(Tensor(np.ones((1, 1, 3, 3), np.float32)), **options)


def test_primitives_of_numbers_and_biases():
    P = ops.operations
    assert P.DivNoNan()(Tensor([1.0, 2.0]), 0.0).asnumpy().tolist() == [0, 0]
    assert P.DivNoNan()(2.0, Tensor([1.0, 0.0])).asnumpy().tolist() == [2, 0]
    assert P.DivNoNan()(Tensor([7, 2]), 2).asnumpy().tolist() == [3, 1]
    with pytest.raises(TypeError, match="Inv"):
        P.Inv()(2)
    for layout, shape in (("NHWC", (1, 2, 2, 3)), ("NCHW", (1, 3, 2, 2))):
        with pytest.raises(ValueError, match="one number for each channel"):
            P.BiasAdd(layout)(Tensor(np.ones(shape, np.float32)), Tensor([1.0]))
        assert P.BiasAdd(layout)(Tensor(np.ones(shape, np.float32)), Tensor([1.0, 2.0, 3.0])).shape == shape
    from rutile.ops import operations
    with pytest.raises(RuntimeError, match="defined twice"):
        operations._define("BiasAdd", {}, lambda self, x: x, "Again.")


def test_a_damaged_name_names_the_file(tmp_path):
    path = str(tmp_path / "x.ckpt")
    rutile.save_checkpoint([{"name": "aé", "data": Tensor([1.0])}], path)
    with open(path, "rb") as f:
        content = bytearray(f.read())
    content[content.index("é".encode())] = 0xFF
    with open(path, "wb") as f:
        f.write(content)
    with pytest.raises(ValueError, match="x.ckpt"):
        rutile.load_checkpoint(path)


def test_summaries_that_cannot_be_written(tmp_path):
    with rutile.SummaryRecord(str(tmp_path)) as record:
        with pytest.raises(ValueError, match="UTF-8"):
            record.add_value("scalar", "\udc80", Tensor(1.0))
        with pytest.raises(TypeError, match="must be real"):
            record.add_value("scalar", "a", Tensor(np.array(1j, np.complex64)))
        record.add_value("scalar", "a", Tensor(1.0))
        assert record.record(1)
