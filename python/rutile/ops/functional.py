# SPDX-License-Identifier: Apache-2.0
"""MindSpore's older place for the functions of rutile.ops."""

from rutile.ops.composite import partial  # noqa: F401
from rutile.ops.function import *  # noqa: F401,F403
from rutile.ops.function import __all__  # noqa: F401
from rutile.ops.transform import grad, value_and_grad  # noqa: F401
