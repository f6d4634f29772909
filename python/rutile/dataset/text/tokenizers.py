# SPDX-License-Identifier: Apache-2.0
"""Strings in parts. With with_offsets a tokenizer gives (tokens, first byte, last byte + 1 of each, uint32) of the UTF-8 text."""

import re as _re
import unicodedata as _unicodedata

import numpy as _np

from rutile import _rutile
from rutile.dataset.text.transforms import CaseFold, NormalizeUTF8, TextTransform, pattern
from rutile.dataset.text.utils import NormalizeForm, Vocab, to_str

_errors = _rutile.errors

__all__ = ["BasicTokenizer", "BertTokenizer", "JiebaTokenizer", "PythonTokenizer", "RegexTokenizer", "SentencePieceTokenizer",
           "UnicodeCharTokenizer", "UnicodeScriptTokenizer", "WhitespaceTokenizer", "WordpieceTokenizer"]


def _bytes(s):
    return len(s.encode("utf8"))


class _Tokenizer(TextTransform):
    """Cuts a string into (first, behind the last) characters."""

    def __init__(self, with_offsets=False):
        self.with_offsets = self._checks.truth("with_offsets", with_offsets)

    def _spans(self, s):
        raise NotImplementedError

    def _parts(self, s):
        """(token, first byte, behind the last byte) of each part."""
        at, byte, out = 0, 0, []
        for a, b in self._spans(s):
            byte += _bytes(s[at:a])
            end = byte + _bytes(s[a:b])
            out.append((s[a:b], byte, end))
            at, byte = b, end
        return out

    def _given(self, parts):
        parts = parts or [("", 0, 0)]
        tokens = _np.array([p[0] for p in parts], _np.str_)
        if not self.with_offsets:
            return tokens
        return tokens, _np.array([p[1] for p in parts], _np.uint32), _np.array([p[2] for p in parts], _np.uint32)

    def __call__(self, text_input):
        return self._given(self._parts(self._strings(text_input, 0).item()))


class UnicodeCharTokenizer(_Tokenizer):
    """A string's characters."""

    def _spans(self, s):
        return [(i, i + 1) for i in range(len(s))]


class WhitespaceTokenizer(_Tokenizer):
    """What stands between white space.

    >>> import rutile.dataset.text as text
    >>> text.WhitespaceTokenizer()("Welcome  to   Beijing!").tolist()
    ['Welcome', 'to', 'Beijing!']
    """

    def _spans(self, s):
        return [m.span() for m in _re.finditer(r"\S+", s)]


def _script(c):
    # The standard library knows no scripts; the names of letters begin with them.
    if _unicodedata.category(c)[0] == "M":
        return "inherited"
    if _unicodedata.category(c)[0] != "L":
        return "common"
    words = _unicodedata.name(c, "?").replace("CJK COMPATIBILITY", "CJK").replace("IDEOGRAPHIC ITERATION", "CJK").split()
    return words[1] if words[0] in ("FULLWIDTH", "HALFWIDTH", "MATHEMATICAL") and len(words) > 1 else words[0].split("-")[0]


class UnicodeScriptTokenizer(_Tokenizer):
    """Parts of one script (Latin, Han, ...); white space is left out unless it is asked for."""

    def __init__(self, keep_whitespace=False, with_offsets=False):
        super().__init__(bool(with_offsets) if with_offsets is None else with_offsets)
        self.keep = self._checks.truth("keep_whitespace", bool(keep_whitespace) if keep_whitespace is None else keep_whitespace)

    def _spans(self, s):
        out, at, last = [], 0, None
        for i, c in enumerate(s):
            kind = "space" if c.isspace() else _script(c)
            if i and kind != last:
                out.append((at, i, last))
                at = i
            last = kind
        if s:
            out.append((at, len(s), last))
        return [(a, b) for a, b, kind in out if self.keep or kind != "space"]


class RegexTokenizer(_Tokenizer):
    """What stands between matches of a regular expression (Python's); matches that keep_delim_pattern matches as a whole are
    tokens, too."""

    def __init__(self, delim_pattern, keep_delim_pattern="", with_offsets=False):
        super().__init__(with_offsets)
        self.delimiter = pattern("RegexTokenizer", self._checks.kind("delim_pattern", delim_pattern, str))
        self.keep = pattern("RegexTokenizer", self._checks.kind("keep_delim_pattern", keep_delim_pattern, str))

    def _spans(self, s):
        out, at = [], 0
        for m in self.delimiter.finditer(s):
            if m.start() == m.end():
                continue
            out += [(at, m.start())] if at < m.start() else []
            out += [m.span()] if self.keep.pattern and self.keep.fullmatch(m.group()) else []
            at = m.end()
        return out + ([(at, len(s))] if at < len(s) else [])


