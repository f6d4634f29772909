# SPDX-License-Identifier: Apache-2.0
"""Uncaught errors of Rutile show the user's lines; RUTILE_TRACEBACK=full shows those of the package too."""

import os
import sys
import types

from rutile import _hints
from rutile._rutile import Error

_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def shortened(trace):
    """A traceback without the frames of this package; as it is where nothing else would be left."""
    kept = []
    at = trace
    while at is not None:
        if not os.path.abspath(at.tb_frame.f_code.co_filename).startswith(_FOLDER):
            kept.append(at)
        at = at.tb_next
    following = None
    for t in reversed(kept):
        following = types.TracebackType(following, t.tb_frame, t.tb_lasti, t.tb_lineno)
    return following or trace


def _wrapped(previous):
    def excepthook(kind, value, trace):
        if isinstance(value, Error) and trace is not None and os.environ.get("RUTILE_TRACEBACK") != "full":
            short = shortened(trace)
            value.__traceback__ = short
            if hasattr(value, "add_note"):
                value.add_note(f"(python -m rutile explain {value.code}; RUTILE_TRACEBACK=full shows the frames inside rutile)")
            trace = short
        elif trace is not None and isinstance(value, (TypeError, AttributeError, ImportError)) and hasattr(value, "add_note"):
            text = _hints.note(value, trace)
            if text:
                value.add_note(text)
        previous(kind, value, trace)

    return excepthook


def install():
    """Puts itself before the hook for uncaught exceptions."""
    sys.excepthook = _wrapped(sys.excepthook)
