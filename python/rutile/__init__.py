# SPDX-License-Identifier: Apache-2.0
"""Rutile: tensors, ops, gradients, networks and compiled functions over the C++ core, by MindSpore's names.

>>> import rutile
>>> x = rutile.Tensor([1.0, 2.0, 3.0])
>>> value, grad = rutile.value_and_grad(lambda v: rutile.ops.sum(v * v))(x)
>>> float(value)
14.0
>>> grad.asnumpy().tolist()
[2.0, 4.0, 6.0]
"""

import collections as _collections
import functools as _functools
import os as _os

from rutile import _rutile
from rutile._rutile import (Error, Parameter, Tensor, from_dlpack, from_numpy, num_threads, set_num_threads)

# Messages name the user's line: the innermost one outside this folder.
_rutile._set_package_folder(_os.path.dirname(__file__) + _os.sep)

from rutile import errors  # noqa: E402
from rutile.dtype import *  # noqa: E402,F401,F403
from rutile import dtype as _dtype  # noqa: E402
from rutile.common.initializer import initializer as _initializer  # noqa: E402
from rutile.common.parameter import ParameterTuple  # noqa: E402
from rutile.common.sparse_tensor import COOTensor, CSRTensor, RowTensor, SparseTensor  # noqa: E402
from rutile.common.seed import get_seed, set_seed  # noqa: E402
from rutile.common.generator import (Generator, default_generator, get_rng_state, initial_seed, manual_seed,  # noqa: E402
                                     seed, set_rng_state)
from rutile._text import tensor_text as _tensor_text  # noqa: E402
from rutile import _tracebacks  # noqa: E402

_rutile._set_hooks(_initializer, _tensor_text)
_tracebacks.install()

from rutile import common, compat, context, ops  # noqa: E402
from rutile.common import JitConfig  # noqa: E402
from rutile.common.grad_mode import _no_grad, no_grad  # noqa: E402,F401
from rutile.common.symbol import Symbol, enable_dynamic  # noqa: E402
from rutile.context import COMPATIBLE, GRAPH_MODE, LAX, PYNATIVE_MODE, STRICT, get_context, set_context, set_device, ParallelMode  # noqa: E402
from rutile.context import get_auto_parallel_context, reset_auto_parallel_context, set_auto_parallel_context  # noqa: E402
from rutile.ops.batching import get_grad, jacfwd, jacrev, vmap  # noqa: E402
from rutile.ops.function.aliases import constexpr  # noqa: E402
from rutile.ops.transform import grad, jvp, value_and_grad, vjp  # noqa: E402
from rutile import _tensor_methods, debug, nn, profiler, train  # noqa: E402,F401
from rutile import amp  # noqa: E402
from rutile.debug import detect_anomaly, explain, summary, verify  # noqa: E402
from rutile.log import get_level, get_log_config  # noqa: E402
from rutile.profiler import Profiler  # noqa: E402
from rutile.runtime import *  # noqa: E402,F401,F403
from rutile import runtime  # noqa: E402
from rutile.train import *  # noqa: E402,F401,F403

__all__ = ["COOTensor", "CSRTensor", "Error", "GRAPH_MODE", "Generator", "JitConfig", "LAX", "PYNATIVE_MODE", "STRICT",
           "Parameter", "ParameterTuple", "Profiler", "RowTensor", "SparseTensor", "Tensor", "amp", "common", "compat",
           "constexpr", "context", "debug", "default_generator", "detect_anomaly", "errors", "explain", "frombuffer",
           "from_dlpack", "from_numpy", "get_context", "get_rng_state", "get_seed", "grad", "initial_seed", "is_tensor", "jit",
           "jit_class", "manual_seed", "ms_function", "nn", "num_threads", "ops", "profiler", "recompute", "seed",
           "set_context", "set_device", "set_num_threads", "set_rng_state", "set_seed", "summary", "train",
           "value_and_grad", "verify", "jvp", "vjp"] + _dtype.__all__ + train.__all__


__version__ = _rutile.__version__
_CurrentDevice = _collections.namedtuple("_CurrentDevice", "device_target device_id")
__all__ += ["__version__", "get_grad", "jacfwd", "jacrev", "run_check", "set_deterministic", "set_logs", "tensor", "to_dlpack", "vmap",
            "ParallelMode", "get_auto_parallel_context", "lazy_inline", "ms_class", "mutable", "no_inline",
            "reset_auto_parallel_context", "set_auto_parallel_context", "COMPATIBLE", "DeviceCtx", "Symbol", "enable_dynamic",
            "get_current_device", "get_level", "get_log_config", "ms_memory_recycle", "no_grad", "runtime", "set_recursion_limit"]
__all__ += runtime.__all__


