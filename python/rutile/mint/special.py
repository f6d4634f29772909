# SPDX-License-Identifier: Apache-2.0
"""Special functions under PyTorch's names, as mindspore.mint.special has them.

>>> from rutile import Tensor, mint
>>> mint.special.exp2(Tensor([3.0])).asnumpy().tolist()
[8.0]
"""

from rutile.mint import erfc, exp2, expm1, log1p, round, sinc
from rutile.mint.nn.functional import log_softmax

__all__ = ["erfc", "exp2", "expm1", "log1p", "log_softmax", "round", "sinc"]
