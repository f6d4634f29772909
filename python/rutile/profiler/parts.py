# SPDX-License-Identifier: Apache-2.0
"""Choices of MindSpore's profiler, and marks of one's own."""

import enum as _enum

from rutile import _rutile
from rutile._rutile import Span

_errors = _rutile.errors

__all__ = ["AicoreMetrics", "ExportType", "HostSystem", "ProfilerActivity", "ProfilerLevel", "mstx"]


class ProfilerActivity(_enum.Enum):
    """What is profiled."""

    CPU = "CPU"
    GPU = "GPU"
    NPU = "NPU"


class ProfilerLevel(_enum.Enum):
    """How much is measured: the same at each level."""

    LevelNone = "LevelNone"
    Level0 = "Level0"
    Level1 = "Level1"
    Level2 = "Level2"


class AicoreMetrics(_enum.Enum):
    """Counters of other devices; taken and not used."""

    AiCoreNone = -1
    PipeUtilization = 0
    ArithmeticUtilization = 1
    Memory = 2
    MemoryL0 = 3
    ResourceConflictRatio = 4
    MemoryUB = 5
    L2Cache = 6
    MemoryAccess = 7


class ExportType(_enum.Enum):
    """Formats of results."""

    Text = "text"
    Db = "db"


class HostSystem(_enum.Enum):
    """Parts of the host; taken and not used."""

    CPU = "cpu"
    MEM = "mem"
    DISK = "disk"
    NETWORK = "network"
    OSRT = "osrt"


class mstx:
    """Marks in the profile: mark(text), and range_start(text) to range_end(its number), innermost first.

    >>> from rutile.profiler import mstx
    >>> number = mstx.range_start("load")
    >>> mstx.range_end(number)
    """

    _spans = []
    _numbers = 0

    @staticmethod
    def mark(message, stream=None, domain="default"):
        """A moment."""
        with Span(message):
            pass

    @classmethod
    def range_start(cls, message, stream=None, domain="default"):
        """Begins a bar and gives its number; 0 for what is no text."""
        if not isinstance(message, str) or not message:
            return 0
        span = Span(message)
        span.__enter__()
        cls._numbers += 1
        cls._spans.append((cls._numbers, span))
        return cls._numbers

    @classmethod
    def range_end(cls, range_id, domain="default"):
        """Ends a bar, and those within it that are open."""
        if all(number != range_id for number, _ in cls._spans):
            return
        while cls._spans:
            number, span = cls._spans.pop()
            span.__exit__(None, None, None)
            if number == range_id:
                return
