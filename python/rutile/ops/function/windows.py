# SPDX-License-Identifier: Apache-2.0
"""Windows of signal processing: float32 unless dtype says otherwise, those of hann and kaiser float64, as MindSpore's."""

import math as _math

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _errors

_imported = set(globals())


def _cosines(name, window_length, periodic, dtype, weights):
    """sum of weights[k] * cos(2 pi k i / n); a periodic window is one sample of a longer one short."""
    length = window_length.asnumpy().item() if isinstance(window_length, Tensor) else window_length
    if isinstance(length, bool) or not isinstance(length, int):
        raise _errors.TypeError(f"{name}: window_length is an int, got {window_length!r}")
    if length < 0:
        raise _errors.ValueError(f"{name}: window_length must not be negative, got {length}")
    if length < 2:
        return _table.full((length,), 1, dtype or "float32")
    angle = _table.arange(0, length, 1, "float64") * (2 * _math.pi / (length if periodic else length - 1))
    total = weights[0] + sum((_table.cos(angle * float(k)) * w for k, w in enumerate(weights) if k), angle * 0.0)
    return total.cast(dtype or "float32")


def blackman_window(window_length, periodic=True, *, dtype=None):
    """0.42 - 0.5 cos(2 pi i / n) + 0.08 cos(4 pi i / n)"""
    return _cosines("blackman_window", window_length, periodic, dtype, (0.42, -0.5, 0.08))


def hann_window(window_length, periodic=True, *, dtype=None):
    """(1 - cos(2 pi i / n)) / 2

    >>> from rutile import ops
    >>> ops.hann_window(4, dtype="float32").asnumpy().tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    return _cosines("hann_window", window_length, periodic, dtype or "float64", (0.5, -0.5))


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None):
    """alpha - beta cos(2 pi i / n)"""
    return _cosines("hamming_window", window_length, periodic, dtype, (alpha, -beta))


def bartlett_window(window_length, periodic=True, *, dtype=None):
    """A triangle: 1 - |2 i / n - 1|"""
    flat = _cosines("bartlett_window", window_length, periodic, "float64", (1.0,))
    if flat.size < 2:
        return flat.cast(dtype or "float32")
    place = _table.arange(0, flat.size, 1, "float64") * (2 / (flat.size if periodic else flat.size - 1))
    return (1 - _table.abs(place - 1)).cast(dtype or "float32")


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None):
    """i0(beta sqrt(1 - (2 i / n - 1)^2)) / i0(beta), i0 the modified Bessel function"""
    flat = _cosines("kaiser_window", window_length, periodic, "float64", (1.0,))
    if flat.size < 2:
        return flat.cast(dtype or "float64")
    place = _table.arange(0, flat.size, 1, "float64") * (2 / (flat.size if periodic else flat.size - 1)) - 1
    root = _table.sqrt(_table.clip(1 - place * place, min=0.0, max=1.0))
    return (_table.i0(root * float(beta)) / _table.i0(flat * float(beta))).cast(dtype or "float64")


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
