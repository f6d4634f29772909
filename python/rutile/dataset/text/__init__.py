# SPDX-License-Identifier: Apache-2.0
"""Transforms of text, for Dataset.map or to be called: tokenizers, vocabularies, word vectors.

>>> import rutile.dataset.text as text
>>> words = text.WhitespaceTokenizer()("a small step")
>>> text.Lookup(text.Vocab.from_list(["step", "a", "small"]))(words).tolist()
[1, 2, 0]
"""

from rutile.dataset.text import tokenizers, transforms, utils
from rutile.dataset.text.tokenizers import *  # noqa: F401,F403
from rutile.dataset.text.transforms import *  # noqa: F401,F403
from rutile.dataset.text.utils import *  # noqa: F401,F403

__all__ = tokenizers.__all__ + transforms.__all__ + utils.__all__
