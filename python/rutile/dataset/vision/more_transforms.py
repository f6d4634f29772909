# SPDX-License-Identifier: Apache-2.0
"""More transforms of images that have no random part."""

import numpy as _np

from rutile import _rutile
from rutile.dataset._checks import MOST
from rutile.dataset.vision import colours as _colours
from rutile.dataset.vision import images as _images
from rutile.dataset.vision import warps as _warps
from rutile.dataset.vision.base import ImageTransform
from rutile.dataset.vision.utils import Border, Inter, SliceMode

_errors = _rutile.errors

__all__ = ["AdjustGamma", "AdjustHue", "AdjustSharpness", "Affine", "AutoContrast", "DecodeVideo", "Equalize", "Erase", "FiveCrop",
           "GaussianBlur", "HsvToRgb", "LinearTransformation", "PadToSize", "Perspective", "Posterize", "ResizedCrop", "RgbToHsv",
           "SlicePatches", "Solarize", "TenCrop"]


class AdjustGamma(ImageTransform):
    """255 * gain * (x / 255) ^ gamma of pixels; of floating images (gain * x) ^ gamma, held within 0 and 1."""

    def __init__(self, gamma, gain=1):
        self.gamma = self._checks.number("gamma", gamma, 0)
        self.gain = 1 if gain is None else self._checks.number("gain", gain)

    def _apply(self, x):
        return _colours.gamma(x, self.gamma, self.gain)


class AdjustHue(ImageTransform):
    """The colours turned by a part of the circle, -0.5 to 0.5.

    >>> import numpy as np
    >>> import rutile.dataset.vision as vision
    >>> vision.AdjustHue(0.5)(np.array([[[200, 0, 0]]], np.uint8)).shape
    (1, 1, 3)
    """

    def __init__(self, hue_factor):
        self.hue_factor = self._checks.number("hue_factor", hue_factor, -0.5, 0.5)

    def _apply(self, x):
        return _colours.turn_hue(_colours.three("AdjustHue", x), self.hue_factor)


class AdjustSharpness(ImageTransform):
    """Away from the smoothed image by a factor: 0 is smoothed, 1 the image, 2 sharper."""

    def __init__(self, sharpness_factor):
        self.factor = self._checks.number("sharpness_factor", sharpness_factor, 0)

    def _apply(self, x):
        return _colours.sharpness(x, self.factor)


class Affine(ImageTransform):
    """The image turned clockwise by degrees around its centre, moved by parts of its width and height, scaled and sheared
    (degrees along x, or x and y)."""

    def __init__(self, degrees, translate, scale, shear, resample=Inter.NEAREST, fill_value=0):
        check = self._checks

        def angle(what, v):
            return check.number(what, v, -180, 180)
        self.degrees = angle("degrees", degrees)
        self.translate = check.pair("translate", translate, lambda what, v: check.number(what, v, -1.0, 1.0))
        self.scale = check.positive("scale", scale)
        self.shear = check.pair("shear", shear, angle) if isinstance(shear, (list, tuple)) else (angle("shear", shear), 0.0)
        self.resample, self.fill_value = check.kind("resample", resample, Inter), check.fill(fill_value)

    def _apply(self, x):
        return self.at(x, self.degrees, self.translate, self.scale, self.shear, self.resample, self.fill_value)

    @staticmethod
    def at(x, degrees, translate, scale, shear, resample, fill_value):
        """An image transformed with these numbers."""
        h, w = x.shape[:2]
        m = _warps.around(degrees, (translate[0] * w, translate[1] * h), scale, (shear[0], -shear[1]), ((w - 1) / 2, (h - 1) / 2))
        return _warps.affine(x, m, h, w, resample, fill_value)


def ignored(check, ignore):
    """Pixel values as a tuple of an int, several or None."""
    if ignore is None:
        return ()
    check.kind("ignore", ignore, list, tuple, int)
    return tuple(check.integer("ignore", v, 0, 255) for v in ((ignore,) if isinstance(ignore, int) else ignore))


class AutoContrast(ImageTransform):
    """Each channel stretched to 0 to 255 without cutoff percent of its lightest and darkest pixels; ignore: values that do
    not count."""

    def __init__(self, cutoff=0.0, ignore=None):
        self.cutoff = self._checks.number("cutoff", cutoff, 0, 50, open_high=True)
        self.ignore = ignored(self._checks, ignore)

    def _apply(self, x):
        return _colours.auto_contrast(_colours.pixels(type(self).__name__, x), self.cutoff, self.ignore)


