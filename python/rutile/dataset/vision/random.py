# SPDX-License-Identifier: Apache-2.0
"""Transforms of images with a random part, drawn for each sample (see rutile.dataset.config.set_seed)."""

import math as _math

import numpy as _np

from rutile import _rutile
from rutile.dataset._checks import MOST
from rutile.dataset._random import rng as _rng
from rutile.dataset.vision import images as _images
from rutile.dataset.vision import warps as _warps
from rutile.dataset.vision.base import ImageTransform
from rutile.dataset.vision.transforms import Decode, Resize
from rutile.dataset.vision.utils import Border, Inter

_errors = _rutile.errors

__all__ = ["CutOut", "RandomColorAdjust", "RandomCrop", "RandomCropDecodeResize", "RandomErasing", "RandomGrayscale",
           "RandomHorizontalFlip", "RandomResize", "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip"]


class RandomCrop(ImageTransform):
    """A window of a size at a random place of the image with `padding` around it (int, 2 or 4 of them as in Pad).

    An image that is too small is an error, unless pad_if_needed.
    """

    def __init__(self, size, padding=None, pad_if_needed=False, fill_value=0, padding_mode=Border.CONSTANT):
        check = self._checks
        self.size = check.size(size)
        self.padding = None if padding is None else check.padding(padding)
        self.pad_if_needed, self.fill_value = check.truth("pad_if_needed", pad_if_needed), check.fill(fill_value)
        self.padding_mode = check.kind("padding_mode", padding_mode, Border)

    def padded(self, x):
        """The image with its padding, and how much of it is on the left and on top."""
        left = top = 0
        if self.padding is not None:
            x = _images.pad(x, *self.padding, self.fill_value, self.padding_mode)
            left, top = self.padding[:2]
        h, w = self.size
        dy, dx = max(h - x.shape[0], 0), max(w - x.shape[1], 0)
        if (dy or dx) and not self.pad_if_needed:
            raise _errors.RuntimeError(f"[RandomCrop] the size {h} x {w} is larger than the image with padding, {x.shape[0]} x "
                                       f"{x.shape[1]}; pad_if_needed=True pads it")
        if dy or dx:
            x = _images.pad(x, dx, dy, dx, dy, self.fill_value, self.padding_mode)
        return x, left + dx, top + dy

    def corner(self, x):
        """The upper left corner of a window, drawn at random."""
        return int(_rng().integers(x.shape[0] - self.size[0] + 1)), int(_rng().integers(x.shape[1] - self.size[1] + 1))

    def _apply(self, x):
        x, _, _ = self.padded(x)
        top, left = self.corner(x)
        return x[top:top + self.size[0], left:left + self.size[1]]


class RandomResizedCrop(ImageTransform):
    """A window with a part of the image's area within `scale` and an aspect ratio within `ratio`, resized to a size."""

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3. / 4., 4. / 3.), interpolation=Inter.LINEAR, max_attempts=10):
        check = self._checks
        self.size, self.scale, self.ratio = check.size(size), check.span("scale", scale), check.span("ratio", ratio)
        check.positive("scale[1]", scale[1])
        check.positive("ratio[0]", ratio[0])
        self.interpolation = check.kind("interpolation", interpolation, Inter)
        self.max_attempts = check.integer("max_attempts", max_attempts, 1)

    def window(self, h, w):
        """(top, left, height, width) of a window in an image [h, w], drawn at random."""
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
        top, left, h, w = self.window(*x.shape[:2])
        return _images.resize(x[top:top + h, left:left + w], *self.size, self.interpolation)


class RandomCropDecodeResize(RandomResizedCrop):
    """RandomResizedCrop of the bytes of a JPEG or PNG file. Needs Pillow."""

    def _one(self, x):
        return self._apply(Decode()(x))


class _RandomFlip(ImageTransform):
    """Mirrors with a probability."""

    def __init__(self, prob=0.5):
        self.prob = self._checks.prob(prob)

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
        self.prob = self._checks.prob(prob)

    def _apply(self, x):
        if _rng().random() >= self.prob or x.ndim == 2 or x.shape[2] == 1:
            return x
        return _np.stack([_images.back(_images.grey(x), x.dtype)] * 3, -1)


class RandomRotation(ImageTransform):
    """Turned by a random angle within (-degrees, degrees) or a range of degrees."""

    def __init__(self, degrees, resample=Inter.NEAREST, expand=False, center=None, fill_value=0):
        self.degrees, self.args = self._checks.degrees(degrees), self._checks.warp(resample, expand, center, fill_value)

    def _apply(self, x):
        return _warps.rotate(x, _rng().uniform(*self.degrees), *self.args)


class RandomResize(ImageTransform):
    """Resized by a way of interpolation drawn at random."""

    def __init__(self, size):
        self.size = self._checks.resized(size)

    def _apply(self, x):
        how = (Inter.NEAREST, Inter.LINEAR, Inter.CUBIC, Inter.AREA)[int(_rng().integers(4))]
        return Resize(self.size, how)(x)


class RandomColorAdjust(ImageTransform):
    """Brightness, contrast, saturation and hue changed by random factors: a number v is the range (1 - v, 1 + v), for hue
    (-v, v); in a random order."""

    def __init__(self, brightness=(1, 1), contrast=(1, 1), saturation=(1, 1), hue=(0, 0)):
        factor = self._checks.factor
        self.changes = [(_images.brightness, factor("brightness", brightness), 1), (_images.contrast, factor("contrast", contrast), 1),
                        (_images.saturation, factor("saturation", saturation), 1), (_images.hue, factor("hue", hue, 0, -0.5, 0.5), 0)]

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
        check = self._checks
        self.prob, self.scale, self.ratio = check.prob(prob), check.span("scale", scale), check.span("ratio", ratio)
        check.positive("scale[1]", scale[1])
        check.positive("ratio[0]", ratio[0])
        if value != "random" and not (isinstance(value, (list, tuple)) and len(value) == 3) and not isinstance(value, int):
            raise check.value_error("The value for erasing should be either a single value, or a string 'random', or a sequence of "
                                    f"3 elements for RGB respectively. Got {value!r}")
        for v in () if value == "random" else value if isinstance(value, (list, tuple)) else (value,):
            check.integer("value", v, 0, 255)
        self.value, self.inplace = value, check.truth("inplace", inplace)
        self.max_attempts = check.integer("max_attempts", max_attempts, 1)

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
                x = x if self.inplace else x.copy()
                noise = isinstance(self.value, str)
                fill = _rng().standard_normal((c, eh, ew)) if noise else _np.asarray(self.value, x.dtype).reshape(-1, 1, 1)
                x[:, top:top + eh, left:left + ew] = fill
                return x
        return x


class CutOut(ImageTransform):
    """num_patches squares of a side of `length` at random places set to 0; channels last unless is_hwc is False."""

    def __init__(self, length, num_patches=1, is_hwc=True):
        check = self._checks
        self.length, self.patches = check.integer("length", length, 1, MOST), check.integer("num_patches", num_patches, 1, MOST)
        self.is_hwc = check.truth("is_hwc", is_hwc)

    def _apply(self, x):
        x = x.copy()
        view = x if self.is_hwc else x.transpose(1, 2, 0)
        h, w = view.shape[:2]
        for _ in range(self.patches):
            cy, cx = int(_rng().integers(h)), int(_rng().integers(w))
            top, left = max(cy - self.length // 2, 0), max(cx - self.length // 2, 0)
            view[top:cy + (self.length + 1) // 2, left:cx + (self.length + 1) // 2] = 0
        return x
