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
    with pytest.raises(IndexError):
        f(x, Tensor([0, 2]), 2)


def test_scatter_div_of_small_integers():
    got = ops.tensor_scatter_div(Tensor([100, 5], rutile.int8), Tensor([[0], [0]]), Tensor([100, 100], rutile.int8))
    assert got.asnumpy().tolist() == [0, 5] and got.dtype == rutile.int8


def test_a_float_is_rounded_once():
    assert Tensor(0.1, rutile.float64).asnumpy() == 0.1 and Tensor(0.1).dtype == rutile.float32
    assert Tensor(2.0**24 + 1, rutile.int64).asnumpy() == 2**24 + 1