class DecodeVideo(ImageTransform):
    """Videos are not decoded: an error says what to use."""

    _refused = True

    def __init__(self):
        raise _errors.UnsupportedError("[DecodeVideo] videos are not decoded here; read their frames with PyAV or OpenCV in a "
                                          "GeneratorDataset")


class Equalize(ImageTransform):
    """Each channel with its values spread evenly over 0 to 255."""

    def _apply(self, x):
        return _colours.equalize(_colours.pixels(type(self).__name__, x))


class Erase(ImageTransform):
    """A window of the image [h, w, c] replaced by a value, one or one per channel."""

    def __init__(self, top, left, height, width, value=0.0, inplace=False):
        check = self._checks
        self.window = (check.integer("top", top, 0), check.integer("left", left, 0), check.integer("height", height, 1),
                       check.integer("width", width, 1))
        self.inplace = check.truth("inplace", inplace)
        check.kind("value", value, int, float, tuple)
        values = (value,) * 3 if isinstance(value, (int, float)) else value
        if len(values) != 3:
            raise check.type_error(f"value should be a single integer/float or a 3-tuple. Got {value!r}")
        self.value = tuple(check.number(f"value[{i}]", v, 0, 255) for i, v in enumerate(values))

    def _apply(self, x):
        top, left, h, w = self.window
        if top >= x.shape[0] or left >= x.shape[1] or x.ndim != 3:
            raise _errors.RuntimeError(f"[Erase] a window at ({top}, {left}) of an image [h, w, c] is asked for, got {list(x.shape)}")
        x = x if self.inplace else x.copy()
        x[top:top + h, left:left + w] = _np.asarray(self.value[:1] if x.shape[2] == 1 else self.value).astype(x.dtype)
        return x


class FiveCrop(ImageTransform):
    """The four corners (top left, top right, bottom left, bottom right) and the middle of the image, as five images."""

    _frames = False

    def __init__(self, size):
        self.size = self._checks.size(size)

    def _apply(self, x):
        (h, w), (rows, columns) = self.size, x.shape[:2]
        if h > rows or w > columns:
            raise self._checks.value_error(f"Crop size {self.size} is larger than the input image size {(rows, columns)}")
        top, left = int(round((rows - h) / 2.0)), int(round((columns - w) / 2.0))
        return (x[:h, :w], x[:h, columns - w:], x[rows - h:, :w], x[rows - h:, columns - w:], x[top:top + h, left:left + w])


class TenCrop(FiveCrop):
    """FiveCrop of the image and of its mirror image, left and right (or with use_vertical_flip top and bottom) exchanged."""

    def __init__(self, size, use_vertical_flip=False):
        super().__init__(size)
        self.vertical = self._checks.truth("use_vertical_flip", use_vertical_flip)

    def _apply(self, x):
        return super()._apply(x) + super()._apply(x[::-1] if self.vertical else x[:, ::-1])


class GaussianBlur(ImageTransform):
    """Blurred by a bell of kernel_size pixels, odd, an int or (width, height), and a sigma, a number or (width, height);
    without it ((width - 1) * 0.5 - 1) * 0.3 + 0.8."""

    def __init__(self, kernel_size, sigma=None):
        check = self._checks
        check.kind("kernel_size", kernel_size, int, list, tuple)

        def odd(what, v):
            if check.integer(what, v, 1, MOST) % 2 != 1:
                raise check.value_error(f"Input {what} is not an odd value. Got {v}")
            return v
        if isinstance(kernel_size, int):
            self.kernel = (odd("kernel_size", kernel_size),) * 2
        else:
            self.kernel = check.pair("kernel_size", kernel_size, odd)
        if sigma is not None:
            check.kind("sigma", sigma, int, float, list, tuple)
        self.sigma = (0, 0) if sigma is None else check.pair("sigma", (sigma, sigma) if isinstance(sigma, (int, float)) else sigma,
                                                             lambda what, v: check.number(what, v, 0))

    def _apply(self, x):
        return _colours.blur(x, self.kernel, self.sigma)


