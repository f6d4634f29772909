# SPDX-License-Identifier: Apache-2.0
"""Inputs without a batch, targets one after the other, casts of what does not fit, losses in low precision."""
import numpy as np
import pytest
import rutile
from rutile import Tensor, nn, ops


def drawn(*shape):
    return Tensor(np.random.default_rng(3).normal(size=shape).astype(np.float32))


def parts(result):
    return [t for r in result for t in parts(r)] if isinstance(result, tuple) else [result]



@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_one_sequence_is_a_batch_of_one(layer, batch_first):
    net = layer(3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    x, h = drawn(5, 3), drawn(4, 4)
    start, batch = ((h, h * 0.5), (h[:, None], h[:, None] * 0.5)) if layer is nn.LSTM else (h, h[:, None])
    at = 0 if batch_first else 1
    for one, many in (((x,), (x.expand_dims(at),)), ((x, start), (x.expand_dims(at), batch))):
        want = parts(net(*many))
        for f in (net, rutile.jit(lambda *a: net(*a))):
            got = parts(f(*one))
            assert len(got) == len(want)
            for i, (g, w) in enumerate(zip(got, want)):
                np.testing.assert_allclose(g.asnumpy(), w.asnumpy().squeeze(1 if i else at), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="the last 3"):
        net(drawn(5, 2))
    with pytest.raises((ValueError, TypeError), match="hx must"):
        net(x, drawn(3, 4))


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells_take_one_vector(cell):
    net = cell(3, 4)
    x, h = drawn(3), drawn(4)
    one, many = ((h, h * 2), (h[None], h[None] * 2)) if cell is nn.LSTMCell else (h, h[None])
    for g, w in zip(parts(net(x, one)), parts(net(x[None], many)), strict=True):
        assert g.shape == (4,)
        np.testing.assert_allclose(g.asnumpy(), w.asnumpy()[0], rtol=1e-5, atol=1e-6)


def test_ctc_targets_one_after_the_other():
    logs = ops.log_softmax(drawn(7, 3, 5), -1)
    rows, flat = Tensor([[1, 2, 2], [3, 1, 0], [4, 0, 0]]), Tensor([1, 2, 2, 3, 1, 4])
    steps, lengths = Tensor([7, 6, 5]), Tensor([3, 2, 1])
    for reduction in ("none", "mean", "sum"):
        loss = nn.CTCLoss(reduction=reduction)
        np.testing.assert_allclose(loss(logs, flat, steps, lengths).asnumpy(), loss(logs, rows, steps, lengths).asnumpy(), rtol=1e-6)
    with pytest.raises(ValueError, match=r"\[sum\(target_lengths\)\]"):
        loss(logs, rows[:2], steps, lengths)


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_casts_stop_at_the_ends(name):
    low, high = np.iinfo(name).min, np.iinfo(name).max
    values = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, -1.5, 2.9] * 9, np.float32)
    want = np.array([0, high, low, high, low, max(-1, low), 2] * 9, name)
    x = Tensor(values)
    fused = rutile.jit(lambda v: (v * 2.0).astype(name))
    for got in (x.astype(name), rutile.jit(lambda v: v.astype(name))(x), fused(x * 0.5), Tensor(values, dtype=name)):
        np.testing.assert_array_equal(got.asnumpy(), want)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_losses_of_low_precision(name):
    """By class float32, the gradient as the logits; sums of elements in the inputs' type, in the table float32."""
    x, y = drawn(4, 3).astype(name), Tensor([0, 1, 2, 1])
    logs = ops.log_softmax(x, -1)
    for loss in (ops.cross_entropy(x, y), nn.CrossEntropyLoss()(x, y), ops.nll_loss(logs, y), ops.table.mse_loss(x, x)):
        assert loss.dtype == rutile.float32
    assert rutile.grad(lambda v: ops.cross_entropy(v, y))(x).dtype == x.dtype
    assert ops.mse_loss(x, x).dtype == nn.MSELoss()(x, x).dtype == x.dtype
