# SPDX-License-Identifier: Apache-2.0
"""MindSpore's inner object of the settings of parallel training, which older scripts call by its methods."""

from rutile import context as _context


class _AutoParallelContext:
    """get_<setting>() and set_<setting>(value) for the settings of rutile.set_auto_parallel_context."""

    def __getattr__(self, name):
        way, _, setting = name.partition("_")
        if way == "get" and setting:
            return lambda *args: _context.get_auto_parallel_context(setting)
        if way == "set" and setting == "all_reduce_fusion_split_indices":
            return lambda indices, group="": _context.set_auto_parallel_context(all_reduce_fusion_config=list(indices))
        if way == "set" and setting:
            return lambda value: _context.set_auto_parallel_context(**{setting: value})
        raise AttributeError(name)

    def reset(self):
        """All settings as they were at first."""
        _context.reset_auto_parallel_context()


_ONE = _AutoParallelContext()


def auto_parallel_context():
    """The object."""
    return _ONE
