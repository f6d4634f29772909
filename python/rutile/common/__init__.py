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


# What stands in rutile itself.
_OF_RUTILE = frozenset(
    "DeviceCtx Generator QuantDtype Symbol UntypedStorage default_generator enable_dynamic flops_collection from_numpy get_rng_state "
    "initial_seed is_tensor jit jit_class lazy_inline manual_seed mindio_preload ms_class ms_function ms_memory_recycle mutable "
    "no_inline recompute register_saved_tensors_hooks saved_tensors_hooks seed set_dump set_mindio_server_info set_recursion_limit "
    "set_rng_state swap_tensors tensor".split())


def __getattr__(name):
    if name in _OF_RUTILE or name in dtype.WORDS:
        import rutile
        return getattr(rutile, name)
    raise AttributeError(f"module 'rutile.common' has no attribute {name!r}")
