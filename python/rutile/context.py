# SPDX-License-Identifier: Apache-2.0
"""Settings of the process: execution mode and device."""

import os as _os

from rutile import _hints, _rutile

__all__ = ["GRAPH_MODE", "PYNATIVE_MODE", "STRICT", "COMPATIBLE", "LAX", "ParallelMode", "get_auto_parallel_context", "get_context",
           "reset_auto_parallel_context", "set_auto_parallel_context", "set_context"]

RELEASE, DEBUG = 0, 1  # of debug_level
GRAPH_MODE = 0
PYNATIVE_MODE = 1
STRICT = 0
COMPATIBLE = 1
LAX = 2

_settings = {
    "mode": PYNATIVE_MODE,
    "device_target": "CPU",
    "device_id": 0,
    "deterministic": "OFF",
    "save_graphs": False,
    "save_graphs_path": ".",
    "jit_syntax_level": LAX,
    "check_bprop": False,
    "gpu_config": {},
}
# Of MindSpore, about devices, files and compilers that are not here: kept, and without effect.
_OTHERS = frozenset((
    "aoe_config", "aoe_tune_mode", "ascend_config", "auto_tune_mode", "compile_cache_path",
    "debug_level", "disable_format_transform", "enable_auto_mixed_precision", "enable_compile_cache", "enable_dump",
    "enable_graph_kernel", "enable_loop_sink", "enable_mem_reuse", "enable_profiling", "enable_reduce_precision",
    "enable_sparse", "enable_task_sink", "env_config_path", "grad_for_scalar", "graph_kernel_flags",
    "graph_memory_max_size", "inter_op_parallel_num", "jit_config", "jit_level", "load_compile_cache",
    "max_call_depth", "max_device_memory", "memory_offload", "memory_optimize_level", "mempool_block_size",
    "op_timeout", "op_tuning_conf", "precompile_only", "print_file_path", "profiling_options", "pynative_synchronize",
    "reserve_class_name_in_scope", "runtime_num_threads", "save_dump_path", "support_binary",
    "variable_memory_max_size", "deterministic_computing"))


def _choice(name, value, allowed):
    if value not in allowed:
        named = {"mode": "GRAPH_MODE (0) or PYNATIVE_MODE (1)", "jit_syntax_level": "STRICT (0), COMPATIBLE (1) or LAX (2)"}
        shown = named.get(name, f"one of {list(allowed)}")
        raise _rutile.errors.ValueError(f"set_context: {name} must be {shown}, got {value!r}")


_ALGORITHMS = ("normal", "performance", "implicit_gemm", "implicit_precomp_gemm", "gemm", "direct", "fft", "fft_tiling", "winograd",
               "winograd_nonfused")


def _use_gpu_config(value):
    """MindSpore's gpu_config: {"matmul_allow_tf32": bool, "conv_allow_tf32": bool, "conv_fprop_algo": "performance"}."""
    if not isinstance(value, dict):
        raise _rutile.errors.TypeError(f"set_context: gpu_config must be a dict, got {type(value).__name__}")
    changes = {}
    for name, wanted in value.items():
        if name in ("matmul_allow_tf32", "conv_allow_tf32"):
            if not isinstance(wanted, bool):
                raise _rutile.errors.TypeError(f"set_context: {name} of gpu_config must be a bool, got {wanted!r}")
            changes["tf32_" + name.split("_")[0]] = wanted
        elif name in ("conv_fprop_algo", "conv_dgrad_algo", "conv_wgrad_algo"):
            if wanted not in _ALGORITHMS:
                raise _rutile.errors.ValueError(f"set_context: {name} of gpu_config must be one of {list(_ALGORITHMS)}, got {wanted!r}")
            changes["autotune"] = changes.get("autotune", False) or wanted == "performance"
        else:
            raise _rutile.errors.ValueError(f"set_context: gpu_config has no setting {name!r}")
    _rutile._change_device_settings(changes)


# MindSpore's names of devices; "FAKE" is a device for tests.
_TYPES = {"CPU": "cpu", "GPU": "cuda", "FAKE": "fake"}


def _device_name(target, number=0):
    """ "cuda:1" for ("GPU", 1) or "GPU:1"."""
    kind, _, index = str(target).partition(":")
    if kind.upper() == "ASCEND":
        raise _rutile.errors.ValueError("there is no backend for Ascend; devices are 'CPU' and 'GPU'")
    if kind.upper() not in _TYPES or (index and not index.isdigit()):
        raise _rutile.errors.ValueError(f"there is no device {target!r}; devices are 'CPU' and 'GPU'")
    number = int(index) if index else number
    return "cpu" if kind.upper() == "CPU" else f"{_TYPES[kind.upper()]}:{number}"


def _target_of(name):
    """ "GPU:1" for "cuda:1"."""
    kind, _, index = name.partition(":")
    kind = next(k for k, v in _TYPES.items() if v == kind)
    return f"{kind}:{index}" if index else kind


