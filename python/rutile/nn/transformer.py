# SPDX-License-Identifier: Apache-2.0
"""Attention and Transformers (Vaswani et al., 2017), by MindSpore's names, weight names and masks."""

import math as _math

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter
from rutile.common.initializer import HeUniform, Uniform, XavierNormal, XavierUniform, initializer
from rutile.nn.cell import Cell
from rutile.nn.container import CellList
from rutile.nn.activation import GELU, ReLU
from rutile.nn.layer import Dense, Dropout, LayerNorm, _positive
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["MultiheadAttention", "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
           "TransformerEncoderLayer"]


def _dense(n_in, n_out, dtype, has_bias=True):
    return Dense(n_in, n_out, weight_init=HeUniform(_math.sqrt(5)), bias_init=Uniform(1 / _math.sqrt(n_in)),
                 has_bias=has_bias, dtype=dtype)


def _additive(mask, dtype):
    """A mask as what is added to the scores: a bool one is true where a key is not seen."""
    if mask.dtype.name in ("bool", "uint8"):
        zeros = table.full(mask.shape, 0.0, dtype.name)
        return table.where(mask.cast("bool"), table.full(mask.shape, float("-inf"), dtype.name), zeros)
    if not mask.dtype.name.startswith(("float", "bfloat")):
        raise _errors.ValueError(f"[MultiheadAttention] masks are bool or floating, got {mask.dtype}")
    return mask.cast(dtype)


