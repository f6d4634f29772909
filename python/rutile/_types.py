# SPDX-License-Identifier: Apache-2.0
"""What the type stubs call the values that functions take. Nothing imports this at run time."""

from collections.abc import Sequence
from typing import Any, Union

import numpy as np

from rutile import Tensor
from rutile.dtype import DType

Number = Union[bool, int, float, complex]
TensorLike = Union[Tensor, Number, "np.ndarray[Any, Any]", "np.generic", Sequence[Any]]
DTypeLike = Union[DType, str, type, "np.dtype[Any]"]
Ints = Union[int, Sequence[int]]
