# SPDX-License-Identifier: Apache-2.0
"""Transforms of text against what MindSpore's give, vocabularies, word vectors, their errors."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

import rutile as ms
from rutile.dataset import GeneratorDataset, NumpySlicesDataset, text

DATA = pathlib.Path(__file__).parent / "data"
_spec = importlib.util.spec_from_file_location("make_mindspore_text", DATA / "make_mindspore_text.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
CASES = make.cases(text, ms)


@pytest.fixture(scope="module")
def golden():
    return json.loads((DATA / "mindspore_text.json").read_text())


@pytest.mark.parametrize("name, op, values", CASES, ids=[c[0] for c in CASES])
def test_equals_mindspore(golden, name, op, values):
    for value, want in zip(values, golden[name]):
        assert make.plain(op(value)) == want, value


def test_vocabulary(tmp_path):
    v = text.Vocab.from_list(["a", "b"], ["<pad>"], special_first=False)
    assert v.vocab() == {"a": 0, "b": 1, "<pad>": 2} and v.tokens_to_ids("b") == 1 and v.ids_to_tokens([2, 9]) == ["<pad>", ""]
    assert v.tokens_to_ids(np.array(["a", "z"])) == [0, -1] and text.Vocab.from_dict({"x": 3}).ids_to_tokens(np.array([3])) == "x"
    file = tmp_path / "words"
    file.write_text("apple,1\nbanana, 2\ncat,3\n")
    assert text.Vocab.from_file(str(file), ",", 2, ["<unk>"]).vocab() == {"<unk>": 0, "apple": 1, "banana": 2}
    data = GeneratorDataset([(np.array("b a".split()),), (np.array("a d b a".split()),)], ["w"], shuffle=False)
    assert text.Vocab.from_dataset(data, "w").vocab() == {"a": 0, "b": 1, "d": 2}
    assert text.Vocab.from_dataset(data, ["w"], (2, None), 1, ["<pad>"]).vocab() == {"<pad>": 0, "a": 1}
    for error, match, call in [
            (ValueError, "duplicate", lambda: text.Vocab.from_list(["a", "a"])), (TypeError, "word_list", lambda: text.Vocab.from_list("a")),
            (ValueError, "duplicate", lambda: text.Vocab.from_list(["a"], ["a"])), (ValueError, "word_id", lambda: text.Vocab.from_dict({"a": -1})),
            (RuntimeError, "no regular file", lambda: text.Vocab.from_file("/nowhere")), (TypeError, "tokens", lambda: v.tokens_to_ids(3)),
            (ValueError, "ids", lambda: v.ids_to_tokens(-1)), (RuntimeError, "no words yet", lambda: text.Vocab().vocab()),
            (ValueError, "freq_range", lambda: text.Vocab.from_dataset(data, "w", (3, 1))),
            (RuntimeError, "'z' is not in the vocabulary", lambda: text.Lookup(v)(["a", "z"])),
            (RuntimeError, "unknown_token 'q'", lambda: text.Lookup(v, "q")), (TypeError, "vocab", lambda: text.Lookup(["a"]))]:
        with pytest.raises(error, match=match):
            call()


def test_vectors(tmp_path):
    lines = "ok 1 2 3\nOK 4 5 6\nno 7 8 9\n"
    for cls, name, head in ((text.Vectors, "v.txt", ""), (text.GloVe, "glove.3d.txt", ""), (text.FastText, "a.vec", "3 3\n")):
        file = tmp_path / name
        file.write_text(head + lines)
        v = cls.from_file(str(file))
        assert text.ToVectors(v)("no").tolist() == [7, 8, 9] and text.ToVectors(v)(["ok", "Ok"]).tolist() == [[1, 2, 3], [0, 0, 0]]
        assert text.ToVectors(v, [1, 1, 1], True)(["Ok", "x"]).tolist() == [[1, 2, 3], [1, 1, 1]]
        assert text.ToVectors(cls.from_file(str(file), 2))("no").tolist() == [0, 0, 0]
    (tmp_path / "c.txt").write_text("2gram-#BEGIN#a 1 1\n2gram-ab 2 2\n3gram-ab#END# 6 0\n")
    chars = text.CharNGram.from_file(str(tmp_path / "c.txt"))
    assert text.ToVectors(chars)(["ab", "q"]).tolist() == [[3, 1], [0, 0]]
    (tmp_path / "bad").write_text("a 1 2\nb 1\nc 1 2 3\n")
    for error, match, call in [(RuntimeError, "line 2", lambda: text.Vectors.from_file(str(tmp_path / "bad"))),
                               (RuntimeError, "glove", lambda: text.GloVe.from_file(str(tmp_path / "bad"))),
                               (RuntimeError, "vec", lambda: text.FastText.from_file(str(tmp_path / "bad"))),
                               (ValueError, "max_vectors", lambda: text.Vectors.from_file(str(tmp_path / "bad"), -1)),
                               (RuntimeError, "unk_init must have 2", lambda: text.ToVectors(chars, [1.0]))]:
        with pytest.raises(error, match=match):
            call()


def test_in_a_pipeline():
    data = NumpySlicesDataset(["happy new year", "small steps"], ["text"], shuffle=False)
    vocab = text.Vocab.from_list(["new", "year", "small", "steps"], ["<unk>"])
    rows = data.map([text.WhitespaceTokenizer(), text.Lookup(vocab, "<unk>")]).create_tuple_iterator(output_numpy=True, num_epochs=1)
    assert [r[0].tolist() for r in rows] == [[0, 1, 2], [3, 4]]
    tokens = data.map(text.WhitespaceTokenizer(True), ["text"], ["token", "start", "limit"])
    assert [r["limit"].tolist() for r in tokens.create_dict_iterator(1, output_numpy=True)] == [[5, 9, 14], [5, 11]]
    assert text.PythonTokenizer(str.split)(np.array("a b".encode())).tolist() == ["a", "b"]
    a, b = text.TruncateSequencePair(3)(["1", "2", "3"], ["4", "5"])
    assert a.tolist() == ["1", "2"] and b.tolist() == ["4"]
    assert text.to_str(text.to_bytes(np.array(["é"]))).tolist() == ["é"]


@pytest.mark.parametrize("error, match, call", [
    (TypeError, "with_offsets", lambda: text.WhitespaceTokenizer(1)), (RuntimeError, "takes strings", lambda: text.CaseFold()([1])),
    (RuntimeError, "takes one string", lambda: text.WhitespaceTokenizer()(["a", "b"])), (ValueError, "width", lambda: text.SlidingWindow(0)),
    (ValueError, "gram", lambda: text.Ngram(0)), (ValueError, "left_pad", lambda: text.Ngram(2, "a")),
    (RuntimeError, "no number of type int8", lambda: text.ToNumber(ms.int8)(["x"])),
    (RuntimeError, "out of bounds", lambda: text.ToNumber(ms.int8)(["300"])), (TypeError, "numeric", lambda: text.ToNumber(ms.bool_)),
    (RuntimeError, "no regular expression", lambda: text.RegexTokenizer("(")), (TypeError, "NormalizeForm", lambda: text.NormalizeUTF8(1)),
    (ValueError, "max_seq_len", lambda: text.Truncate(-1)), (TypeError, "token", lambda: text.AddToken(1)),
    (NotImplementedError, "jieba", lambda: text.JiebaTokenizer("a", "b")),
    (NotImplementedError, "sentencepiece", lambda: text.SentencePieceVocab.from_file([], 1, 1.0, text.SentencePieceModel.BPE, {})),
    (NotImplementedError, "sentencepiece", lambda: text.SentencePieceTokenizer("m", text.SPieceTokenizerOutType.STRING)),
    (RuntimeError, "Pyfunc", lambda: text.PythonTokenizer(lambda s: 1 / 0)(np.array("a"))),
    (TypeError, "NumPy array", lambda: text.PythonTokenizer(str.split)("a"))])
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call()
