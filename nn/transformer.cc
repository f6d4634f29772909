// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/transformer.h"

#include <cmath>
#include <limits>

#include "rutile/nn/init.h"
#include "rutile/nn/layer_util.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

namespace {

// Masks among the inputs of a call: attention, key padding, and causal by being there.
void add_masks(const AttentionMasks& m, std::vector<Tensor>* inputs) {
  inputs->push_back(m.attention);
  inputs->push_back(m.key_padding);
  inputs->push_back(m.causal ? Tensor::scalar(true, DType::kBool) : Tensor());
}
AttentionMasks masks_at(const std::vector<Tensor>& in, size_t i) {
  auto given = [&](size_t k) { return k < in.size() ? in[k] : Tensor(); };
  return {given(i), given(i + 1), given(i + 2).defined()};
}

// [n, t, width] to [n, heads, t, width / heads].
Tensor by_head(const Tensor& x, int64_t heads) {
  return ops::permute(ops::reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads}), {0, 2, 1, 3});
}

Tensor swapped(const Tensor& x) { return ops::permute(x, {1, 0, 2}); }

// Both masks as one that attention takes: bool (true: seen), or added; empty without any.
Tensor joined(const AttentionMasks& m, int64_t n, int64_t heads, DType dtype) {
  Tensor a = m.attention, k = m.key_padding;
  if (a.defined() && a.rank() == 3) a = ops::reshape(a, {n, heads, a.dim(1), a.dim(2)});
  if (k.defined()) k = ops::reshape(k, {k.dim(0), 1, 1, k.dim(1)});
  auto is_bool = [](const Tensor& t) { return !t.defined() || t.dtype() == DType::kBool; };
  if (is_bool(a) && is_bool(k)) {
    const Tensor hidden = !a.defined() ? k : !k.defined() ? a : ops::logical_or(a, k);
    return hidden.defined() ? ops::logical_not(hidden) : Tensor();
  }
  auto added = [&](const Tensor& t) {
    if (t.dtype() != DType::kBool) return ops::cast(t, dtype);
    return ops::where(t, ops::full({}, -std::numeric_limits<double>::infinity(), dtype),
                      ops::zeros({}, dtype));
  };
  if (!a.defined()) return added(k);
  return k.defined() ? added(a) + added(k) : added(a);
}

struct Attended {
  Tensor y, weights;
};

// The same with the weights in memory: where they are asked for, or dropped from.
Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, Tensor mask, bool causal,
                double dropout) {
  const double scale = 1 / std::sqrt(static_cast<double>(q.dim(3)));
  Tensor scores = ops::matmul(q * scale, k, {.transpose_b = true});
  const Scalar hidden = -std::numeric_limits<double>::infinity();
  if (causal) {
    const Tensor seen = ops::tril(ops::ones({q.dim(2), k.dim(2)}, DType::kBool));
    scores = ops::where(seen, scores, hidden);
  }
  if (mask.defined()) {
    scores = mask.dtype() == DType::kBool ? ops::where(mask, scores, hidden)
                                          : scores + ops::cast(mask, scores.dtype());
  }
  Tensor p = ops::softmax(scores, -1);
  // A row without any key.
  const Tensor alone = ops::equal(ops::max(scores, {.axes = {-1}, .keepdims = true}), hidden);
  p = ops::where(alone, ops::zeros_like(p), p);
  const Tensor kept = dropout > 0 ? ops::dropout(p, {.p = dropout}) : p;
  return {ops::matmul(kept, v), p};
}

}  // namespace

// ---- MultiheadAttention

MultiheadAttention::MultiheadAttention(int64_t width, int64_t heads, MultiheadAttentionOptions o)
    : width_(width), heads_(heads), options_(o) {
  if (width <= 0 || heads <= 0 || width % heads != 0) {
    throw_error(ErrorCode::kValue,
                cat("[MultiheadAttention] heads ", heads, " must divide the width ", width));
  }
  if (!(o.dropout >= 0 && o.dropout < 1)) {
    throw_error(ErrorCode::kValue,
                cat("[MultiheadAttention] dropout is in [0, 1), got ", o.dropout));
  }
  const int64_t kdim = o.kdim ? o.kdim : width, vdim = o.vdim ? o.vdim : width;
  if (kdim == width && vdim == width) {
    register_parameter("in_proj_weight", init::xavier_uniform({3 * width, width}), &in_proj_weight);
  } else {
    register_parameter("q_proj_weight", init::xavier_uniform({width, width}), &q_proj_weight);
    register_parameter("k_proj_weight", init::xavier_uniform({width, kdim}), &k_proj_weight);
    register_parameter("v_proj_weight", init::xavier_uniform({width, vdim}), &v_proj_weight);
  }
  if (o.bias) register_parameter("in_proj_bias", init::zeros({3 * width}), &in_proj_bias);
  out_proj = add<Linear>("out_proj", width, width, LinearOptions{.bias = o.bias});
  if (o.bias) out_proj->bias->set_value(init::zeros({width}));
}