def _use_device(target, number):
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise _rutile.errors.ValueError(f"set_context: device_id is a number from 0 on, got {number!r}")
    name = _device_name(target, number)
    if name == "cpu" and number != 0:
        raise _rutile.errors.ValueError(f"set_context: device_id must be one of [0], got {number!r}")
    _rutile._set_device(name)


def set_context(**kwargs):
    """Sets what the keywords name.

    mode: GRAPH_MODE (0) compiles each call of a Cell from outside (and what a Cell calls within it) into one graph;
    PYNATIVE_MODE (1, the default) runs op by op. Functions of rutile.ops called outside a Cell run op by op in both
    modes. device_target: "CPU" or "GPU", device_id: which of the GPUs; Tensors, Parameters and Cells made afterwards
    lie there and what is computed from them is, in the thread that sets it. A RuntimeError says what is missing where
    there is none. deterministic: "ON" or "OFF"; on the CPU results are the same in both.
    save_graphs (bool, or MindSpore's levels 0 to 3), save_graphs_path: writes the text of every compiled graph of a Cell
    below the path. jit_syntax_level: LAX (the default) runs what cannot be compiled as it is written, with a warning;
    so does COMPATIBLE; STRICT makes it an error. check_bprop: what a Cell's bprop returns must be Tensors of the arguments' dtypes.
    gpu_config: a dict. matmul_allow_tf32, conv_allow_tf32 (bools, both off at first): products and convolutions of float32 on a
    GPU may round their factors to TF32. conv_fprop_algo, conv_dgrad_algo, conv_wgrad_algo: "performance" for any of them
    times what cuDNN offers at the first call of a shape; "normal", the default, and MindSpore's names of algorithms take
    what cuDNN expects to be the fastest.
    MindSpore's settings of other devices and compilers are kept and have no effect.

    >>> import rutile
    >>> rutile.set_context(mode=rutile.PYNATIVE_MODE, gpu_config={"matmul_allow_tf32": False})
    """
    if "gpu_config" in kwargs:
        _use_gpu_config(kwargs["gpu_config"])
    if "device_target" in kwargs or "device_id" in kwargs:
        _use_device(kwargs.get("device_target", _settings["device_target"]),
                    kwargs.get("device_id", _settings["device_id"]))
    for name, value in kwargs.items():
        if name == "mode":
            _choice(name, value, (GRAPH_MODE, PYNATIVE_MODE))
        elif name in ("device_target", "device_id", "gpu_config"):
            pass  # done
        elif name == "deterministic":
            _choice(name, value, ("ON", "OFF"))
        elif name == "jit_syntax_level":
            _choice(name, value, (STRICT, COMPATIBLE, LAX))
            _rutile.set_strict_syntax(value == STRICT)
        elif name not in _settings and name not in _OTHERS:
            raise _rutile.errors.ValueError(f"set_context: there is no setting {name!r}"
                                            f"{_hints.close(name, (*_settings, *_OTHERS))}; known are {sorted(_settings)}")
        _settings[name] = value


def get_context(name):
    """The value of a setting."""
    if name not in _settings:
        raise _rutile.errors.ValueError(f"get_context: there is no setting {name!r}")
    return _settings[name]


class ParallelMode:
    """MindSpore's ways of training on several devices. STAND_ALONE and DATA_PARALLEL do something here."""

    STAND_ALONE, DATA_PARALLEL, HYBRID_PARALLEL = "stand_alone", "data_parallel", "hybrid_parallel"
    SEMI_AUTO_PARALLEL, AUTO_PARALLEL = "semi_auto_parallel", "auto_parallel"
    MODE_LIST = [STAND_ALONE, DATA_PARALLEL, HYBRID_PARALLEL, SEMI_AUTO_PARALLEL, AUTO_PARALLEL]


_PARALLEL = {"parallel_mode": ParallelMode.STAND_ALONE, "gradients_mean": False, "gradient_fp32_sync": True, "all_reduce_fusion_config": [],
             "parameter_broadcast": True, "comm_fusion": None, "dataset_strategy": "data_parallel", "enable_parallel_optimizer": False, "parallel_optimizer_config": None}
_parallel = dict(_PARALLEL)


def _whole_numbers(name, value):
    if not isinstance(value, (list, tuple)) or any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in value):
        raise _rutile.errors.TypeError(f"set_auto_parallel_context: {name} must be a list of whole numbers, got {value!r}")


