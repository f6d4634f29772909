# SPDX-License-Identifier: Apache-2.0
"""Transforms of images that have no random part: arrays [h, w, c] (or [h, w]) or PIL images."""

import numpy as _np

from rutile import _rutile
from rutile.dataset.vision import images as _images
from rutile.dataset.vision import warps as _warps
from rutile.dataset.vision.base import ImageTransform
from rutile.dataset.vision.utils import Border, ConvertMode, Inter

_errors = _rutile.errors

__all__ = ["AdjustBrightness", "AdjustContrast", "AdjustSaturation", "CenterCrop", "ConvertColor", "Crop", "Decode", "Grayscale",
           "HWC2CHW", "HorizontalFlip", "Invert", "Normalize", "NormalizePad", "Pad", "Rescale", "Resize", "Rotate", "ToNumpy",
           "ToPIL", "ToTensor", "ToType", "VerticalFlip"]


def __getattr__(name):
    # MindSpore's module has all transforms of images.
    from rutile.dataset import vision
    if not name.startswith("_") and name in vision.__all__:
        return getattr(vision, name)
    raise AttributeError(f"module 'rutile.dataset.vision.transforms' has no attribute {name!r}")


class Decode(ImageTransform):
    """The bytes of a JPEG, PNG or BMP file as pixels uint8 [h, w, 3] (with to_pil a PIL image). Needs Pillow."""

    def __init__(self, to_pil=False):
        self.to_pil = self._checks.truth("to_pil", to_pil)

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
        self.size = self._checks.resized(size)
        if interpolation is None:
            raise KeyError("[Resize] Interpolation should not be None")
        self.interpolation = self._checks.kind("interpolation", interpolation, Inter)

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
        self.size = self._checks.size(size)

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
        check = self._checks
        self.coordinates = check.pair("coordinates", coordinates, lambda what, v: check.integer(what, v, 0))
        self.size = check.size(size)

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

    _most = 255

    def __init__(self, mean, std, is_hwc=True):
        check = self._checks
        mean, std = list(check.kind("mean", mean, list, tuple, _np.ndarray)), list(check.kind("std", std, list, tuple, _np.ndarray))
        if len(mean) != len(std) or not mean:
            raise check.value_error(f"Length of mean and std must be equal. Got {len(mean)} and {len(std)}")
        for i, (m, s) in enumerate(zip(mean, std)):
            check.number(f"mean[{i}]", m, 0, self._most)
            check.number(f"std[{i}]", s, 0, self._most, open_low=True)
        self.is_hwc = check.truth("is_hwc", is_hwc)
        self.mean, self.std = _np.asarray(mean, _np.float32), _np.asarray(std, _np.float32)

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
        if self._checks.kind("dtype", dtype, str) not in ("float32", "float16"):
            raise self._checks.value_error(f"dtype only supports float32 or float16. Got {dtype!r}")
        self.dtype = _np.dtype(dtype)

    def _apply(self, x):
        x = super()._apply(x)
        widths = [(0, 0)] * 3
        widths[-1 if self.is_hwc else 0] = (0, 1)
        return _np.pad(x, widths).astype(self.dtype)


class Rescale(ImageTransform):
    """x * rescale + shift, float32."""

    def __init__(self, rescale, shift=0.0):
        self.rescale = _np.float32(self._checks.number("rescale", rescale))
        self.shift = _np.float32(self._checks.number("shift", shift))

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
    """The image, or an array of any shape, with another element type."""

    def __init__(self, data_type):
        self.data_type = _np.dtype(getattr(data_type, "name", data_type))

    def _one(self, x):
        return super()._one(x) if _images.is_pil(x) else self._apply(self._array(x))

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
        check = self._checks
        self.padding, self.fill_value = check.padding(padding), check.fill(fill_value)
        self.padding_mode = check.kind("padding_mode", padding_mode, Border)

    def _apply(self, x):
        return _images.pad(x, *self.padding, self.fill_value, self.padding_mode)


