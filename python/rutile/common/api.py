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


def __getattr__(name):
    # jit and its like stand in rutile itself, which is being imported when this module is.
    if name in ("jit", "jit_class", "ms_class", "ms_function", "mutable"):
        return getattr(_rutile, name)
    raise AttributeError(f"module 'rutile.common.api' has no attribute {name!r}")
