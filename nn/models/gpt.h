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
};

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
  Ptr<Linear> head_;
};

}  // namespace rutile::nn::models
