# SPDX-License-Identifier: Apache-2.0
"""Vocabularies, word vectors and choices of the transforms of text."""

import enum as _enum
import os as _os

import numpy as _np

from rutile import _rutile
from rutile.dataset._checks import Checks

_errors = _rutile.errors

__all__ = ["CharNGram", "FastText", "GloVe", "JiebaMode", "NormalizeForm", "SPieceTokenizerLoadType", "SPieceTokenizerOutType",
           "SentencePieceModel", "SentencePieceVocab", "Vectors", "Vocab", "to_bytes", "to_str"]


class JiebaMode(_enum.IntEnum):
    """Ways of JiebaTokenizer."""

    MIX = 0
    MP = 1
    HMM = 2


class NormalizeForm(_enum.IntEnum):
    """Unicode's normal forms."""

    NONE = 0
    NFC = 1
    NFKC = 2
    NFD = 3
    NFKD = 4


class SentencePieceModel(_enum.IntEnum):
    """Kinds of SentencePiece models."""

    UNIGRAM = 0
    BPE = 1
    CHAR = 2
    WORD = 3


class SPieceTokenizerLoadType(_enum.IntEnum):
    """Whence SentencePieceTokenizer has its model."""

    FILE = 0
    MODEL = 1


class SPieceTokenizerOutType(_enum.IntEnum):
    """What SentencePieceTokenizer gives."""

    STRING = 0
    INT = 1


def to_bytes(array, encoding="utf8"):
    """An array of strings as one of bytes.

    >>> import numpy as np
    >>> import rutile.dataset.text as text
    >>> text.to_bytes(np.array(["a", "b"])).tolist()
    [b'a', b'b']
    """
    if not isinstance(array, _np.ndarray):
        raise _errors.ValueError("[to_bytes] input should be a NumPy array.")
    return _np.char.encode(array, encoding)


def to_str(array, encoding="utf8"):
    """An array of bytes as one of strings."""
    if not isinstance(array, _np.ndarray):
        raise _errors.TypeError("[to_str] input should be a NumPy array.")
    return _np.char.decode(array, encoding)


def _strings(check, what, values):
    """A list of distinct strings."""
    for i, v in enumerate(check.kind(what, values, list)):
        check.kind(f"{what}[{i}]", v, str)
    if len(set(values)) != len(values):
        raise check.value_error(f"{what} contains duplicate elements: {sorted({v for v in values if values.count(v) > 1})}")
    return values


