# SPDX-License-Identifier: Apache-2.0
"""Transforms of images that have no random part: arrays [h, w, c] (or [h, w]) or PIL images."""

import numpy as _np

from rutile import _rutile
from rutile.dataset.vision import images as _images
from rutile.dataset.vision.utils import Border, ConvertMode, Inter

_errors = _rutile.errors

__all__ = ["AdjustBrightness", "AdjustContrast", "AdjustSaturation", "CenterCrop", "ConvertColor", "Crop", "Decode", "Grayscale",
           "HWC2CHW", "HorizontalFlip", "Invert", "Normalize", "NormalizePad", "Pad", "Rescale", "Resize", "Rotate", "ToNumpy",
           "ToPIL", "ToTensor", "ToType", "VerticalFlip"]


def number(name, what, value, low=None, high=None):
    """value, a number in a range."""
    if isinstance(value, bool) or not isinstance(value, (int, float, _np.number)):
        raise _errors.TypeError(f"[{name}] {what} must be a number, got {type(value).__name__}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise _errors.ValueError(f"[{name}] {what} must be {low} to {high}, got {value}" if high is not None else
                                 f"[{name}] {what} must be at least {low}, got {value}")
    return value


def size_of(name, size):
    """(height, width) of an int or a pair."""
    pair = (size, size) if isinstance(size, int) and not isinstance(size, bool) else size
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(v, int) for v in pair):
        raise _errors.TypeError(f"[{name}] size must be an int or (height, width), got {size!r}")
    if min(pair) < 1:
        raise _errors.ValueError(f"[{name}] size must be positive, got {size!r}")
    return tuple(pair)


def edges(name, padding):
    """(left, top, right, bottom) of an int, a pair (left and right, top and bottom) or four."""
    p = (padding,) if isinstance(padding, int) and not isinstance(padding, bool) else padding
    if not isinstance(p, (list, tuple)) or len(p) not in (1, 2, 4) or not all(isinstance(v, int) for v in p):
        raise _errors.TypeError(f"[{name}] padding must be an int or 2 or 4 of them, got {padding!r}")
    if min(p) < 0:
        raise _errors.ValueError(f"[{name}] padding must not be negative, got {padding!r}")
    return (p[0],) * 4 if len(p) == 1 else (p[0], p[1], p[0], p[1]) if len(p) == 2 else tuple(p)


class ImageTransform:
    """A transform of one image; several arguments are several images, a PIL image gives one back."""

    def __call__(self, *images):
        out = tuple(self._one(x) for x in images)
        return out[0] if len(out) == 1 else out

    def _one(self, x):
        if _images.is_pil(x):
            return _images.pillow().fromarray(_np.ascontiguousarray(self._apply(_np.asarray(x))))
        x = x.asnumpy() if isinstance(x, _rutile.Tensor) else x
        if not isinstance(x, _np.ndarray):
            raise _errors.TypeError(f"[{type(self).__name__}] takes an image (array, Tensor or PIL), got {type(x).__name__}")
        if x.ndim not in (2, 3):
            raise _errors.RuntimeError(f"[{type(self).__name__}] an image is [h, w] or [h, w, c], got {list(x.shape)}")
        return self._apply(x)

    def _apply(self, x):
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}()"


class Decode(ImageTransform):
    """The bytes of a JPEG, PNG or BMP file as pixels uint8 [h, w, 3] (with to_pil a PIL image). Needs Pillow."""

    def __init__(self, to_pil=False):
        self.to_pil = bool(to_pil)

    def _one(self, x):
        if _images.is_pil(x):
            return x
        if isinstance(x, _np.ndarray) and (x.ndim != 1 or x.dtype != _np.uint8) and x.dtype.kind != "S":
            raise _errors.TypeError(f"[Decode] takes the bytes of a file, got {x.dtype} {list(x.shape)}")
        pixels = _images.decode(x)
        return _images.pillow().fromarray(pixels) if self.to_pil else pixels


