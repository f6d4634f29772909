# SPDX-License-Identifier: Apache-2.0
"""Errors: their Python types, and the user's file and line in them, eagerly and in a trace."""

import pickle
import queue
import re

import numpy as np
import pytest

import rutile
from rutile import Tensor
from rutile.ops import table as ops


def location(error):
    found = re.findall(r"(\S+\.py):(\d+)", str(error))
    return [(file.rsplit("/", 1)[-1], int(line)) for file, line in found]


X = Tensor(np.ones((2, 3), np.float32))
BAD = [
    (lambda: ops.matmul(X, Tensor([[1.0, 2.0]])), ValueError, "[matmul]"),
    (lambda: X @ Tensor([[1.0, 2.0]]), ValueError, "[matmul]"),
    (lambda: X + Tensor([1.0, 2.0]), ValueError, "[add]"),
    (lambda: ops.softmax(X, axis=7), IndexError, "[softmax]"),
    (lambda: ops.softmax(X, axis=1.5), TypeError, "axis"),
    (lambda: ops.softmax(X, axis=2**80), ValueError, "axis"),
    (lambda: ops.softmax(X, nonsense=1), TypeError, "nonsense"),
    (lambda: ops.relu(X, X, X), TypeError, "[relu]"),
    (lambda: ops.relu({1: 2}), TypeError, "[relu] x: Tensor: cannot be made from dict"),
    (lambda: ops.concat([X, "a"]), TypeError, "[concat] xs: "),
    (lambda: ops.reshape(X, "\ud800"), ValueError, "surrogates"),
    (lambda: X.reshape(1, 2, 3, 4, 5, 6, 7, 8, 9), ValueError, "[reshape]"),
    (lambda: X.reshape(2, "3"), TypeError, "[reshape]"),
    (lambda: X.cast("float31"), TypeError, "float31"),
    (lambda: X.cast(object()), TypeError, "dtype"),
    (lambda: X["a"], IndexError, "str"),
    (lambda: X[5], IndexError, "index 5"),
    (lambda: X[0, 0, 0], IndexError, "too many"),
    (lambda: Tensor([[1, 2], [3]]), ValueError, "lengths"),
    (lambda: Tensor([1, [2]]), ValueError, "shapes"),
    (lambda: Tensor([[1], 2]), ValueError, "depths"),
    (lambda: Tensor(object()), TypeError, "object"),
    (lambda: Tensor(), TypeError, "input_data"),
    (lambda: Tensor(np.array(["a"])), (TypeError, ValueError), ""),
    (lambda: len(Tensor(1.0)), TypeError, "length"),
    (lambda: iter(Tensor(1.0)), TypeError, "iterated"),
    (lambda: X.item(), ValueError, ""),
    (lambda: bool(X), ValueError, ""),
    (lambda: "ab"[Tensor(1.0)], TypeError, "index"),
    (lambda: ops.embedding(Tensor([9]), X), IndexError, "[embedding]"),
    (lambda: rutile.set_num_threads("two"), TypeError, "str"),
    (lambda: rutile.set_seed(None), TypeError, "NoneType"),
    (lambda: rutile.Parameter("abc"), TypeError, "str"),
    (lambda: rutile.value_and_grad(lambda v: v, argnums=3)(X), IndexError, "argument 3"),
    (lambda: rutile.value_and_grad(lambda v: 3)(X), TypeError, "int"),
    (lambda: rutile.jit(lambda v, s: v)(X, bytearray(b"a")), TypeError, "bytearray"),
    (lambda: rutile.from_dlpack(3), TypeError, "__dlpack__"),
]


@pytest.mark.parametrize("i", range(len(BAD)))
def test_types_and_lines(i):
    call, builtin, text = BAD[i]
    with pytest.raises(builtin) as info:
        call()
    assert isinstance(info.value, rutile.Error), type(info.value)
    assert text in str(info.value)
    assert ("test_errors.py", call.__code__.co_firstlineno) in location(info.value), str(info.value)
    assert "op_functions" not in str(info.value) and "py_tensor" not in str(info.value)
    again = pickle.loads(pickle.dumps(info.value))
    assert type(again) is type(info.value) and str(again) == str(info.value)


