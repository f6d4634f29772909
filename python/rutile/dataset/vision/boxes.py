# SPDX-License-Identifier: Apache-2.0
"""Transforms of an image and its bounding boxes [n, 4 or more]: (x, y, width, height) in pixels, what follows them stays."""

import numpy as _np

from rutile import _rutile
from rutile.dataset._random import rng as _rng
from rutile.dataset.vision import images as _images
from rutile.dataset.vision.base import ImageTransform
from rutile.dataset.vision.random import RandomCrop, RandomResizedCrop
from rutile.dataset.vision.transforms import Resize
from rutile.dataset.vision.utils import Border, Inter

_errors = _rutile.errors

__all__ = ["BoundingBoxAugment", "RandomCropWithBBox", "RandomHorizontalFlipWithBBox", "RandomResizeWithBBox",
           "RandomResizedCropWithBBox", "RandomVerticalFlipWithBBox", "ResizeWithBBox"]


class _WithBoxes(ImageTransform):
    """Takes an image and its boxes and gives both."""

    def __call__(self, image, bboxes):
        name = type(self).__name__
        image, boxes = self._array(image), self._array(bboxes)
        if image.ndim not in (2, 3):
            raise _errors.RuntimeError(f"[{name}] an image is [h, w] or [h, w, c], got {list(image.shape)}")
        if boxes.ndim != 2 or boxes.shape[1] < 4:
            raise _errors.RuntimeError(f"[{name}] bounding boxes are [n, 4 or more], got {list(boxes.shape)}")
        h, w = image.shape[:2]
        for i, (x, y, bw, bh) in enumerate(boxes[:, :4].astype(_np.float64)):
            if not (x >= 0 and y >= 0 and bw >= 0 and bh >= 0):
                raise _errors.RuntimeError(f"[{name}] min_x, min_y, width and height of bounding box {i} must not be negative, got "
                                           f"{[x, y, bw, bh]}")
            if x + bw > w or y + bh > h:
                raise _errors.RuntimeError(f"[{name}] bounding box {i} is out of bounds of the image, image width: {w}, height: {h}, "
                                           f"got {[x, y, bw, bh]}")
        return self._both(image, boxes.copy())

    def _both(self, image, boxes):
        raise NotImplementedError


def _shifted(boxes, left, top):
    boxes[:, 0] += boxes.dtype.type(left)
    boxes[:, 1] += boxes.dtype.type(top)
    return boxes


def _in_window(boxes, left, top, height, width):
    """The parts of boxes in a window, seen from its corner; without those outside, but at least one of zeros."""
    b = boxes[:, :4].astype(_np.float64)
    x0, y0 = _np.maximum(b[:, 0], left), _np.maximum(b[:, 1], top)
    x1, y1 = _np.minimum(b[:, 0] + b[:, 2], left + width), _np.minimum(b[:, 1] + b[:, 3], top + height)
    seen = (x1 > x0) & (y1 > y0)
    out = boxes[seen].copy()
    out[:, :4] = _np.stack([x0 - left, y0 - top, x1 - x0, y1 - y0], 1)[seen]
    return out if len(out) else _np.zeros((1, boxes.shape[1]), boxes.dtype)


def _scaled(boxes, old, new):
    (h, w), (height, width) = old[:2], new[:2]
    boxes[:, [0, 2]] = boxes[:, [0, 2]] * (width / w)
    boxes[:, [1, 3]] = boxes[:, [1, 3]] * (height / h)
    return boxes


class RandomHorizontalFlipWithBBox(_WithBoxes):
    """Left and right exchanged with a probability."""

    def __init__(self, prob=0.5):
        self.prob = self._checks.prob(prob)

    def _both(self, image, boxes):
        if _rng().random() >= self.prob:
            return image, boxes
        boxes[:, 0] = image.shape[1] - boxes[:, 0] - boxes[:, 2]
        return image[:, ::-1], boxes


class RandomVerticalFlipWithBBox(_WithBoxes):
    """Top and bottom exchanged with a probability."""

    def __init__(self, prob=0.5):
        self.prob = self._checks.prob(prob)

    def _both(self, image, boxes):
        if _rng().random() >= self.prob:
            return image, boxes
        boxes[:, 1] = image.shape[0] - boxes[:, 1] - boxes[:, 3]
        return image[::-1], boxes


class ResizeWithBBox(_WithBoxes):
    """Resize.

    >>> import numpy as np
    >>> import rutile.dataset.vision as vision
    >>> image, boxes = vision.ResizeWithBBox(8)(np.zeros((4, 4, 3), np.uint8), np.array([[0, 1, 2, 3]], np.float32))
    >>> image.shape, boxes.tolist()
    ((8, 8, 3), [[0.0, 2.0, 4.0, 6.0]])
    """

    def __init__(self, size, interpolation=Inter.LINEAR):
        self._resize = Resize(size, interpolation)

    def _both(self, image, boxes):
        out = self._resize(image)
        return out, _scaled(boxes, image.shape, out.shape)


class RandomResizeWithBBox(_WithBoxes):
    """Resize by a way of interpolation drawn at random."""

    def __init__(self, size):
        self._choices = [Resize(size, how) for how in (Inter.NEAREST, Inter.LINEAR, Inter.CUBIC, Inter.AREA)]

    def _both(self, image, boxes):
        out = self._choices[int(_rng().integers(4))](image)
        return out, _scaled(boxes, image.shape, out.shape)


class RandomCropWithBBox(_WithBoxes):
    """RandomCrop; boxes outside are left out."""

    def __init__(self, size, padding=None, pad_if_needed=False, fill_value=0, padding_mode=Border.CONSTANT):
        self._crop = RandomCrop(size, padding, pad_if_needed, fill_value, padding_mode)

    def _both(self, image, boxes):
        image, left, top = self._crop.padded(image)
        boxes = _shifted(boxes, left, top)
        top, left = self._crop.corner(image)
        h, w = self._crop.size
        return image[top:top + h, left:left + w], _in_window(boxes, left, top, h, w)


class RandomResizedCropWithBBox(_WithBoxes):
    """RandomResizedCrop; boxes outside are left out."""

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3. / 4., 4. / 3.), interpolation=Inter.BILINEAR, max_attempts=10):
        self._crop = RandomResizedCrop(size, scale, ratio, interpolation, max_attempts)

    def _both(self, image, boxes):
        top, left, h, w = self._crop.window(*image.shape[:2])
        out = _images.resize(image[top:top + h, left:left + w], *self._crop.size, self._crop.interpolation)
        return out, _scaled(_in_window(boxes, left, top, h, w), (h, w), out.shape)


class BoundingBoxAugment(_WithBoxes):
    """A transform applied to the contents of a part of the boxes, drawn at random."""

    def __init__(self, transform, ratio=0.3):
        check = self._checks
        self.ratio = check.number("ratio", ratio, 0.0, 1.0)
        if not callable(transform):
            raise check.type_error(f"Argument transform with value {transform!r} is not a transform, but got {type(transform)}.")
        self.transform = transform

    def _both(self, image, boxes):
        image = image.copy()
        for i in _rng().permutation(len(boxes))[:int(len(boxes) * self.ratio + 0.5)]:
            x, y, w, h = (int(v) for v in boxes[i, :4])
            if w == 0 or h == 0:
                continue
            part = _np.asarray(self.transform(_np.ascontiguousarray(image[y:y + h, x:x + w])))
            if part.shape[:2] != (h, w):
                part = _images.resize(part, h, w)
            image[y:y + h, x:x + w] = part
        return image, boxes