_SPECIAL = _re.compile(r"\[CLS\]|\[SEP\]|\[UNK\]|\[PAD\]|\[MASK\]|\[unused\d+\]")
_HAN = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
        (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def _alone(c):
    """Whether a character is a token of its own: punctuation, or of Han."""
    n = ord(c)
    return (33 <= n <= 47 or 58 <= n <= 64 or 91 <= n <= 96 or 123 <= n <= 126 or _unicodedata.category(c)[0] == "P"
            or any(a <= n <= b for a, b in _HAN))


class BasicTokenizer(_Tokenizer):
    """Words, punctuation and Han characters, as BERT cuts text; lower_case folds case and leaves out accents, else the text has
    normalization_form; preserve_unused_token keeps [CLS] and so on as they are."""

    def __init__(self, lower_case=False, keep_whitespace=False, normalization_form=NormalizeForm.NONE, preserve_unused_token=True,
                 with_offsets=False):
        super().__init__(with_offsets)
        check = self._checks
        if not isinstance(normalization_form, NormalizeForm):
            raise check.type_error("Wrong input type for normalization_form, should be enum of 'NormalizeForm'.")
        self.lower, self.keep = check.truth("lower_case", lower_case), check.truth("keep_whitespace", keep_whitespace)
        self.form, self.special = normalization_form, check.truth("preserve_unused_token", preserve_unused_token)

    def _plain(self, s):
        if self.lower:
            s = "".join(c for c in _unicodedata.normalize("NFD", CaseFold()._one(s)) if _unicodedata.category(c) != "Mn")
        else:
            s = NormalizeUTF8(self.form)._one(s)
        return "".join(" " if _unicodedata.category(c) in ("Cc", "Cf") else c for c in s)

    def _clean(self, s):
        if not self.special or not self.lower:
            return self._plain(s)
        out, at = [], 0
        for m in _SPECIAL.finditer(s):
            out += [self._plain(s[at:m.start()]), m.group()]
            at = m.end()
        return "".join(out) + self._plain(s[at:])

    def _spans(self, s):
        out, i, n = [], 0, len(s)
        while i < n:
            m = _SPECIAL.match(s, i) if self.special else None
            j = m.end() if m else i + 1
            if not m and s[i].isspace():
                while j < n and s[j].isspace():
                    j += 1
                if self.keep:
                    out.append((i, j))
                i = j
                continue
            if not m and not _alone(s[i]):
                while j < n and not s[j].isspace() and not _alone(s[j]) and not (self.special and _SPECIAL.match(s, j)):
                    j += 1
            out.append((i, j))
            i = j
        return out

    def _parts(self, s):
        return super()._parts(self._clean(s))


class WordpieceTokenizer(_Tokenizer):
    """Words in pieces of a vocabulary, the longest first; pieces behind a word's first begin with suffix_indicator. A word of
    more than max_bytes_per_token bytes, or one that cannot be cut, is unknown_token (or with "" itself).

    >>> import rutile.dataset.text as text
    >>> vocab = text.Vocab.from_list(["favor", "##ite", "book"])
    >>> text.WordpieceTokenizer(vocab)(["book", "favorite", "x"]).tolist()
    ['book', 'favor', '##ite', '[UNK]']
    """

    def __init__(self, vocab, suffix_indicator="##", max_bytes_per_token=100, unknown_token="[UNK]", with_offsets=False):
        super().__init__(with_offsets)
        check = self._checks
        self._words = set(check.kind("vocab", vocab, Vocab).vocab())
        self.suffix, self.unknown = check.kind("suffix_indicator", suffix_indicator, str), check.kind("unknown_token", unknown_token, str)
        self.most = check.integer("max_bytes_per_token", max_bytes_per_token, 0)

    def cut(self, word, start):
        """The pieces of a word whose first byte is start."""
        length = _bytes(word)
        whole = [(self.unknown or word, start, start + length)]
        if length > self.most:
            return whole
        out, i = [], 0
        while i < len(word):
            for j in range(len(word), i, -1):
                piece = (self.suffix if i else "") + word[i:j]
                if piece in self._words:
                    break
            else:
                return whole
            out.append((piece, start + _bytes(word[:i]), start + _bytes(word[:j])))
            i = j
        return out

    def __call__(self, text_input):
        words = self._strings(text_input, 1)
        return self._given([p for w in _np.atleast_1d(words).tolist() for p in self.cut(w, 0)])


class BertTokenizer(BasicTokenizer):
    """BasicTokenizer, then WordpieceTokenizer of its words."""

    def __init__(self, vocab, suffix_indicator="##", max_bytes_per_token=100, unknown_token="[UNK]", lower_case=False,
                 keep_whitespace=False, normalization_form=NormalizeForm.NONE, preserve_unused_token=True, with_offsets=False):
        super().__init__(lower_case, keep_whitespace, normalization_form, preserve_unused_token, with_offsets)
        self._pieces = WordpieceTokenizer(vocab, suffix_indicator, max_bytes_per_token, unknown_token, with_offsets)

    def _parts(self, s):
        return [p for token, start, _ in super()._parts(s) for p in self._pieces.cut(token, start)]


class PythonTokenizer(TextTransform):
    """A Python function that cuts a str into a list of them."""

    def __init__(self, tokenizer):
        if not callable(tokenizer):
            raise self._checks.type_error(f"tokenizer is not a callable Python function: {tokenizer!r}")
        self.function = tokenizer

    def __call__(self, in_array):
        if not isinstance(in_array, _np.ndarray):
            raise self._checks.type_error(f"input should be a NumPy array. Got {type(in_array)}.")
        x = to_str(in_array) if in_array.dtype.kind == "S" else in_array
        try:
            rows = [_np.array(self.function(s), _np.str_) for s in x.ravel().tolist()]
        except Exception as e:
            raise _errors.RuntimeError(f"Error occurred in Pyfunc [{getattr(self.function, '__name__', '?')}], error message: {e}") from e
        return rows[0] if x.ndim == 0 else _np.stack(rows).reshape(*x.shape, -1)


class JiebaTokenizer(TextTransform):
    """Jieba's dictionaries are not read: an error says what to use."""

    _refused = True

    def __init__(self, hmm_path, mp_path, mode=0, with_offsets=False):
        raise _errors.UnsupportedError("[JiebaTokenizer] jieba is not built in; give the function jieba.lcut of the package jieba to "
                                       "text.PythonTokenizer")


class SentencePieceTokenizer(TextTransform):
    """SentencePiece models are not built in: an error says what to use."""

    _refused = True

    def __init__(self, mode, out_type):
        raise _errors.UnsupportedError("[SentencePieceTokenizer] SentencePiece models are not built in; encode with the package "
                                       "sentencepiece in a Python function given to Dataset.map")
