# SPDX-License-Identifier: Apache-2.0
"""The package: examples in its documentation run, every public name has one, nothing leaks on import."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

import rutile

MODULES = ["rutile"] + sorted(m.name for m in pkgutil.walk_packages(rutile.__path__, "rutile.") if "_rutile" not in m.name)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0
    assert module.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", []):
        o = getattr(module, public)
        if inspect.isclass(o) or inspect.isfunction(o):
            assert inspect.getdoc(o), f"{name}.{public}"


def test_import():
    code = ("import sys; before = set(sys.modules); import rutile; "
            "print(sorted(m for m in set(sys.modules) - before if m.split('.')[0] in ('numpy', 'torch')))")
    out = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0 and out.stdout == "[]\n" and not out.stderr, out


def test_dtypes():
    import copy
    import pickle
    x = rutile.Tensor([1.0])
    assert x.dtype == rutile.float32 == "float32" and x.dtype is rutile.float32 and str(x.dtype) == "Float32"
    assert repr(rutile.int8) == "rutile.int8" and {rutile.int8: 1}[rutile.int8] == 1 and rutile.float32 != "int8"
    assert pickle.loads(pickle.dumps(rutile.float16)) is rutile.float16 is copy.deepcopy(rutile.float16)
    for t in (rutile.float64, "float64", np.float64, np.dtype("float64"), "f64"):
        assert rutile.Tensor([1], t).dtype == rutile.float64
    assert rutile.Tensor([1], float).dtype == rutile.float32 and rutile.Tensor([1], bool).dtype == rutile.bool_
    assert rutile.dtype_to_nptype(rutile.int16) is np.int16 and rutile.pytype_to_dtype(int) == rutile.int64


def test_texts():
    assert repr(rutile.Tensor([1.0, 1.0])) == "Tensor(shape=[2], dtype=Float32, value= [ 1.00000000e+00,  1.00000000e+00])"
    assert str(rutile.Tensor([1.0, 2.5])) == "[1.  2.5]" and str(rutile.Tensor(3)) == "3"
    assert repr(rutile.Tensor([[1, 2], [3, 4]])) == "Tensor(shape=[2, 2], dtype=Int64, value=\n[[1, 2],\n [3, 4]])"
    big = repr(rutile.Tensor(np.arange(4e6, dtype=np.float32).reshape(2000, 2000)))
    assert "..." in big and len(big) < 1500 and "3.99999900e+06" in big and "shape=[2000, 2000]" in big
    assert "..." in str(rutile.Tensor(np.arange(5000)))
    rutile.jit(lambda x: (repr(x), x)[1])(rutile.Tensor([1.0]))  # a symbol has a text too


def test_context():
    assert rutile.get_context("mode") == rutile.PYNATIVE_MODE
    for bad in ({"mode": 3}, {"nothing": 1}, {"device_target": "Ascend"}, {"device_target": "TPU"}, {"device_id": 1},
                {"device_id": -1}):
        with pytest.raises(ValueError):
            rutile.set_context(**bad)
    with pytest.raises(ValueError):
        rutile.get_context("nothing")
    rutile.set_device("CPU")


def test_saved_graphs(tmp_path):
    rutile.set_context(mode=rutile.GRAPH_MODE, save_graphs=True, save_graphs_path=str(tmp_path))
    try:
        rutile.nn.Dense(2, 2)(rutile.Tensor([[1.0, 2.0]]))
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE, save_graphs=False, save_graphs_path=".")
    assert "linear" in (tmp_path / "Dense_0.txt").read_text()
