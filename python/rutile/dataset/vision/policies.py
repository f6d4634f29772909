# SPDX-License-Identifier: Apache-2.0
"""Augmentation by policies: transforms with magnitudes, drawn at random."""

import math as _math

import numpy as _np

from rutile.dataset._random import rng as _rng
from rutile.dataset.vision import colours as _colours
from rutile.dataset.vision import images as _images
from rutile.dataset.vision import warps as _warps
from rutile.dataset.vision.base import ImageTransform
from rutile.dataset.vision.utils import AutoAugmentPolicy, Inter

__all__ = ["AutoAugment", "RandAugment", "TrivialAugmentWide"]


def _moved(x, dx, dy, shear, how, fill):
    h, w = x.shape[:2]
    return _warps.affine(x, _warps.around(0, (dx, dy), 1.0, shear, (0, 0)), h, w, how, fill)


_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")


def _change(x, name, m, how, fill):
    """One operation of a policy with a magnitude."""
    if name in ("ShearX", "ShearY"):
        angle = _math.degrees(_math.atan(m))
        return _moved(x, 0, 0, (angle, 0) if name == "ShearX" else (0, angle), how, fill)
    if name in ("TranslateX", "TranslateY"):
        return _moved(x, int(m) if name == "TranslateX" else 0, int(m) if name == "TranslateY" else 0, (0, 0), how, fill)
    if name == "Rotate":
        return _warps.rotate(x, m, how, False, None, fill)
    one = {"Brightness": _images.brightness, "Color": _images.saturation, "Contrast": _images.contrast,
           "Sharpness": _colours.sharpness}.get(name)
    if one is not None:
        return one(x, 1.0 + m)
    return {"Posterize": lambda: _colours.posterize(x, int(m)), "Solarize": lambda: _colours.solarize(x, m, m),
            "AutoContrast": lambda: _colours.auto_contrast(x, 0, ()), "Equalize": lambda: _colours.equalize(x),
            "Invert": lambda: 255 - x, "Identity": lambda: x}[name]()


def _magnitudes(name, bins, height, width, wide):
    """The magnitudes of an operation, one for each bin; None where it has none."""
    if name in ("ShearX", "ShearY"):
        return _np.linspace(0, 0.99 if wide else 0.3, bins)
    if name in ("TranslateX", "TranslateY"):
        return _np.linspace(0, 32 if wide else 150.0 / 331.0 * (width if name == "TranslateX" else height), bins)
    if name == "Rotate":
        return _np.linspace(0, 135 if wide else 30, bins)
    if name in ("Brightness", "Color", "Contrast", "Sharpness"):
        return _np.linspace(0, 0.99 if wide else 0.9, bins)
    if name == "Posterize":
        return 8 - _np.rint(_np.arange(bins) / ((bins - 1) / (6 if wide else 4)))
    if name == "Solarize":
        return _np.linspace(255, 0, bins)
    return None


class _Policy(ImageTransform):
    """Augmentation of images uint8 [h, w, 3]."""

    def _choices(self, interpolation, fill_value):
        self.interpolation, self.fill_value = self._checks.kind("interpolation", interpolation, Inter), self._checks.fill(fill_value)

    def _take(self, x, name, level, bins, wide=False):
        values = _magnitudes(name, bins, *x.shape[:2], wide)
        m = 0.0 if values is None else float(values[level])
        if name in _SIGNED and _rng().random() < 0.5:
            m = -m
        return _change(x, name, m, self.interpolation, self.fill_value)

    def _apply(self, x):
        name = type(self).__name__
        return self._augment(_colours.three(name, _colours.pixels(name, x)))


