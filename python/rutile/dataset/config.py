# SPDX-License-Identifier: Apache-2.0
"""Settings of all pipelines: seed, workers, prefetch."""

import os as _os

from rutile import _rutile
from rutile.common import seed as _common_seed

_errors = _rutile.errors

__all__ = ["get_callback_timeout", "get_num_parallel_workers", "get_prefetch_size", "get_seed", "set_callback_timeout",
           "set_num_parallel_workers", "set_prefetch_size", "set_seed"]

_DEFAULT_SEED = 5489
_settings = {"seed": None, "workers": min(8, _os.cpu_count() or 1), "prefetch": 16, "timeout": 60, "edition": 0}


def _number(name, value, low, high):
    if isinstance(value, bool) or not isinstance(value, int):
        raise _errors.TypeError(f"[{name}] takes an int, got {type(value).__name__}")
    if not low <= value <= high:
        raise _errors.ValueError(f"[{name}] takes {low} to {high}, got {value}")
    return value


def set_seed(seed):
    """Order and random transforms of pipelines whose iterators are made from here on depend on this number (0 to 2^32 - 1),
    whatever the number of workers.

    >>> import rutile.dataset as ds
    >>> ds.config.set_seed(1)
    >>> data = ds.NumpySlicesDataset(list(range(5)))
    >>> a, b = ([int(x) for x, in data.create_tuple_iterator()] for _ in range(2))
    >>> a == b
    True
    """
    _settings["seed"] = _number("set_seed", seed, 0, 2**32 - 1)
    _settings["edition"] += 1


def get_seed():
    """The number that set_seed got, or that of rutile.set_seed, or MindSpore's default 5489 (every run another order)."""
    seed = seed_in_force()
    return _DEFAULT_SEED if seed is None else seed


def seed_in_force():
    """The seed of set_seed, else of rutile.set_seed, else None."""
    return _settings["seed"] if _settings["seed"] is not None else _common_seed.get_seed()


def seed_edition():
    """Changes with each new seed."""
    return _settings["edition"], _common_seed.edition()


def set_num_parallel_workers(num):
    """Workers of operations that are given no number of their own."""
    _settings["workers"] = _number("set_num_parallel_workers", num, 1, 1024)


def get_num_parallel_workers():
    """Workers of operations that are given no number of their own: the cores, at most 8."""
    return _settings["workers"]


def set_prefetch_size(size):
    """Rows (for a batched pipeline: batches) made ahead of the reader."""
    _settings["prefetch"] = _number("set_prefetch_size", size, 1, 2**31 - 1)


def get_prefetch_size():
    """Rows made ahead of the reader."""
    return _settings["prefetch"]


def workers(name, given):
    """The number of workers of an operation."""
    return get_num_parallel_workers() if given is None else _number(f"{name}: num_parallel_workers", given, 1, 1024)


def set_callback_timeout(timeout):
    """Seconds that a sync_wait waits for its sync_update before it waits no more; 60 at first."""
    _settings["timeout"] = _number("set_callback_timeout", timeout, 1, 2**31 - 1)


def get_callback_timeout():
    """Seconds that a sync_wait waits."""
    return _settings["timeout"]


# What MindSpore's pipelines can be told and these do not need: kept and given back.
_KEPT = {"auto_num_workers": False, "auto_offload": False, "autotune_interval": 0, "debug_mode": False, "dynamic_shape": False,
         "enable_autotune": False, "enable_shared_mem": False, "enable_watchdog": True, "fast_recovery": True,
         "monitor_sampling_interval": 1000, "multiprocessing_start_method": "spawn", "multiprocessing_timeout_interval": 300,
         "numa_enable": False}


def _kept(name, default):
    def get():
        return _KEPT[name]

    def set_(value, *more):
        if type(value) is not type(default):
            raise _errors.TypeError(f"[set_{name}] takes a {type(default).__name__}, got {type(value).__name__}")
        if name == "multiprocessing_start_method" and value != "spawn":
            raise _errors.ValueError("[set_multiprocessing_start_method] processes start by 'spawn'")
        _KEPT[name] = value

    get.__name__, get.__doc__ = f"get_{name}", f"The value of set_{name}."
    set_.__name__, set_.__doc__ = f"set_{name}", f"MindSpore's setting {name}: taken, and changes nothing here."
    return get, set_


for _name, _value in list(_KEPT.items()):
    globals()[f"get_{_name}"], globals()[f"set_{_name}"] = _kept(_name, _value)
    __all__ += [f"get_{_name}", f"set_{_name}"]
