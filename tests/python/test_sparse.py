# SPDX-License-Identifier: Apache-2.0
"""COOTensor, CSRTensor, RowTensor and their functions: numbers against NumPy, gradients by the values, compiled functions."""

import numpy as np
import pytest

import rutile as ms
from rutile import COOTensor, CSRTensor, RowTensor, SparseTensor, Tensor, errors, jit, nn, ops

RNG = np.random.RandomState(5)
DENSE = np.where(RNG.rand(4, 5) < 0.4, RNG.randn(4, 5), 0).astype(np.float32)
DENSE[2] = 0
OTHER = np.where(RNG.rand(4, 5) < 0.5, RNG.randn(4, 5), 0).astype(np.float32)


def coo(dense=DENSE, dtype=np.int64):
    at = np.stack(np.nonzero(dense), 1)
    order = RNG.permutation(len(at))
    return COOTensor(Tensor(at[order].astype(dtype)), Tensor(dense[tuple(at[order].T)]), dense.shape)


def csr(dense=DENSE):
    return ops.dense_to_sparse_csr(Tensor(dense))


def near(got, want, tol=1e-5):
    np.testing.assert_allclose(got.asnumpy() if isinstance(got, Tensor) else got.to_dense().asnumpy(), want, rtol=tol, atol=tol)


def test_formats_become_each_other():
    for dtype in (np.int32, np.int64):
        x = coo(dtype=dtype)
        near(x, DENSE)
        near(x.to_csr(), DENSE)
        near(x.to_csr().to_coo(), DENSE)
        assert x.to_csr().indptr.asnumpy().tolist() == [0, *np.cumsum((DENSE != 0).sum(1))]
        assert x.to_csr().indptr.dtype == x.indices.dtype
    near(Tensor(DENSE).to_coo(), DENSE)
    near(Tensor(DENSE).to_csr(), DENSE)
    x = csr()
    assert x.shape == (4, 5) and x.size == (DENSE != 0).sum() and x.ndim == 2 and x.itemsize == 4 and x.dtype == ms.float32
    near(CSRTensor(csr_tensor=x), DENSE)
    near(COOTensor(coo_tensor=coo()), DENSE)
    assert len(x.to_tuple()) == 4 and x.astype(ms.float64).values.dtype == ms.float64
    assert "CSRTensor(shape=[4, 5], dtype=Float32, indptr=Tensor(shape=[5], dtype=Int32" in repr(x)
    row = RowTensor(Tensor([1, 3]), Tensor([[1.0, 2.0], [3.0, 4.0]]), (4, 2))
    assert row.to_dense().asnumpy().tolist() == [[0, 0], [1, 2], [0, 0], [3, 4]] and row.dense_shape == (4, 2)
    assert SparseTensor(Tensor([[0, 1, 2]]), Tensor([5.0]), (1, 2, 3)).to_dense().asnumpy()[0, 1, 2] == 5
    assert ops.csr2coo(Tensor([0, 2, 2, 3]), 3).asnumpy().tolist() == [0, 0, 2]
    assert ops.coo2csr(Tensor([0, 0, 2]), 3).asnumpy().tolist() == [0, 2, 2, 3]


def test_sums_and_products():
    near(coo() + coo(OTHER), DENSE + OTHER)
    near(coo() - coo(OTHER), DENSE - OTHER)
    near(csr() + csr(OTHER), DENSE + OTHER)
    near(csr() - csr(OTHER), DENSE - OTHER)
    near(ops.csr_add(csr(), csr(OTHER), Tensor(2.0), Tensor(-3.0)), 2 * DENSE - 3 * OTHER)
    near(-coo(), -DENSE)
    near(coo() + Tensor(OTHER), DENSE + OTHER)
    near(Tensor(OTHER) - coo(), OTHER - DENSE)
    near(coo() * Tensor(OTHER), DENSE * OTHER)
    near(Tensor(OTHER) * csr(), DENSE * OTHER)
    near(csr() * Tensor(OTHER[:, :1]), DENSE * OTHER[:, :1])
    near(csr() / Tensor(np.abs(OTHER) + 1), DENSE / (np.abs(OTHER) + 1))
    near(ops.csr_mul(csr(), 2.0), csr().values.asnumpy() * 2)
    w = RNG.randn(5, 3).astype(np.float32)
    near(csr().mm(Tensor(w)), DENSE @ w)
    near(csr().mv(Tensor(w[:, :1])), DENSE @ w[:, :1])
    near(csr().mm(csr(OTHER.T.copy())), DENSE @ OTHER.T)
    near(ops.csr_mm(csr(), csr(OTHER), trans_a=True), DENSE.T @ OTHER)
    near(ops.csr_mm(csr(), csr(OTHER), adjoint_b=True), DENSE @ OTHER.T)
    near(csr().sum(1), DENSE.sum(1, keepdims=True))
    near(ops.coo_concat((coo(), coo(OTHER)), 0), np.concatenate((DENSE, OTHER)))
    near(ops.coo_concat((coo(), coo(OTHER)), 1), np.concatenate((DENSE, OTHER), 1))
    small = ops.coo_add(coo(), coo(OTHER), Tensor(1.0))
    near(small, np.where(np.abs(DENSE + OTHER) >= 1, DENSE + OTHER, 0))
    rows = ops.csr_softmax(csr(), ms.float32).to_dense().asnumpy()
    want = np.where(DENSE != 0, np.exp(DENSE), 0)
    near(Tensor(rows), want / np.maximum(want.sum(1, keepdims=True), 1e-30))


