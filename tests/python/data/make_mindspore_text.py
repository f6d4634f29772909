# SPDX-License-Identifier: Apache-2.0
"""Writes mindspore_text.json with MindSpore 2.10 on CPU (`pip install mindspore "numpy<2"`): what its transforms of text make of
strings. test_text.py reads it; cases() is the list that both use."""

import json
import os

import numpy as np

BERT = ["床", "前", "明", "月", "光", "i", "am", "mak", "make", "small", "mistake", "##s", "during", "work", "##ing", "hour", "+", "/", "-",
        "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]", "12", "16", "I", "unused", "##fel", "##é", "fi"]
LINES = ["Welcome  to\tBeijing!", "床前明月光, 1997年", " I am making small mistakes during working hours ", "[CLS] ÀB\u0301ﬁ ẛ [unused12]-x [unused]",
         "a", "(don't) 12+16=28... é", "ｆｕｌｌ　Ｗｉｄｔｈ ٣٤ Привет мир 한국어 かなカナ漢字", "A\u00adb\u200bc"]
WIKI = ["Welcome    to    China", "A [[link|text]] and {{box}} 12 &amp; <b>x</b> y", "[[Category:Birds|x]] [http://a.b c] |thumb z", "ABC!!! d3f", "!!!"]


def cases(text, dtype):
    """(name, transform, inputs)"""
    form = text.NormalizeForm
    vocab = text.Vocab.from_list(BERT)
    out = [("chars", text.UnicodeCharTokenizer(True), LINES), ("white", text.WhitespaceTokenizer(True), LINES),
           ("script", text.UnicodeScriptTokenizer(False, True), LINES), ("script_white", text.UnicodeScriptTokenizer(True, True), LINES),
           ("regex", text.RegexTokenizer(r"[ ,]", "", True), LINES), ("regex_keep", text.RegexTokenizer(r"[ ,]|\d+", r"\d+", True), LINES),
           ("fold", text.CaseFold(), LINES), ("wiki", text.FilterWikipediaXML(), WIKI),
           ("replace", text.RegexReplace(r"([a-z])([a-z])", "$2-$1"), LINES), ("replace_one", text.RegexReplace("a", "b", False), LINES),
           ("ngram", text.Ngram([2, 3], ("<", 2), (">", 1), "-"), [["a", "b", "c"], ["x"]]), ("ngram_few", text.Ngram(4), [["a", "b"]]),
           ("window", text.SlidingWindow(2), [["a", "b", "c"], ["a", "b"]]), ("number", text.ToNumber(dtype.int8), [["1", "-5"], ["127"]]),
           ("float", text.ToNumber(dtype.float32), [["1.5", "-5e3"]]), ("lookup", text.Lookup(vocab, "[UNK]"), ["床", ["am", "you"]]),
           ("truncate", text.Truncate(2), [["a", "b", "c"], ["a"]]), ("token", text.AddToken("x"), [["a", "b"]]),
           ("token_end", text.AddToken("x", False), [["a", "b"]])]
    out += [(f"normal_{f.name}", text.NormalizeUTF8(f), LINES) for f in form]
    for lower in (False, True):
        for keep in (False, True):
            for special in (False, True):
                args = (lower, keep, form.NONE, special)
                out += [(f"basic_{lower}_{keep}_{special}", text.BasicTokenizer(*args, with_offsets=True), LINES),
                        (f"bert_{lower}_{keep}_{special}", text.BertTokenizer(vocab, "##", 100, "[UNK]", *args, True), LINES)]
    # MindSpore 2.10 doubles tokens behind [CLS] where it folds case, and gives two offsets for a word found in part.
    out = [(name, op, [v for v in values if "[unused12]" not in v] if name.startswith(("basic_True", "bert")) else values)
           for name, op, values in out]
    out += [("basic_nfkc", text.BasicTokenizer(normalization_form=form.NFKC), LINES),
            ("pieces", text.WordpieceTokenizer(vocab, with_offsets=True), ["makes", "working", "xyz", ["mistakes", "Iing", "床s"]]),
            ("pieces_same", text.WordpieceTokenizer(vocab, unknown_token="", with_offsets=True), ["xyz", "床"]),
            ("pieces_long", text.WordpieceTokenizer(vocab, max_bytes_per_token=3), ["makes", "mak"])]
    return out


def plain(value):
    return [plain(v) for v in value] if isinstance(value, tuple) else np.asarray(value).tolist()


def main():
    from mindspore import dtype
    from mindspore.dataset import text
    results = {name: [plain(op(value)) for value in values] for name, op, values in cases(text, dtype)}
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "mindspore_text.json"), "w") as f:
        json.dump(results, f, ensure_ascii=False, indent=None)
        f.write("\n")


if __name__ == "__main__":
    main()
