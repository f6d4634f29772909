# SPDX-License-Identifier: Apache-2.0
"""ONNX's recurrent layers, attention and transforms of signals over our ops. See onnx_names.py."""

import math

import numpy as np
from onnx_names import OPERATORS, Unmapped, dtype_of, ints, like, number
from rutile import Tensor, ops
from rutile.ops import table as t


# ---- Recurrent layers --------------------------------------------------------------------------------------------

# Where ONNX's gates stand among ours.
GATES = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}  # i, o, f, c and z, r, h


def rows_of_gates(v, kind, hidden):
    order = GATES.get(kind)
    return v if order is None else t.concat([v[g * hidden:(g + 1) * hidden] for g in order], axis=0)


def one_direction(kind, x, w, r, bias, lengths, h0, c0, reverse):
    hidden = r.shape[-1]
    w, r = rows_of_gates(w, kind, hidden), rows_of_gates(r, kind, hidden)
    b_w = b_r = None
    if bias is not None:
        half = bias.shape[0] // 2
        b_w, b_r = (rows_of_gates(v, kind, hidden) for v in (bias[:half], bias[half:]))
    a = {"kind": kind, "reverse": reverse}
    y = t.recurrent(t.linear(x, w, b_w), h0, r, c0, b_r, lengths, **a)
    return y[0], y[1], y[2]


def slow_gru(x, w, r, bias, h0):
    """linear_before_reset = 0: the reset gate stands before the product."""
    hidden = r.shape[-1]
    gx = t.linear(x, w, None if bias is None else bias[:3 * hidden])
    own = None if bias is None else bias[3 * hidden:]
    h, steps = h0, []
    for i in range(x.shape[0]):
        g = t.linear(h, r[:2 * hidden], None if own is None else own[:2 * hidden]) + gx[i][:, :2 * hidden]
        z, reset = t.sigmoid(g[:, :hidden]), t.sigmoid(g[:, hidden:])
        n = t.tanh(gx[i][:, 2 * hidden:] + t.linear(h * reset, r[2 * hidden:], None if own is None else own[2 * hidden:]))
        h = n - z * n + z * h
        steps.append(h)
    return ops.stack(steps, 0), h, None


def peephole_lstm(x, w, r, bias, h, c, p):
    hidden = r.shape[-1]
    gx = t.linear(x, w, None if bias is None else bias[:4 * hidden] + bias[4 * hidden:])
    pi, po, pf = (p[k * hidden:(k + 1) * hidden] for k in range(3))
    steps = []
    for k in range(x.shape[0]):
        i, o, f, g = t.split(gx[k] + t.linear(h, r), sections=4, axis=1)
        c = t.sigmoid(f + pf * c) * c + t.sigmoid(i + pi * c) * t.tanh(g)
        h = t.sigmoid(o + po * c) * t.tanh(c)
        steps.append(h)
    return ops.stack(steps, 0), h, c


def recurrent(kind):
    def call(a, x, w, r, bias=None, lengths=None, h0=None, c0=None, peepholes=None, wanted=1):
        acts = [v.lower() for v in a.get("activations", [])]
        usual = {"lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"], "rnn": ["tanh"]}[kind]
        directions = w.shape[0]
        if acts and acts != usual * directions and not (kind == "rnn" and set(acts) == {"relu"}) or a.get("clip") or a.get("input_forget"):
            raise Unmapped("other activations, clip or input_forget")
        own = {"rnn": "rnn_relu" if "relu" in acts else "rnn_tanh"}.get(kind, kind)
        batch_first = a.get("layout", 0)
        if batch_first:
            x, h0, c0 = (None if v is None else ops.swapaxes(v, 0, 1) for v in (x, h0, c0))
        lengths = None if lengths is None or set(ints(lengths)) == {x.shape[0]} else lengths.astype("int64")
        zero = t.full(shape=(x.shape[1], r.shape[-1]), value=0.0, dtype=x.dtype)
        ys, hs, cs = [], [], []
        for d in range(directions):
            reverse = a.get("direction", "forward") == "reverse" or d == 1
            b = None if bias is None else bias[d]
            h, c = zero if h0 is None else h0[d], (zero if c0 is None else c0[d]) if kind == "lstm" else None
            if kind == "gru" and not a.get("linear_before_reset", 0) or peepholes is not None:
                xs = t.flip(x, axes=(0,)) if reverse else x
                y, h, c = slow_gru(xs, w[d], r[d], b, h) if kind == "gru" else peephole_lstm(xs, w[d], r[d], b, h, c, peepholes[d])
                y = t.flip(y, axes=(0,)) if reverse else y
            else:
                y, h, c = one_direction(own, x, w[d], r[d], b, lengths, h, c, reverse)
            ys, hs, cs = [*ys, y], [*hs, h], [*cs, c]
        y, h = ops.stack(ys, 1), ops.stack(hs, 0)
        c = [ops.stack(cs, 0)] if kind == "lstm" else []
        if batch_first:
            y, h, c = t.transpose(y, perm=(2, 0, 1, 3)), ops.swapaxes(h, 0, 1), [ops.swapaxes(v, 0, 1) for v in c]
        return [y, h, *c]
    return call


