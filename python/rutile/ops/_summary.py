# SPDX-License-Identifier: Apache-2.0
"""Operators that show a value of a network in the summary of a training (rutile.train.SummaryRecord, SummaryCollector)."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.operations import Primitive

_errors = _rutile.errors

__all__ = ["HistogramSummary", "ImageSummary", "ScalarSummary", "TensorSummary"]


def _record(kind, name, value, text):
    who = f"{kind.title()}Summary"
    if not isinstance(name, str) or not name:
        raise _errors.TypeError(f"[{who}] name must be a string that is not empty, got {name!r}")
    if not isinstance(value, Tensor):
        raise _errors.TypeError(f"[{who}] value must be a Tensor, got {type(value).__name__}")
    if text:
        raise _errors.ValueError(f"[{who}] {name!r} {text}, got {list(value.shape)}")
    _table.record(value, kind=kind, tag=name)


class ScalarSummary(Primitive):
    """ScalarSummary()(name, value): a number, a Tensor with one element.

    >>> import rutile
    >>> rutile.ops.ScalarSummary()("norm", rutile.Tensor(2.0))
    """

    def __call__(self, name, value):
        _record("scalar", name, value, isinstance(value, Tensor) and value.size != 1 and "must have one element")


class ImageSummary(Primitive):
    """ImageSummary()(name, value): images [n, c, h, w] with 1 or 3 channels.

    >>> import rutile
    >>> rutile.ops.ImageSummary()("input", rutile.ops.ones((2, 3, 4, 4)))
    """

    def __call__(self, name, value):
        bad = isinstance(value, Tensor) and (value.ndim != 4 or value.shape[1] not in (1, 3) or value.size == 0)
        _record("image", name, value, bad and "must be [n, c, h, w] with 1 or 3 channels")


class TensorSummary(Primitive):
    """TensorSummary()(name, value): the numbers themselves.

    >>> import rutile
    >>> rutile.ops.TensorSummary()("weights", rutile.ops.ones((2, 3)))
    """

    def __call__(self, name, value):
        _record("tensor", name, value, isinstance(value, Tensor) and value.ndim == 0 and "must have a dimension")


class HistogramSummary(Primitive):
    """HistogramSummary()(name, value): how the numbers are distributed.

    >>> import rutile
    >>> rutile.ops.HistogramSummary()("weights", rutile.ops.ones((2, 3)))
    """

    def __call__(self, name, value):
        _record("histogram", name, value, isinstance(value, Tensor) and value.ndim == 0 and "must have a dimension")
