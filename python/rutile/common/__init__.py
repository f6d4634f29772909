# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for element types, parameters and initializers."""

from rutile._rutile import Parameter, Tensor, set_seed
from rutile.common import initializer
from rutile.common.parameter import ParameterTuple
from rutile.dtype import *  # noqa: F401,F403
from rutile.common import dtype

__all__ = ["Parameter", "ParameterTuple", "Tensor", "dtype", "initializer", "set_seed"] + dtype.__all__
