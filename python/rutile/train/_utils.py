# SPDX-License-Identifier: Apache-2.0
"""MindSpore's inner helpers of training that callbacks of one's own import."""

import os as _os


def _make_directory(path, arg_name="path"):
    """The absolute path of a directory, made where it is missing."""
    if not isinstance(path, str) or not path.strip():
        raise TypeError(f"{arg_name} must be a string that names a directory, got {path!r}")
    path = _os.path.realpath(path)
    _os.makedirs(path, exist_ok=True)
    return path
