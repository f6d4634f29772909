# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for jit and what compiles a Cell.

>>> import rutile
>>> from rutile.common.api import jit, ms_function
>>> float(jit(lambda x: x * 2)(rutile.Tensor(3.0)))
6.0
"""

import rutile as _rutile


class _Executor:
    """MindSpore's tests compile Cells through this."""

    def compile(self, network, *args, phase="compile", do_convert=True, auto_parallel_mode=False, **kwargs):
        """Traces and compiles the Cell for such arguments; returns (phase, whether that was done)."""
        network.compile(*args, **kwargs)
        return phase, True

    def __call__(self, network, *args, phase="", **kwargs):
        return network(*args, **kwargs)


_cell_graph_executor = _executor = _Executor()


class _PynativeExecutor:
    """MindSpore's tests wait here for ops whose errors come later; each op ends, or raises, before it returns here."""

    def sync(self):
        """All ops have ended."""

    def enable_grad(self):
        """Whether gradients are recorded: no_grad() says that they are not."""
        return True

    def set_grad_flag(self, flag):
        """Gradients are recorded where grad or value_and_grad ask for them."""


_pynative_executor = _PynativeExecutor()
cells_compile_cache = {}


def __getattr__(name):
    # jit and its like stand in rutile itself, which is being imported when this module is.
    if name in ("jit", "jit_class", "ms_class", "ms_function", "mutable"):
        return getattr(_rutile, name)
    raise AttributeError(f"module 'rutile.common.api' has no attribute {name!r}")
