# SPDX-License-Identifier: Apache-2.0
"""Metrics of language: perplexity and BLEU."""

import math as _math
from collections import Counter as _Counter

from rutile import _rutile
from rutile.train.metrics._base import Metric, rearrange_inputs

_errors = _rutile.errors

__all__ = ["BleuScore", "Perplexity"]


class Perplexity(Metric):
    """exp of the mean of -log(probability of the label): probabilities [n, c] and labels of n elements.

    >>> from rutile.train import Perplexity
    >>> Perplexity()([[0.25, 0.75], [0.5, 0.5]], [0, 1])
    2.82842712474619
    """

    def __init__(self, ignore_label=None):
        super().__init__()
        if ignore_label is not None and (isinstance(ignore_label, bool) or not isinstance(ignore_label, int)):
            raise _errors.TypeError(f"[Perplexity] ignore_label must be an int, got {ignore_label!r}")
        self.ignore_label = ignore_label
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._sum_metric, self._num_inst = 0.0, 0

    @rearrange_inputs
    def update(self, *inputs):
        """Takes probabilities and labels in."""
        import numpy as np
        pred, label = self._inputs(inputs, 2)
        if pred.ndim < 2 or label.size != pred.size // max(pred.shape[-1], 1):
            raise _errors.RuntimeError(f"[Perplexity] probabilities {pred.shape} do not go with labels {label.shape}")
        label = label.reshape(-1).astype(int)
        pred = pred.reshape(-1, pred.shape[-1])
        keep = np.ones(len(label), bool) if self.ignore_label is None else label != self.ignore_label
        picked = pred[np.arange(len(label))[keep], label[keep]]
        self._sum_metric -= float(np.log(np.maximum(1e-10, picked)).sum())
        self._num_inst += int(keep.sum())

    def eval(self):
        """The perplexity."""
        self._some(self._num_inst)
        return _math.exp(self._sum_metric / self._num_inst)


def _ngrams(words, n):
    return _Counter(tuple(words[j:i + j]) for i in range(1, n + 1) for j in range(len(words) - i + 1))


class BleuScore(Metric):
    """BLEU (Papineni et al., 2002) of sentences against one or several references each, as lists of words.

    >>> from rutile.train import BleuScore
    >>> said = [["the", "cat", "is", "on", "the", "mat"]]
    >>> references = [[["there", "is", "a", "cat", "on", "the", "mat"], ["a", "cat", "is", "on", "the", "mat"]]]
    >>> round(float(BleuScore()(said, references)), 4)
    0.7598
    """

    def __init__(self, n_gram=4, smooth=False):
        super().__init__()
        if isinstance(n_gram, bool) or not isinstance(n_gram, int) or not isinstance(smooth, bool):
            raise _errors.TypeError(f"[BleuScore] n_gram is an int, smooth a bool, got {n_gram!r} and {smooth!r}")
        if not 1 <= n_gram <= 4:
            raise _errors.ValueError(f"[BleuScore] n_gram must be from 1 to 4, got {n_gram}")
        self.n_gram, self.smooth = n_gram, smooth
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._numerator, self._denominator = [0] * self.n_gram, [0] * self.n_gram
        self._c, self._r, self._is_update = 0, 0, False

    @rearrange_inputs
    def update(self, *inputs):
        """Takes sentences and lists of references in."""
        if len(inputs) != 2:
            raise _errors.ValueError(f"[BleuScore] update takes 2 arguments, got {len(inputs)}")
        candidates, references = inputs
        if len(candidates) != len(references):
            raise _errors.ValueError(f"[BleuScore] {len(candidates)} sentences, references of {len(references)}")
        for candidate, refs in zip(candidates, references):
            lengths = [len(r) for r in refs]
            self._c += len(candidate)
            self._r += min(lengths, key=lambda n: abs(len(candidate) - n))
            found, known = _ngrams(candidate, self.n_gram), _Counter()
            for r in refs:
                known |= _ngrams(r, self.n_gram)
            for counts, into in ((found & known, self._numerator), (found, self._denominator)):
                for gram, n in counts.items():
                    into[len(gram) - 1] += n
        self._is_update = True

    def eval(self):
        """The score."""
        import numpy as np
        self._some(self._is_update)
        if min(self._numerator) == 0:
            return np.array(0.0)
        more = 1 if self.smooth else 0
        logs = [_math.log((a + more) / (b + more)) for a, b in zip(self._numerator, self._denominator)]
        short = 1.0 if self._c > self._r else _math.exp(1 - self._r / self._c)
        return np.float64(short * _math.exp(sum(logs) / self.n_gram))
