# SPDX-License-Identifier: Apache-2.0
"""SciPy's functions on Tensors, by mindspore.scipy's names."""

from rutile.scipy import linalg

__all__ = ["linalg"]