def to_dlpack(tensor):
    """A DLPack capsule of the same memory, for from_dlpack and other libraries.

    >>> import rutile
    >>> rutile.from_dlpack(rutile.to_dlpack(rutile.Tensor([1.0, 2.0]))).asnumpy().tolist()
    [1.0, 2.0]
    """
    if not isinstance(tensor, Tensor):
        raise errors.TypeError(f"to_dlpack takes a Tensor, got {type(tensor).__name__}")
    return tensor.__dlpack__()


def __getattr__(name):
    # What needs NumPy or is seldom used is loaded when it is asked for.
    if name in ("boost", "communication", "dataset", "device_context", "experimental", "hal", "mint", "numpy", "parallel", "scipy"):
        import importlib
        return importlib.import_module(f"rutile.{name}")
    # MindSpore's element types that are named as Python's types are.
    if name in _dtype.WORDS:
        return _dtype.WORDS[name]
    from rutile import _refused
    if name in _refused.REASONS:
        return globals().setdefault(name, _refused.refused(name))
    import sys
    raise AttributeError(f"module 'rutile' has no attribute {name!r}", name=name, obj=sys.modules["rutile"])


def set_logs(topics):
    """What is written to standard error, as RUTILE_LOG says it: "recompiles,passes", "" for nothing. docs/debugging.md has the list.

    >>> import rutile
    >>> rutile.set_logs("")
    """
    _rutile.set_log_topics(topics if isinstance(topics, str) else ",".join(topics))


def set_deterministic(deterministic):
    """Takes True or False: equal calls give equal bits either way, whatever the number of threads is at the time.

    >>> import rutile
    >>> rutile.set_deterministic(True)
    """
    if not isinstance(deterministic, bool):
        raise errors.TypeError(f"set_deterministic takes a bool, got {type(deterministic).__name__}")
    set_context(deterministic="ON" if deterministic else "OFF")


def run_check():
    """Multiplies two tensors and trains a step, and prints whether the results are right.

    >>> import rutile
    >>> rutile.run_check()  # doctest: +ELLIPSIS
    Rutile version: ...
    The result of multiplication calculation is correct, Rutile has been installed on platform [CPU] successfully!
    """
    from rutile import _doctor
    _doctor.run_check()


def is_tensor(obj):
    """Whether it is a Tensor.

    >>> import rutile
    >>> rutile.is_tensor(rutile.Tensor([1])), rutile.is_tensor([1])
    (True, False)
    """
    return isinstance(obj, Tensor)


def frombuffer(buffer, dtype=None, count=-1, offset=0):
    """A Tensor [count] of the bytes of a buffer from `offset` on (-1: all of them), as numpy.frombuffer.

    >>> import rutile
    >>> rutile.frombuffer(bytes([1, 0, 2, 0]), rutile.int16).asnumpy().tolist()
    [1, 2]
    """
    import numpy
    name = str(getattr(dtype, "name", dtype or "float32"))
    return Tensor(numpy.frombuffer(buffer, numpy.dtype(name), count, offset).copy())


def tensor(input_data=None, dtype=None, shape=None, init=None, const_arg=False):
    """As the class Tensor.

    >>> import rutile
    >>> rutile.tensor([1, 2]).dtype
    rutile.int64
    """
    return Tensor(input_data, dtype, shape, init)


def jit(function=None, mode=None, input_signature=None, hash_args=None, jit_config=None, compile_once=False, *,
        fullgraph=False, passes_off="", remat="off", capture_mode=None, jit_level=None, dynamic=0, backend=None, fn=None):
    """Traces function and replays the optimised graph.

    Arguments and results are Tensors in nested tuples, lists and dicts. Other arguments (numbers, strings, None, Cells,
    whatever can be hashed) are part of what is compiled: a new value compiles again, as new shapes and dtypes do.
    Parameters that fn reads are read at each call, those it writes are written in place. Other Tensors that fn reads
    from outside become constants of the graph. Inside value_and_grad and inside another traced function it runs as it is
    written, so jit belongs around the outermost function: jit(value_and_grad(loss)).

    remat trades time for memory: "cheap" computes norms, activations, dropout masks and casts again in backward instead
    of keeping them; a size ("900MB") does so until what is kept fits it. Results are the same bits.

    if, while, for, break, continue, return, and, or, not over a tensor's value become cond and while_loop, here and in
    what is called: both branches set the same variables to tensors of equal shapes and dtypes. What needs a value
    otherwise (asnumpy(), a result whose shape depends on values, a list that a branch appends to) runs as it is written,
    not compiled, with one warning that names the line; where fullgraph is true, or after
    set_context(jit_syntax_level=STRICT), it is a RuntimeError.

    The other arguments are MindSpore's of r2.0 to 2.x and change nothing: each set of shapes is compiled by itself.

    >>> import rutile
    >>> @rutile.jit
    ... def f(x, y):
    ...     return rutile.ops.relu(x + y)
    >>> f(rutile.Tensor([1.0, -5.0]), rutile.Tensor([1.0, 1.0])).asnumpy().tolist()
    [2.0, 0.0]
    """
    fn = function if fn is None else fn
    level = (jit_config.jit_config_dict.get("jit_syntax_level", "") if jit_config is not None else "")
    fullgraph = fullgraph or level == "STRICT"
    if fn is None:
        return _functools.partial(jit, fullgraph=fullgraph, passes_off=passes_off, remat=remat)
    if not callable(fn):
        raise errors.TypeError(f"jit takes a function, got {type(fn).__name__}")
    compiled = _rutile.JitFunction(fn, passes_off, remat, bool(fullgraph))
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(fn, name):
            setattr(compiled, name, getattr(fn, name))
    return compiled