class MultiheadAttention(Cell):
    """Attention of `num_heads` heads: (y, weights) of query [t, n, embed_dim], key [s, n, kdim] and value [s, n, vdim].

    With batch_first [n, t, ...]; without a batch [t, ...]. Masks: key_padding_mask [n, s], attn_mask [t, s] or [n * heads,
    t, s]; bool (true: not seen) or added to the scores. weights are [n, t, s], with average_attn_weights=False [n, heads, t,
    s]; with need_weights=False the result is (y,), computed without the scores in memory.

    >>> from rutile import nn, ops
    >>> x = ops.ones((5, 2, 8))
    >>> y, weights = nn.MultiheadAttention(8, 2)(x, x, x)
    >>> y.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))
    """

    def __init__(self, embed_dim, num_heads, dropout=0.0, has_bias=True, add_bias_kv=False, add_zero_attn=False, kdim=None,
                 vdim=None, batch_first=False, dtype="float32"):
        super().__init__()
        _positive("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise _errors.ValueError(f"[MultiheadAttention] {num_heads} heads do not divide a width of {embed_dim}")
        if not 0 <= dropout < 1:
            raise _errors.ValueError(f"[MultiheadAttention] dropout must be in [0, 1), got {dropout}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        xavier = XavierUniform()
        if self._qkv_same_embed_dim:
            self.in_proj_weight = Parameter(initializer(xavier, (3 * embed_dim, embed_dim), dtype))
            self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        else:
            for key, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
                setattr(self, f"{key}_proj_weight", Parameter(initializer(xavier, (embed_dim, width), dtype)))
            self.in_proj_weight = None
        self.in_proj_bias = Parameter(initializer("zeros", (3 * embed_dim,), dtype)) if has_bias else None
        self.out_proj = _dense(embed_dim, embed_dim, dtype, has_bias)
        for key in ("bias_k", "bias_v"):
            value = initializer(XavierNormal(), (1, 1, embed_dim), dtype) if add_bias_kv else None
            setattr(self, key, None if value is None else Parameter(value))

    def _project(self, query, key, value):
        e = self.embed_dim
        bias = (None,) * 3 if self.in_proj_bias is None else tuple(self.in_proj_bias[i * e:(i + 1) * e] for i in range(3))
        if self._qkv_same_embed_dim:
            if query is key and key is value:
                qkv = table.linear(query, self.in_proj_weight, self.in_proj_bias)
                return tuple(qkv[:, :, i * e:(i + 1) * e] for i in range(3))
            weights = tuple(self.in_proj_weight[i * e:(i + 1) * e] for i in range(3))
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return tuple(table.linear(x, w, b) for x, w, b in zip((query, key, value), weights, bias))

    def _mask(self, attn_mask, key_padding_mask, n, t, s, dtype):
        """What is added to the scores [n, heads, t, s], or None."""
        mask = None
        if attn_mask is not None:
            wanted = {(t, s): (1, 1, t, s), (n * self.num_heads, t, s): (n, self.num_heads, t, s), (1, t, s): (1, 1, t, s)}
            if attn_mask.shape not in wanted:
                raise _errors.ValueError(f"[MultiheadAttention] attn_mask must have the shape {(t, s)} or "
                                         f"{(n * self.num_heads, t, s)}, got {attn_mask.shape}")
            mask = _additive(attn_mask, dtype).reshape(wanted[attn_mask.shape])
        if key_padding_mask is not None:
            if key_padding_mask.shape != (n, s):
                raise _errors.ValueError(f"[MultiheadAttention] key_padding_mask must have the shape {(n, s)}, got "
                                         f"{key_padding_mask.shape}")
            padding = _additive(key_padding_mask, dtype).reshape(n, 1, 1, s)
            mask = padding if mask is None else mask + padding
        return mask

    def construct(self, query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None,
                  average_attn_weights=True):
        batched = query.ndim == 3
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise _errors.ValueError("[MultiheadAttention] query, key and value all have 3 dimensions, or 2 without a batch, "
                                     f"got {query.shape}, {key.shape} and {value.shape}")
        same_kv, same_qk = key is value, query is key
        if self.batch_first and batched:
            query = query.swapaxes(0, 1)
            key = query if same_qk else key.swapaxes(0, 1)
            value = key if same_kv else value.swapaxes(0, 1)
        elif not batched:
            query = query.expand_dims(1)
            key = query if same_qk else key.expand_dims(1)
            value = key if same_kv else value.expand_dims(1)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.expand_dims(0)
        t, n, s = query.shape[0], query.shape[1], key.shape[0]
        q, k, v = self._project(query, key, value)
        mask = self._mask(attn_mask, key_padding_mask, n, t, s, q.dtype)
        q, k, v, mask = self._extend(q, k, v, mask, n)
        y, weights = self._attend(q, k, v, mask, need_weights)
        y = self.out_proj(table.transpose(y, (2, 0, 1, 3)).reshape(t, n, self.embed_dim))
        if not batched:
            y = y.squeeze(1)
        elif self.batch_first:
            y = y.swapaxes(0, 1)
        if not need_weights:
            return (y,)
        weights = table.mean(weights, (1,)) if average_attn_weights else weights
        return y, weights if batched else weights.squeeze(0)

    def _extend(self, q, k, v, mask, n):
        """Heads apart, [n, heads, length, width]; with what add_bias_kv and add_zero_attn append to the keys."""
        more = 0
        if self.bias_k is not None:
            k, v = (table.concat((x, table.broadcast_to(b.value().cast(x.dtype), (1, n, self.embed_dim))), axis=0)
                    for x, b in ((k, self.bias_k), (v, self.bias_v)))
            more += 1
        q, k, v = (table.transpose(x.reshape(x.shape[0], n, self.num_heads, self.head_dim), (1, 2, 0, 3)) for x in (q, k, v))
        if self.add_zero_attn:
            k, v = (table.pad(x, before=(0, 0, 0, 0), after=(0, 0, 1, 0)) for x in (k, v))
            more += 1
        if mask is not None and more:
            mask = table.pad(mask, before=(0, 0, 0, 0), after=(0, 0, 0, more))
        return q, k, v, mask

    def _attend(self, q, k, v, mask, need_weights):
        dropped = self.training and self.dropout > 0
        if not need_weights and not dropped:
            return table.scaled_dot_product_attention(q, k, v, mask)[0], None
        scores = table.matmul(q * (1 / _math.sqrt(self.head_dim)), k.swapaxes(2, 3))
        weights = table.softmax(scores if mask is None else scores + mask, -1)
        weights = ops.dropout(weights, self.dropout) if dropped else weights
        return table.matmul(weights, v), weights


def _activation(name, activation):
    if isinstance(activation, str):
        if activation not in ("relu", "gelu"):
            raise _errors.ValueError(f"[{name}] activation is 'relu' or 'gelu', got {activation!r}")
        return ops.relu if activation == "relu" else ops.gelu
    if isinstance(activation, Cell) and not isinstance(activation, (ReLU, GELU)):
        raise _errors.ValueError(f"[{name}] activation is nn.ReLU or nn.GELU, got {activation!r}")
    if not callable(activation):
        raise _errors.ValueError(f"[{name}] activation is a name, a function or a Cell, got {activation!r}")
    return activation


class _Layer(Cell):
    def _setup(self, norms, d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first,
               dtype):
        self._arguments = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first,
                           dtype)
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, dtype=dtype)
        if norms == 3:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, dtype=dtype)
        self.dense1 = _dense(d_model, dim_feedforward, dtype)
        self.dropout = Dropout(p=dropout)
        self.dense2 = _dense(dim_feedforward, d_model, dtype)
        for i in range(1, norms + 1):
            setattr(self, f"norm{i}", LayerNorm((d_model,), epsilon=layer_norm_eps, dtype=dtype))
        for i in range(1, norms + 1):
            setattr(self, f"dropout{i}", Dropout(p=dropout))
        self.activation = _activation(type(self).__name__, activation)
        self.d_model, self.nhead, self.norm_first, self.batch_first = d_model, nhead, norm_first, batch_first

    def copies(self, n):
        """n layers, each with the same first weights."""
        one = type(self)(*self._arguments[:-1], dtype=self._arguments[-1])
        return [one] + [one.twin() for _ in range(n - 1)]

    def twin(self):
        """A layer with Parameters of its own and equal values."""
        other = type(self)(*self._arguments[:-1], dtype=self._arguments[-1])
        for mine, its in zip(self.get_parameters(), other.get_parameters()):
            its.set_data(mine.value())
        return other

    def _self(self, x, mask, padding):
        return self.dropout1(self.self_attn(x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False)[0])

    def _forward(self, x, last):
        return last(self.dense2(self.dropout(self.activation(self.dense1(x)))))