class Resize(ImageTransform):
    """The image with the size (height, width); an int is the shorter edge, the other one follows. No antialiasing (but PIL
    images are resized as Pillow does it)."""

    def __init__(self, size, interpolation=Inter.LINEAR):
        self.size = size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else size_of("Resize", size)
        if not isinstance(interpolation, Inter):
            raise _errors.TypeError(f"[Resize] interpolation must be an Inter, got {type(interpolation).__name__}")
        self.interpolation = interpolation

    def _target(self, h, w):
        if not isinstance(self.size, int):
            return self.size
        return (self.size, max(1, self.size * w // h)) if h <= w else (max(1, self.size * h // w), self.size)

    def _one(self, x):
        if not _images.is_pil(x):
            return super()._one(x)
        h, w = self._target(x.height, x.width)
        how = {Inter.NEAREST: 0, Inter.ANTIALIAS: 1, Inter.LINEAR: 2, Inter.AREA: 4}.get(self.interpolation, 3)
        return x.resize((w, h), how)

    def _apply(self, x):
        return _images.resize(x, *self._target(*x.shape[:2]), self.interpolation)


class CenterCrop(ImageTransform):
    """The middle of the image; one that is too small gets zeros around it."""

    def __init__(self, size):
        self.size = size_of("CenterCrop", size)

    def _apply(self, x):
        h, w = self.size
        dy, dx = max(h - x.shape[0], 0), max(w - x.shape[1], 0)
        if dy or dx:
            x = _images.pad(x, dx - dx // 2, dy - dy // 2, dx // 2, dy // 2)
        top, left = (x.shape[0] - h) // 2, (x.shape[1] - w) // 2
        return x[top:top + h, left:left + w]


class Crop(ImageTransform):
    """The window of a size whose upper left corner is at coordinates (row, column)."""

    def __init__(self, coordinates, size):
        self.coordinates, self.size = tuple(coordinates), size_of("Crop", size)

    def _apply(self, x):
        (top, left), (h, w) = self.coordinates, self.size
        if top < 0 or left < 0 or top + h > x.shape[0] or left + w > x.shape[1]:
            raise _errors.RuntimeError(f"[Crop] {h} x {w} at {self.coordinates} goes beyond the image {list(x.shape)}")
        return x[top:top + h, left:left + w]


class Normalize(ImageTransform):
    """(x - mean) / std for each channel, float32. Channels are last; first with is_hwc=False. mean and std have the scale of
    the image: 0 to 255 for pixels, 0 to 1 behind ToTensor.

    >>> import numpy as np
    >>> import rutile.dataset.vision as vision
    >>> vision.Normalize([1.0, 1.0, 2.0], [2.0, 2.0, 2.0])(np.full((1, 1, 3), 5, np.uint8)).tolist()
    [[[2.0, 2.0, 1.5]]]
    """

    def __init__(self, mean, std, is_hwc=True):
        mean, std = list(mean), list(std)
        if len(mean) != len(std) or not mean:
            raise _errors.ValueError(f"[{type(self).__name__}] mean and std must have as many values, got {len(mean)} and {len(std)}")
        for m, s in zip(mean, std):
            number(type(self).__name__, "mean", m)
            if number(type(self).__name__, "std", s) <= 0:
                raise _errors.ValueError(f"[{type(self).__name__}] std must be positive, got {s}")
        self.mean, self.std, self.is_hwc = _np.asarray(mean, _np.float32), _np.asarray(std, _np.float32), is_hwc

    def _apply(self, x):
        x = x[..., None] if x.ndim == 2 and self.is_hwc else x[None] if x.ndim == 2 else x
        channels = x.shape[-1 if self.is_hwc else 0]
        if len(self.mean) not in (1, channels):
            raise _errors.RuntimeError(f"[{type(self).__name__}] the image {list(x.shape)} has {channels} channels ("
                                       f"{'last' if self.is_hwc else 'first'}), mean and std {len(self.mean)}")
        shape = (-1,) if self.is_hwc else (-1, 1, 1)
        return (x.astype(_np.float32) - self.mean.reshape(shape)) / self.std.reshape(shape)


class NormalizePad(Normalize):
    """As Normalize, with a channel of zeros added at the end; dtype "float32" or "float16"."""

    def __init__(self, mean, std, dtype="float32", is_hwc=True):
        super().__init__(mean, std, is_hwc)
        self.dtype = _np.dtype(dtype)

    def _apply(self, x):
        x = super()._apply(x)
        widths = [(0, 0)] * 3
        widths[-1 if self.is_hwc else 0] = (0, 1)
        return _np.pad(x, widths).astype(self.dtype)


class Rescale(ImageTransform):
    """x * rescale + shift, float32."""

    def __init__(self, rescale, shift=0.0):
        self.rescale = _np.float32(number("Rescale", "rescale", rescale))
        self.shift = _np.float32(number("Rescale", "shift", shift))

    def __call__(self, *images):
        out = tuple(_np.asarray(x).astype(_np.float32) * self.rescale + self.shift for x in images)
        return out[0] if len(out) == 1 else out


class HWC2CHW(ImageTransform):
    """[h, w, c] as [c, h, w]."""

    def _apply(self, x):
        return x if x.ndim == 2 else _np.ascontiguousarray(x.transpose(2, 0, 1))


class ToTensor(ImageTransform):
    """Pixels [h, w, c] of 0 to 255 (or a PIL image) as float32 [c, h, w] of 0 to 1; floating images keep their scale."""

    def __init__(self, output_type=_np.float32):
        self.output_type = _np.dtype(getattr(output_type, "name", output_type))

    def _one(self, x):
        return super()._one(_np.asarray(x) if _images.is_pil(x) else x)

    def _apply(self, x):
        x = x[..., None] if x.ndim == 2 else x
        scale = _np.float32(255) if x.dtype == _np.uint8 else _np.float32(1)
        return _np.ascontiguousarray((x.astype(_np.float32) / scale).transpose(2, 0, 1)).astype(self.output_type, copy=False)


class ToType(ImageTransform):
    """The image with another element type."""

    def __init__(self, data_type):
        self.data_type = _np.dtype(getattr(data_type, "name", data_type))

    def _apply(self, x):
        return x.astype(self.data_type)


class ToPIL(ImageTransform):
    """The image as Pillow's. Needs Pillow."""

    def _one(self, x):
        if _images.is_pil(x):
            return x
        x = x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x
        return _images.pillow().fromarray(_np.ascontiguousarray(x))


class ToNumpy(ImageTransform):
    """A PIL image as an array."""

    def _one(self, x):
        return _np.asarray(x)


class Pad(ImageTransform):
    """Pixels around the image: padding is an int, (left and right, top and bottom) or (left, top, right, bottom)."""

    def __init__(self, padding, fill_value=0, padding_mode=Border.CONSTANT):
        self.padding, self.fill_value, self.padding_mode = edges("Pad", padding), fill_value, Border(padding_mode)

    def _apply(self, x):
        return _images.pad(x, *self.padding, self.fill_value, self.padding_mode)


class Rotate(ImageTransform):
    """The image turned counter-clockwise."""

    def __init__(self, degrees, resample=Inter.NEAREST, expand=False, center=None, fill_value=0):
        self.args = (number("Rotate", "degrees", degrees), resample, expand, center, fill_value)

    def _apply(self, x):
        return _images.rotate(x, *self.args)


class HorizontalFlip(ImageTransform):
    """Left and right exchanged."""

    def _apply(self, x):
        return x[:, ::-1]


class VerticalFlip(ImageTransform):
    """Top and bottom exchanged."""

    def _apply(self, x):
        return x[::-1]


class Invert(ImageTransform):
    """255 - x."""

    def _apply(self, x):
        return (255 - x.astype(_np.int64)).astype(x.dtype) if x.dtype.kind in "ui" else 255 - x


class Grayscale(ImageTransform):
    """The brightness, as 1 or 3 equal channels."""

    def __init__(self, num_output_channels=1):
        if num_output_channels not in (1, 3):
            raise _errors.ValueError(f"[Grayscale] num_output_channels is 1 or 3, got {num_output_channels!r}")
        self.channels = num_output_channels

    def _apply(self, x):
        g = x if x.ndim == 2 else x[..., 0] if x.shape[2] == 1 else _images.back(_images.grey(x), x.dtype)
        return g if self.channels == 1 else _np.stack([g] * 3, -1)


class ConvertColor(ImageTransform):
    """Another order or number of colours, by ConvertMode."""

    def __init__(self, convert_mode):
        self.mode = ConvertMode(convert_mode)

    def _apply(self, x):
        if self.mode == ConvertMode.COLOR_RGB2GRAY:
            return _images.back(_images.grey(x), x.dtype)
        if self.mode == ConvertMode.COLOR_GRAY2RGB:
            return _np.stack([x if x.ndim == 2 else x[..., 0]] * 3, -1)
        return x[..., ::-1]


class _Adjust(ImageTransform):
    """A colour change by a factor."""

    def __init__(self, factor):
        self.factor = number(type(self).__name__, "factor", factor, 0)

    def _apply(self, x):
        return self._change(x, self.factor)


class AdjustBrightness(_Adjust):
    """The image times a factor."""

    _change = staticmethod(_images.brightness)


class AdjustContrast(_Adjust):
    """Away from the mean brightness by a factor."""

    _change = staticmethod(_images.contrast)


class AdjustSaturation(_Adjust):
    """Away from grey by a factor."""

    _change = staticmethod(_images.saturation)