def recompute(block, *args, **kwargs):
    """block(*args, **kwargs), a Cell or function; gradients keep its arguments alone and run it again in backward.

    The second run draws the same dropout masks and writes no Parameter. It costs a second forward of the block;
    Cell.recompute() asks for it at every call of a Cell.

    >>> import rutile
    >>> f = lambda x: rutile.recompute(lambda v: (v * v).tanh(), x).sum()
    >>> [round(v, 3) for v in rutile.grad(f)(rutile.Tensor([0.5, 1.0])).asnumpy().tolist()]
    [0.94, 0.84]
    """
    return _rutile.recompute(block, args, kwargs)


ms_function = jit


def mutable(input_data, dynamic_len=False):
    """input_data itself: Tensors in it are inputs of compiled functions, numbers are part of what is compiled.

    >>> import rutile
    >>> rutile.mutable((1, 2))
    (1, 2)
    """
    if not isinstance(input_data, (int, float, list, tuple, dict, Tensor)):
        raise errors.TypeError(f"mutable takes a number, Tensor, tuple, list or dict, got {type(input_data).__name__}")
    return input_data


def ms_memory_recycle():
    """Forgets what Cells have compiled that are gone, and gives memory that no tensor holds back to the system.

    >>> import rutile
    >>> rutile.ms_memory_recycle()
    """
    import gc
    gc.collect()
    runtime.empty_cache()


def set_recursion_limit(recursion_limit=1000):
    """How deep calls may be nested while a function is traced: Python's own limit, raised to so many more.

    >>> import rutile
    >>> rutile.set_recursion_limit(2000)
    """
    import sys
    if isinstance(recursion_limit, bool) or not isinstance(recursion_limit, int):
        raise errors.TypeError(f"set_recursion_limit takes an int, got {type(recursion_limit).__name__}")
    if recursion_limit <= 0:
        raise errors.ValueError(f"set_recursion_limit takes a positive int, got {recursion_limit}")
    sys.setrecursionlimit(max(sys.getrecursionlimit(), recursion_limit))


def get_current_device():
    """The device in force: its device_target ("CPU", "GPU") and device_id.

    >>> import rutile
    >>> rutile.get_current_device().device_target
    'CPU'
    """
    return _CurrentDevice(get_context("device_target"), get_context("device_id"))


class DeviceCtx:
    """A device in force inside `with`: "CPU", "GPU" with a plugin.

    >>> import rutile
    >>> with rutile.DeviceCtx("CPU"):
    ...     x = rutile.Tensor([1.0])
    """

    def __init__(self, name, device_id=None):
        self.name, self.device_id, self._before = name, device_id, []

    def __enter__(self):
        if self.name not in ("CPU", "GPU", "Ascend"):
            raise errors.ValueError(f"DeviceCtx: the name must be one of ['CPU', 'GPU', 'Ascend'], got {self.name!r}")
        if self.device_id is not None and self.device_id < 0:
            raise errors.ValueError(f"DeviceCtx: device_id must not be negative, got {self.device_id}")
        self._before.append(get_current_device())
        set_context(device_target=self.name, device_id=self.device_id or 0)
        return self

    def __exit__(self, *error):
        before = self._before.pop()
        set_context(device_target=before.device_target, device_id=before.device_id)


def lazy_inline(function=None, attrs=None, policy=None):
    """Decorates __init__ of a Cell; changes nothing here: every Cell is traced once per compilation."""
    return (lambda f: f) if function is None else function


no_inline = lazy_inline


def jit_class(cls):
    """Decorates a class of one's own for use inside compiled functions, as MindSpore asks for; any class works there.

    >>> import rutile
    >>> @rutile.jit_class
    ... class Scale:
    ...     def __init__(self, factor):
    ...         self.factor = factor
    ...     def __call__(self, x):
    ...         return x * self.factor
    >>> float(rutile.jit(lambda x: Scale(3.0)(x))(rutile.Tensor(2.0)))
    6.0
    """
    if not isinstance(cls, type):
        raise errors.TypeError(f"Decorator jit_class can only be used for class type, but got {cls}.")
    if issubclass(cls, nn.Cell):
        raise errors.TypeError(f"Decorator jit_class is used for user-defined classes and cannot be used for nn.Cell: {cls}.")
    return cls


ms_class = jit_class