def test_kinds_are_importable():
    for name in ("TypeError", "ValueError", "IndexError", "RuntimeError"):
        kind = getattr(rutile.errors, name)
        assert issubclass(kind, rutile.Error) and issubclass(kind, __builtins__[name])
    assert issubclass(rutile.errors.IndexError, ValueError)  # an axis out of range is both, as NumPy's


def test_an_operator_leaves_other_types_to_python():
    with pytest.raises(TypeError) as info:
        X + "a"
    assert "unsupported operand" in str(info.value)
    with pytest.raises(TypeError):
        X @ "a"
    with pytest.raises(KeyError):  # what user code raises stays what it is
        rutile.value_and_grad(lambda v: {}["missing"])(X)


def test_trace_names_the_line_of_the_op():
    @rutile.jit
    def f(a, b):
        c = a * 2.0
        return c @ b

    with pytest.raises(ValueError) as info:
        f(X, X)
    line = f.__wrapped__.__code__.co_firstlineno + 3
    assert location(info.value) == [("test_errors.py", line)], str(info.value)


READS = {
    "float": lambda v: float(v), "int": lambda v: int(v), "bool": lambda v: bool(v), "item": lambda v: v.item(),
    "numpy": lambda v: v.asnumpy(), "array": lambda v: np.asarray(v), "if": lambda v: 1 if v > 0 else 2,
    "format": lambda v: f"{v:.3f}", "pickle": lambda v: pickle.dumps(v), "index": lambda v: "abc"[v.cast("int64")],
    "dlpack": lambda v: v.__dlpack__(), "while": lambda v: [0 for _ in iter(lambda: v > 3, True)],
}


@pytest.mark.parametrize("name", READS)
def test_reading_a_value_in_a_trace(name):
    @rutile.jit(fullgraph=True)
    def f(a):
        total = ops.sum(a)
        READS[name](total)
        return a

    line = f.__wrapped__.__code__.co_firstlineno + 2
    with pytest.raises(RuntimeError) as info:
        f(X)
    text = str(info.value)
    assert isinstance(info.value, rutile.Error)
    places = location(info.value)
    assert places[0] == ("test_errors.py", READS[name].__code__.co_firstlineno), text
    if name not in ("if", "while", "index"):
        assert places[1] == ("test_errors.py", line), text
        assert "sum" in text
    assert "where()" in text
    assert float(Tensor(2.0) + 1) == 3.0  # nothing is left of the trace
    assert float(rutile.jit(ops.sum)(X)) == 6.0


def test_a_symbol_that_escaped_its_trace():
    kept = queue.Queue()

    @rutile.jit
    def f(a):
        kept.put(a + 1.0)
        return a

    f(X)
    escaped = kept.get()
    with pytest.raises(RuntimeError) as info:
        escaped.asnumpy()
    assert "has ended" in str(info.value)
    with pytest.raises(RuntimeError):
        rutile.jit(lambda v: v + escaped)(X)


def test_origins_are_the_users_lines():
    def inner(v):
        return ops.tanh(v)  # line 2 of inner

    @rutile.jit
    def f(a):
        return inner(a) * 3.0

    f(X)
    want = {f"tanh {__file__}:{inner.__code__.co_firstlineno + 1}",
            f"mul {__file__}:{f.__wrapped__.__code__.co_firstlineno + 2}"}
    assert want <= set(f.origins()), f.origins()


def test_a_replayed_error_names_the_line():
    @rutile.jit
    def f(i, table):
        return ops.embedding(i, table)

    assert f(Tensor([1]), X).shape == (1, 3)
    with pytest.raises(IndexError) as info:
        f(Tensor([9]), X)
    assert ("test_errors.py", f.__wrapped__.__code__.co_firstlineno + 2) in location(info.value), str(info.value)


