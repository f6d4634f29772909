// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/models/gpt.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn::models {

GptBlock::GptBlock(const GptOptions& o)
    : heads_(o.heads),
      norm1_(add<LayerNorm>("norm1", o.width)),
      qkv_(add<Linear>("qkv", o.width, 3 * o.width)),
      proj_(add<Linear>("proj", o.width, o.width)),
      norm2_(add<LayerNorm>("norm2", o.width)),
      up_(add<Linear>("up", o.width, 4 * o.width)),
      down_(add<Linear>("down", 4 * o.width, o.width)) {
  if (o.dropout > 0) dropout_ = add<Dropout>("dropout", o.dropout);
}

Tensor GptBlock::construct(const Tensor& x) {
  auto drop = [this](const Tensor& t) { return dropout_ ? dropout_(t) : t; };
  const Tensor y = x + drop(proj_(self_attention(qkv_(norm1_(x)), heads_)));
  return y + drop(down_(ops::gelu(up_(norm2_(y)), {ops::GeluApproximate::kTanh})));
}

Gpt::Gpt(const GptOptions& o)
    : options_(o),
      tok_(add<Embedding>("tok", o.vocab, o.width)),
      pos_(add<Embedding>("pos", o.positions, o.width)),
      blocks_(add<Sequential>("blocks")) {
  for (int64_t i = 0; i < o.layers; ++i) blocks_->append(make<GptBlock>(o));
  norm_ = add<LayerNorm>("norm", o.width);
  head_ = add<Linear>("head", o.width, o.vocab, LinearOptions{.bias = false});
}

Tensor Gpt::construct(const Tensor& ids) {
  if (ids.rank() != 2 || ids.dim(1) > options_.positions) {
    throw_error(ErrorCode::kValue,
                cat("[Gpt] ids expects [n, t] with t at most ", options_.positions, ", got ",
                    ids.meta(), " | in Cell ", cell_path(call_modes().cell)));
  }
  const Tensor positions = ops::arange(0, ids.dim(1));
  return head_(norm_(blocks_(tok_(ids) + pos_(positions))));
}

}  // namespace rutile::nn::models