def test_what_stands_twice_is_added():
    twice = COOTensor(Tensor([[1, 2], [0, 1], [1, 2]]), Tensor([1.0, 4.0, 5.0]), (3, 3))
    merged = twice.coalesce()
    assert merged.indices.asnumpy().tolist() == [[0, 1], [1, 2]] and merged.values.asnumpy().tolist() == [4, 6]
    indices, values, _ = ops.coalesce(Tensor([[1, 0, 1], [2, 1, 2]]), Tensor([1.0, 4.0, 5.0]), Tensor([3, 3]))
    assert indices.asnumpy().tolist() == [[0, 1], [1, 2]] and values.asnumpy().tolist() == [4, 6]


@pytest.mark.parametrize("name", ("abs", "cos", "exp", "inv", "isinf", "neg", "relu6", "round", "softsign", "tanh"))
def test_functions_of_the_values(name):
    function = {"inv": np.reciprocal, "neg": np.negative, "relu6": lambda v: np.clip(v, 0, 6), "softsign": lambda v: v / (1 + np.abs(v))}.get(name) or getattr(np, name)
    x = csr()
    near(getattr(ops, f"csr_{name}")(x).values, function(x.values.asnumpy()))
    near(getattr(ops, f"coo_{name}")(coo()).values.sum(), function(x.values.asnumpy()).sum(), 1e-4)
    for wrong in (f"csr_{name}", f"coo_{name}"):
        with pytest.raises(errors.TypeError):
            getattr(ops, wrong)(Tensor(DENSE))


def test_gradients_go_through_the_values():
    x, w = csr(), RNG.randn(5, 3).astype(np.float32)
    at = np.nonzero(DENSE)

    def loss(values, w):
        return (CSRTensor(x.indptr, x.indices, values, x.shape).mm(w) * Tensor(RNG_FACTOR)).sum()

    RNG_FACTOR = np.arange(12, dtype=np.float32).reshape(4, 3)
    by_values, by_w = ms.grad(loss, (0, 1))(x.values, Tensor(w))
    near(by_values, (RNG_FACTOR @ w.T)[at], 1e-4)
    near(by_w, DENSE.T @ RNG_FACTOR, 1e-4)
    for f in (lambda v: (x.with_values(v) + csr(OTHER)).to_dense(), lambda v: x.with_values(v).to_coo().to_dense(),
              lambda v: x.with_values(v).to_coo().coalesce().values):
        near(ms.grad(lambda v: f(v).sum())(x.values), np.ones(x.size))
    near(ms.grad(lambda v: x.with_values(v).mm(csr(OTHER.T.copy())).to_dense().sum())(x.values), OTHER.sum(0)[at[1]], 1e-4)


def test_compiled_functions_take_and_give_sparse_tensors():
    twice = jit(lambda x: x.with_values(x.values * 2))
    near(twice(csr()), DENSE * 2)
    near(twice(csr(OTHER)), OTHER * 2)
    near(jit(lambda x, w: x.mm(w))(csr(), Tensor(OTHER.T.copy())), DENSE @ OTHER.T)
    near(jit(lambda x: x.to_csr().to_dense())(coo()), DENSE)

    class Net(nn.Cell):
        def construct(self, a, b, x):
            while a > b:
                x = CSRTensor(x.indptr, x.indices, x.values + 1, x.shape)
                b = b + 1
            return x

    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        near(Net()(Tensor(3), Tensor(1), csr()), np.where(DENSE != 0, DENSE + 2, 0))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_wrong_parts_are_refused():
    at, v = Tensor([[0, 1]]), Tensor([1.0])
    for error, make in ((errors.TypeError, lambda: COOTensor([[0, 1]], v, (3, 4))), (errors.TypeError, lambda: COOTensor(at.astype(ms.float32), v, (3, 4))),
                        (errors.TypeError, lambda: COOTensor(at, v, [3, 4])), (errors.ValueError, lambda: COOTensor(at, v, (3, 4, 5))),
                        (errors.ValueError, lambda: COOTensor(at, Tensor([1.0, 2.0]), (3, 4))), (errors.ValueError, lambda: COOTensor(at, v, (0, 4))),
                        (errors.ValueError, lambda: CSRTensor(Tensor([0, 1]), Tensor([0]), v, (3, 4))),
                        (errors.ValueError, lambda: CSRTensor(Tensor([0, 1, 1, 1]), Tensor([0, 1]), v, (3, 4))),
                        (errors.TypeError, lambda: CSRTensor(csr_tensor=at)), (errors.ValueError, lambda: coo() + Tensor(DENSE[:2])),
                        (errors.TypeError, lambda: csr() + Tensor(DENSE)), (errors.ValueError, lambda: csr().mv(Tensor([1.0]))),
                        (errors.ValueError, lambda: csr().sum(0)), (errors.TypeError, lambda: ops.csr_mm(csr(), Tensor(DENSE))),
                        (errors.ValueError, lambda: ops.coo_concat((coo(),)))):
        with pytest.raises(error):
            make()