class Vocab:
    """Words and their numbers.

    >>> import rutile.dataset.text as text
    >>> v = text.Vocab.from_list(["red", "blue"], special_tokens=["<unk>"])
    >>> v.tokens_to_ids(["blue", "green"]), v.ids_to_tokens(1), v.vocab()
    ([2, -1], 'red', {'<unk>': 0, 'red': 1, 'blue': 2})
    """

    def __init__(self):
        self._ids, self._tokens = None, None

    @classmethod
    def _made(cls, ids):
        out = cls()
        out._ids, out._tokens = ids, {i: t for t, i in ids.items()}
        return out

    @classmethod
    def _listed(cls, check, words, special_tokens, special_first):
        special = [] if special_tokens is None else _strings(check, "special_tokens", special_tokens)
        check.truth("special_first", special_first)
        both = set(special) & set(words)
        if both:
            raise check.value_error(f"special_tokens and word_list contain duplicate words: {sorted(both)}")
        return cls._made({w: i for i, w in enumerate([*special, *words] if special_first else [*words, *special])})

    @classmethod
    def from_list(cls, word_list, special_tokens=None, special_first=True):
        """Numbers in the list's order, special tokens before (or behind) it."""
        check = Checks("Vocab.from_list")
        return cls._listed(check, _strings(check, "word_list", word_list), special_tokens, special_first)

    @classmethod
    def from_dict(cls, word_dict):
        """Words with their numbers."""
        check = Checks("Vocab.from_dict")
        for word, number in check.kind("word_dict", word_dict, dict).items():
            check.kind("word", word, str)
            check.integer("word_id", number, 0)
        return cls._made(dict(word_dict))

    @classmethod
    def from_file(cls, file_path, delimiter="", vocab_size=None, special_tokens=None, special_first=True):
        """A word a line: what stands before the delimiter ("": the whole line); the first vocab_size ones."""
        check = Checks("Vocab.from_file")
        check.kind("delimiter", delimiter, str)
        if vocab_size is not None:
            check.integer("vocab_size", vocab_size, 1)
        if not _os.path.isfile(check.kind("file_path", file_path, str)):
            raise _errors.RuntimeError(f"[Vocab.from_file] there is no regular file {file_path!r}")
        words = []
        with open(file_path, encoding="utf8") as f:
            for line in f:
                word = line.rstrip("\r\n")
                word = (word.split(delimiter)[0] if delimiter else word).strip()
                if not word:
                    continue
                if vocab_size is not None and len(words) == vocab_size:
                    break
                words.append(word)
        if len(set(words)) != len(words):
            raise _errors.RuntimeError(f"[Vocab.from_file] {file_path!r} has words twice: "
                                       f"{sorted({w for w in words if words.count(w) > 1})[:5]}")
        return cls._listed(check, words, special_tokens, special_first)

    @classmethod
    def from_dataset(cls, dataset, columns=None, freq_range=None, top_k=None, special_tokens=None, special_first=True):
        """The words of columns of a data set (all of them), the most frequent first, equals in the order of their letters;
        freq_range: (least, most) frequency, None for any; top_k: so many."""
        check = Checks("Vocab.from_dataset")
        if columns is None:
            columns = dataset.get_col_names()
        columns = [columns] if isinstance(columns, str) else _strings(check, "columns", columns)
        if freq_range is not None:
            if len(check.kind("freq_range", freq_range, tuple)) != 2:
                raise check.value_error("freq_range needs to be a tuple of 2 integers or an int and a None.")
            for v in freq_range:
                if v is not None:
                    check.integer("freq_range", v, 0)
        low, high = freq_range or (None, None)
        if low is not None and high is not None and low > high:
            raise check.value_error(f"freq_range should be in (min,max) format. Got (max,min): {freq_range}")
        if top_k is not None:
            check.integer("top_k", top_k, 1)
        counts = {}
        for row in dataset.create_tuple_iterator(columns, num_epochs=1, output_numpy=True):
            for x in row:
                if x.dtype.kind not in "US":
                    raise _errors.RuntimeError(f"[Vocab.from_dataset] words are strings, got {x.dtype}")
                for word in (to_str(x) if x.dtype.kind == "S" else x).ravel().tolist():
                    counts[word] = counts.get(word, 0) + 1
        words = sorted((w for w, n in counts.items() if (low is None or n >= low) and (high is None or n <= high)),
                       key=lambda w: (-counts[w], w.encode("utf8")))
        return cls._listed(check, words[:top_k], special_tokens, special_first)

    def _there(self):
        if self._ids is None:
            raise _errors.RuntimeError("[Vocab] there are no words yet: make one by from_list, from_dict, from_file or from_dataset")

    def vocab(self):
        """A dict of words and numbers."""
        self._there()
        return dict(self._ids)

    def tokens_to_ids(self, tokens):
        """The number of a word, or a list of them; -1 for words that there are not."""
        self._there()
        check = Checks("Vocab.tokens_to_ids")
        tokens = tokens.tolist() if isinstance(check.kind("tokens", tokens, str, list, _np.ndarray), _np.ndarray) else tokens
        if isinstance(tokens, str):
            return self._ids.get(tokens, -1)
        out = [self._ids.get(check.kind(f"tokens[{i}]", t, str), -1) for i, t in enumerate(tokens)]
        return out[0] if len(out) == 1 else out

    def ids_to_tokens(self, ids):
        """The word of a number, or a list of them; "" for numbers that there are not."""
        self._there()
        check = Checks("Vocab.ids_to_tokens")
        ids = ids.tolist() if isinstance(check.kind("ids", ids, int, list, _np.ndarray), _np.ndarray) else ids
        if isinstance(ids, int):
            return self._tokens.get(check.integer("ids", ids, 0), "")
        out = [self._tokens.get(check.integer(f"ids[{i}]", n, 0), "") for i, n in enumerate(ids)]
        return out[0] if len(out) == 1 else out


