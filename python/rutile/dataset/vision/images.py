# SPDX-License-Identifier: Apache-2.0
"""What the transforms do to arrays [h, w] or [h, w, c]."""

import io as _io
import math as _math

import numpy as _np

from rutile import _rutile
from rutile.dataset.vision.utils import Border, Inter

_errors = _rutile.errors


def pillow():
    """The module PIL.Image; an error says how to get it."""
    try:
        from PIL import Image
    except ImportError:
        raise _errors.RuntimeError("JPEG, PNG and PIL images need Pillow: pip install pillow") from None
    return Image


def is_pil(x):
    """Whether x is an image of Pillow's."""
    return type(x).__module__.startswith("PIL.")


def decode(data):
    """The pixels uint8 [h, w, 3] of the bytes of a JPEG, PNG or BMP file."""
    image = pillow()
    data = data.tobytes() if isinstance(data, _np.ndarray) else bytes(data)
    try:
        return _np.array(image.open(_io.BytesIO(data)).convert("RGB"))
    except Exception as e:
        raise _errors.ValueError(f"no image that can be decoded ({len(data)} bytes): {e}") from e


def back(x, dtype):
    """Floating results as pixels: rounded and held in range."""
    if dtype.kind in "ui":
        info = _np.iinfo(dtype)
        return _np.clip(_np.rint(x), info.min, info.max).astype(dtype)
    return x.astype(dtype, copy=False)


def _linear_weights(n, out):
    # Pixel centres are at half numbers; beyond the edge stands the edge's pixel.
    at = _np.clip((_np.arange(out) + 0.5) * (n / out) - 0.5, 0, n - 1)
    low = _np.floor(at).astype(_np.int64)
    return low, _np.minimum(low + 1, n - 1), (at - low).astype(_np.float32)


def _cubic(x, n, out, axis):
    at = (_np.arange(out) + 0.5) * (n / out) - 0.5
    low = _np.floor(at).astype(_np.int64)
    t = at - low
    a, total = -0.75, 0
    for k in range(-1, 3):
        d = _np.abs(t - k)
        w = _np.where(d <= 1, (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a)
        shape = [1] * x.ndim
        shape[axis] = out
        total = total + _np.take(x, _np.clip(low + k, 0, n - 1), axis) * w.reshape(shape).astype(_np.float32)
    return total


def _area(x, n, out, axis):
    edges = _np.linspace(0, n, out + 1)
    parts = []
    for lo, hi in zip(edges[:-1], edges[1:]):
        i = _np.arange(int(lo), int(_math.ceil(hi)))
        w = _np.minimum(i + 1, hi) - _np.maximum(i, lo)
        shape = [1] * x.ndim
        shape[axis] = len(i)
        parts.append((_np.take(x, i, axis) * w.reshape(shape)).sum(axis, keepdims=True) / w.sum())
    return _np.concatenate(parts, axis)


def resize(x, height, width, how=Inter.LINEAR):
    """The image with another size; linear and cubic without antialiasing, pixel centres at half numbers."""
    if (height, width) == x.shape[:2]:
        return x
    h, w = x.shape[:2]
    if how == Inter.NEAREST:
        rows = _np.minimum((_np.arange(height) * (h / height)).astype(_np.int64), h - 1)
        columns = _np.minimum((_np.arange(width) * (w / width)).astype(_np.int64), w - 1)
        return x[rows][:, columns]
    f = x.astype(_np.float64 if x.dtype == _np.float64 else _np.float32)
    if how in (Inter.CUBIC, Inter.PILCUBIC):
        return back(_cubic(_cubic(f, h, height, 0), w, width, 1), x.dtype)
    if how in (Inter.AREA, Inter.ANTIALIAS) and height <= h and width <= w:
        return back(_area(_area(f, h, height, 0), w, width, 1), x.dtype)
    low, high, t = _linear_weights(w, width)
    t = t.reshape(1, -1, *([1] * (x.ndim - 2)))
    left = f[:, low]
    f = left + (f[:, high] - left) * t
    low, high, t = _linear_weights(h, height)
    t = t.reshape(-1, *([1] * (x.ndim - 1)))
    top = f[low]
    return back(top + (f[high] - top) * t, x.dtype)


def pad(x, left, top, right, bottom, fill=0, mode=Border.CONSTANT):
    """The image with pixels around it."""
    widths = ((top, bottom), (left, right)) + ((0, 0),) * (x.ndim - 2)
    if mode != Border.CONSTANT:
        return _np.pad(x, widths, Border(mode).value)
    out = _np.empty((x.shape[0] + top + bottom, x.shape[1] + left + right, *x.shape[2:]), x.dtype)
    out[...] = _np.asarray(fill, x.dtype)
    out[top:top + x.shape[0], left:left + x.shape[1]] = x
    return out


_GREY = _np.array([0.299, 0.587, 0.114], _np.float32)


def grey(x):
    """The brightness of [h, w, 3] as float32 [h, w]."""
    return x[..., :3].astype(_np.float32) @ _GREY


def brightness(x, factor):
    """Times factor."""
    return back(x.astype(_np.float32) * factor, x.dtype)


def contrast(x, factor):
    """Away from the mean brightness by a factor."""
    mean = _np.rint(grey(x).mean() if x.ndim == 3 and x.shape[2] == 3 else x.mean())
    return back(x.astype(_np.float32) * factor + mean * (1 - factor), x.dtype)


def saturation(x, factor):
    """Away from grey by a factor."""
    return back(x.astype(_np.float32) * factor + grey(x)[..., None] * (1 - factor), x.dtype)


def hue(x, shift):
    """Colours turned by a part of the circle, -0.5 to 0.5."""
    f = x.astype(_np.float32) / (255 if x.dtype == _np.uint8 else 1)
    high, low = f.max(-1), f.min(-1)
    d = _np.where(high > low, high - low, 1)
    r, g, b = f[..., 0], f[..., 1], f[..., 2]
    angle = _np.where(high == r, (g - b) / d, _np.where(high == g, 2 + (b - r) / d, 4 + (r - g) / d)) / 6
    angle = _np.where(high > low, angle, 0) + shift
    s = _np.where(high > 0, (high - low) / _np.where(high > 0, high, 1), 0)
    out = []
    for n in (5, 3, 1):
        k = (n + angle * 6) % 6
        out.append(high - high * s * _np.clip(_np.minimum(k, 4 - k), 0, 1))
    return back(_np.stack(out, -1) * (255 if x.dtype == _np.uint8 else 1), x.dtype)