class _Colours(ImageTransform):
    """A change of each pixel of [c, h, w] or [n, c, h, w], or with is_hwc with the channels last."""

    def __init__(self, is_hwc=False):
        self.is_hwc = self._checks.truth("is_hwc", is_hwc)

    def _one(self, x):
        name = type(self).__name__
        if not isinstance(x, (_np.ndarray, _rutile.Tensor)):
            raise _errors.TypeError(f"[{name}] takes an array, got {type(x).__name__}")
        x = self._array(x)
        axis = -1 if self.is_hwc else -3
        if x.ndim not in (3, 4) or x.shape[axis] != 3:
            raise _errors.TypeError(f"[{name}] takes 3 channels {'last' if self.is_hwc else 'first'} of an image or a batch, got "
                                    f"{list(x.shape)}")
        return _np.moveaxis(self._apply(_np.moveaxis(x, axis, -1)), -1, axis)


class RgbToHsv(_Colours):
    """Red, green and blue as hue, saturation (0 to 1) and value (the largest of the three), float64 [c, h, w] unless is_hwc."""

    def _apply(self, x):
        f = x.astype(_np.float64)
        high, low = f.max(-1), f.min(-1)
        d = high - low
        safe = _np.where(d == 0, 1, d)
        r, g, b = f[..., 0], f[..., 1], f[..., 2]
        h = _np.where(high == r, (g - b) / safe, _np.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe)) / 6 % 1
        return _np.stack([_np.where(d == 0, 0, h), d / _np.where(high == 0, 1, high), high], -1)


class HsvToRgb(_Colours):
    """The inverse of RgbToHsv, float64 [c, h, w] unless is_hwc."""

    def _apply(self, x):
        h, s, v = (_np.asarray(x[..., i], _np.float64) for i in range(3))
        sector = _np.trunc(h * 6)
        t = h * 6 - sector
        p, q, u = v * (1 - s), v * (1 - s * t), v * (1 - s * (1 - t))
        table = _np.stack([v, q, p, u], -1)
        order = _np.array([[0, 3, 2], [1, 0, 2], [2, 0, 3], [2, 1, 0], [3, 2, 0], [0, 2, 1]])[sector.astype(_np.int64) % 6]
        return _np.take_along_axis(table, order, -1)


class LinearTransformation(ImageTransform):
    """(the image flattened - mean_vector) times a square matrix, in the image's shape; for whitening."""

    def __init__(self, transformation_matrix, mean_vector):
        check = self._checks
        m, v = check.kind("transformation_matrix", transformation_matrix, _np.ndarray), check.kind("mean_vector", mean_vector, _np.ndarray)
        if m.ndim != 2 or m.shape[0] != m.shape[1]:
            raise check.value_error(f"transformation_matrix should be a square matrix. Got shape {m.shape} instead.")
        if v.ndim != 1 or len(v) != len(m):
            raise check.value_error(f"mean_vector length {v.shape} should match either one dimension of the square "
                                    f"transformation_matrix {m.shape}.")
        self.matrix, self.mean = m, v

    def _one(self, x):
        if not isinstance(x, (_np.ndarray, _rutile.Tensor)):
            raise _errors.TypeError(f"[LinearTransformation] takes an array, got {type(x).__name__}")
        x = self._array(x)
        if x.size != len(self.mean):
            raise _errors.ValueError(f"[LinearTransformation] the image {list(x.shape)} has {x.size} elements, the matrix "
                                     f"{len(self.mean)} rows")
        return ((x.reshape(1, -1) - self.mean) @ self.matrix).reshape(x.shape)