std::string MultiheadAttention::extra_repr() const {
  std::string text = cat(width_, ", heads=", heads_);
  if (options_.kdim) text += cat(", kdim=", options_.kdim);
  if (options_.vdim) text += cat(", vdim=", options_.vdim);
  if (options_.dropout > 0) text += cat(", dropout=", options_.dropout);
  return text + (options_.bias ? "" : ", bias=false") +
         (options_.batch_first ? ", batch_first" : "");
}

MultiheadAttentionResult MultiheadAttention::run(const Tensor& q, const Tensor& k, const Tensor& v,
                                                 const AttentionMasks& masks, bool weights) {
  std::vector<Tensor> in{q, k, v};
  add_masks(masks, &in);
  in.push_back(weights ? Tensor::scalar(true, DType::kBool) : Tensor());
  const std::vector<Tensor> out = call(in);
  return {out[0], out.size() > 1 ? out[1] : Tensor()};
}

Tensor MultiheadAttention::construct(const Tensor& x) { return construct_many({x, x, x})[0]; }

std::vector<Tensor> MultiheadAttention::project(const Tensor& q, const Tensor& k,
                                                const Tensor& v) const {
  const Tensor bias = in_proj_bias ? in_proj_bias->read() : Tensor();
  const bool itself = q.impl() == k.impl() && k.impl() == v.impl();
  if (in_proj_weight && itself) {
    return ops::split(ops::linear(q, in_proj_weight->read(), bias), 3, 2);
  }
  std::vector<Tensor> w;
  if (in_proj_weight) {
    w = ops::split(in_proj_weight->read(), 3, 0);
  } else {
    w = {q_proj_weight->read(), k_proj_weight->read(), v_proj_weight->read()};
  }
  std::vector<Tensor> b(3);
  if (bias.defined()) b = ops::split(bias, 3, 0);
  return {ops::linear(q, w[0], b[0]), ops::linear(k, w[1], b[1]), ops::linear(v, w[2], b[2])};
}

std::vector<Tensor> MultiheadAttention::construct_many(const std::vector<Tensor>& in) {
  if (in.size() == 1) return {construct(in[0])};
  if (in.size() < 3) refuse(type_name(), "takes q, k and v");
  for (size_t i = 0; i < 3; ++i) {
    if (in[i].rank() != 3)
      refuse(type_name(), cat("expects sequences of rank 3, got ", in[i].meta()));
  }
  Tensor q = in[0], k = in[1], v = in[2];
  if (!options_.batch_first) {
    const bool same_k = k.impl() == q.impl(), same_v = v.impl() == k.impl();
    q = swapped(q);
    k = same_k ? q : swapped(k);
    v = same_v ? k : swapped(v);
  }
  const AttentionMasks masks = masks_at(in, 3);
  const bool weights = in.size() > 6 && in[6].defined();
  const int64_t n = q.dim(0), t = q.dim(1);
  std::vector<Tensor> parts = project(q, k, v);
  for (Tensor& p : parts) p = by_head(p, heads_);
  const Tensor mask = joined(masks, n, heads_, parts[0].dtype());
  const double dropout = training() ? options_.dropout : 0;
  Attended r;
  if (weights || dropout > 0) {
    r = attend(parts[0], parts[1], parts[2], mask, masks.causal, dropout);
  } else {
    r.y = ops::scaled_dot_product_attention(parts[0], parts[1], parts[2], mask,
                                            {.causal = masks.causal});
  }
  Tensor y = out_proj(ops::reshape(ops::permute(r.y, {0, 2, 1, 3}), {n, t, width_}));
  if (!options_.batch_first) y = swapped(y);
  if (!weights) return {y};
  return {y, ops::mean(r.weights, {.axes = {1}})};
}

