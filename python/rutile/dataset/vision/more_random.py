# SPDX-License-Identifier: Apache-2.0
"""More transforms of images with a random part."""

import numpy as _np

from rutile import _rutile
from rutile.dataset._random import rng as _rng
from rutile.dataset.vision import colours as _colours
from rutile.dataset.vision import images as _images
from rutile.dataset.vision import warps as _warps
from rutile.dataset.vision.base import ImageTransform
from rutile.dataset.vision.more_transforms import Affine, AutoContrast, Equalize, ignored
from rutile.dataset.vision.transforms import Invert
from rutile.dataset.vision.utils import ImageBatchFormat, Inter

_errors = _rutile.errors

__all__ = ["CutMixBatch", "MixUp", "MixUpBatch", "RandomAdjustSharpness", "RandomAffine", "RandomAutoContrast", "RandomColor",
           "RandomEqualize", "RandomInvert", "RandomLighting", "RandomPerspective", "RandomPosterize", "RandomSelectSubpolicy",
           "RandomSharpness", "RandomSolarize", "UniformAugment"]


class RandomAdjustSharpness(ImageTransform):
    """AdjustSharpness by a degree, with a probability."""

    def __init__(self, degree, prob=0.5):
        self.degree, self.prob = self._checks.number("degree", degree, 0), self._checks.prob(prob)

    def _apply(self, x):
        return _colours.sharpness(x, self.degree) if _rng().random() < self.prob else x


