# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for element types, parameters and initializers."""

from rutile._rutile import Parameter, Tensor
from rutile.common import initializer
from rutile.common.jit_config import JitConfig
from rutile.common.seed import get_seed, set_seed
from rutile.common.parameter import ParameterTuple
from rutile.common.sparse_tensor import COOTensor, CSRTensor, RowTensor, SparseTensor
from rutile.dtype import *  # noqa: F401,F403
from rutile.common import dtype

__all__ = ["COOTensor", "CSRTensor", "JitConfig", "Parameter", "ParameterTuple", "RowTensor", "SparseTensor", "Tensor", "dtype", "get_seed", "initializer", "set_seed"] + dtype.__all__


def __getattr__(name):
    # jit and its like stand in rutile itself.
    if name in ("jit", "jit_class", "ms_class", "ms_function", "mutable"):
        import rutile
        return getattr(rutile, name)
    raise AttributeError(f"module 'rutile.common' has no attribute {name!r}")
