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


def test_what_mindspore_has_no_kernels_for():
    r = np.random.RandomState(2)
    x, y, z = (r.randn(3, 4).astype(np.float32) for _ in range(3))

    def close(ours, theirs):
        np.testing.assert_allclose(ours.asnumpy(), theirs, rtol=1e-4, atol=1e-5)

    close(nn.L1LossExt("sum")(Tensor(x), Tensor(y)), np.abs(x - y).sum())
    sign = np.sign(y)
    close(nn.SoftMarginLoss()(Tensor(x), Tensor(sign)), np.log1p(np.exp(-sign * x)).mean())
    near, far = (np.sqrt(((x - v + 1e-6) ** 2).sum(1)) for v in (y, z))
    close(nn.TripletMarginLoss(margin=1.5)(Tensor(x), Tensor(y), Tensor(z)), np.maximum(near - far + 1.5, 0).mean())
    labels = np.array([[0, 2, -1, 1], [3, -1, 0, 0], [1, 0, 2, 3]])
    want = []
    for row, target in zip(x, labels):
        target = target[:list(target).index(-1)] if -1 in target else target
        want.append(sum(max(0, 1 - (row[t] - row[i])) for t in target for i in range(4) if i not in target) / 4)
    close(nn.MultilabelMarginLoss("none")(Tensor(x), Tensor(labels.astype(np.int32))), want)
    close(nn.LogSoftmaxExt()(Tensor(x)), x - np.log(np.exp(x).sum(1, keepdims=True)))
    table = nn.EmbeddingExt(5, 4, padding_idx=-1)
    assert (table.weight.asnumpy()[4] == 0).all() and 0.4 < table.weight.asnumpy()[:4].std() < 1.8
    close(table(Tensor([[1, 4]])), table.weight.asnumpy()[[[1, 4]]])
    image = r.randn(1, 1, 4, 6).astype(np.float32)
    windows = image.reshape(1, 1, 2, 2, 3, 2)
    close(nn.AvgPool2dExt(2)(Tensor(image)), windows.mean((3, 5)))
    close(nn.MaxPool2dExt(2)(Tensor(image)), windows.max((3, 5)))
    close(nn.AvgPool1dExt(2)(Tensor(image[0])), image[0].reshape(1, 4, 3, 2).mean(3))
    close(nn.AvgPool3dExt((1, 2, 2), divisor_override=3)(Tensor(image[None])), windows.sum((3, 5))[None] / 3)
