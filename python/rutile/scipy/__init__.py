# SPDX-License-Identifier: Apache-2.0
"""SciPy's functions on Tensors, by mindspore.scipy's names."""

from rutile.scipy import linalg, optimize

__all__ = ["linalg", "optimize"]
