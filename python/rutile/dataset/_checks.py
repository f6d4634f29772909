# SPDX-License-Identifier: Apache-2.0
"""Checks of the arguments of transforms; the sentences are those that MindSpore's users know."""

import numbers as _numbers

import numpy as _np

from rutile import _rutile

_errors = _rutile.errors

MOST = 16777216  # up to which float32 counts whole numbers
INT32 = 2147483647


class Checks:
    """The checks of one transform; messages begin with its name."""

    def __init__(self, name):
        self.name = name

    def type_error(self, text):
        """A TypeError with the transform's name."""
        return _errors.TypeError(f"[{self.name}] {text}")

    def value_error(self, text):
        """A ValueError with the transform's name."""
        return _errors.ValueError(f"[{self.name}] {text}")

    def kind(self, what, value, *types):
        """value, an instance of one of types; a bool is no number."""
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self.type_error(f"Argument {what} with value {value!r} is not of type {list(types)}, but got {type(value)}.")
        return value

    def within(self, what, value, low, high, open_low=False, open_high=False):
        """value, in an interval."""
        if not (low < value if open_low else low <= value) or not (value < high if open_high else value <= high):
            left, right = "(" if open_low else "[", ")" if open_high else "]"
            raise self.value_error(f"Input {what} is not within the required interval of {left}{low}, {high}{right}. Got {value}")
        return value

    def number(self, what, value, low=-MOST, high=MOST, **ends):
        """value, a number in an interval."""
        if isinstance(value, _np.number):
            value = value.item()
        return self.within(what, self.kind(what, value, int, float), low, high, **ends)

    def integer(self, what, value, low=-INT32 - 1, high=INT32, **ends):
        """value, an int in an interval."""
        if isinstance(value, _np.integer):
            value = value.item()
        return self.within(what, self.kind(what, value, int), low, high, **ends)

    def positive(self, what, value):
        """value, a number above 0."""
        if isinstance(value, _np.number):
            value = value.item()
        if self.kind(what, value, int, float) <= 0:
            raise self.value_error(f"Input {what} must be greater than 0. Got {value}")
        return value

    def truth(self, what, value):
        """value, a bool."""
        return self.kind(what, value, bool)

    def prob(self, value, what="prob"):
        """value, a number of 0 to 1."""
        return self.number(what, value, 0.0, 1.0)

    def pair(self, what, value, check, kinds=(list, tuple)):
        """Two values that hold a check."""
        self.kind(what, value, *kinds)
        if len(value) != 2:
            raise self.type_error(f"{what} should be a list or tuple of length 2. Got {len(value)} values")
        return tuple(check(f"{what}[{i}]", v) for i, v in enumerate(value))

    def span(self, what, value, low=0, high=MOST, kinds=(list, tuple), check=None):
        """(min, max) within an interval."""
        a, b = self.pair(what, value, check or self.number, kinds)
        if a > b:
            raise self.value_error(f"{what} should be in (min,max) format. Got (max,min): {tuple(value)}")
        if a < low or b > high:
            raise self.value_error(f"Input {what} is not within the required interval of [{low}, {high}]. Got {tuple(value)}")
        return a, b

    def size(self, value, what="size"):
        """(height, width) of an int or a pair."""
        self.kind(what, value, int, list, tuple)
        if isinstance(value, int):
            value = (value, value)
        if len(value) != 2:
            raise self.type_error(f"{what} should be a single integer or a list/tuple (h, w) of length 2. Got {len(value)} values")
        return tuple(self.integer(f"{what}[{i}]", v, 1) for i, v in enumerate(value))

    def resized(self, value):
        """An int (the shorter edge) or (height, width)."""
        if isinstance(value, int) and not isinstance(value, bool):
            return self.integer("size", value, 1, MOST)
        if not isinstance(value, (list, tuple)):
            raise self.type_error(f"size should be a single integer or a list/tuple (h, w) of length 2. Got {value!r}")
        return self.size(value)

    def fill(self, value, what="fill_value"):
        """A pixel: an int or three of them, 0 to 255."""
        if isinstance(value, tuple) and len(value) == 3:
            return tuple(self.integer(f"{what}[{i}]", v, 0, 255) for i, v in enumerate(value))
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.type_error(f"{what} should be a single integer or a 3-tuple. Got {value!r}")
        return self.integer(what, value, 0, 255)

    def padding(self, value):
        """(left, top, right, bottom) of an int, a pair (left and right, top and bottom) or four."""
        self.kind("padding", value, tuple, list, int)
        p = (value,) if isinstance(value, int) else tuple(value)
        if isinstance(value, (tuple, list)) and len(p) not in (2, 4):
            raise self.value_error(f"The size of the padding list or tuple should be 2 or 4. Got {len(p)}")
        for i, v in enumerate(p):
            self.integer(f"padding[{i}]", v, 0)
        return p * 4 if len(p) == 1 else p * 2 if len(p) == 2 else p

    def degrees(self, value, what="degrees"):
        """(min, max) of a number (from -number on) or a range."""
        self.kind(what, value, int, float, list, tuple)
        if isinstance(value, (int, float)):
            self.number(what, value, 0)
            return -value, value
        if len(value) != 2:
            raise self.type_error(f"If {what} is a sequence, the length must be 2. Got {len(value)} values")
        return self.span(what, value, -MOST)

    def factor(self, what, value, centre=1, low=0, high=float("inf")):
        """(min, max) of a number around a centre, or of a range."""
        if isinstance(value, _numbers.Number) and not isinstance(value, bool):
            if value < 0:
                raise self.value_error(f"The input value of {what} cannot be negative. Got {value}")
            value = (max(low, centre - value), min(high, centre + value))
        return tuple(float(v) for v in self.span(what, value, low, high))

    def warp(self, resample, expand, center, fill_value):
        """The arguments that turning has."""
        from rutile.dataset.vision.utils import Inter
        self.kind("resample", resample, Inter)
        self.truth("expand", expand)
        if center is not None:
            if not isinstance(center, tuple) or len(center) != 2:
                raise self.value_error(f"Value center needs to be a 2-tuple. Got {center!r}")
            for v in center:
                self.number("center", v, -INT32 - 1, INT32)
        return resample, expand, center, self.fill(fill_value)
