# SPDX-License-Identifier: Apache-2.0
"""Transforms of images with a random part, drawn for each sample (see rutile.dataset.config.set_seed)."""

import math as _math

import numpy as _np

from rutile import _rutile
from rutile.dataset._random import rng as _rng
from rutile.dataset.vision import images as _images
from rutile.dataset.vision.transforms import Decode, ImageTransform, Resize, edges, number, size_of
from rutile.dataset.vision.utils import Border, Inter

_errors = _rutile.errors

__all__ = ["CutOut", "RandomColorAdjust", "RandomCrop", "RandomCropDecodeResize", "RandomErasing", "RandomGrayscale",
           "RandomHorizontalFlip", "RandomResize", "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip"]


class RandomCrop(ImageTransform):
    """A window of a size at a random place of the image with `padding` around it (int, 2 or 4 of them as in Pad).

    An image that is too small is an error, unless pad_if_needed.
    """

    def __init__(self, size, padding=None, pad_if_needed=False, fill_value=0, padding_mode=Border.CONSTANT):
        self.size = size_of("RandomCrop", size)
        self.padding = None if padding is None else edges("RandomCrop", padding)
        self.pad_if_needed, self.fill_value, self.padding_mode = pad_if_needed, fill_value, Border(padding_mode)

    def _apply(self, x):
        if self.padding is not None:
            x = _images.pad(x, *self.padding, self.fill_value, self.padding_mode)
        h, w = self.size
        dy, dx = max(h - x.shape[0], 0), max(w - x.shape[1], 0)
        if (dy or dx) and not self.pad_if_needed:
            raise _errors.RuntimeError(f"[RandomCrop] the size {h} x {w} is larger than the image with padding, {x.shape[0]} x "
                                       f"{x.shape[1]}; pad_if_needed=True pads it")
        if dy or dx:
            x = _images.pad(x, dx, dy, dx, dy, self.fill_value, self.padding_mode)
        top = int(_rng().integers(x.shape[0] - h + 1))
        left = int(_rng().integers(x.shape[1] - w + 1))
        return x[top:top + h, left:left + w]


class RandomResizedCrop(ImageTransform):
    """A window with a part of the image's area within `scale` and an aspect ratio within `ratio`, resized to a size."""

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3. / 4., 4. / 3.), interpolation=Inter.LINEAR, max_attempts=10):
        self.size, self.scale, self.ratio = size_of(type(self).__name__, size), tuple(scale), tuple(ratio)
        for what, (a, b) in (("scale", self.scale), ("ratio", self.ratio)):
            number(type(self).__name__, what, a, 0)
            if b < a or b <= 0:
                raise _errors.ValueError(f"[{type(self).__name__}] {what} is a range, got {(a, b)}")
        self.interpolation, self.max_attempts = interpolation, int(max_attempts)

    def _window(self, h, w):
        for _ in range(self.max_attempts):
            area = h * w * _rng().uniform(*self.scale)
            ratio = _math.exp(_rng().uniform(_math.log(max(self.ratio[0], 1e-9)), _math.log(self.ratio[1])))
            cw, ch = int(round(_math.sqrt(area * ratio))), int(round(_math.sqrt(area / ratio)))
            if 0 < cw <= w and 0 < ch <= h:
                return int(_rng().integers(h - ch + 1)), int(_rng().integers(w - cw + 1)), ch, cw
        # The middle, with a ratio that fits.
        ratio = w / h
        cw = w if ratio <= self.ratio[1] else int(round(h * self.ratio[1]))
        ch = h if ratio >= self.ratio[0] else int(round(w / self.ratio[0]))
        cw, ch = max(1, min(cw, w)), max(1, min(ch, h))
        return (h - ch) // 2, (w - cw) // 2, ch, cw

    def _apply(self, x):
        top, left, h, w = self._window(*x.shape[:2])
        return _images.resize(x[top:top + h, left:left + w], *self.size, self.interpolation)


class RandomCropDecodeResize(RandomResizedCrop):
    """RandomResizedCrop of the bytes of a JPEG or PNG file. Needs Pillow."""

    def _one(self, x):
        return self._apply(Decode()(x))


class _RandomFlip(ImageTransform):
    """Mirrors with a probability."""

    def __init__(self, prob=0.5):
        self.prob = number(type(self).__name__, "prob", prob, 0, 1)

    def _apply(self, x):
        return self._flip(x) if _rng().random() < self.prob else x


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with a probability."""

    def _flip(self, x):
        return x[:, ::-1]


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with a probability."""

    def _flip(self, x):
        return x[::-1]


