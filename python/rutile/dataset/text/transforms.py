# SPDX-License-Identifier: Apache-2.0
"""Transforms of strings and sequences."""

import re as _re
import unicodedata as _unicodedata

import numpy as _np

from rutile import _rutile
from rutile.dataset._checks import Checks
from rutile.dataset.text.utils import NormalizeForm, Vectors, Vocab

_errors = _rutile.errors

__all__ = ["AddToken", "CaseFold", "FilterWikipediaXML", "Lookup", "Ngram", "NormalizeUTF8", "RegexReplace", "SlidingWindow",
           "ToNumber", "ToVectors", "Truncate", "TruncateSequencePair"]


class TextTransform:
    """A transform of a string or an array of them; bytes are UTF-8."""

    @property
    def _checks(self):
        return Checks(type(self).__name__)

    def _array(self, x):
        x = x.asnumpy() if isinstance(x, _rutile.Tensor) else _np.asarray(x)
        return _np.char.decode(x, "utf8") if x.dtype.kind == "S" else x

    def _strings(self, x, most=None):
        x = self._array(x)
        if x.dtype.kind != "U":
            raise _errors.RuntimeError(f"[{type(self).__name__}] takes strings, got {x.dtype}")
        if most is not None and x.ndim > most:
            raise _errors.RuntimeError(f"[{type(self).__name__}] takes {'one string' if most == 0 else f'strings of {most} dimension'}, "
                                       f"got {list(x.shape)}")
        return x

    def __call__(self, text_input):
        x = self._strings(text_input)
        return _np.array([self._one(s) for s in x.ravel().tolist()], _np.str_).reshape(x.shape)

    def _one(self, s):
        raise NotImplementedError

    def device(self, device_target="CPU"):
        """The transform itself: it runs on the CPU."""
        if device_target != "CPU":
            raise self._checks.value_error(f"Input device_target is not within the valid set of ['CPU']. Got {device_target!r}")
        return self

    def __repr__(self):
        return f"{type(self).__name__}()"


class AddToken(TextTransform):
    """A token in front of a sequence of words, or behind it."""

    def __init__(self, token, begin=True):
        self.token, self.begin = self._checks.kind("token", token, str), self._checks.truth("begin", begin)

    def __call__(self, text_input):
        x = self._strings(text_input)
        if x.ndim not in (1, 2):
            raise _errors.RuntimeError(f"[AddToken] takes words [n] or [m, n], got {list(x.shape)}")
        token = _np.full((*x.shape[:-1], 1), self.token)
        return _np.concatenate([token, x] if self.begin else [x, token], -1)


def _unseen(c):
    """Whether a character is ignored by default: marks of format, fillers, choices of variants."""
    n = ord(c)
    return _unicodedata.category(c) == "Cf" or n in (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0) or (
        0xFE00 <= n <= 0xFE0F or 0x180B <= n <= 0x180D or 0xE0100 <= n <= 0xE01EF)


class CaseFold(TextTransform):
    """Letters made comparable without regard to case: Unicode's folding, with compatible characters as one."""

    def _one(self, s):
        return _unicodedata.normalize("NFKC", "".join(c for c in _unicodedata.normalize("NFKC", s).casefold() if not _unseen(c)))


class NormalizeUTF8(TextTransform):
    """Unicode's normal form of each string."""

    def __init__(self, normalize_form=NormalizeForm.NFKC):
        if not isinstance(normalize_form, NormalizeForm):
            raise self._checks.type_error("Wrong input type for normalization_form, should be enum of 'NormalizeForm'.")
        self.form = normalize_form

    def _one(self, s):
        return s if self.form == NormalizeForm.NONE else _unicodedata.normalize(self.form.name, s)


def pattern(name, text):
    """A regular expression; what Python's do not know is told."""
    try:
        return _re.compile(text)
    except _re.error as e:
        raise _errors.RuntimeError(f"[{name}] {text!r} is no regular expression of Python's: {e}") from None


