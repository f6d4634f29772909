# SPDX-License-Identifier: Apache-2.0
"""How Tensors are written."""

from rutile import _rutile

_EDGE = 3
_LIMIT = 1000


def _summary(tensor):
    """The values as an array, for a large tensor of its corners only (with the flag that it was cut)."""
    if tensor.size <= _LIMIT:
        return tensor.asnumpy(), False
    import numpy as np
    cut = tensor
    for axis, n in enumerate(tensor.shape):
        if n > 2 * _EDGE + 1:
            # One more than numpy shows, so that it writes the dots.
            head = cut[(slice(None),) * axis + (slice(0, _EDGE + 1),)].asnumpy()
            tail = cut[(slice(None),) * axis + (slice(n - _EDGE, n),)].asnumpy()
            cut = _rutile.Tensor(np.concatenate([head, tail], axis))
    return cut.asnumpy(), True


def tensor_text(tensor, whole):
    """Tensor(shape=[2], dtype=Float32, value= [ 1.00000000e+00,  1.00000000e+00]); without `whole` the values only."""
    import numpy as np
    values, cut = _summary(tensor)
    options = {"threshold": 0 if cut else _LIMIT, "edgeitems": _EDGE}
    if not whole:
        return np.array2string(values, **options) if values.ndim else str(values)
    digits = 4 if tensor.dtype.name == "float16" else 8
    formatter = {"float_kind": lambda v: f"{v: .{digits}e}"}
    text = np.array2string(values, separator=", ", formatter=formatter, **options) if values.ndim else str(values)
    gap = "\n" if values.ndim > 1 else " "
    return f"Tensor(shape={list(tensor.shape)}, dtype={tensor.dtype}, value={gap}{text})"