class RandomGrayscale(ImageTransform):
    """Without colours, with a probability."""

    def __init__(self, prob=0.1):
        self.prob = number("RandomGrayscale", "prob", prob, 0, 1)

    def _apply(self, x):
        if _rng().random() >= self.prob or x.ndim == 2 or x.shape[2] == 1:
            return x
        return _np.stack([_images.back(_images.grey(x), x.dtype)] * 3, -1)


class RandomRotation(ImageTransform):
    """Turned by a random angle within (-degrees, degrees) or a range of degrees."""

    def __init__(self, degrees, resample=Inter.NEAREST, expand=False, center=None, fill_value=0):
        if isinstance(degrees, (int, float)):
            number("RandomRotation", "degrees", degrees, 0)
            degrees = (-degrees, degrees)
        if len(degrees) != 2 or degrees[0] > degrees[1]:
            raise _errors.ValueError(f"[RandomRotation] degrees is a number or a range, got {degrees!r}")
        self.degrees, self.args = tuple(degrees), (resample, expand, center, fill_value)

    def _apply(self, x):
        return _images.rotate(x, _rng().uniform(*self.degrees), *self.args)


class RandomResize(ImageTransform):
    """Resized by a way of interpolation drawn at random."""

    def __init__(self, size):
        self.size = size

    def _apply(self, x):
        how = (Inter.NEAREST, Inter.LINEAR, Inter.CUBIC, Inter.AREA)[int(_rng().integers(4))]
        return Resize(self.size, how)(x)


def _range(what, value, centre, low, high):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number("RandomColorAdjust", what, value, 0)
        value = (max(low, centre - value), centre + value)
    a, b = value
    if not low <= a <= b <= high:
        raise _errors.ValueError(f"[RandomColorAdjust] {what} is a number or a range within {low} to {high}, got {value!r}")
    return float(a), float(b)


class RandomColorAdjust(ImageTransform):
    """Brightness, contrast, saturation and hue changed by random factors: a number v is the range (1 - v, 1 + v), for hue
    (-v, v); in a random order."""

    def __init__(self, brightness=(1, 1), contrast=(1, 1), saturation=(1, 1), hue=(0, 0)):
        inf = float("inf")
        self.changes = [(_images.brightness, _range("brightness", brightness, 1, 0, inf), 1),
                        (_images.contrast, _range("contrast", contrast, 1, 0, inf), 1),
                        (_images.saturation, _range("saturation", saturation, 1, 0, inf), 1),
                        (_images.hue, _range("hue", hue, 0, -0.5, 0.5), 0)]

    def _apply(self, x):
        for i in _rng().permutation(len(self.changes)):
            change, (low, high), neutral = self.changes[i]
            factor = _rng().uniform(low, high)
            if factor != neutral:
                x = change(x, factor)
        return x


class RandomErasing(ImageTransform):
    """A random rectangle of [c, h, w] replaced by a value ("random": noise), with a probability."""

    def __init__(self, prob=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False, max_attempts=10):
        self.prob, self.value = number("RandomErasing", "prob", prob, 0, 1), value
        self.scale, self.ratio, self.max_attempts = tuple(scale), tuple(ratio), int(max_attempts)

    def _apply(self, x):
        if _rng().random() >= self.prob:
            return x
        c, h, w = x.shape
        for _ in range(self.max_attempts):
            area = h * w * _rng().uniform(*self.scale)
            ratio = _math.exp(_rng().uniform(_math.log(self.ratio[0]), _math.log(self.ratio[1])))
            eh, ew = int(round(_math.sqrt(area * ratio))), int(round(_math.sqrt(area / ratio)))
            if 0 < eh < h and 0 < ew < w:
                top, left = int(_rng().integers(h - eh + 1)), int(_rng().integers(w - ew + 1))
                x = x.copy()
                noise = isinstance(self.value, str)
                fill = _rng().standard_normal((c, eh, ew)) if noise else _np.asarray(self.value, x.dtype).reshape(-1, 1, 1)
                x[:, top:top + eh, left:left + ew] = fill
                return x
        return x


class CutOut(ImageTransform):
    """num_patches squares of a side of `length` at random places set to 0; channels last unless is_hwc is False."""

    def __init__(self, length, num_patches=1, is_hwc=True):
        self.length, self.patches, self.is_hwc = int(length), int(num_patches), is_hwc

    def _apply(self, x):
        x = x.copy()
        view = x if self.is_hwc else x.transpose(1, 2, 0)
        h, w = view.shape[:2]
        for _ in range(self.patches):
            cy, cx = int(_rng().integers(h)), int(_rng().integers(w))
            top, left = max(cy - self.length // 2, 0), max(cx - self.length // 2, 0)
            view[top:cy + (self.length + 1) // 2, left:cx + (self.length + 1) // 2] = 0
        return x
