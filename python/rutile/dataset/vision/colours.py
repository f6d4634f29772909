# SPDX-License-Identifier: Apache-2.0
"""What the transforms do to the colours of arrays [h, w] or [h, w, c]."""

import numpy as _np

from rutile import _rutile
from rutile.dataset.vision.images import back

_errors = _rutile.errors


def pixels(name, x):
    """x, of uint8."""
    if x.dtype != _np.uint8:
        raise _errors.RuntimeError(f"[{name}] takes pixels of type uint8, got {x.dtype}")
    return x


def three(name, x):
    """x, an image of three channels."""
    if x.ndim < 3 or x.shape[-1] != 3:
        raise _errors.RuntimeError(f"[{name}] takes images [h, w, 3], got {list(x.shape)}")
    return x


def to_hsv(x):
    """Colours uint8 [..., 3] as hue, saturation and value, the circle of hues as 0 to 255."""
    r, g, b = (x[..., i].astype(_np.int64) for i in range(3))
    v = _np.maximum(_np.maximum(r, g), b)
    d = v - _np.minimum(_np.minimum(r, g), b)
    n = _np.arange(1, 256)
    # Divisions by fixed-point tables, as OpenCV does them.
    by_value = _np.concatenate([[0], _np.rint((255 << 12) / n)]).astype(_np.int64)
    by_span = _np.concatenate([[0], _np.rint((256 << 12) / (6.0 * n))]).astype(_np.int64)
    s = (d * by_value[v] + (1 << 11)) >> 12
    h = _np.where(v == r, g - b, _np.where(v == g, b - r + 2 * d, r - g + 4 * d))
    h = (h * by_span[d] + (1 << 11)) >> 12
    h = _np.where(h < 0, h + 256, h)
    return _np.clip(h, 0, 255), s, v


def from_hsv(h, s, v):
    """The inverse of to_hsv, uint8 [..., 3]."""
    h = h.astype(_np.float32) * _np.float32(6 / 256)
    s, v = s.astype(_np.float32) / 255, v.astype(_np.float32) / 255
    sector = _np.floor(h).astype(_np.int64)
    t = h - sector
    table = _np.stack([v, v * (1 - s), v * (1 - s * t), v * (1 - s * (1 - t))], -1)
    order = _np.array([[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2]])[sector % 6]
    return back(_np.take_along_axis(table, order, -1) * 255, _np.dtype(_np.uint8))


def turn_hue(x, shift):
    """Colours turned by a part of the circle, -0.5 to 0.5."""
    if x.dtype != _np.uint8:
        from rutile.dataset.vision.images import hue
        return hue(x, shift)
    h, s, v = to_hsv(x)
    return from_hsv((h + int(shift * 255)) % 256, s, v)


def gamma(x, power, gain):
    """gain * x^power of pixels as parts of 255, (gain * x)^power of floating images, within 0 and 1."""
    if x.dtype == _np.uint8:
        table = _np.power(_np.arange(256) / 255.0, power) * ((255.0 + 1 - 1e-3) * gain)
        return _np.clip(_np.floor(table), 0, 255).astype(_np.uint8)[x]
    if x.dtype.kind != "f":
        raise _errors.RuntimeError(f"[AdjustGamma] takes uint8 or floating images, got {x.dtype}")
    return _np.clip(_np.power(x.astype(_np.float32) * _np.float32(gain), _np.float32(power)), 0, 1).astype(x.dtype)


def sharpness(x, factor):
    """Away from the image smoothed over 3 x 3 pixels (whose edge stays) by a factor."""
    f = x.astype(_np.float32)
    smooth = f.copy()
    h, w = x.shape[:2]
    if h > 2 and w > 2:
        total = 4 * f[1:-1, 1:-1]
        for i in range(3):
            for j in range(3):
                total = total + f[i:h - 2 + i, j:w - 2 + j]
        smooth[1:-1, 1:-1] = back(total / 13, x.dtype)
    return back(smooth + (f - smooth) * _np.float32(factor), x.dtype)


def _tables(x, table):
    """Each channel through the table that a function makes of its histogram."""
    if x.ndim == 2:
        return table(_np.bincount(x.ravel(), minlength=256))[x]
    return _np.stack([_tables(x[..., i], table) for i in range(x.shape[-1])], -1)


def equalize(x):
    """Each channel with its values spread evenly."""
    def table(counts):
        first = int(_np.nonzero(counts)[0][0])
        rest = int(counts.sum() - counts[first])
        if not rest:
            return _np.arange(256, dtype=_np.uint8)
        above = _np.cumsum(counts) - counts[:first + 1].sum()
        return _np.clip(_np.rint(above * _np.float32(255 / rest)), 0, 255).astype(_np.uint8)
    return _tables(x, table) if x.size else x


def auto_contrast(x, cutoff, ignore):
    """Each channel stretched to 0 to 255, without cutoff percent of its darkest and lightest pixels, and ignored values."""
    def table(counts):
        counts = counts.copy()
        cut = int(counts.sum() * cutoff // 100)
        for order in (range(256), range(255, -1, -1)):
            rest = cut
            for i in order:
                taken = min(rest, counts[i])
                counts[i] -= taken
                rest -= taken
                if rest <= 0:
                    break
        counts[list(ignore)] = 0
        used = _np.nonzero(counts)[0]
        if len(used) == 0 or used[-1] <= used[0]:
            return _np.arange(256, dtype=_np.uint8)
        scale = 255.0 / (used[-1] - used[0])
        return _np.clip((_np.arange(256) * scale - used[0] * scale).astype(_np.int64), 0, 255).astype(_np.uint8)
    return _tables(x, table) if x.size else x


def solarize(x, low, high):
    """255 - x where x is within low and high (with low == high from there on)."""
    chosen = x >= low if low == high else (x >= low) & (x <= high)
    return _np.where(chosen, 255 - x, x).astype(x.dtype)


def posterize(x, bits):
    """The upper bits of each value."""
    return x & _np.uint8((0xFF << (8 - bits)) & 0xFF)


def _bell(n, sigma):
    w = _np.exp(-(_np.arange(n) - (n - 1) / 2)**2 / (2 * sigma * sigma))
    return (w / w.sum()).astype(_np.float32)


def blur(x, kernel, sigma):
    """The image blurred by a bell of (width, height) pixels; it is mirrored at the edges. sigma 0: from the width."""
    out = x.astype(_np.float64 if x.dtype == _np.float64 else _np.float32)
    usual = ((kernel[0] - 1) * 0.5 - 1) * 0.3 + 0.8
    for axis, n, s in ((1, kernel[0], sigma[0] or usual), (0, kernel[1], sigma[1] or sigma[0] or usual)):
        if n == 1:
            continue
        weights, length = _bell(n, s), x.shape[axis]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (n // 2, n // 2)
        wide = _np.pad(out, widths, "reflect" if length > 1 else "edge")
        out = sum(_np.take(wide, range(i, i + length), axis) * w for i, w in enumerate(weights))
    return back(out, x.dtype)
