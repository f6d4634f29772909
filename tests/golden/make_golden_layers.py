# SPDX-License-Identifier: Apache-2.0
"""Writes layers_f64.json: float64 outputs and gradients of recurrent layers and Transformers (needs torch).

Parameters are uniform("layers/<name>/<parameter>") * 0.4, inputs uniform("layers/<name>/x<i>"). Gradients are those of
the outputs weighted by uniform("layers/<name>/dy<i>"). tests/nn/golden_layers_test.cc builds the same layers.
"""

import pathlib

import torch
from golden_data import describe, uniform, write_json
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LENGTHS = torch.tensor([3, 5, 1])


def packed(net, x, state):
    y, last = net(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False), state)
    return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], last


def flat(y, last):
    return (y, *last) if isinstance(last, tuple) else (y, last)


def samples():
    yield "rnn_tanh", nn.RNN(3, 4), [(5, 2, 3)], lambda m, x: flat(*m(x))
    yield "rnn_relu", nn.RNN(3, 4, 2, nonlinearity="relu", bias=False), [(5, 2, 3), (2, 2, 4)], lambda m, x, h: flat(*m(x, h))
    yield "lstm", nn.LSTM(3, 5, 2, bidirectional=True), [(4, 3, 3), (4, 3, 5), (4, 3, 5)], lambda m, x, h, c: flat(*m(x, (h, c)))
    yield "gru", nn.GRU(3, 5, 2, bidirectional=True), [(4, 3, 3), (4, 3, 5)], lambda m, x, h: flat(*m(x, h))
    yield "lstm_single", nn.LSTM(3, 4), [(4, 3)], lambda m, x: flat(*m(x))
    for name, net in (("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)):
        yield f"{name}_lengths", net(3, 4, 2, batch_first=True, bidirectional=True), [(3, 5, 3)], lambda m, x: flat(*packed(m, x, None))
    yield "rnn_cell", nn.RNNCell(3, 4), [(2, 3), (2, 4)], lambda m, x, h: (m(x, h),)
    yield "gru_cell", nn.GRUCell(3, 4), [(2, 3), (2, 4)], lambda m, x, h: (m(x, h),)
    yield "lstm_cell", nn.LSTMCell(3, 4, bias=False), [(2, 3), (2, 4), (2, 4)], lambda m, x, h, c: m(x, (h, c))

    causal = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    padding = torch.tensor([[False, False, False, True], [False] * 4])
    yield "attention_self", nn.MultiheadAttention(6, 2), [(4, 2, 6)], lambda m, x: m(x, x, x)
    yield "attention_masks", nn.MultiheadAttention(6, 2, batch_first=True), [(2, 4, 6)], lambda m, x: m(
        x, x, x, attn_mask=causal, key_padding_mask=padding.double().masked_fill(padding, float("-inf")), need_weights=False)[:1]
    yield "attention_bool", nn.MultiheadAttention(6, 3, batch_first=True), [(2, 4, 6)], lambda m, x: m(
        x, x, x, attn_mask=torch.isinf(causal), key_padding_mask=padding)
    yield "attention_dims", nn.MultiheadAttention(6, 2, kdim=5, vdim=3, bias=False), [(3, 2, 6), (4, 2, 5), (4, 2, 3)], lambda m, q, k, v: m(q, k, v)
    yield "encoder_layer", nn.TransformerEncoderLayer(6, 2, 10, 0), [(4, 2, 6)], lambda m, x: (m(x, src_mask=causal),)
    yield "encoder_layer_pre", nn.TransformerEncoderLayer(6, 3, 10, 0, "gelu", batch_first=True, norm_first=True), [(2, 4, 6)], lambda m, x: (
        m(x, src_key_padding_mask=padding),)
    yield "decoder_layer", nn.TransformerDecoderLayer(6, 2, 10, 0), [(4, 2, 6), (3, 2, 6)], lambda m, x, e: (m(x, e, tgt_mask=causal),)
    yield "decoder_layer_pre", nn.TransformerDecoderLayer(6, 2, 10, 0, norm_first=True, batch_first=True), [(2, 4, 6), (2, 3, 6)], lambda m, x, e: (m(x, e),)
    yield "transformer", nn.Transformer(6, 2, 2, 2, 8, 0, batch_first=True), [(2, 3, 6), (2, 4, 6)], lambda m, s, t: (m(s, t, tgt_mask=causal),)


def record(name, net, shapes, run):
    net = net.double().train()
    with torch.no_grad():
        for key, p in net.named_parameters():
            p.copy_(torch.from_numpy(uniform(f"layers/{name}/{key}", tuple(p.shape), 0.4)))
    xs = [torch.from_numpy(uniform(f"layers/{name}/x{i}", s, 1.0)).requires_grad_() for i, s in enumerate(shapes)]
    ys = [y for y in run(net, *xs) if y is not None]
    total = sum((y * torch.from_numpy(uniform(f"layers/{name}/dy{i}", tuple(y.shape), 1.0))).sum() for i, y in enumerate(ys))
    total.backward()
    grads = {f"x{i}": x.grad for i, x in enumerate(xs)}
    grads.update({key: p.grad for key, p in net.named_parameters()})
    return {
        "name": name,
        "inputs": [{"shape": list(s)} for s in shapes],
        "outputs": [describe(f"layers/{name}/y{i}", y.detach().numpy()) for i, y in enumerate(ys)],
        "grads": {k: describe(f"layers/{name}/d{k}", g.numpy()) for k, g in grads.items()},
    }


torch.manual_seed(0)
torch.backends.mha.set_fastpath_enabled(False)
rows = [record(*s) for s in samples()]
path = pathlib.Path(__file__).with_name("layers_f64.json")
write_json(path, {"samples": rows})
print(f"{path.name}: {len(rows)} samples")