class RegexReplace(TextTransform):
    """What a regular expression (Python's) matches replaced; $1 in the replacement is its first group."""

    def __init__(self, pattern, replace, replace_all=True):  # noqa: A002 - MindSpore's names
        check = self._checks
        check.kind("pattern", pattern, str)
        check.kind("replace", replace, str)
        self.count = 0 if check.truth("replace_all", replace_all) else 1
        self.pattern = globals()["pattern"]("RegexReplace", pattern)
        self.replace = _re.sub(r"\$(\d)", r"\\g<\1>", replace.replace("\\", "\\\\"))

    def _one(self, s):
        return self.pattern.sub(self.replace, s, self.count)


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MARKUP = [(_re.compile(p), r) for p, r in ((r"<.*>", ""), (r"&amp;", "&"), (r"&lt;", "<"), (r"&gt;", ">"), (r"<[^>]*>", ""),
                                            (r"&[^;]*;", " "))]


class FilterWikipediaXML(TextTransform):
    """Words of a dump of Wikipedia: without tags, in small letters a to z, digits as words, single spaces."""

    def _one(self, s):
        for found, by in _MARKUP:
            s = found.sub(by, s)
        s = _re.sub(r"\d", lambda m: f" {_DIGITS[int(m.group())]} ", s.lower())
        return _re.sub(r"[^a-z]+", " ", s).strip()


class Lookup(TextTransform):
    """The numbers of words in a vocabulary; unknown_token stands for words that it has not."""

    def __init__(self, vocab, unknown_token=None, data_type="int32"):
        check = self._checks
        self.vocab = check.kind("vocab", vocab, Vocab)
        if unknown_token is not None:
            check.kind("unknown_token", unknown_token, str)
        self._ids, self.unknown = vocab.vocab(), unknown_token
        if unknown_token is not None and unknown_token not in self._ids:
            raise _errors.RuntimeError(f"[Lookup] unknown_token {unknown_token!r} is not in the vocabulary")
        self.data_type = _np.dtype(getattr(data_type, "name", data_type))
        if self.data_type.kind not in "uif":
            raise check.type_error(f"data_type is a type of numbers, got {self.data_type}")

    def _number(self, word):
        found = self._ids.get(word, self._ids.get(self.unknown))
        if found is None:
            raise _errors.RuntimeError(f"[Lookup] word {word!r} is not in the vocabulary, and there is no unknown_token")
        return found

    def __call__(self, text_input):
        x = self._strings(text_input)
        return _np.array([self._number(s) for s in x.ravel().tolist()], self.data_type).reshape(x.shape)


class Ngram(TextTransform):
    """Groups of n words [m], joined by a separator; n is an int or several; left_pad and right_pad: (word, how many), at most
    n - 1. [""] where there are too few words."""

    def __init__(self, n, left_pad=("", 0), right_pad=("", 0), separator=" "):
        check = self._checks
        self.sizes = [n] if isinstance(n, int) else list(check.kind("n", n, list))
        for i, v in enumerate(self.sizes):
            check.integer(f"gram[{i}]", v, 1)
        if not self.sizes:
            raise check.value_error("n needs to be a non-empty list of positive integers.")
        for what, p in (("left_pad", left_pad), ("right_pad", right_pad)):
            if not (isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) and isinstance(p[1], int)):
                raise check.value_error(f"{what} needs to be a tuple of (str, int) str is pad token and int is pad_width.")
            if p[1] < 0:
                raise check.value_error(f"padding width need to be positive numbers. Got {p[1]}")
        self.left, self.right, self.separator = left_pad, right_pad, check.kind("separator", separator, str)

    def __call__(self, text_input):
        words = self._strings(text_input)
        if words.ndim != 1:
            raise _errors.RuntimeError(f"[Ngram] takes words [n], got {list(words.shape)}")
        out = []
        for n in self.sizes:
            all_words = [self.left[0]] * min(self.left[1], n - 1) + words.tolist() + [self.right[0]] * min(self.right[1], n - 1)
            out += [self.separator.join(all_words[i:i + n]) for i in range(len(all_words) - n + 1)] or [""]
        return _np.array(out, _np.str_)


