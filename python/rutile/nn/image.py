# SPDX-License-Identifier: Apache-2.0
"""Cells of images, by MindSpore's names."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["CentralCrop", "ImageGradients", "MSSSIM", "PSNR", "SSIM"]

_MAXIMA = {"uint8": 255.0, "int8": 127.0, "uint16": 65535.0, "int16": 32767.0, "int32": 2.0**31 - 1, "uint32": 2.0**32 - 1}


def _images(name, *images):
    for x in images:
        if x.ndim != 4:
            raise _errors.ValueError(f"[{name}] expects images [n, c, h, w], got {x.shape}")
        if x.shape != images[0].shape:
            raise _errors.ValueError(f"[{name}] images must have one shape, got {images[0].shape} and {x.shape}")
        if x.dtype != images[0].dtype:
            raise _errors.TypeError(f"[{name}] images must have one dtype, got {images[0].dtype} and {x.dtype}")


def _scaled(max_val, *images):
    """Images of integers in [0, 1], and max_val likewise."""
    most = _MAXIMA.get(images[0].dtype.name, 1.0)
    return (max_val / most, *(x.cast("float32") * (1.0 / most) for x in images))


def _positive_number(name, key, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _errors.TypeError(f"[{name}] {key} must be a number, got {type(value).__name__}")
    if value <= 0:
        raise _errors.ValueError(f"[{name}] {key} must be positive, got {value}")


class ImageGradients(Cell):
    """(dy, dx) of images [n, c, h, w]: differences to the next row and column, zero in the last.

    >>> import rutile
    >>> from rutile import nn
    >>> dy, dx = nn.ImageGradients()(rutile.Tensor([[[[1, 2], [3, 5]]]]))
    >>> dy.asnumpy().tolist(), dx.asnumpy().tolist()
    ([[[[2, 3], [0, 0]]]], [[[[1, 0], [2, 0]]]])
    """

    def construct(self, images):
        _images("ImageGradients", images)
        dy = table.pad(images[:, :, 1:] - images[:, :, :-1], before=(0,) * 4, after=(0, 0, 1, 0))
        dx = table.pad(images[..., 1:] - images[..., :-1], before=(0,) * 4, after=(0, 0, 0, 1))
        return dy, dx


def _window(size, sigma):
    import numpy as np
    at = np.arange(-size // 2 + 1, size // 2 + 1, dtype=np.float64)
    g = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * sigma**2))
    return Tensor((g / g.sum()).astype(np.float32).reshape(1, 1, size, size))


class _Similarity(Cell):
    def _setup(self, max_val, filter_size, filter_sigma, k1, k2):
        name = type(self).__name__
        _positive_number(name, "max_val", max_val)
        _positive_number(name, "filter_sigma", filter_sigma)
        if isinstance(filter_size, bool) or not isinstance(filter_size, int):
            raise _errors.TypeError(f"[{name}] filter_size must be an int, got {type(filter_size).__name__}")
        if filter_size < 1:
            raise _errors.ValueError(f"[{name}] filter_size must be positive, got {filter_size}")
        self.max_val, self.filter_size, self.filter_sigma, self.k1, self.k2 = max_val, filter_size, filter_sigma, k1, k2
        self._weight = _window(filter_size, filter_sigma)

    def _compare(self, a, b, max_val):
        """(similarity, contrast) of each channel, [n, c] (Wang et al., 2004)."""
        name, (n, c, h, w) = type(self).__name__, a.shape
        if min(h, w) < self.filter_size:
            raise _errors.ValueError(f"[{name}] images must be as large as the filter, {self.filter_size}, got {(h, w)}")
        c1, c2 = (self.k1 * max_val) ** 2, (self.k2 * max_val) ** 2

        def mean(x):
            return table.conv2d(x.reshape(n * c, 1, h, w), self._weight)

        ma, mb = mean(a), mean(b)
        va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
        contrast = (vab * 2 + c2) / (va + vb + c2)
        similarity = (ma * mb * 2 + c1) / (ma * ma + mb * mb + c1) * contrast
        return tuple(table.mean(x, (1, 2, 3)).reshape(n, c) for x in (similarity, contrast))


class SSIM(_Similarity):
    """Structural similarity [n] of two images [n, c, h, w] of values up to max_val (Wang et al., 2004)."""

    def __init__(self, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03):
        super().__init__()
        self._setup(max_val, filter_size, filter_sigma, k1, k2)

    def construct(self, img1, img2):
        _images("SSIM", img1, img2)
        max_val, img1, img2 = _scaled(self.max_val, img1, img2)
        return table.mean(self._compare(img1, img2, max_val)[0], (1,))


class MSSSIM(_Similarity):
    """Structural similarity [n] over several scales, each half the one before (Wang et al., 2003)."""

    def __init__(self, max_val=1.0, power_factors=(0.0448, 0.2856, 0.3001, 0.2363, 0.1333), filter_size=11,
                 filter_sigma=1.5, k1=0.01, k2=0.03):
        super().__init__()
        self._setup(max_val, filter_size, filter_sigma, k1, k2)
        if not isinstance(power_factors, (tuple, list)):
            raise _errors.TypeError(f"[MSSSIM] power_factors must be a tuple, got {type(power_factors).__name__}")
        self.power_factors = tuple(float(p) for p in power_factors)

    def construct(self, img1, img2):
        _images("MSSSIM", img1, img2)
        max_val, img1, img2 = _scaled(self.max_val, img1, img2)
        total = None
        for i, power in enumerate(self.power_factors):
            similarity, contrast = self._compare(img1, img2, max_val)
            last = i == len(self.power_factors) - 1
            part = table.relu(similarity if last else contrast) ** power
            total = part if total is None else total * part
            if not last:
                img1, img2 = (table.avg_pool2d(x, kernel=(2, 2), stride=(2, 2)) for x in (img1, img2))
        return table.mean(total, (1,))


class PSNR(Cell):
    """Peak signal-to-noise ratio [n] in decibels of two images [n, c, h, w] of values up to max_val."""

    def __init__(self, max_val=1.0):
        super().__init__()
        _positive_number("PSNR", "max_val", max_val)
        self.max_val = max_val

    def construct(self, img1, img2):
        _images("PSNR", img1, img2)
        max_val, img1, img2 = _scaled(self.max_val, img1, img2)
        return table.log10(max_val**2 / table.mean(table.square(img1 - img2), (1, 2, 3))) * 10.0


class CentralCrop(Cell):
    """The middle of images [c, h, w] or [n, c, h, w], of central_fraction of height and width."""

    def __init__(self, central_fraction):
        super().__init__()
        _positive_number("CentralCrop", "central_fraction", central_fraction)
        if central_fraction > 1:
            raise _errors.ValueError(f"[CentralCrop] central_fraction must be in (0, 1], got {central_fraction}")
        self.central_fraction = central_fraction

    def construct(self, image):
        if image.ndim not in (3, 4):
            raise _errors.ValueError(f"[CentralCrop] expects 3 or 4 dimensions, got {image.shape}")
        starts = [int((n - n * self.central_fraction) / 2) for n in image.shape[-2:]]
        return image[(..., *(slice(s, n - s) for s, n in zip(starts, image.shape[-2:])))]