class RandomAffine(ImageTransform):
    """Affine with random numbers: degrees (a number: from -number on) , translate (x min, x max[, y min, y max]) in parts of
    the image, scale (min, max), shear (a number, x min, x max[, y min, y max]) in degrees."""

    def __init__(self, degrees, translate=None, scale=None, shear=None, resample=Inter.NEAREST, fill_value=0):
        check = self._checks
        self.degrees = check.degrees(degrees)
        if translate is not None:
            if len(check.kind("translate", translate, list, tuple)) not in (2, 4):
                raise check.type_error(f"translate should be a list or tuple of length 2 or 4. Got {len(translate)}")
            for i, t in enumerate(translate):
                check.number(f"translate at {i}", t, -1.0, 1.0)
        if scale is not None:
            check.positive("scale[1]", check.span("scale", scale)[1])
        if shear is not None:
            if isinstance(check.kind("shear", shear, int, float, list, tuple), (int, float)):
                check.positive("shear", shear)
                shear = (-shear, shear)
            if len(shear) not in (2, 4):
                raise check.type_error(f"shear must be of length 2 or 4. Got {len(shear)}")
            for i in range(0, len(shear), 2):
                check.span(f"shear[{i}:{i + 2}]", tuple(shear[i:i + 2]), -360, 360)
        self.translate, self.shear = (tuple(v or ()) + (0, 0) * (2 - len(v or ()) // 2) for v in (translate, shear))
        self.scale = (1.0, 1.0) if scale is None else tuple(scale)
        self.resample = check.kind("resample", resample, Inter)
        self.fill_value = 0 if fill_value is None else check.fill(fill_value)

    def _apply(self, x):
        def draw(low, high):
            return _rng().uniform(min(low, high), max(low, high))
        degrees = draw(*self.degrees)
        translate = draw(*self.translate[:2]), draw(*self.translate[2:])
        scale = draw(*self.scale)
        return Affine.at(x, degrees, translate, scale, (draw(*self.shear[:2]), draw(*self.shear[2:])), self.resample, self.fill_value)


class RandomAutoContrast(AutoContrast):
    """AutoContrast with a probability."""

    def __init__(self, cutoff=0.0, ignore=None, prob=0.5):
        super().__init__(cutoff, ignore)
        self.ignore, self.prob = ignored(self._checks, ignore), self._checks.prob(prob)

    def _apply(self, x):
        return super()._apply(x) if _rng().random() < self.prob else x


class _Degrees(ImageTransform):
    """A change by a random factor within (min, max)."""

    def __init__(self, degrees=(0.1, 1.9)):
        check = self._checks
        degrees = (0.1, 1.9) if degrees is None else degrees
        if not isinstance(degrees, (list, tuple)):
            raise check.type_error(f"degrees must be either a tuple or a list. Got {type(degrees)}")
        if len(degrees) != 2:
            raise check.value_error(f"degrees must be a sequence with length 2. Got {len(degrees)}")
        self.degrees = check.span("degrees", degrees)

    def _draw(self):
        low, high = self.degrees
        return low if low == high else _rng().uniform(low, high)


class RandomColor(_Degrees):
    """Away from grey by a random factor: 0 is grey, 1 the image, 2 more colourful."""

    def _apply(self, x):
        return _images.saturation(_colours.three("RandomColor", x), self._draw())


class RandomSharpness(_Degrees):
    """AdjustSharpness by a random factor."""

    def _apply(self, x):
        return _colours.sharpness(x, self._draw())


class RandomEqualize(Equalize):
    """Equalize with a probability."""

    def __init__(self, prob=0.5):
        self.prob = self._checks.prob(prob)

    def _apply(self, x):
        return super()._apply(x) if _rng().random() < self.prob else x


class RandomInvert(Invert):
    """Invert with a probability."""

    def __init__(self, prob=0.5):
        self.prob = self._checks.prob(prob)

    def _apply(self, x):
        return super()._apply(x) if _rng().random() < self.prob else x


# Of the colours of ImageNet's pixels: variances along the main axes, and the axes.
_LIGHT = _np.array([55.46, 4.794, 1.148])
_AXES = _np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


class RandomLighting(ImageTransform):
    """One random colour added to all pixels [h, w, 3], along the main axes of ImageNet's colours (AlexNet's noise)."""

    def __init__(self, alpha=0.05):
        self.alpha = self._checks.number("alpha", alpha, 0)

    def _apply(self, x):
        x = _colours.three("RandomLighting", x)
        return _images.back(x + _AXES @ (_rng().normal(0, self.alpha, 3) * _LIGHT), x.dtype)


class RandomPerspective(ImageTransform):
    """Perspective to corners that lie within a part of half the image from its own, with a probability."""

    def __init__(self, distortion_scale=0.5, prob=0.5, interpolation=Inter.BICUBIC):
        check = self._checks
        self.scale = check.within("distortion_scale", check.kind("distortion_scale", distortion_scale, float), 0.0, 1.0)
        self.prob = check.prob(check.kind("prob", prob, float))
        self.interpolation = check.kind("interpolation", interpolation, Inter)

    def _apply(self, x):
        if _rng().random() >= self.prob:
            return x
        h, w = x.shape[:2]
        dx, dy = int(self.scale * (w // 2)), int(self.scale * (h // 2))
        start = [(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)]
        moves = [(int(_rng().integers(dx + 1)), int(_rng().integers(dy + 1))) for _ in start]
        end = [(c + (m if c == 0 else -m), r + (n if r == 0 else -n)) for (c, r), (m, n) in zip(start, moves)]
        return _warps.perspective(x, start, end, self.interpolation)


class RandomPosterize(ImageTransform):
    """Posterize to a random number of bits: an int or (min, max) of 1 to 8."""

    def __init__(self, bits=(8, 8)):
        check = self._checks
        bits = check.kind("bits", (8, 8) if bits is None else bits, list, tuple, int)
        if isinstance(bits, int):
            bits = (check.integer("bits", bits, 1, 8),) * 2
        self.bits = check.span("bits", bits, 1, 8, check=check.integer)

    def _apply(self, x):
        low, high = self.bits
        return _colours.posterize(_colours.pixels("RandomPosterize", x), int(_rng().integers(low, high + 1)))


class RandomSolarize(ImageTransform):
    """Solarize of a random range within threshold (min, max)."""

    def __init__(self, threshold=(0, 255)):
        check = self._checks
        if len(check.kind("threshold", threshold, tuple)) != 2:
            raise check.value_error(f"threshold must be a sequence of two numbers. Got {len(threshold)}")
        self.threshold = check.span("threshold", threshold, 0, 255, check=check.integer)

    def _apply(self, x):
        low, high = sorted(int(_rng().integers(self.threshold[0], self.threshold[1] + 1)) for _ in range(2))
        return _colours.solarize(_colours.pixels("RandomSolarize", x), low, high)


def _operation(check, what, op):
    if not callable(op):
        raise check.type_error(f"{what} is neither a transforms op (TensorOperation) nor a callable pyfunc. Got {type(op)}")
    return op


class RandomSelectSubpolicy(ImageTransform):
    """One of several lists of (transform, probability), whose transforms are applied in order with their probabilities."""

    def __init__(self, policy):
        check = self._checks
        check.kind("policy", policy, list)
        if not policy:
            raise check.value_error("policy can not be empty.")
        for i, sub in enumerate(policy):
            check.kind(f"policy[{i}]", sub, list)
            if not sub:
                raise check.value_error(f"policy[{i}] can not be empty.")
            for j, pair in enumerate(sub):
                if not isinstance(pair, tuple) or len(pair) != 2:
                    raise check.value_error(f"Value policy[{i}][{j}] needs to be a 2-tuple. Got {pair!r}")
                _operation(check, f"op of (op, prob) in policy[{i}][{j}]", pair[0])
                check.number(f"prob of (op, prob) policy[{i}][{j}]", pair[1], 0, 1)
        self.policy = policy

    def _one(self, x):
        for op, prob in self.policy[int(_rng().integers(len(self.policy)))]:
            if _rng().random() < prob:
                x = op(x)
        return x


class UniformAugment(ImageTransform):
    """num_ops of several transforms, drawn at random, each applied with probability 0.5."""

    def __init__(self, transforms, num_ops=2):
        check = self._checks
        check.positive("num_ops", check.kind("num_ops", num_ops, int))
        if num_ops > len(check.kind("transforms list", transforms, list, tuple)):
            raise check.value_error(f"num_ops is greater than transforms list size: {num_ops} and {len(transforms)}")
        self.transforms = [_operation(check, f"transforms[{i}]", t) for i, t in enumerate(transforms)]
        self.num_ops = num_ops

    def _one(self, x):
        for i in _rng().choice(len(self.transforms), self.num_ops, replace=False):
            if _rng().random() < 0.5:
                x = self.transforms[i](x)
        return x


class MixUp(ImageTransform):
    """A batch of images [n, ...] and of one-hot labels mixed with another one: for each image with a random weight l,
    drawn from Beta(alpha, alpha), l * image + (1 - l) * other, and so its label. The others are those of the next place in the
    batch, or unless is_single the last batch that this transform gave.

    >>> import numpy as np
    >>> import rutile.dataset.vision as vision
    >>> images, labels = vision.MixUp(2, 0.2)(np.zeros((2, 4, 4, 3)), np.eye(2))
    >>> images.shape, labels.sum(1).round(6).tolist()
    ((2, 4, 4, 3), [1.0, 1.0])
    """

    def __init__(self, batch_size, alpha, is_single=True):
        check = self._checks
        self.is_single, self.batch_size = check.truth("is_single", is_single), check.integer("batch_size", batch_size, 1, 16777216)
        self.alpha, self._last = check.positive("alpha", alpha), None

    def __call__(self, image, label):
        image, label = self._array(image), self._array(label)
        if len(image) != self.batch_size or len(label) != self.batch_size:
            raise _errors.ValueError(f"[MixUp] batch_size is {self.batch_size}, got images {list(image.shape)} and labels "
                                     f"{list(label.shape)}")
        weight = _rng().beta(self.alpha, self.alpha, self.batch_size)
        others = (_np.roll(image, -1, 0), _np.roll(label, -1, 0)) if self.is_single else self._last
        if others is None:
            weight, others = _np.ones(self.batch_size), (image, label)
        out = tuple(w * a + (1 - w) * b for a, b, w in ((a, b, weight.reshape(-1, *[1] * (a.ndim - 1)))
                                                        for a, b in zip((image, label), others)))
        self._last = out
        return out


class _Batch(ImageTransform):
    """A change of a batch of images of 4 dimensions with one-hot labels [n, classes] or [n, several, classes]."""

    def __call__(self, images, labels):
        images, labels = self._array(images), self._array(labels)
        name = type(self).__name__
        if images.ndim != 4 or labels.ndim not in (2, 3) or len(images) != len(labels):
            raise _errors.RuntimeError(f"[{name}] takes a batch of images [n, h, w, c] or [n, c, h, w] with one-hot labels "
                                       f"[n, classes], got {list(images.shape)} and {list(labels.shape)}")
        if labels.dtype.kind not in "uif":
            raise _errors.RuntimeError(f"[{name}] labels are one-hot numbers, got {labels.dtype}")
        return self._mix(images, labels)


class MixUpBatch(_Batch):
    """Each image times a random weight plus another one of the batch times the rest, and so the labels, as float32."""

    def __init__(self, alpha=1.0):
        self.alpha = self._checks.positive("alpha", alpha)

    def _mix(self, images, labels):
        a, b = _rng().uniform(min(self.alpha, 1.0), max(self.alpha, 1.0), 2) if self.alpha != 1 else (1.0, 1.0)
        weight, other = _np.float32(a / (a + b)), _rng().permutation(len(images))
        return tuple(weight * v.astype(_np.float32) + (1 - weight) * v[other].astype(_np.float32) for v in (images, labels))


class CutMixBatch(_Batch):
    """In each image of a batch, with a probability, a random window replaced by that of another one; the labels are mixed by
    the areas, as float32. Areas are drawn from Beta(alpha, alpha)."""

    def __init__(self, image_batch_format, alpha=1.0, prob=1.0):
        check = self._checks
        self.format = check.kind("image_batch_format", image_batch_format, ImageBatchFormat)
        self.alpha, self.prob = check.positive("alpha", alpha), check.number("prob", prob, 0, 1)

    def _mix(self, images, labels):
        out, mixed = images.copy(), labels.astype(_np.float32)
        view = out if self.format == ImageBatchFormat.NHWC else out.transpose(0, 2, 3, 1)
        source = images if self.format == ImageBatchFormat.NHWC else images.transpose(0, 2, 3, 1)
        if view.shape[3] not in (1, 3):
            raise _errors.RuntimeError(f"[CutMixBatch] {self.format.name} images have 1 or 3 channels, got {list(images.shape)}")
        h, w = view.shape[1:3]
        other = _rng().permutation(len(images))
        for i, k in enumerate(other):
            if _rng().random() >= self.prob:
                continue
            cut = float(_np.sqrt(1 - _rng().beta(self.alpha, self.alpha)))
            ch, cw, cy, cx = int(h * cut), int(w * cut), int(_rng().integers(h)), int(_rng().integers(w))
            top, left = max(cy - ch // 2, 0), max(cx - cw // 2, 0)
            bottom, right = min(cy + (ch + 1) // 2, h), min(cx + (cw + 1) // 2, w)
            view[i, top:bottom, left:right] = source[k, top:bottom, left:right]
            kept = 1 - (bottom - top) * (right - left) / (h * w)
            mixed[i] = kept * labels[i] + (1 - kept) * labels[k]
        return out, mixed
