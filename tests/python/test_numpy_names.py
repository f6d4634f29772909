# SPDX-License-Identifier: Apache-2.0
"""rutile.numpy and rutile.mint against NumPy, over a table."""

import numpy as np
import pytest

import rutile as ms
import rutile.numpy as rnp
from rutile import Tensor, mint

R = np.random.RandomState(0)
A, B, V, W = R.randn(3, 4), R.randn(3, 4), R.randn(5), R.randn(3)
I, J = R.randint(0, 5, (3, 4)), R.randint(1, 6, (3, 4))
P = np.abs(A) + 0.5
N = np.where(A > 0.5, np.nan, A)

# name: arguments, and what differs
ONE = {n: [(A,)] for n in """abs absolute fabs arctan cbrt ceil cos cosh deg2rad radians rad2deg exp exp2 expm1 floor negative rint sign sin sinh square tan tanh trunc fix
    isfinite isinf isnan isneginf isposinf signbit positive amax amin max min sum mean std var ptp argmax argmin count_nonzero sometrue cumsum cumprod diff ediff1d fliplr flipud
    flip ravel transpose diag diagflat diagonal trace squeeze logical_not argwhere atleast_3d gradient tril triu size rot90 unwrap corrcoef cov norm""".split()}
ONE.update({n: [(P,)] for n in "log log10 log1p log2 sqrt reciprocal".split()})
ONE.update({n: [(np.clip(A / 4, -1, 1),)] for n in "arccos arcsin arctanh".split()})
ONE.update({"arcsinh": [(A,)], "arccosh": [(P + 1,)], "invert": [(I,)], "bitwise_not": [(I,)], "nancumsum": [(N,)], "nansum": [(N, 0)], "nanmean": [(N, 1)],
            "nanmax": [(N,)], "nanmin": [(N, 0)], "nanstd": [(N, 1)], "nanvar": [(N,)], "nan_to_num": [(N,)]})
TWO = {n: [(A, B), (A, 2.0), (A, W.reshape(3, 1))] for n in """add arctan2 copysign divide true_divide equal greater greater_equal heaviside hypot less less_equal logaddexp logaddexp2
    logical_and logical_or logical_xor maximum minimum multiply not_equal subtract fmod mod remainder floor_divide outer kron isclose array_equal append""".split()}
