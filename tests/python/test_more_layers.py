# SPDX-License-Identifier: Apache-2.0
"""Layers that are one function with attributes."""

import numpy as np
import pytest

from rutile import Tensor, nn, ops

IMAGE = np.random.RandomState(0).randn(2, 4, 4, 6).astype(np.float32)


@pytest.mark.parametrize("layer, shape", [
    (lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 4, 2, 3)), (lambda: nn.PixelShuffle(2), (2, 1, 8, 12)),
    (lambda: nn.PixelUnshuffle(2), (2, 16, 2, 3)), (lambda: nn.ChannelShuffle(2), (2, 4, 4, 6)), (lambda: nn.LPPool2d(2, 2), (2, 4, 2, 3)),
    (lambda: nn.Upsample(scale_factor=2.0), (2, 4, 8, 12)), (lambda: nn.Threshold(0.1, 2.0), (2, 4, 4, 6)),
    (lambda: nn.Dropout2d(0.3), (2, 4, 4, 6)), (lambda: nn.Tril(), (2, 4, 4, 6))])
def test_shapes(layer, shape):
    cell = layer().set_train()
    y = cell(Tensor(IMAGE))
    assert y.shape == shape and type(cell).__name__ in repr(cell) and type(cell).__doc__


def test_values_and_errors():
    x = Tensor(IMAGE)
    np.testing.assert_array_equal(nn.Threshold(0.1, 2.0)(x).asnumpy(), np.where(IMAGE > 0.1, IMAGE, 2.0).astype(np.float32))
    y, at = ops.max_pool2d(x, 2, return_indices=True)
    assert nn.MaxUnpool2d(2)(y, at).shape == x.shape
    dropout = nn.Dropout2d(0.5)
    assert (dropout(x).asnumpy() == IMAGE).all()  # not in training
    for wrong in (lambda: nn.PixelShuffle(), lambda: nn.PixelShuffle(2, 3), lambda: nn.Threshold(0.1, values=2)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError):
        nn.Dropout2d(1.5)