def test_a_line_of_the_backward_pass():
    hook = rutile.value_and_grad(lambda v: ops.sum(ops.matmul(v, v)))
    with pytest.raises(ValueError) as info:
        hook(X)
    assert location(info.value)[0] == ("test_errors.py", hook.__wrapped__.__code__.co_firstlineno)


def test_more_wrong_uses():
    big = 10**30
    for call, kind, text in [
            (lambda: rutile.jit(lambda v: v, passes_off="nonsense"), ValueError, "known: all"),
            (lambda: rutile.jit(3), TypeError, "takes a function"),
            (lambda: ops.matmul(X, X, X, X, X, X, X), TypeError, "takes 2 inputs and 3 attributes, got 7"),
            (lambda: ops.softmax(X, X), TypeError, "axis: expects a plain value"),
            (lambda: ops.conv2d(X, X, groups=big), ValueError, "[conv2d] groups"),
            (lambda: rutile.set_seed(-1), ValueError, "not negative"),
            (lambda: rutile.value_and_grad(lambda v: v, argnums="a")(X), TypeError, "integer"),
            (lambda: X[big], IndexError, ""), (lambda: X["a"], IndexError, "bool")]:
        with pytest.raises(kind) as info:
            call()
        assert text in str(info.value) and isinstance(info.value, rutile.Error), str(info.value)


def test_names_of_keywords_are_free():
    f = rutile.value_and_grad(lambda a, fn, argnums, weights, args: ops.sum(a * fn * argnums * weights * args))
    two = Tensor(2.0)
    value, g = f(Tensor(3.0), fn=two, argnums=two, weights=two, args=two)
    assert float(value) == 48 and float(g) == 16
    g = rutile.jit(lambda self, name, fn: self + name + fn)
    assert float(g(self=two, name=two, fn=two)) == 6


def test_arrays_of_the_other_byte_order():
    for dtype in (">f4", ">i8", ">u2", ">c8", ">f8"):
        a = np.arange(5).astype(dtype)
        np.testing.assert_array_equal(Tensor(a).asnumpy(), a)
    assert X[np.int64(1)].shape == (3,) and X[np.array(0)].shape == (3,)


NESTED = """
import numpy as np
import rutile
from rutile import Tensor, nn


class Block(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)

    def construct(self, x):
        return self.conv1(x)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.SequentialCell(Block(), Block())

    def construct(self, x):
        return self.layer1(x)


rutile.set_context(mode=rutile.{mode})
net = Net()
step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.Momentum(net.trainable_params(), 0.1, 0.9))
x = Tensor(np.ones((2, 3, 8, 8), np.float32))
step(x, x)
"""


@pytest.mark.parametrize("mode", ["GRAPH_MODE", "PYNATIVE_MODE"])
def test_uncaught_errors_show_the_users_lines(tmp_path, mode):
    """What a terminal shows: at most 25 lines, no frame of the package, the op, operands, Cell and line at the end."""
    import os
    import subprocess
    import sys
    script = tmp_path / "user.py"
    script.write_text(NESTED.format(mode=mode))
    run = lambda **env: subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60,  # noqa: E731
                                       env={**os.environ, **env}).stderr
    text = run()
    lines = text.rstrip().split("\n")
    assert len(lines) <= 25 and f"{os.sep}rutile{os.sep}nn" not in text, text
    assert "return self.layer1(x)" in text and "return self.conv1(x)" in text and "step(x, x)" in text, text
    [message] = [line for line in lines if line.startswith("rutile.errors.ValueError: ")]
    for part in ("[conv2d] weight expects 3 input channels, got 8", "x f32[2,8,8,8]", "weight f32[8,3,3,3]", "layer1.1.conv1",
                 "user.py:13"):
        assert part in message, message
    full = run(RUTILE_TRACEBACK="full")
    assert f"{os.sep}rutile{os.sep}nn{os.sep}cell.py" in full and "RUTILE_TRACEBACK" not in full
