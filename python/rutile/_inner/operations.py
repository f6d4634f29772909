# SPDX-License-Identifier: Apache-2.0
"""The bases that transforms of data of one's own are derived from in MindSpore."""

import enum as _enum


class Implementation(_enum.IntEnum):
    """Which of its two ways a transform of MindSpore takes."""

    C = 0
    PY = 1


class PyTensorOperation:
    """A transform written in Python: a derived class defines _execute_py(value) or execute_py(value)."""

    def __init__(self):
        self.transforms, self.output_type, self.implementation = [], None, Implementation.PY

    def __call__(self, *values):
        run = getattr(self, "execute_py", None) or self._execute_py
        return run(*values)

    def _execute_py(self, *values):
        raise NotImplementedError(f"{type(self).__name__} has neither execute_py nor _execute_py")


class TextTensorOperation(PyTensorOperation):
    """A transform of text written in Python."""
