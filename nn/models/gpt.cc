// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/models/gpt.h"

#include <cmath>

#include "rutile/nn/init.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn::models {

namespace {

WeightInit normal(double deviation) {
  if (deviation <= 0) return {};
  return [deviation](const Shape& s) { return init::normal(s, 0, deviation); };
}
// GPT-2's biases start at 0.
LinearOptions linear(const GptOptions& o, bool residual = false) {
  LinearOptions l;
  if (o.init_std <= 0) return l;
  const double sums = residual ? std::sqrt(2.0 * static_cast<double>(o.layers)) : 1;
  l.weight_init = normal(o.init_std / sums);
  return l;
}

}  // namespace

GptBlock::GptBlock(const GptOptions& o)
    : heads_(o.heads),
      norm1_(add<LayerNorm>("norm1", o.width)),
      qkv_(add<Linear>("qkv", o.width, 3 * o.width, linear(o))),
      proj_(add<Linear>("proj", o.width, o.width, linear(o, true))),
      norm2_(add<LayerNorm>("norm2", o.width)),
      up_(add<Linear>("up", o.width, 4 * o.width, linear(o))),
      down_(add<Linear>("down", 4 * o.width, o.width, linear(o, true))) {
  if (o.dropout > 0) dropout_ = add<Dropout>("dropout", o.dropout);
  if (o.init_std <= 0) return;
  for (const Ptr<Linear>& l : {qkv_, proj_, up_, down_}) {
    l->bias->set_value(init::zeros(l->bias->meta().shape));
  }
}

Tensor GptBlock::construct(const Tensor& x) {
  auto drop = [this](const Tensor& t) { return dropout_ ? dropout_(t) : t; };
  const Tensor y = x + drop(proj_(self_attention(qkv_(norm1_(x)), heads_)));
  return y + drop(down_(ops::gelu(up_(norm2_(y)), {ops::GeluApproximate::kTanh})));
}

Gpt::Gpt(const GptOptions& o)
    : options_(o),
      tok_(add<Embedding>("tok", o.vocab, o.width,
                          EmbeddingOptions{.weight_init = normal(o.init_std)})),
      pos_(add<Embedding>("pos", o.positions, o.width,
                          EmbeddingOptions{.weight_init = normal(o.init_std)})),
      blocks_(add<Sequential>("blocks")) {
  for (int64_t i = 0; i < o.layers; ++i) blocks_->append(make<GptBlock>(o));
  norm_ = add<LayerNorm>("norm", o.width);
  if (o.tied) return;
  LinearOptions head = linear(o);
  head.bias = false;
  head_ = add<Linear>("head", o.width, o.vocab, head);
}

Tensor Gpt::construct(const Tensor& ids) {
  if (ids.rank() != 2 || ids.dim(1) > options_.positions) {
    throw_error(ErrorCode::kValue,
                cat("[Gpt] ids expects [n, t] with t at most ", options_.positions, ", got ",
                    ids.meta(), " | in Cell ", cell_path(call_modes().cell)));
  }
  const Tensor positions = ops::arange(0, ids.dim(1));
  const Tensor x = norm_(blocks_(tok_(ids) + pos_(positions)));
  return head_ ? head_(x) : ops::linear(x, tok_->weight->read());
}

}  // namespace rutile::nn::models