TWO.update({n: [(I, J)] for n in "bitwise_and bitwise_or bitwise_xor gcd lcm floor_divide mod fmod".split()})
MORE = {"power": [(P, B)], "float_power": [(P, 2.0)], "clip": [(A, -0.5, 0.5), (A, None, 0.1)], "where": [(A > 0, A, B)], "interp": [([0.5, 1.5, 9.0], [0.0, 1.0, 2.0], [1.0, 3.0, 2.0])],
        "polyval": [(V, W)], "polyadd": [(V, W)], "polysub": [(V, W)], "polymul": [(V, W)], "polyder": [(V,)], "polyint": [(V,)], "average": [(A, 0, W), (A,)],
        "matmul": [(A, B.T)], "dot": [(A, B.T), (V, V)], "inner": [(A, B)], "tensordot": [(A, B.T, 1), (A, B, 2)], "cross": [(A[:, :3], B[:, :3]), (A[:, :2], B[:, :2])],
        "convolve": [(V, W), (V, W, "same"), (V, W, "valid"), (W, V)], "correlate": [(V, W), (V, W, "full"), (V, W, "same")], "trapz": [(A,), (A, None, 0.5, 0)],
        "searchsorted": [(np.sort(V), W), (np.sort(V), W, "right")], "digitize": [(W, np.sort(V)), (W, np.sort(V)[::-1].copy(), True)], "bincount": [(I.ravel(),)],
        "broadcast_to": [(W, (2, 3))], "swapaxes": [(A, 0, 1)], "moveaxis": [(A, 0, -1)], "tile": [(A, (2, 1))], "expand_dims": [(A, (0, 2))], "reshape": [(A, (2, -1))],
        "rollaxis": [(A, 1)], "roll": [(A, 2), (A, 1, 1), (A, (1, 2), (0, 1))], "concatenate": [((A, B), 1), ((A, B), None)], "stack": [((A, B), 1)], "hstack": [((A, B),)], "vstack": [((V, V),)],
        "dstack": [((A, B),)], "column_stack": [((V, V),)], "repeat": [(A, 2), (A, 2, 1), (A, [1, 2, 3], 0)], "take": [(A, [0, 2], 1), (A, [[1, 5]])], "take_along_axis": [(A, I[:, :2] % 4, 1)],
        "choose": [(np.array([0, 1, 1]), [V[:3], W])], "select": [([A > 1, A < 0], [A, B])], "ravel_multi_index": [((np.array([1, 2]), np.array([0, 3])), (3, 4))], "unravel_index": [(np.array([5, 7]), (3, 4))],
        "pad": [(A, 1), (A, ((1, 2), (0, 3)), "edge"), (A, 2, "reflect"), (A, 2, "symmetric"), (A, ((4, 5), (1, 0)), "wrap"), (A, 2, "maximum"), (A, ((1, 0), (0, 2)), "mean"), (A, 2, "linear_ramp")],
        "array_split": [(V, 2)], "split": [(A, 2, 1), (A, [1, 3], 1)], "hsplit": [(A, 2)], "vsplit": [(A, 3)], "unique": [(I,)], "isin": [(I, [1, 2])], "in1d": [(I[0], [1, 2])],
        "setdiff1d": [(I, [1])], "intersect1d": [(I, J)], "histogram": [(A, 4), (A, [-1.0, 0.0, 1.0]), (A, 3, (0.0, 1.0))], "histogram2d": [(V, V * 2, 3)], "histogram_bin_edges": [(A, 5)],
        "linspace": [(0.0, 1.0, 5), (0.0, 1.0, 4, False)], "logspace": [(0.0, 2.0, 3)], "geomspace": [(1.0, 8.0, 4)], "eye": [(3, 4, 1)], "identity": [(3,)], "tri": [(3, 4, -1)], "vander": [(W,), (W, 2, True)],
        "tril_indices": [(3,)], "triu_indices": [(3, 1, 4)], "diag_indices": [(3,)], "indices": [((2, 3),)], "bartlett": [(5,)], "blackman": [(6,)], "hamming": [(5,)], "hanning": [(5,)],
        "broadcast_arrays": [(W, np.ones((2, 1)))], "meshgrid": [(V, W)], "atleast_1d": [(3.0,)], "atleast_2d": [(V,)], "divmod": [(I, J)], "full": [((2, 2), 3.0)], "multi_dot": []}
CASES = [(n, a) for table in (ONE, TWO, MORE) for n, rows in table.items() for a in rows]


def wrapped(x):
    if isinstance(x, np.ndarray):
        return Tensor(x)
    if isinstance(x, tuple) and x and isinstance(x[0], np.ndarray) or isinstance(x, list) and x and isinstance(x[0], np.ndarray):
        return type(x)(wrapped(v) for v in x)
    return x


def same(got, want, at):
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want), at
        for g, w in zip(got, want):
            same(g, w, at)
        return
    got = got.asnumpy() if isinstance(got, Tensor) else np.asarray(got)
    want = np.asarray(want)
    assert got.shape == want.shape, (at, got.shape, want.shape)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6, err_msg=at)


@pytest.mark.parametrize("name,args", CASES, ids=[f"{n}{i}" for i, (n, _) in enumerate(CASES)])
def test_equals_numpy(name, args):
    others = {"norm": np.linalg.norm, "sometrue": np.any, "in1d": np.isin, "trapz": getattr(np, "trapezoid", None) or getattr(np, "trapz", None)}
    theirs = others.get(name) or getattr(np, name)
    same(getattr(rnp, name)(*(wrapped(a) for a in args)), theirs(*args), name)


