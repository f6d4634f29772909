# SPDX-License-Identifier: Apache-2.0
"""The kinds of rutile.Error, each of them also the built-in exception that a Python user expects.

>>> import rutile
>>> try:
...     rutile.ops.matmul(rutile.Tensor([[1.0]]), rutile.Tensor([[1.0, 2.0], [3.0, 4.0]]))
... except ValueError as e:
...     print(isinstance(e, rutile.Error), type(e).__module__, type(e).__name__)
True rutile.errors ValueError
"""

import re as _re

from rutile._rutile import Error
from rutile._rutile import error_topics as _error_topics
from rutile._rutile import explain_error as _explain_error
from rutile._rutile.errors import (IndexError, InternalError, Interrupted, IOError, NotFoundError, OutOfMemoryError,
                                   RuntimeError, TypeError, UnsupportedError, ValueError)

__all__ = ["Error", "IndexError", "InternalError", "Interrupted", "IOError", "NotFoundError", "OutOfMemoryError",
           "RuntimeError", "TypeError", "UnsupportedError", "ValueError", "explain", "topics"]

# By kind, where a message names no code. An IndexError is a ValueError, too.
_CODES = [(kind, f"RUTILE-E{number:04}") for kind, number in (
    (IndexError, 3), (TypeError, 1), (ValueError, 2), (UnsupportedError, 5), (OutOfMemoryError, 6), (NotFoundError, 7),
    (IOError, 8), (Interrupted, 9), (InternalError, 10), (Error, 4))]


def _code(error):
    """The stable code of the error, as "RUTILE-E0101"; `python -m rutile explain` says what it means and what helps."""
    named = _re.search(r"RUTILE-E\d{4}", str(error))
    return named.group() if named else next(code for kind, code in _CODES if isinstance(error, kind))


Error.code = property(_code)


def explain(code):
    """What an error of this code means and what helps, as text; ValueError for a code that there is not.

    >>> import rutile
    >>> print(rutile.errors.explain("E0105").splitlines()[0])
    RUTILE-E0105: A loop's carry changes its shape or dtype
    """
    return _explain_error(str(code))


def topics():
    """Each code with its title.

    >>> import rutile
    >>> rutile.errors.topics()[0][0]
    'RUTILE-E0001'
    """
    return _error_topics()
