# SPDX-License-Identifier: Apache-2.0
"""Weight files read on a thread of their own, and several read as one."""

import os as _os

from rutile import _rutile
from rutile.train.serialization import load_checkpoint, load_param_into_net

_errors = _rutile.errors

__all__ = ["load_checkpoint_async", "load_segmented_checkpoints"]


def load_checkpoint_async(ckpt_file_name, net=None, strict_load=False, filter_prefix=None, dec_key=None, dec_mode="AES-GCM",
                          specify_prefix=None, choice_func=None):
    """load_checkpoint on another thread; result() of what is returned waits and gives the dict (or raises the error). The network
    must not be used before."""
    import concurrent.futures as _futures
    pool = _futures.ThreadPoolExecutor(1, "load_checkpoint")
    try:
        return pool.submit(load_checkpoint, ckpt_file_name, net, strict_load, filter_prefix, dec_key, dec_mode, specify_prefix, choice_func)
    finally:
        pool.shutdown(wait=False)


def load_segmented_checkpoints(ckpt_file_dir, net=None, strict_load=False, filter_prefix=None, dec_key=None, dec_mode="AES-GCM",
                               specify_prefix=None, choice_func=None):
    """All .ckpt files of a folder as one dict, as load_checkpoint gives it; a parameter of several files is the last one's."""
    if not isinstance(ckpt_file_dir, str):
        raise _errors.TypeError(f"[load_segmented_checkpoints] ckpt_file_dir must be a str, got {type(ckpt_file_dir).__name__}")
    if not _os.path.isdir(ckpt_file_dir):
        raise _errors.ValueError(f"[load_segmented_checkpoints] there is no folder {ckpt_file_dir!r}")
    names = sorted(f for f in _os.listdir(ckpt_file_dir) if f.endswith(".ckpt"))
    if not names:
        raise _errors.ValueError(f"[load_segmented_checkpoints] the folder {ckpt_file_dir!r} has no .ckpt file")
    found = {}
    for name in names:
        found.update(load_checkpoint(_os.path.join(ckpt_file_dir, name), None, False, filter_prefix, dec_key, dec_mode, specify_prefix,
                                     choice_func))
    if net is not None:
        load_param_into_net(net, found, strict_load)
    return found