class Rotate(ImageTransform):
    """The image turned counter-clockwise."""

    def __init__(self, degrees, resample=Inter.NEAREST, expand=False, center=None, fill_value=0):
        self.degrees = self._checks.number("degrees", degrees)
        self.args = self._checks.warp(resample, expand, center, fill_value)

    def _apply(self, x):
        return _warps.rotate(x, self.degrees, *self.args)


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
        if self._checks.kind("num_output_channels", num_output_channels, int) not in (1, 3):
            raise self._checks.value_error("Number of channels of the output grayscale image should be either 1 or 3. Got "
                                           f"{num_output_channels}")
        self.channels = num_output_channels

    def _apply(self, x):
        g = x if x.ndim == 2 else x[..., 0] if x.shape[2] == 1 else _images.back(_images.grey(x), x.dtype)
        return g if self.channels == 1 else _np.stack([g] * 3, -1)


# The channels that each conversion takes; None: opaque.
_CHANNELS = {ConvertMode.COLOR_RGB2RGBA: (0, 1, 2, None), ConvertMode.COLOR_RGBA2RGB: (0, 1, 2),
             ConvertMode.COLOR_BGR2RGBA: (2, 1, 0, None), ConvertMode.COLOR_RGBA2BGR: (2, 1, 0),
             ConvertMode.COLOR_BGR2RGB: (2, 1, 0), ConvertMode.COLOR_BGRA2RGBA: (2, 1, 0, 3),
             ConvertMode.COLOR_GRAY2RGB: (0, 0, 0), ConvertMode.COLOR_GRAY2RGBA: (0, 0, 0, None)}
_TAKES = {ConvertMode.COLOR_RGBA2RGB: 4, ConvertMode.COLOR_RGBA2BGR: 4, ConvertMode.COLOR_BGRA2RGBA: 4,
          ConvertMode.COLOR_BGRA2GRAY: 4, ConvertMode.COLOR_RGBA2GRAY: 4, ConvertMode.COLOR_GRAY2RGB: 1,
          ConvertMode.COLOR_GRAY2RGBA: 1}


class ConvertColor(ImageTransform):
    """Another order or number of colours, by ConvertMode."""

    def __init__(self, convert_mode):
        self.mode = self._checks.kind("convert_mode", convert_mode, ConvertMode)

    def _apply(self, x):
        takes = _TAKES.get(self.mode, 3)
        if (1 if x.ndim == 2 else x.shape[2]) != takes:
            raise _errors.RuntimeError(f"[ConvertColor] {self.mode.name} takes {takes} channels, got an image {list(x.shape)}")
        if self.mode in (ConvertMode.COLOR_RGB2GRAY, ConvertMode.COLOR_RGBA2GRAY):
            return _images.back(_images.grey(x), x.dtype)
        if self.mode in (ConvertMode.COLOR_BGR2GRAY, ConvertMode.COLOR_BGRA2GRAY):
            return _images.back(_images.grey(x[..., 2::-1]), x.dtype)
        x = x[..., None] if x.ndim == 2 else x
        opaque = _np.full(x.shape[:2], _np.iinfo(x.dtype).max if x.dtype.kind in "ui" else 1, x.dtype)
        return _np.stack([opaque if i is None else x[..., i] for i in _CHANNELS[self.mode]], -1)


class _Adjust(ImageTransform):
    """A colour change by a factor."""

    def _apply(self, x):
        return self._change(x, self.factor)


class AdjustBrightness(_Adjust):
    """The image times a factor."""

    _change = staticmethod(_images.brightness)

    def __init__(self, brightness_factor):
        self.factor = self._checks.number("brightness_factor", brightness_factor, 0)


class AdjustContrast(_Adjust):
    """Away from the mean brightness by a factor."""

    _change = staticmethod(_images.contrast)

    def __init__(self, contrast_factor):
        self.factor = self._checks.number("contrast_factor", contrast_factor, 0)


class AdjustSaturation(_Adjust):
    """Away from grey by a factor."""

    _change = staticmethod(_images.saturation)

    def __init__(self, saturation_factor):
        self.factor = self._checks.number("saturation_factor", saturation_factor, 0)