class TransformerEncoderLayer(_Layer):
    """Attention to itself and two dense layers, each added to its input and normalised (before, with norm_first)."""

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation="relu", layer_norm_eps=1e-5,
                 batch_first=False, norm_first=False, dtype="float32"):
        super().__init__()
        self._setup(2, d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, dtype)

    def construct(self, src, src_mask=None, src_key_padding_mask=None):
        if self.norm_first:
            x = src + self._self(self.norm1(src), src_mask, src_key_padding_mask)
            return x + self._forward(self.norm2(x), self.dropout2)
        x = self.norm1(src + self._self(src, src_mask, src_key_padding_mask))
        return self.norm2(x + self._forward(x, self.dropout2))


class TransformerDecoderLayer(_Layer):
    """Attention to itself, attention to the memory and two dense layers."""

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation="relu", layer_norm_eps=1e-5,
                 batch_first=False, norm_first=False, dtype="float32"):
        super().__init__()
        self._setup(3, d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, dtype)

    def _memory(self, x, memory, mask, padding):
        return self.dropout2(self.multihead_attn(x, memory, memory, attn_mask=mask, key_padding_mask=padding,
                                                 need_weights=False)[0])

    def construct(self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None,
                  memory_key_padding_mask=None):
        if self.norm_first:
            x = tgt + self._self(self.norm1(tgt), tgt_mask, tgt_key_padding_mask)
            x = x + self._memory(self.norm2(x), memory, memory_mask, memory_key_padding_mask)
            return x + self._forward(self.norm3(x), self.dropout3)
        x = self.norm1(tgt + self._self(tgt, tgt_mask, tgt_key_padding_mask))
        x = self.norm2(x + self._memory(x, memory, memory_mask, memory_key_padding_mask))
        return self.norm3(x + self._forward(x, self.dropout3))


class TransformerEncoder(Cell):
    """num_layers layers like encoder_layer (whose arguments are taken, not its weights), then norm, if any."""

    def __init__(self, encoder_layer, num_layers, norm=None):
        super().__init__()
        _positive("TransformerEncoder", num_layers=num_layers)
        self.layers = CellList(encoder_layer.copies(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def construct(self, src, src_mask=None, src_key_padding_mask=None):
        for layer in self.layers:
            src = layer(src, src_mask=src_mask, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Cell):
    """num_layers layers like decoder_layer (whose arguments are taken, not its weights), then norm, if any."""

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        _positive("TransformerDecoder", num_layers=num_layers)
        self.layers = CellList(decoder_layer.copies(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def construct(self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None,
                  memory_key_padding_mask=None):
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
                        memory_key_padding_mask=memory_key_padding_mask)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Cell):
    """Encoder and decoder: [t, n, d_model] of src [s, n, d_model] and tgt [t, n, d_model] (batch_first: [n, t, d_model]).

    >>> from rutile import nn, ops
    >>> net = nn.Transformer(8, 2, 1, 1, 16)
    >>> net(ops.ones((5, 2, 8)), ops.ones((3, 2, 8))).shape
    (3, 2, 8)
    """

    def __init__(self, d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6, dim_feedforward=2048, dropout=0.1,
                 activation="relu", custom_encoder=None, custom_decoder=None, layer_norm_eps=1e-5, batch_first=False,
                 norm_first=False, dtype="float32"):
        super().__init__()
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, dtype)
        self.encoder = custom_encoder if custom_encoder is not None else TransformerEncoder(
            TransformerEncoderLayer(*options), num_encoder_layers, LayerNorm((d_model,), epsilon=layer_norm_eps, dtype=dtype))
        self.decoder = custom_decoder if custom_decoder is not None else TransformerDecoder(
            TransformerDecoderLayer(*options), num_decoder_layers, LayerNorm((d_model,), epsilon=layer_norm_eps, dtype=dtype))
        for p in self.get_parameters():
            if p.ndim > 1:
                p.set_data(initializer("xavier_uniform", p.shape, p.dtype))
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def construct(self, src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None,
                  tgt_key_padding_mask=None, memory_key_padding_mask=None):
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and tgt.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise _errors.ValueError(f"[Transformer] src and tgt have batches of {src.shape[batch]} and {tgt.shape[batch]}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise _errors.ValueError(f"[Transformer] src and tgt have a width of {self.d_model}, got {src.shape} and "
                                     f"{tgt.shape}")
        memory = self.encoder(src, src_mask=src_mask, src_key_padding_mask=src_key_padding_mask)
        return self.decoder(tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                            tgt_key_padding_mask=tgt_key_padding_mask, memory_key_padding_mask=memory_key_padding_mask)