class SlidingWindow(TextTransform):
    """All parts of a width of a sequence [n], as [n - width + 1, width]."""

    def __init__(self, width, axis=0):
        self.width, self.axis = self._checks.integer("width", width, 1), self._checks.integer("axis", axis)

    def __call__(self, text_input):
        x = self._array(text_input)
        if x.ndim != 1 or self.axis not in (0, -1):
            raise _errors.RuntimeError(f"[SlidingWindow] takes a sequence [n] and axis 0, got {list(x.shape)} and {self.axis}")
        if len(x) < self.width:
            return _np.zeros((0, self.width), x.dtype)
        return _np.lib.stride_tricks.sliding_window_view(x, self.width).copy()


class ToNumber(TextTransform):
    """Strings as numbers of a type."""

    def __init__(self, data_type):
        self.data_type = _np.dtype(getattr(data_type, "name", data_type))
        if self.data_type.kind not in "uif":
            raise self._checks.type_error(f"data_type : value invalid to numeric type: {self.data_type}")

    def __call__(self, text_input):
        x, out = self._strings(text_input), []
        kind = self.data_type.kind
        for s in x.ravel().tolist():
            try:
                v = float(s) if kind == "f" else int(s, 10)
            except ValueError:
                raise _errors.RuntimeError(f"[ToNumber] {s!r} is no number of type {self.data_type}") from None
            limits = _np.finfo(self.data_type) if kind == "f" else _np.iinfo(self.data_type)
            if v == v and abs(v) != float("inf") and not limits.min <= v <= limits.max:
                raise _errors.RuntimeError(f"[ToNumber] {s!r} is out of bounds of {self.data_type}")
            out.append(v)
        return _np.array(out, self.data_type).reshape(x.shape)


class ToVectors(TextTransform):
    """The vectors of words, float32 [..., dim]; unk_init (zeros) for words that there are not."""

    def __init__(self, vectors, unk_init=None, lower_case_backup=False):
        check = self._checks
        self.vectors = check.kind("vectors", vectors, Vectors)
        if unk_init:
            for i, v in enumerate(check.kind("unk_init", unk_init, list, tuple, _np.ndarray)):
                check.kind(f"unk_init[{i}]", v, int, float)
            if len(unk_init) != vectors.dim:
                raise _errors.RuntimeError(f"[ToVectors] unk_init must have {vectors.dim} values, got {len(unk_init)}")
        self.unk_init = _np.asarray(unk_init, _np.float32) if unk_init else None
        self.lower = check.truth("lower_case_backup", lower_case_backup)

    def __call__(self, text_input):
        x = self._strings(text_input)
        rows = [self.vectors.lookup(s, self.unk_init, self.lower) for s in x.ravel().tolist()]
        return _np.array(rows, _np.float32).reshape(*x.shape, self.vectors.dim)


class Truncate(TextTransform):
    """The first max_seq_len of a sequence [n], or of each of [m, n]."""

    def __init__(self, max_seq_len):
        self.length = self._checks.integer("max_seq_len", max_seq_len, 0)

    def __call__(self, text_input):
        x = self._array(text_input)
        if x.ndim not in (1, 2):
            raise _errors.RuntimeError(f"[Truncate] takes sequences [n] or [m, n], got {list(x.shape)}")
        return x[..., :self.length]


class TruncateSequencePair(TextTransform):
    """Two sequences shortened, the longer one first, until they have max_length together.

    >>> import rutile.dataset.text as text
    >>> [x.tolist() for x in text.TruncateSequencePair(4)([1, 2, 3], [4, 5])]
    [[1, 2], [4, 5]]
    """

    def __init__(self, max_length):
        self.length = self._checks.integer("max_length", max_length, 1)

    def __call__(self, first, second):
        a, b = self._array(first), self._array(second)
        if a.ndim != 1 or b.ndim != 1:
            raise _errors.RuntimeError(f"[TruncateSequencePair] takes sequences [n], got {list(a.shape)} and {list(b.shape)}")
        n, m = len(a), len(b)
        while n + m > self.length:
            if n > m:
                n -= 1
            else:
                m -= 1
        return a[:n], b[:m]


def __getattr__(name):
    # MindSpore has the tokenizers here as well.
    from rutile._inner import operations
    from rutile.dataset.text import tokenizers
    for module, names in ((tokenizers, tokenizers.__all__), (operations, ("Implementation", "TextTensorOperation"))):
        if name in names:
            return getattr(module, name)
    raise AttributeError(f"module 'rutile.dataset.text.transforms' has no attribute {name!r}")
