// SPDX-License-Identifier: Apache-2.0
// A small decoder-only transformer with pre-norm (Radford et al., "GPT-2", 2019): ids [n, t] i64 to
// logits [n, t, vocab], t at most `positions`.
#pragma once

#include <vector>

#include "rutile/nn/layers.h"

namespace rutile::nn::models {

struct GptOptions {
  int64_t vocab = 65, positions = 256, layers = 6, width = 384, heads = 6;
  double dropout = 0;
  bool tied = false;    // the logits come from the weight of the token embedding
  double init_std = 0;  // > 0: weights start normal, those into the residual sum smaller by
                        // sqrt(2 layers), as GPT-2's; 0: as the layers do
};
// GPT-2 small: 124,475,904 parameters with its 50,257 tokens padded to a multiple of 128.
inline GptOptions gpt2_124m() {
  return {.vocab = 50304,
          .positions = 1024,
          .layers = 12,
          .width = 768,
          .heads = 12,
          .tied = true,
          .init_std = 0.02};
}

class RUTILE_API GptBlock final : public Cell {
 public:
  explicit GptBlock(const GptOptions& options);
  std::string type_name() const override { return "GptBlock"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  int64_t heads_;
  Ptr<LayerNorm> norm1_;
  Ptr<Linear> qkv_, proj_;
  Ptr<LayerNorm> norm2_;
  Ptr<Linear> up_, down_;
  Ptr<Dropout> dropout_;  // null without
};

class RUTILE_API Gpt final : public Cell {
 public:
  explicit Gpt(const GptOptions& options = {});
  std::string type_name() const override { return "Gpt"; }

 protected:
  Tensor construct(const Tensor& ids) override;

 private:
  GptOptions options_;
  Ptr<Embedding> tok_, pos_;
  Ptr<Sequential> blocks_;
  Ptr<LayerNorm> norm_;
  Ptr<Linear> head_;  // null where tied
};

}  // namespace rutile::nn::models
