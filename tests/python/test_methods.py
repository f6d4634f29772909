# SPDX-License-Identifier: Apache-2.0
"""Methods of Tensor, against NumPy and against the function of the same name."""

import inspect

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, ops

A = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
a, m = Tensor(A), Tensor(A[0])

CASES = {
    "sum": (lambda: a.sum(1), A.sum(1)), "sum_keep": (lambda: a.sum((0, 2), keepdims=True), A.sum((0, 2), keepdims=True)),
    "mean": (lambda: a.mean(), A.mean()), "mean_axis": (lambda: a.mean(axis=-1, keep_dims=True), A.mean(-1, keepdims=True)),
    "max": (lambda: a.max(), A.max()), "max_axis": (lambda: a.max(axis=1), A.max(1)), "min": (lambda: a.min(axis=0), A.min(0)),
    "argmax": (lambda: a.argmax(1), A.argmax(1)), "argmin": (lambda: a.argmin(), np.int32(A.argmin())), "std": (lambda: a.std(0), A.std(0)),
    "var": (lambda: a.var(0, 1), A.var(0, ddof=1)), "prod": (lambda: a.prod(2), A.prod(2)), "cumsum": (lambda: a.cumsum(0), A.cumsum(0)),
    "reshape": (lambda: a.reshape(6, -1), A.reshape(6, -1)), "view": (lambda: a.view((4, 6)), A.reshape(4, 6)),
    "view_as": (lambda: a.view_as(Tensor(np.zeros((6, 4)))), A.reshape(6, 4)), "transpose": (lambda: a.transpose(2, 0, 1), A.transpose(2, 0, 1)),
    "transpose_tuple": (lambda: a.transpose((1, 0, 2)), A.transpose(1, 0, 2)), "transpose_all": (lambda: a.transpose(), A.T),
    "permute": (lambda: a.permute(1, 2, 0), A.transpose(1, 2, 0)), "swapaxes": (lambda: a.swapaxes(0, 1), A.swapaxes(0, 1)),
    "T": (lambda: m.T, A[0].T), "mT": (lambda: a.mT, A.swapaxes(1, 2)), "flatten": (lambda: a.flatten(start_dim=0), A.reshape(-1)),
    "squeeze": (lambda: a[:1].squeeze(), A[0]), "expand_dims": (lambda: a.expand_dims(1), A[:, None]), "unsqueeze": (lambda: a.unsqueeze(-1), A[..., None]),
    "tile": (lambda: m.tile((2, 1)), np.tile(A[0], (2, 1))), "repeat": (lambda: m.repeat(2, 1), np.repeat(A[0], 2, 1)),
    "broadcast_to": (lambda: m.broadcast_to((5, 3, 4)), np.broadcast_to(A[0], (5, 3, 4))), "clip": (lambda: a.clip(-0.5, 0.5), A.clip(-0.5, 0.5)),
    "masked_fill": (lambda: a.masked_fill(a > 0, 1.0), np.where(A > 0, np.float32(1), A)), "abs": (lambda: a.abs(), abs(A)), "exp": (lambda: a.exp(), np.exp(A)),
    "pow": (lambda: a.abs().pow(2), abs(A) ** 2), "matmul": (lambda: m.matmul(m.T), A[0] @ A[0].T), "astype": (lambda: a.astype(ms.int32), A.astype(np.int32)),
    "int": (lambda: a.int(), A.astype(np.int32)), "half": (lambda: a.half(), A.astype(np.float16)), "bool": (lambda: a.bool(), A.astype(bool)),
    "fill": (lambda: a.fill(3.0), np.full_like(A, 3)), "new_zeros": (lambda: a.new_zeros((2,)), np.zeros(2, np.float32)), "eq": (lambda: a.eq(a), A == A),
    "copy": (lambda: a.copy(), A), "relu": (lambda: a.relu(), np.maximum(A, 0)), "any": (lambda: (a > 0).any(1), (A > 0).any(1)),
    "norm": (lambda: m.norm(), np.linalg.norm(A[0])), "gather": (lambda: m.gather(Tensor([1]), 0), A[0][[1]]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("parameter", [False, True], ids=["tensor", "jit"])
def test_methods(name, parameter):
    call, want = CASES[name]
    got = ms.jit(lambda: call())() if parameter else call()
    assert got.shape == np.shape(want) and got.asnumpy().dtype == np.asarray(want).dtype
    np.testing.assert_allclose(got.asnumpy(), want, rtol=2e-5, atol=2e-6)


def test_several_results():
    values, places = a.max(1, return_indices=True)
    np.testing.assert_array_equal(values.asnumpy(), A.max(1))
    np.testing.assert_array_equal(places.asnumpy(), A.argmax(1))
    assert [x.shape for x in a.split(2, axis=2)] == [(2, 3, 2)] * 2 and len(a.unbind(1)) == 3
    np.testing.assert_array_equal(a.sort(0)[0].asnumpy(), np.sort(A, 0))


def test_facts():
    assert (a.size, a.numel(), a.ndim, a.dim(), a.itemsize, a.nbytes) == (24, 24, 3, 3, 4, 96)
    assert m.tolist() == A[0].tolist() and Tensor(3).tolist() == 3
    assert Tensor.from_numpy(A).asnumpy().__array_interface__["data"][0] == A.__array_interface__["data"][0]
    p = Parameter(m, name="p")
    assert p.sum().item() == pytest.approx(A[0].sum(), rel=1e-5) and type(p.copy()) is Tensor and p.astype(ms.float64).dtype == ms.float64


def test_every_method_has_a_doc():
    for name in dir(Tensor):
        if not name.startswith("_"):
            assert inspect.getdoc(getattr(Tensor, name)), name


@pytest.mark.parametrize("call", [lambda: a.sum(9), lambda: a.view(5, 5), lambda: a.transpose(0, 0, 1), lambda: a.squeeze(5), lambda: a.astype("none"),
                                  lambda: a.max("a"), lambda: a.mean(nothing=1), lambda: a.expand_dims(7)])
def test_wrong_uses(call):
    with pytest.raises((ValueError, TypeError, IndexError)) as info:
        call()
    assert isinstance(info.value, ms.Error)


def test_forms_of_calls_that_mindspore_2_10_takes():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = Tensor(a)
    for axes in ((0, 1), (1, 0), (-2, -1)):
        assert np.array_equal(x.transpose(*axes).asnumpy(), a.T)
    assert np.array_equal(x.transpose((0, 1)).asnumpy(), a) and np.array_equal(x.permute(0, 1).asnumpy(), a)
    for got, values, places in ((x.max(1), a.max(1), a.argmax(1)), (x.min(0, True), a.min(0, keepdims=True), a.argmin(0)[None]), (x.max(dim=1), a.max(1), a.argmax(1)), (x.min(dim=0), a.min(0), a.argmin(0)),
                                (x.max(1, keepdim=True), a.max(1, keepdims=True), a.argmax(1)[:, None])):
        assert np.array_equal(got[0].asnumpy(), values) and np.array_equal(got[1].asnumpy(), places)
    assert np.array_equal(x.max(axis=1).asnumpy(), a.max(1)) and x.max().item() == 5
    assert [p.shape for p in x.split(split_size=2, dim=1)] == [(2, 2), (2, 1)]
    assert x[:, :1].expand(2, -1).shape == (2, 1) and x[:, :1].expand((2, 4)).shape == (2, 4)
    assert np.array_equal(x.tile(2, 1).asnumpy(), np.tile(a, (2, 1))) and x.tile(2).shape == (2, 6)
    index, src = Tensor(np.array([[0], [1]])), Tensor(np.array([[1.0], [2.0]], np.float32))
    for y in (x.scatter_add(dim=1, index=index, src=src), x.scatter_add(1, index, src)):
        assert y.asnumpy().tolist() == [[1, 1, 2], [3, 6, 5]]
    rows = Tensor(np.ones((2, 3), np.float32))
    for y in (x.scatter_add(index, rows), x.scatter_add(indices=index, updates=rows)):
        assert np.array_equal(y.asnumpy(), a + 1)
    assert x.repeat_interleave(2, 0, output_size=None).shape == (4, 3)
    assert np.array_equal(ops.einsum(x, [0, 1], x, [2, 1], [2, 0]).asnumpy(), np.einsum("ij,kj->ki", a, a))
    assert np.array_equal(ops.einsum(x, [..., 1], x, [..., 1]).asnumpy(), np.einsum("...j,...j", a, a))
    with pytest.raises(ValueError, match="0 to 51"):
        ops.einsum(x, [0, 52])
    for name in ("max", "min"):
        with pytest.raises(TypeError, match=rf"^\[{name}\] expects an int dim .* is {name}imum\(x, y\)"):
            getattr(x, name)(x)
    one = Tensor(np.ones((2, 3, 1)))
    assert [one.squeeze(axis).shape for axis in (0, 2, (0, 2), None)] == [(2, 3, 1), (2, 3), (2, 3), (2, 3)]
    with pytest.raises(ValueError):
        one.squeeze(3)
