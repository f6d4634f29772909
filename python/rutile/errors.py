# SPDX-License-Identifier: Apache-2.0
"""The kinds of rutile.Error, each of them also the built-in exception that a Python user expects.

>>> import rutile
>>> try:
...     rutile.ops.matmul(rutile.Tensor([[1.0]]), rutile.Tensor([[1.0, 2.0], [3.0, 4.0]]))
... except ValueError as e:
...     print(isinstance(e, rutile.Error), type(e).__module__, type(e).__name__)
True rutile.errors ValueError
"""

from rutile._rutile import Error
from rutile._rutile.errors import (IndexError, InternalError, Interrupted, IOError, NotFoundError, OutOfMemoryError,
                                   RuntimeError, TypeError, UnsupportedError, ValueError)

__all__ = ["Error", "IndexError", "InternalError", "Interrupted", "IOError", "NotFoundError", "OutOfMemoryError",
           "RuntimeError", "TypeError", "UnsupportedError", "ValueError"]