# Pairs of (operation, probability, magnitude of 10), as AutoAugment (Cubuk et al., 2018) found them.
_POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize .4 8 Rotate .6 9; Solarize .6 5 AutoContrast .6 -; Equalize .8 - Equalize .6 -; Posterize .6 7 Posterize .6 6;
        Equalize .4 - Solarize .2 4; Equalize .4 - Rotate .8 8; Solarize .6 3 Equalize .6 -; Posterize .8 5 Equalize 1 -;
        Rotate .2 3 Solarize .6 8; Equalize .6 - Posterize .4 6; Rotate .8 8 Color .4 0; Rotate .4 9 Equalize .6 -;
        Equalize 0 - Equalize .8 -; Invert .6 - Equalize 1 -; Color .6 4 Contrast 1 8; Rotate .8 8 Color 1 2;
        Color .8 8 Solarize .8 7; Sharpness .4 7 Invert .6 -; ShearX .6 5 Equalize 1 -; Color .4 0 Equalize .6 -;
        Equalize .4 - Solarize .2 4; Solarize .6 5 AutoContrast .6 -; Invert .6 - Equalize 1 -; Color .6 4 Contrast 1 8;
        Equalize .8 - Equalize .6 -""",
    AutoAugmentPolicy.CIFAR10: """
        Invert .1 - Contrast .2 6; Rotate .7 2 TranslateX .3 9; Sharpness .8 1 Sharpness .9 3; ShearY .5 8 TranslateY .7 9;
        AutoContrast .5 - Equalize .9 -; ShearY .2 7 Posterize .3 7; Color .4 3 Brightness .6 7; Sharpness .3 9 Brightness .7 9;
        Equalize .6 - Equalize .5 -; Contrast .6 7 Sharpness .6 5; Color .7 7 TranslateX .5 8; Equalize .8 - Invert .1 -;
        TranslateY .4 3 Sharpness .2 6; Brightness .9 6 Color .2 8; Solarize .5 2 Invert 0 -; TranslateY .9 9 TranslateY .7 9;
        Equalize .2 - Equalize .6 -; Color .9 9 Equalize .6 -; AutoContrast .8 - Solarize .2 8; Brightness .1 3 Color .7 0;
        Solarize .4 5 AutoContrast .9 -; AutoContrast .9 - Solarize .8 3; TranslateY .7 9 AutoContrast .9 -;
        Equalize .3 - AutoContrast .4 -; Equalize .2 - AutoContrast .6 -""",
    AutoAugmentPolicy.SVHN: """
        ShearX .9 4 Invert .2 -; ShearY .9 8 Invert .7 -; Equalize .6 - Solarize .6 6; Invert .9 - Equalize .6 -;
        Equalize .6 - Rotate .9 3; ShearX .9 4 AutoContrast .8 -; ShearY .9 8 Invert .4 -; ShearY .9 5 Solarize .2 6;
        Invert .9 - AutoContrast .8 -; Equalize .6 - Rotate .9 3; ShearX .9 4 Solarize .3 3; ShearY .8 8 Invert .7 -;
        Equalize .9 - TranslateY .6 6; Invert .9 - Equalize .6 -; Contrast .3 3 Rotate .8 4; Invert .8 - TranslateY 0 2;
        ShearY .7 6 Solarize .4 8; Invert .6 - Rotate .8 4; ShearY .3 7 TranslateX .9 3; ShearX .1 6 Invert .6 -;
        Solarize .7 2 TranslateY .6 7; ShearY .8 4 Invert .8 -; ShearX .7 9 TranslateY .8 3; ShearY .8 5 AutoContrast .7 -;
        ShearX .7 2 Invert .1 -"""}


def pairs(policy):
    """The policy's pairs, as lists of (operation, probability, magnitude)."""
    out = []
    for pair in _POLICIES[policy].split(";"):
        words = pair.split()
        out.append([(words[i], float(words[i + 1]), 0 if words[i + 2] == "-" else int(words[i + 2])) for i in (0, 3)])
    return out


class AutoAugment(_Policy):
    """One of 25 pairs of operations, each applied with its probability: the policy that AutoAugment (Cubuk et al., 2018)
    found for ImageNet, CIFAR-10 or SVHN. Takes images uint8 [h, w, 3]."""

    def __init__(self, policy=AutoAugmentPolicy.IMAGENET, interpolation=Inter.NEAREST, fill_value=0):
        self.policy = self._checks.kind("policy", policy, AutoAugmentPolicy)
        self._pairs = pairs(policy)
        self._choices(interpolation, fill_value)

    def _augment(self, x):
        for name, prob, level in self._pairs[int(_rng().integers(len(self._pairs)))]:
            if _rng().random() < prob:
                x = self._take(x, name, level, 10)
        return x


_OPERATIONS = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness",
               "Posterize", "Solarize", "AutoContrast", "Equalize")


class RandAugment(_Policy):
    """num_ops operations drawn at random, all with one magnitude out of num_magnitude_bins (Cubuk et al., 2019). Takes images
    uint8 [h, w, 3]."""

    def __init__(self, num_ops=2, magnitude=9, num_magnitude_bins=31, interpolation=Inter.NEAREST, fill_value=0):
        check = self._checks
        self.num_ops, self.bins = check.integer("num_ops", num_ops, 0, 16777216), check.integer("num_magnitude_bins", num_magnitude_bins, 2)
        self.magnitude = check.integer("magnitude", magnitude, 0, self.bins, open_high=True)
        self._choices(interpolation, fill_value)

    def _augment(self, x):
        for _ in range(self.num_ops):
            x = self._take(x, _OPERATIONS[int(_rng().integers(len(_OPERATIONS)))], self.magnitude, self.bins)
        return x


class TrivialAugmentWide(_Policy):
    """One operation with one magnitude of num_magnitude_bins, both drawn at random, of wide ranges (Müller and Hutter, 2021).
    Takes images uint8 [h, w, 3]."""

    def __init__(self, num_magnitude_bins=31, interpolation=Inter.NEAREST, fill_value=0):
        self.bins = self._checks.integer("num_magnitude_bins", num_magnitude_bins, 2, 16777216)
        self._choices(interpolation, fill_value)

    def _augment(self, x):
        name = _OPERATIONS[int(_rng().integers(len(_OPERATIONS)))]
        return self._take(x, name, int(_rng().integers(self.bins)), self.bins, wide=True)
