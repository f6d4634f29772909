# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for the element types."""

from rutile.dtype import *  # noqa: F401,F403
from rutile.dtype import __all__  # noqa: F401
