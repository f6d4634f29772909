# SPDX-License-Identifier: Apache-2.0
"""Callbacks of Model: what happens around epochs and steps."""

from rutile.train.callback import _callback, _checkpoint, _plateau
from rutile.train.callback._callback import *  # noqa: F401,F403
from rutile.train.callback._checkpoint import *  # noqa: F401,F403
from rutile.train.callback._plateau import *  # noqa: F401,F403

__all__ = sorted(_callback.__all__ + _checkpoint.__all__ + _plateau.__all__)