class PadToSize(ImageTransform):
    """Pixels around the image up to a size; offset: (top, left) pixels, by default it stands in the middle."""

    def __init__(self, size, offset=None, fill_value=0, padding_mode=Border.CONSTANT):
        check = self._checks
        check.kind("size", size, int, list, tuple)
        if not isinstance(size, int) and len(size) != 2:
            raise check.value_error(f"The size must be a sequence of length 2. Got {len(size)}")
        self.size = check.size(size)
        if offset is not None:
            check.kind("offset", offset, int, list, tuple)
            offset = (offset, offset) if isinstance(offset, int) else tuple(offset)
            if len(offset) not in (0, 2):
                raise check.value_error(f"The offset must be empty or a sequence of length 2. Got {len(offset)}")
            for i, v in enumerate(offset):
                check.integer(f"offset{i}", v, 0)
        self.offset, self.fill_value = offset or None, check.fill(fill_value)
        self.padding_mode = check.kind("padding_mode", padding_mode, Border)

    def _apply(self, x):
        dy, dx = self.size[0] - x.shape[0], self.size[1] - x.shape[1]
        top, left = self.offset if self.offset is not None else (dy // 2, dx // 2)
        if dy < top or dx < left or dy < 0 or dx < 0:
            raise _errors.RuntimeError(f"[PadToSize] the size {self.size} is smaller than the image {list(x.shape[:2])} behind the "
                                       f"offset {(top, left)}")
        return _images.pad(x, left, top, dx - left, dy - top, self.fill_value, self.padding_mode)


class Perspective(ImageTransform):
    """The image of which the quadrilateral start_points lies at end_points; four corners (column, row) each, from the top
    left clockwise."""

    def __init__(self, start_points, end_points, interpolation=Inter.BILINEAR):
        check = self._checks

        def corners(what, points):
            check.kind(what, points, list, tuple)
            for i, p in enumerate(points):
                check.pair(f"{what}[{i}]", p, check.integer)
            if len(points) != 4:
                raise check.type_error(f"{what} should be a list or tuple of length 4. Got {len(points)}")
            return [tuple(p) for p in points]
        self.start, self.end = corners("start_points", start_points), corners("end_points", end_points)
        self.interpolation = check.kind("interpolation", interpolation, Inter)

    def _apply(self, x):
        return _warps.perspective(x, self.start, self.end, self.interpolation)


class Posterize(ImageTransform):
    """The upper bits of each value of uint8."""

    def __init__(self, bits):
        self.bits = self._checks.integer("bits", bits, 0, 8)

    def _apply(self, x):
        return _colours.posterize(_colours.pixels("Posterize", x), self.bits)


class ResizedCrop(ImageTransform):
    """The window at (top, left), resized to a size, an int (a square) or (height, width)."""

    def __init__(self, top, left, height, width, size, interpolation=Inter.BILINEAR):
        check = self._checks
        self.window = (check.integer("top", top, 0), check.integer("left", left, 0), check.integer("height", height, 1),
                       check.integer("width", width, 1))
        self.size, self.interpolation = check.size(size), check.kind("interpolation", interpolation, Inter)

    def _apply(self, x):
        top, left, h, w = self.window
        if top + h > x.shape[0] or left + w > x.shape[1]:
            raise _errors.RuntimeError(f"[ResizedCrop] the window {h} x {w} at ({top}, {left}) goes beyond the image {list(x.shape)}")
        return _images.resize(x[top:top + h, left:left + w], *self.size, self.interpolation)


class SlicePatches(ImageTransform):
    """The image in num_height rows of num_width patches, as so many images; what does not divide evenly is padded with
    fill_value, or left out with SliceMode.DROP."""

    _frames = False

    def __init__(self, num_height=1, num_width=1, slice_mode=SliceMode.PAD, fill_value=0):
        check = self._checks
        self.grid = check.integer("num_height", num_height, 1), check.integer("num_width", num_width, 1)
        self.mode = check.kind("slice_mode", slice_mode, SliceMode)
        self.fill_value = check.integer("fill_value", fill_value, 0, 255)

    def _apply(self, x):
        (rows, columns), (h, w) = self.grid, x.shape[:2]
        if rows > h or columns > w:
            raise _errors.RuntimeError(f"[SlicePatches] there are {rows} x {columns} patches for an image {list(x.shape)}")
        if self.mode == SliceMode.PAD:
            ph, pw = -(-h // rows), -(-w // columns)
            x = _images.pad(x, 0, 0, pw * columns - w, ph * rows - h, self.fill_value)
        else:
            ph, pw = h // rows, w // columns
        out = tuple(x[i * ph:(i + 1) * ph, j * pw:(j + 1) * pw] for i in range(rows) for j in range(columns))
        return out[0] if len(out) == 1 else out


class Solarize(ImageTransform):
    """255 - x where x is within threshold (min, max); of a number or with min = max from there on."""

    def __init__(self, threshold):
        check = self._checks
        check.kind("threshold", threshold, int, float, list, tuple)
        both = (threshold, threshold) if isinstance(threshold, (int, float)) else threshold
        self.threshold = check.span("threshold", both, 0, 255)

    def _apply(self, x):
        return _colours.solarize(_colours.pixels("Solarize", x), *self.threshold)
