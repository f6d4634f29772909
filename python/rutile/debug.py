# SPDX-License-Identifier: Apache-2.0
"""Finding the op that goes wrong."""

from rutile import _rutile

__all__ = ["detect_anomaly"]


def detect_anomaly(nan=True, inf=True):
    """A context in which the first op that writes a NaN (an infinity) raises ValueError, eagerly and compiled.

    The message names the op, the first element, the shapes, the Cell and the line of the forward call, also when it
    happens in backward. It costs a pass over every result. inf=False lets masks of -inf through.

    >>> import rutile
    >>> with rutile.debug.detect_anomaly():
    ...     try:
    ...         rutile.ops.log(rutile.Tensor([1.0, -1.0]))
    ...     except ValueError as e:
    ...         print(str(e).split(";")[0])
    [log] gives 1 nan among 2 elements, the first at [1]
    """
    return _rutile.DetectAnomaly(nan, inf)
