# SPDX-License-Identifier: Apache-2.0
"""What the loop over the op table gives: functions, methods, signatures, gradients, random draws."""

import inspect

import numpy as np
import pytest

import rutile
from rutile import Tensor
from rutile.ops import table as ops

RNG = np.random.default_rng(3)


def test_every_function_has_a_signature_and_doc():
    functions = {n: f for n, f in vars(ops).items() if not n.startswith("_")}
    assert len(functions) > 100
    for name, function in functions.items():
        parameters = inspect.signature(function).parameters
        assert function.__doc__, name
        assert all(p.isidentifier() for p in parameters), name
    assert str(inspect.signature(ops.softmax)) == "(x, axis=-1)"
    assert inspect.signature(ops.conv2d).parameters["stride"].default == (1, 1)
    assert inspect.signature(ops.clip).parameters["min"].default == -np.inf


def test_methods():
    x = Tensor(np.arange(6, dtype=np.float32) - 2)
    assert x.reshape(2, 3).shape == x.reshape((2, 3)).shape == x.reshape([2, -1]).shape == (2, 3)
    assert x.reshape(2, 3).transpose(1, 0).shape == (3, 2)
    np.testing.assert_array_equal(x.relu().asnumpy(), np.maximum(x.asnumpy(), 0))
    assert float(x.sum()) == 3.0 and x.reshape(2, 3).sum(0, keepdims=True).shape == (1, 3)
    assert x.cast("int32").dtype == "int32" and not hasattr(x, "relu_grad")
    with pytest.raises(rutile.Error):
        x.relu(1, 2)


def test_random_draws():
    rutile.set_seed(5)
    a, b = ops.random_normal((4,)), ops.random_normal((4,))
    rutile.set_seed(5)
    np.testing.assert_array_equal(ops.random_normal(shape=(4,)).asnumpy(), a.asnumpy())
    assert (a.asnumpy() != b.asnumpy()).any()
    key = Tensor(np.array([7], np.uint64))
    u = ops.random_uniform((3,), key=key).asnumpy()
    np.testing.assert_array_equal(ops.random_uniform(key, (3,)).asnumpy(), u)
    assert ((0 <= u) & (u < 1)).all()
    y, mask = ops.dropout(Tensor(np.ones(1000, np.float32)), 0.25)
    assert set(np.unique(y.asnumpy())) <= {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_array_equal(y.asnumpy() > 0, mask.asnumpy())
    f = rutile.jit(lambda v: v + ops.random_uniform((2,)))
    first, second = f(Tensor([0.0, 0.0])).asnumpy(), f(Tensor([0.0, 0.0])).asnumpy()
    assert (first != second).any()


A = RNG.uniform(0.2, 0.9, size=(3, 4))
B = RNG.uniform(0.2, 0.9, size=(3, 4))
UNARY = ["exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin", "acos",
         "atan", "asinh", "atanh", "log1p", "expm1", "log2", "exp2", "square", "abs", "neg", "sign", "floor",
         "ceil", "round", "trunc", "relu", "sigmoid", "erf", "softplus"]
MATH = {"rsqrt": lambda a: a ** -0.5, "reciprocal": lambda a: 1 / a, "neg": np.negative,
        "relu": lambda a: np.maximum(a, 0), "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "softplus": lambda a: np.log1p(np.exp(a)),
        "erf": np.vectorize(__import__("math").erf),
        "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "atanh": np.arctanh}


@pytest.mark.parametrize("name", UNARY)
def test_unary_values_and_gradients(name):
    op = getattr(ops, name)
    np.testing.assert_allclose(op(Tensor(A)).asnumpy(), (MATH.get(name) or getattr(np, name))(A), rtol=1e-12)
    check_gradient(lambda x: ops.sum(op(x) * Tensor(B)), A)


def check_gradient(f, a, step=1e-6):
    value, grad = rutile.value_and_grad(f)(Tensor(a))
    grad = grad.asnumpy()
    for at in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[at] += step
        down[at] -= step
        slope = (float(f(Tensor(up))) - float(f(Tensor(down)))) / (2 * step)
        assert abs(slope - grad[at]) < 1e-6 * max(1, abs(slope)), (at, slope, grad[at])


LOSSES = {
    "matmul": lambda x: ops.sum(ops.matmul(x, Tensor(B.T)) ** 2),
    "softmax": lambda x: ops.sum(ops.softmax(x, 0) * Tensor(B)),
    "log_softmax": lambda x: ops.sum(ops.log_softmax(x) * Tensor(B)),
    "layer_norm": lambda x: ops.sum(ops.layer_norm(x)[0] * Tensor(B)),
    "cross_entropy": lambda x: ops.cross_entropy(x, Tensor([0, 3, 1]))[0],
    "mean": lambda x: ops.mean(ops.square(x)),
    "var": lambda x: ops.sum(ops.var(x, axes=1)),
    "logsumexp": lambda x: ops.sum(ops.logsumexp(x, axes=0)),
    "views": lambda x: ops.sum(x[::-1, 1:].T * x[None, :, :3][0].T),
    "concat": lambda x: ops.sum(ops.concat([x, x * 2.0], axis=1) ** 2),
    "where": lambda x: ops.sum(ops.where(x > 0.5, x * x, -x)),
    "gather": lambda x: ops.sum(ops.gather(x, Tensor([2, 0, 2]), axis=0) ** 2),
    "pow": lambda x: ops.sum(x ** Tensor(B)),
    "div": lambda x: ops.sum(Tensor(B) / x - x % 0.19),
    "conv2d": lambda x: ops.sum(ops.conv2d(x.reshape(1, 1, 3, 4), Tensor(np.ones((2, 1, 2, 2))), stride=1, pad=1) ** 2),
    "pool": lambda x: ops.sum(ops.max_pool2d(x.reshape(1, 1, 3, 4), kernel=2)[0] * 3.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_and_compiled_bits(name):
    f = LOSSES[name]
    check_gradient(f, A)
    eager = rutile.value_and_grad(f)(Tensor(A))
    compiled = rutile.jit(rutile.value_and_grad(f), passes_off="all")(Tensor(A))
    for e, c in zip(eager, compiled):
        assert e.asnumpy().tobytes() == c.asnumpy().tobytes()