class Vectors:
    """Vectors of words, from a file with a word and its numbers a line (and perhaps a first line with how many there are)."""

    _name = None  # what the file's name must be like

    def __init__(self):
        self._rows, self.dim = {}, 0

    @classmethod
    def from_file(cls, file_path, max_vectors=None):
        """The first max_vectors words of a file (None: all)."""
        check = Checks(f"{cls.__name__}.from_file")
        if max_vectors is not None:
            check.integer("max_vectors", max_vectors, 0)
        check.kind("file_path", file_path, str)
        if not _os.path.isfile(file_path):
            raise _errors.RuntimeError(f"[{check.name}] there is no regular file {file_path!r}")
        cls._check_name(check, _os.path.basename(file_path))
        out = cls()
        with open(file_path, encoding="utf8") as f:
            for number, line in enumerate(f, 1):
                words = line.rstrip().split(" ")
                if len(words) <= 2:
                    if number == 1 and len(words) == 2 and all(w.isdigit() for w in words):
                        continue
                    raise _errors.RuntimeError(f"[{check.name}] line {number} of {file_path!r} is no word with a vector")
                if max_vectors and len(out._rows) == max_vectors:
                    break
                if out.dim and len(words) - 1 != out.dim:
                    raise _errors.RuntimeError(f"[{check.name}] all vectors must have the same number of dimensions, line {number} of "
                                               f"{file_path!r} has {len(words) - 1}, others {out.dim}")
                try:
                    out._rows.setdefault(words[0], _np.array([float(w) for w in words[1:]], _np.float32))
                except ValueError:
                    raise _errors.RuntimeError(f"[{check.name}] line {number} of {file_path!r} has what is no number") from None
                out.dim = len(words) - 1
        if not out._rows:
            raise _errors.RuntimeError(f"[{check.name}] {file_path!r} has no vectors")
        return out

    @classmethod
    def _check_name(cls, check, name):
        pass

    def lookup(self, token, unk_init=None, lower_case_backup=False):
        """The vector of a word, float32 [dim]; unk_init (zeros) of a word that there is not."""
        row = self._rows.get(token)
        if row is None and lower_case_backup:
            row = self._rows.get(token.lower())
        return row if row is not None else _np.zeros(self.dim, _np.float32) if unk_init is None else unk_init


class FastText(Vectors):
    """Vectors of fastText, files *.vec."""

    @classmethod
    def _check_name(cls, check, name):
        if not name.endswith(".vec"):
            raise _errors.RuntimeError(f"[{check.name}] a file of fastText ends with '.vec', got {name!r}")


class GloVe(Vectors):
    """Vectors of GloVe, files glove*.txt."""

    @classmethod
    def _check_name(cls, check, name):
        if not (name.startswith("glove") and name.endswith(".txt")):
            raise _errors.RuntimeError(f"[{check.name}] a file of GloVe is named 'glove.*.txt', got {name!r}")


class CharNGram(Vectors):
    """Vectors of groups of 1 to 4 letters; a word's is the mean of those of its groups."""

    def lookup(self, token, unk_init=None, lower_case_backup=False):
        """The vector of a word, float32 [dim]; unk_init (zeros) where none of its groups is there."""
        for word in (token, token.lower()) if lower_case_backup else (token,):
            letters = ["#BEGIN#", *word, "#END#"]
            keys = [f"{n}gram-{''.join(letters[i:i + n])}" for n in (2, 3, 4) for i in range(len(letters) - n + 1)]
            found = [self._rows[k] for k in keys if k in self._rows]
            if found:
                return _np.mean(found, 0, dtype=_np.float32)
        return _np.zeros(self.dim, _np.float32) if unk_init is None else unk_init


def _no_pieces():
    return _errors.UnsupportedError("[SentencePieceVocab] SentencePiece models are not built in; encode with the package "
                                    "sentencepiece in a Python function given to Dataset.map")


class SentencePieceVocab:
    """SentencePiece models are not built in: its methods raise an error that says what to use."""

    _refused = True

    @classmethod
    def from_dataset(cls, dataset, col_names, vocab_size, character_coverage, model_type, params):
        """Raises the error."""
        raise _no_pieces()

    @classmethod
    def from_file(cls, file_path, vocab_size, character_coverage, model_type, params):
        """Raises the error."""
        raise _no_pieces()

    @classmethod
    def save_model(cls, vocab, path, filename):
        """Raises the error."""
        raise _no_pieces()