# ---- Attention ---------------------------------------------------------------------------------------------------

def heads(x, n):
    return x if x.ndim == 4 else t.transpose(x.reshape(x.shape[0], x.shape[1], n, x.shape[2] // n), perm=(0, 2, 1, 3))


def frontier(a, q_len, kv_len, offsets):
    """[n, q, kv] of what a causal mask and a sliding window allow; None: everything."""
    left, right, causal = a.get("left_window_size", -1), a.get("right_window_size", -1), a.get("is_causal", 0)
    if left < 0 and right < 0 and not causal:
        return None
    ahead = t.arange(0, kv_len).reshape(1, 1, kv_len) - (t.arange(0, q_len).reshape(1, q_len, 1) + offsets.reshape(-1, 1, 1))
    allowed = t.less_equal(ahead, like(0, ahead)) if causal else t.equal(ahead, ahead)
    if left >= 0:
        allowed = t.logical_and(allowed, t.greater_equal(ahead, like(-left, ahead)))
    if right >= 0:
        allowed = t.logical_and(allowed, t.less_equal(ahead, like(right, ahead)))
    return allowed


def bias_of(mask, dtype):
    if "bool" not in str(mask.dtype).lower():
        return mask.astype(dtype)
    zero = Tensor(np.float32(0)).astype(dtype)
    return t.where(mask, zero, zero - float("inf"))


def attention(a, q, k, v, mask=None, past_k=None, past_v=None, lengths=None, wanted=1):
    flat = q.ndim == 3
    q, k, v = heads(q, a.get("q_num_heads")), heads(k, a.get("kv_num_heads")), heads(v, a.get("kv_num_heads"))
    past = 0
    if past_k is not None:
        past = past_k.shape[2]
        k, v = t.concat([past_k, k], axis=2), t.concat([past_v, v], axis=2)
    present = [k, v]
    q_len, kv_len, dtype = q.shape[2], k.shape[2], q.dtype
    if k.shape[1] != q.shape[1]:
        k, v = (ops.repeat_interleave(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    bias = None
    if mask is not None:
        if mask.shape[-1] < kv_len:
            m = (0,) * (mask.ndim - 1)
            mask = t.pad(bias_of(mask, dtype), before=(*m, 0), after=(*m, kv_len - mask.shape[-1]), value=float("-inf"))
        bias = bias_of(mask, dtype)
    offsets = Tensor(np.array([past], np.int64)) if lengths is None else lengths.reshape(-1) - q_len
    allowed = frontier(a, q_len, kv_len, offsets)
    for more in (allowed, None if lengths is None else t.less(t.arange(0, kv_len).reshape(1, 1, -1), lengths.reshape(-1, 1, 1))):
        if more is not None:
            more = bias_of(ops.expand_dims(more, 1), dtype)
            bias = more if bias is None else bias + more
    scale = a.get("scale") or 1 / math.sqrt(q.shape[-1])
    mode, cap = a.get("qk_matmul_output_mode", 0), a.get("softcap", 0.0)
    if wanted < 4 and not cap and bias is None:
        y = t.scaled_dot_product_attention(q, k, v, scale=scale)[0]
        scores = []
    else:
        s = t.matmul(q * math.sqrt(scale), k * math.sqrt(scale), transpose_b=True)
        scores = [s]
        s = t.tanh(s / cap) * cap if cap else s
        scores.append(s)
        s = s if bias is None else s + bias
        scores.insert(1, s)
        if a.get("softmax_precision"):
            s = s.astype(dtype_of(a["softmax_precision"]))
        s = s.astype("float32") if "bfloat" in str(s.dtype).lower() else s
        p = t.softmax(s, axis=-1)
        p = t.where(t.isneginf(t.max(s, axes=(-1,), keepdims=True)), like(0, p), p).astype(dtype)
        scores = [scores[0], scores[2], scores[1], p]
        y = t.matmul(p, v)
    if flat:
        y = t.transpose(y, perm=(0, 2, 1, 3)).reshape(y.shape[0], y.shape[2], -1)
    return [y, *present, *([scores[{0: 0, 1: 1, 2: 2, 3: 3}[mode]]] if scores else [])][:wanted]


def rotary(a, x, cos, sin, places=None):
    shape = x.shape
    x = t.transpose(x, perm=(0, 2, 1, 3)) if x.ndim == 4 else x.reshape(*shape[:2], a["num_heads"], -1)
    n = a.get("rotary_embedding_dim", 0) or x.shape[-1]
    turned, rest = x[..., :n], x[..., n:]
    if places is not None:
        cos, sin = t.gather(cos, places), t.gather(sin, places)
    cos, sin = ops.expand_dims(cos, 2), ops.expand_dims(sin, 2)
    if a.get("interleaved", 0):
        pairs = turned.reshape(*turned.shape[:-1], n // 2, 2)
        x1, x2 = pairs[..., 0], pairs[..., 1]
        y = ops.stack([cos * x1 - sin * x2, sin * x1 + cos * x2], -1).reshape(*turned.shape)
    else:
        x1, x2 = turned[..., :n // 2], turned[..., n // 2:]
        y = t.concat([cos * x1 - sin * x2, sin * x1 + cos * x2], axis=-1)
    y = t.concat([y, rest], axis=-1) if rest.shape[-1] else y
    return y.reshape(*shape) if len(shape) == 3 else t.transpose(y, perm=(0, 2, 1, 3))


# ---- Signals -----------------------------------------------------------------------------------------------------

def as_complex(x):
    return t.complex(x[..., 0], x[..., 1]) if x.shape[-1] == 2 else t.complex(x[..., 0], t.full(shape=x.shape[:-1], value=0.0, dtype=x.dtype))


def dft(a, x, length=None, axis=None):
    axis = a.get("axis", -2) if axis is None else number(axis)
    axis += x.ndim if axis < 0 else 0
    n = -1 if length is None else number(length)
    inverse, onesided = a.get("inverse", 0), a.get("onesided", 0)
    dtype = x.dtype
    x = x if "64" in str(dtype) else x.astype("float32")
    if onesided and not inverse:
        y = t.rfft(x[..., 0], n=n, axis=axis)
    elif onesided:
        return ops.expand_dims(t.irfft(as_complex(x), n=n, axis=axis), -1).astype(dtype)
    else:
        y = (t.ifft if inverse else t.fft)(as_complex(x), n=n, axis=axis)
    return t.view_as_real(y).astype(dtype)


def stft(a, x, step, window=None, length=None):
    n, step = (number(length) if length is not None else window.shape[0]), number(step)
    frames = 1 + (x.shape[1] - n) // step
    at = np.arange(frames)[:, None] * step + np.arange(n)
    parts = t.gather(x, Tensor(at.astype(np.int64)), axis=1)  # [batch, frames, n, 1 or 2]
    if window is not None:
        parts = parts * window.reshape(1, 1, n, 1)
    return dft({"onesided": a.get("onesided", 1)}, parts, None, Tensor(np.int64(2)))


def bernoulli(a, x):
    raise Unmapped("random numbers")


OPERATORS |= {
    "RNN": recurrent("rnn"), "GRU": recurrent("gru"), "LSTM": recurrent("lstm"), "Attention": attention, "RotaryEmbedding": rotary,
    "DFT": dft, "STFT": stft, "Bernoulli": bernoulli, "RandomUniformLike": bernoulli,
}