def set_auto_parallel_context(**kwargs):
    """What training in several processes does; each process says the same.

    parallel_mode: ParallelMode.DATA_PARALLEL makes TrainOneStepCell and Model.train reduce the gradients over all processes;
    gradients_mean: to their mean, else (the default) to their sum. all_reduce_fusion_config: the numbers of the parameters
    behind which a message ends, [85, 160] makes three; comm_fusion={"allreduce": {"mode": "size", "config": 10}} gives their
    size in MB, "index" is all_reduce_fusion_config, "auto" 25 MB. gradient_fp32_sync=False sends gradients in bfloat16.
    enable_parallel_optimizer: optimizers that are made afterwards keep their states in shards, one on each process (ZeRO stage 1);
    parallel_optimizer_config={"parallel_optimizer_threshold": 64}: those of parameters below so many KB stay whole.
    parameter_broadcast: training starts with rank 0's parameters (the default). device_num and global_rank must be those of
    the processes. MindSpore's further settings are kept and have no effect.

    >>> import rutile
    >>> rutile.set_auto_parallel_context(parallel_mode=rutile.ParallelMode.DATA_PARALLEL, gradients_mean=True)
    >>> rutile.get_auto_parallel_context("parallel_mode")
    'data_parallel'
    >>> rutile.reset_auto_parallel_context()
    """
    for name, value in kwargs.items():
        if name == "parallel_mode":
            _choice(name, value, ParallelMode.MODE_LIST)
        elif name in ("device_num", "global_rank"):
            want = _rutile.dist.size() if name == "device_num" else _rutile.dist.rank()
            if value != want:
                raise _rutile.errors.ValueError(f"set_auto_parallel_context: {name} is {want} (communication.init() says so), got {value!r}")
        elif name in ("gradients_mean", "parameter_broadcast", "gradient_fp32_sync", "enable_parallel_optimizer") and not isinstance(value, bool):
            raise _rutile.errors.TypeError(f"set_auto_parallel_context: {name} must be a bool, got {value!r}")
        elif name == "all_reduce_fusion_config":
            _whole_numbers(name, value)
        elif name == "comm_fusion" and value is not None:
            _fusion(value)
        elif name == "parallel_optimizer_config" and value is not None:
            _optimizer_config(value)
    _parallel.update(kwargs)


def _fusion(value):
    """(MB of a message or None, where messages end) of comm_fusion."""
    group = value.get("allreduce", {}) if isinstance(value, dict) else None
    if not isinstance(group, dict) or group.get("mode", "auto") not in ("auto", "size", "index"):
        raise _rutile.errors.ValueError('set_auto_parallel_context: comm_fusion must be {"allreduce": {"mode": "auto", "size" or "index", '
                                        f'"config": ...}}}}, got {value!r}')
    mode, config = group.get("mode", "auto"), group.get("config")
    if mode == "index":
        _whole_numbers("comm_fusion", config)
        return None, list(config)
    if mode == "size" and (isinstance(config, bool) or not isinstance(config, (int, float)) or config <= 0):
        raise _rutile.errors.ValueError(f"set_auto_parallel_context: the size of comm_fusion is a number of MB, got {config!r}")
    return (float(config) if mode == "size" else None), []


def _optimizer_config(value):
    if not isinstance(value, dict):
        raise _rutile.errors.TypeError(f"set_auto_parallel_context: parallel_optimizer_config must be a dict, got {type(value).__name__}")
    least = value.get("parallel_optimizer_threshold", 64)
    if isinstance(least, bool) or not isinstance(least, (int, float)) or least < 0:
        raise _rutile.errors.ValueError("set_auto_parallel_context: parallel_optimizer_threshold of parallel_optimizer_config must be a "
                                        f"number of KB, got {least!r}")


def optimizer_shard_threshold():
    """KB from which on states of a parameter are kept in shards."""
    return float((_parallel.get("parallel_optimizer_config") or {}).get("parallel_optimizer_threshold", 64))


def gradient_messages():
    """(MB of a message, where messages end, dtype that is sent or None) as set."""
    mb, split = _fusion(_parallel["comm_fusion"]) if _parallel.get("comm_fusion") else (None, [])
    return mb or 25.0, split or list(_parallel["all_reduce_fusion_config"]), None if _parallel["gradient_fp32_sync"] else "bfloat16"


def get_auto_parallel_context(attr_key):
    """The value of a setting of set_auto_parallel_context."""
    if attr_key in ("device_num", "global_rank"):
        return _rutile.dist.size() if attr_key == "device_num" else _rutile.dist.rank()
    if attr_key not in _parallel:
        raise _rutile.errors.ValueError(f"get_auto_parallel_context: {attr_key!r} was not set")
    return _parallel[attr_key]


def reset_auto_parallel_context():
    """The settings of set_auto_parallel_context as they were at first."""
    _parallel.clear()
    _parallel.update(_PARALLEL)


def set_device(device_target, device_id=0):
    """set_context(device_target=..., device_id=...)"""
    set_context(device_target=device_target, device_id=device_id)


def _save_graph(name, text):
    if _settings["save_graphs"]:
        folder = _settings["save_graphs_path"]
        _os.makedirs(folder, exist_ok=True)
        with open(_os.path.join(folder, f"{name}.txt"), "w") as f:
            f.write(text)