def test_grids_and_dtypes():
    np.testing.assert_allclose(rnp.mgrid[0:2, -1:1:3j].asnumpy(), np.mgrid[0:2, -1:1:3j])
    assert [g.shape for g in rnp.ogrid[0:2, 0:3]] == [(2, 1), (1, 3)]
    assert rnp.zeros((2,)).dtype == ms.float32 and rnp.result_type("i2", rnp.float32, True) == ms.float32 and rnp.array([1, 2], ndmin=2).shape == (1, 2)
    assert ms.numpy is rnp and ms.mint is mint
    for call in (lambda: rnp.split(Tensor(V), 2), lambda: rnp.pad(Tensor(V), 1, "none"), lambda: rnp.convolve(V, W, "none"), lambda: rnp.where(Tensor(V) > 0, 1)):
        with pytest.raises(ValueError) as info:
            call()
        assert isinstance(info.value, ms.Error)


def test_mint():
    a = Tensor(A)
    for got, want in ((mint.sum(a, dim=1, keepdim=True), A.sum(1, keepdims=True)), (mint.mean(a, dim=0), A.mean(0)), (mint.max(a, 1)[0], A.max(1)), (mint.max(a, dim=1)[1], A.argmax(1)),
                      (mint.max(a), A.max()), (mint.min(a, Tensor(B)), np.minimum(A, B)), (mint.std(a, dim=1), A.std(1, ddof=1)), (mint.var_mean(a, dim=0)[0], A.var(0, ddof=1)),
                      (mint.cat((a, a), dim=1), np.concatenate((A, A), 1)), (mint.transpose(a, 0, 1), A.T), (mint.argmax(a, dim=1), A.argmax(1)), (mint.norm(a, 1, 1), np.abs(A).sum(1)),
                      (mint.gather(a, 1, Tensor(I % 4)), np.take_along_axis(A, I % 4, 1)), (mint.sort(a, dim=0)[0], np.sort(A, 0)), (mint.stack((a, a), dim=2), np.stack((A, A), 2)),
                      (mint.cumsum(a, dim=1), A.cumsum(1)), (mint.softmax(a, dim=1).sum(1), np.ones(3)), (mint.add(a, a, alpha=2), 3 * A), (mint.flip(a, dims=(0,)), A[::-1]),
                      (mint.unique(Tensor(I), return_inverse=True)[1], np.unique(I, return_inverse=True)[1].reshape(I.shape)), (mint.diag(a), np.diag(A)), (mint.median(a, 1)[0], np.sort(A, 1)[:, 1])):
        np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-9)
    assert mint.randint(0, 5, (4,)).shape == (4,) and mint.rand(2, 3).shape == (2, 3) and mint.empty(2, dtype=ms.int32).dtype == ms.int32


def test_choose_broadcasts():
    import rutile.numpy as mnp
    a = np.array([[1, 0, 1], [0, 1, 0]])
    c = [np.array([1, 2, 3]).reshape(1, 3, 1), np.array([-1, -2, -3, -4, -5]).reshape(1, 1, 5)]
    i = np.array([0, 1]).reshape(2, 1, 1)
    for got, want in ((mnp.choose(a.tolist(), [-10, 10]), np.choose(a, [-10, 10])), (Tensor(a).choose([-10, 10]), np.choose(a, [-10, 10])),
                      (mnp.choose(Tensor(i), [Tensor(v) for v in c]), np.choose(i, c)),
                      (mnp.choose([2, 4, 1, 0], np.arange(16).reshape(4, 4).tolist(), mode="wrap"), np.choose([2, 4, 1, 0], np.arange(16).reshape(4, 4), mode="wrap")),
                      (mnp.choose([2, 4, -1, 0], np.arange(16).reshape(4, 4).tolist()), np.choose([2, 4, -1, 0], np.arange(16).reshape(4, 4), mode="clip"))):
        assert np.array_equal(got.asnumpy(), want)
    with pytest.raises(ValueError, match="outside"):
        Tensor([0, 4]).choose([1, 2], mode="raise")
