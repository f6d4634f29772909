# SPDX-License-Identifier: Apache-2.0
"""NumPy's functions on Tensors, by mindspore.numpy's names: most are a function of rutile.ops under NumPy's arguments.

>>> import rutile.numpy as np
>>> np.add(np.arange(3), 1).asnumpy().tolist()
[1, 2, 3]
"""

from rutile.dtype import (bool_, float16, float32, float64, int16, int32, int64, int8, uint16, uint32, uint64,  # noqa: F401
                          uint8)
from rutile.dtype import float_, int_  # noqa: F401
from rutile.numpy.elementwise import *  # noqa: F401,F403
from rutile.numpy.arrays import *  # noqa: F401,F403
from rutile.numpy.reductions import *  # noqa: F401,F403
from rutile.numpy.shapes import *  # noqa: F401,F403
from rutile.numpy.sets import *  # noqa: F401,F403
from rutile.numpy import arrays, elementwise, fft, reductions, sets, shapes

pi, e, inf, nan, newaxis, PINF, NINF = 3.141592653589793, 2.718281828459045, float("inf"), float("nan"), None, float("inf"), float("-inf")

__all__ = ["bool_", "float16", "float32", "float64", "float_", "int16", "int32", "int64", "int8", "int_", "uint16", "uint32", "uint64", "uint8", "pi", "e",
           "inf", "nan", "newaxis", "PINF", "NINF", "fft"]
__all__ += elementwise.__all__ + arrays.__all__ + reductions.__all__ + shapes.__all__ + sets.__all__
