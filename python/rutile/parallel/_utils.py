# SPDX-License-Identifier: Apache-2.0
"""What training steps of one's own ask MindSpore's inner modules for: the mode of parallelism and the number of processes.

>>> from rutile.parallel._utils import _get_device_num, _get_parallel_mode
>>> _get_parallel_mode(), _get_device_num()
('stand_alone', 1)
"""

from rutile.context import ParallelMode, get_auto_parallel_context


def _get_parallel_mode():
    return get_auto_parallel_context("parallel_mode")


def _get_gradients_mean():
    return get_auto_parallel_context("gradients_mean")


def _alone():
    return _get_parallel_mode() == ParallelMode.STAND_ALONE


def _get_device_num():
    from rutile.communication import get_group_size
    return 1 if _alone() else get_group_size()


def _get_global_rank():
    from rutile.communication import get_rank
    return 0 if _alone() else get_rank()


_get_stage_device_num = _get_device_num


def _get_parameter_broadcast():
    return get_auto_parallel_context("parameter_broadcast")


def _get_enable_parallel_optimizer():
    return get_auto_parallel_context("enable_parallel_optimizer")


def _get_full_batch():
    return get_auto_parallel_context("full_batch")


def _get_pipeline_stages():
    return 1


def _is_in_auto_parallel_mode():
    return _get_parallel_mode() in (ParallelMode.SEMI_AUTO_PARALLEL, ParallelMode.AUTO_PARALLEL)


def _is_in_data_parallel_mode():
    return _get_parallel_mode() == ParallelMode.DATA_PARALLEL


def _is_in_hybrid_parallel_mode():
    return _get_parallel_mode() == ParallelMode.HYBRID_PARALLEL


def _is_sharding_propagation():
    return False


def _is_pynative_parallel():
    return False


def _device_number_check(parallel_mode, device_number):
    if parallel_mode == ParallelMode.STAND_ALONE and device_number != 1:
        raise ValueError(f"in parallel_mode stand_alone device_number must be 1, got {device_number}")


def _parameter_broadcast_check(parallel_mode, parameter_broadcast):
    if parameter_broadcast is True and parallel_mode not in (ParallelMode.DATA_PARALLEL, ParallelMode.HYBRID_PARALLEL):
        raise ValueError(f"parameter_broadcast goes with data_parallel or hybrid_parallel, got parallel_mode {parallel_mode}")


def _reset_op_id():
    """Operations have no running numbers here."""


def _set_has_initializer(has_initializer):
    """Parameters of a dtype and shape alone get their values when they are made, so there is nothing to note."""