// ---- Layers

namespace {

MultiheadAttentionOptions attention_options(const TransformerOptions& o) {
  return {.dropout = o.dropout, .bias = o.bias, .batch_first = o.batch_first};
}

Tensor dropped(const Cell& cell, const Tensor& x, double p) {
  return cell.training() && p > 0 ? ops::dropout(x, {.p = p}) : x;
}

Tensor feed(const Cell& cell, const TransformerOptions& o, const Ptr<Linear>& first,
            const Ptr<Linear>& second, const Tensor& x) {
  const Tensor h = first(x);
  const Tensor a = o.activation == TransformerActivation::kRelu ? ops::relu(h) : ops::gelu(h);
  return dropped(cell, second(dropped(cell, a, o.dropout)), o.dropout);
}

LayerNormOptions norm_options(const TransformerOptions& o) {
  return {.eps = o.eps, .bias = o.bias};
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(int64_t width, int64_t heads, TransformerOptions o)
    : options_(o) {
  self_attn_ = add<MultiheadAttention>("self_attn", width, heads, attention_options(o));
  linear1_ = add<Linear>("linear1", width, o.feedforward, LinearOptions{.bias = o.bias});
  linear2_ = add<Linear>("linear2", o.feedforward, width, LinearOptions{.bias = o.bias});
  norm1_ = add<LayerNorm>("norm1", width, norm_options(o));
  norm2_ = add<LayerNorm>("norm2", width, norm_options(o));
}

Tensor TransformerEncoderLayer::feedforward(const Tensor& x) {
  return feed(*this, options_, linear1_, linear2_, x);
}

Tensor TransformerEncoderLayer::run(const Tensor& x, const AttentionMasks& masks) {
  std::vector<Tensor> in{x};
  add_masks(masks, &in);
  return call(in)[0];
}

Tensor TransformerEncoderLayer::construct(const Tensor& x) {
  return construct_many({x, Tensor()})[0];
}

std::vector<Tensor> TransformerEncoderLayer::construct_many(const std::vector<Tensor>& in) {
  if (in.size() == 1) return {construct(in[0])};
  const AttentionMasks masks = masks_at(in, 1);
  auto attention = [&](const Tensor& x) {
    return dropped(*this, self_attn_->run(x, x, x, masks).y, options_.dropout);
  };
  Tensor x = in[0];
  if (options_.norm_first) {
    x = x + attention(norm1_(x));
    return {x + feedforward(norm2_(x))};
  }
  x = norm1_(x + attention(x));
  return {norm2_(x + feedforward(x))};
}

TransformerDecoderLayer::TransformerDecoderLayer(int64_t width, int64_t heads, TransformerOptions o)
    : options_(o) {
  self_attn_ = add<MultiheadAttention>("self_attn", width, heads, attention_options(o));
  multihead_attn_ = add<MultiheadAttention>("multihead_attn", width, heads, attention_options(o));
  linear1_ = add<Linear>("linear1", width, o.feedforward, LinearOptions{.bias = o.bias});
  linear2_ = add<Linear>("linear2", o.feedforward, width, LinearOptions{.bias = o.bias});
  norm1_ = add<LayerNorm>("norm1", width, norm_options(o));
  norm2_ = add<LayerNorm>("norm2", width, norm_options(o));
  norm3_ = add<LayerNorm>("norm3", width, norm_options(o));
}

Tensor TransformerDecoderLayer::feedforward(const Tensor& x) {
  return feed(*this, options_, linear1_, linear2_, x);
}

Tensor TransformerDecoderLayer::run(const Tensor& x, const Tensor& memory,
                                    const AttentionMasks& masks,
                                    const AttentionMasks& memory_masks) {
  std::vector<Tensor> in{x, memory};
  add_masks(masks, &in);
  add_masks(memory_masks, &in);
  return call(in)[0];
}

Tensor TransformerDecoderLayer::construct_pair(const Tensor& x, const Tensor& memory) {
  return construct_many({x, memory, Tensor()})[0];
}

std::vector<Tensor> TransformerDecoderLayer::construct_many(const std::vector<Tensor>& in) {
  if (in.size() < 2) refuse(type_name(), "takes a sequence and the encoder's result");
  const AttentionMasks masks = masks_at(in, 2), memory_masks = masks_at(in, 5);
  const Tensor& memory = in[1];
  auto own = [&](const Tensor& x) {
    return dropped(*this, self_attn_->run(x, x, x, masks).y, options_.dropout);
  };
  auto other = [&](const Tensor& x) {
    return dropped(*this, multihead_attn_->run(x, memory, memory, memory_masks).y,
                   options_.dropout);
  };
  Tensor x = in[0];
  if (options_.norm_first) {
    x = x + own(norm1_(x));
    x = x + other(norm2_(x));
    return {x + feedforward(norm3_(x))};
  }
  x = norm1_(x + own(x));
  x = norm2_(x + other(x));
  return {norm3_(x + feedforward(x))};
}

// ---- Stacks

TransformerEncoder::TransformerEncoder(int64_t width, int64_t heads, int64_t layers,
                                       TransformerOptions o, bool norm) {
  layers_ = add<CellList>("layers");
  for (int64_t i = 0; i < layers; ++i)
    layers_->append(make<TransformerEncoderLayer>(width, heads, o));
  if (norm) norm_ = add<LayerNorm>("norm", width, norm_options(o));
}

Tensor TransformerEncoder::run(const Tensor& x, const AttentionMasks& masks) {
  std::vector<Tensor> in{x};
  add_masks(masks, &in);
  return call(in)[0];
}

Tensor TransformerEncoder::construct(const Tensor& x) { return construct_many({x, Tensor()})[0]; }

std::vector<Tensor> TransformerEncoder::construct_many(const std::vector<Tensor>& in) {
  if (in.size() == 1) return {construct(in[0])};
  std::vector<Tensor> now = in;
  for (const CellPtr& layer : *layers_) now[0] = layer->call(now)[0];
  return {norm_ ? norm_(now[0]) : now[0]};
}

TransformerDecoder::TransformerDecoder(int64_t width, int64_t heads, int64_t layers,
                                       TransformerOptions o, bool norm) {
  layers_ = add<CellList>("layers");
  for (int64_t i = 0; i < layers; ++i)
    layers_->append(make<TransformerDecoderLayer>(width, heads, o));
  if (norm) norm_ = add<LayerNorm>("norm", width, norm_options(o));
}

Tensor TransformerDecoder::run(const Tensor& x, const Tensor& memory, const AttentionMasks& masks,
                               const AttentionMasks& memory_masks) {
  std::vector<Tensor> in{x, memory};
  add_masks(masks, &in);
  add_masks(memory_masks, &in);
  return call(in)[0];
}

Tensor TransformerDecoder::construct_pair(const Tensor& x, const Tensor& memory) {
  return construct_many({x, memory, Tensor()})[0];
}

std::vector<Tensor> TransformerDecoder::construct_many(const std::vector<Tensor>& in) {
  if (in.size() < 2) refuse(type_name(), "takes a sequence and the encoder's result");
  std::vector<Tensor> now = in;
  for (const CellPtr& layer : *layers_) now[0] = layer->call(now)[0];
  return {norm_ ? norm_(now[0]) : now[0]};
}

Transformer::Transformer(int64_t width, int64_t heads, TransformerSizes sizes,
                         TransformerOptions o) {
  encoder_ = add<TransformerEncoder>("encoder", width, heads, sizes.encoder_layers, o, true);
  decoder_ = add<TransformerDecoder>("decoder", width, heads, sizes.decoder_layers, o, true);
  for (const ParameterPtr& p : parameters()) {
    if (p->meta().rank() > 1) p->set_value(init::xavier_uniform(p->meta().shape));
  }
}

Tensor Transformer::run(const Tensor& source, const Tensor& target,
                        const AttentionMasks& source_masks, const AttentionMasks& target_masks,
                        const AttentionMasks& memory_masks) {
  std::vector<Tensor> in{source, target};
  for (const AttentionMasks* m : {&source_masks, &target_masks, &memory_masks}) add_masks(*m, &in);
  return call(in)[0];
}

Tensor Transformer::construct_pair(const Tensor& source, const Tensor& target) {
  return construct_many({source, target, Tensor()})[0];
}

std::vector<Tensor> Transformer::construct_many(const std::vector<Tensor>& in) {
  if (in.size() < 2) refuse(type_name(), "takes what the encoder reads and what the decoder reads");
  const Tensor memory = encoder_->run(in[0], masks_at(in, 2));
  return {decoder_->run(in[1], memory, masks_at(in, 5), masks_at(in, 8))};
}

}  // namespace rutile::nn
