# SPDX-License-Identifier: Apache-2.0
"""Callbacks of Model: what happens around epochs and steps."""

from rutile.train.callback import _callback, _checkpoint, _plateau, _progress, _replicas, _summary_collector
from rutile.train.callback._callback import *  # noqa: F401,F403
from rutile.train.callback._callback import _CallbackManager, _InternalCallbackParam  # noqa: F401
from rutile.train.callback._checkpoint import *  # noqa: F401,F403
from rutile.train.callback._plateau import *  # noqa: F401,F403
from rutile.train.callback._progress import *  # noqa: F401,F403
from rutile.train.callback._replicas import *  # noqa: F401,F403
from rutile.train.callback._summary_collector import *  # noqa: F401,F403

__all__ = sorted(_callback.__all__ + _checkpoint.__all__ + _plateau.__all__ + _progress.__all__ + _replicas.__all__ + _summary_collector.__all__)


def __getattr__(name):
    from rutile import _refused
    if name in _refused.OF_TRAIN:
        return _refused.refused(name)
    raise AttributeError(f"module 'rutile.train.callback' has no attribute {name!r}")
