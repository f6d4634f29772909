// SPDX-License-Identifier: Apache-2.0
// Transformers and recurrent networks.
#include <cmath>

#include "rutile/benchmarks/networks/networks.h"
#include "rutile/nn/init.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::bench {

namespace {

using nn::Cell;
using nn::Ptr;
using nn::Sequential;

// q, k, v [n, heads, t, width / heads] of qkv [n, t, 3 * width].
std::vector<Tensor> split_heads(const Tensor& qkv, int64_t heads) {
  const int64_t n = qkv.dim(0), t = qkv.dim(1), d = qkv.dim(2) / 3 / heads;
  std::vector<Tensor> parts = ops::split(qkv, 3, 2);
  for (Tensor& p : parts) p = ops::permute(ops::reshape(p, {n, t, heads, d}), {0, 2, 1, 3});
  return parts;
}

Tensor join_heads(const Tensor& y) {
  return ops::reshape(ops::permute(y, {0, 2, 1, 3}), {y.dim(0), y.dim(2), y.dim(1) * y.dim(3)});
}

// Dosovitskiy et al., "An image is worth 16x16 words", 2021: pre-norm, exact GELU.
class VitBlock final : public Cell {
 public:
  VitBlock(int64_t width, int64_t heads)
      : norm1_(add<nn::LayerNorm>("norm1", width)),
        attention_(add<nn::MultiHeadSelfAttention>("attention", width, heads,
                                                   nn::SelfAttentionOptions{.causal = false})),
        norm2_(add<nn::LayerNorm>("norm2", width)),
        up_(add<nn::Linear>("up", width, 4 * width)),
        down_(add<nn::Linear>("down", 4 * width, width)) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = x + attention_(norm1_(x));
    return y + down_(ops::gelu(up_(norm2_(y))));
  }

 private:
  Ptr<nn::LayerNorm> norm1_;
  Ptr<nn::MultiHeadSelfAttention> attention_;
  Ptr<nn::LayerNorm> norm2_;
  Ptr<nn::Linear> up_, down_;
};

class Vit final : public Cell {
 public:
  static constexpr int64_t kWidth = 192, kPatches = 196;
  Vit() {
    patch_ = add<nn::Conv2d>("patch", 3, kWidth, 16, nn::Conv2dOptions{.stride = 16});
    register_parameter("cls", nn::init::zeros({1, 1, kWidth}), &cls_);
    register_parameter("pos", nn::init::zeros({1, kPatches + 1, kWidth}), &pos_);
    blocks_ = add<Sequential>("blocks");
    for (int i = 0; i < 4; ++i) blocks_->append(nn::make<VitBlock>(kWidth, 3));
    norm_ = add<nn::LayerNorm>("norm", kWidth);
    head_ = add<nn::Linear>("head", kWidth, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor patches = ops::permute(ops::flatten(patch_(x), 2), {0, 2, 1});
    const Tensor cls = ops::cast(cls_->read(), patches.dtype());
    const Tensor both[] = {ops::broadcast_to(cls, {x.dim(0), 1, kWidth}), patches};
    const Tensor y = blocks_(ops::concat(both, 1) + pos_->read());
    return head_(ops::select(norm_(y), 1, 0));
  }

 private:
  Ptr<nn::Conv2d> patch_;
  nn::ParameterPtr cls_, pos_;
  Ptr<Sequential> blocks_;
  Ptr<nn::LayerNorm> norm_;
  Ptr<nn::Linear> head_;
};

// Tolstikhin et al., "MLP-Mixer", 2021: perceptrons over patches and over channels in turn.
class MixerBlock final : public Cell {
 public:
  MixerBlock(int64_t width, int64_t patches)
      : norm1_(add<nn::LayerNorm>("norm1", width)),
        up1_(add<nn::Linear>("up1", patches, 128)),
        down1_(add<nn::Linear>("down1", 128, patches)),
        norm2_(add<nn::LayerNorm>("norm2", width)),
        up2_(add<nn::Linear>("up2", width, 4 * width)),
        down2_(add<nn::Linear>("down2", 4 * width, width)) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor t = ops::swapaxes(norm1_(x), 1, 2);
    const Tensor y = x + ops::swapaxes(down1_(ops::gelu(up1_(t))), 1, 2);
    return y + down2_(ops::gelu(up2_(norm2_(y))));
  }

 private:
  Ptr<nn::LayerNorm> norm1_;
  Ptr<nn::Linear> up1_, down1_;
  Ptr<nn::LayerNorm> norm2_;
  Ptr<nn::Linear> up2_, down2_;
};

class Mixer final : public Cell {
 public:
  Mixer() {
    patch_ = add<nn::Conv2d>("patch", 3, 256, 16, nn::Conv2dOptions{.stride = 16});
    blocks_ = add<Sequential>("blocks");
    for (int i = 0; i < 4; ++i) blocks_->append(nn::make<MixerBlock>(256, 196));
    norm_ = add<nn::LayerNorm>("norm", 256);
    head_ = add<nn::Linear>("head", 256, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = blocks_(ops::permute(ops::flatten(patch_(x), 2), {0, 2, 1}));
    return head_(ops::mean(norm_(y), {.axes = {1}}));
  }

 private:
  Ptr<nn::Conv2d> patch_;
  Ptr<Sequential> blocks_;
  Ptr<nn::LayerNorm> norm_;
  Ptr<nn::Linear> head_;
};

// Devlin et al., "BERT", 2019: post-norm, dropout, key 0 is padding; every token is predicted.
class BertBlock final : public Cell {
 public:
  BertBlock(int64_t width, int64_t heads)
      : heads_(heads),
        qkv_(add<nn::Linear>("qkv", width, 3 * width)),
        proj_(add<nn::Linear>("proj", width, width)),
        norm1_(add<nn::LayerNorm>("norm1", width)),
        up_(add<nn::Linear>("up", width, 4 * width)),
        down_(add<nn::Linear>("down", 4 * width, width)),
        norm2_(add<nn::LayerNorm>("norm2", width)),
        drop_(add<nn::Dropout>("drop", 0.1)) {}

 protected:
  Tensor construct_pair(const Tensor& x, const Tensor& mask) override {
    const std::vector<Tensor> h = split_heads(qkv_(x), heads_);
    const Tensor mixed = join_heads(ops::scaled_dot_product_attention(h[0], h[1], h[2], mask));
    const Tensor y = norm1_(x + drop_(proj_(mixed)));
    return norm2_(y + drop_(down_(ops::gelu(up_(y)))));
  }

 private:
  int64_t heads_;
  Ptr<nn::Linear> qkv_, proj_;
  Ptr<nn::LayerNorm> norm1_;
  Ptr<nn::Linear> up_, down_;
  Ptr<nn::LayerNorm> norm2_;
  Ptr<nn::Dropout> drop_;
};

class Bert final : public Cell {
 public:
  static constexpr int64_t kVocab = 2000, kLength = 128, kWidth = 256;
  Bert() {
    tok_ = add<nn::Embedding>("tok", kVocab, kWidth);
    pos_ = add<nn::Embedding>("pos", kLength, kWidth);
    norm_ = add<nn::LayerNorm>("norm", kWidth);
    drop_ = add<nn::Dropout>("drop", 0.1);
    for (int i = 0; i < 4; ++i) blocks_.push_back(add<BertBlock>(cat("block", i), kWidth, 4));
    head_ = add<nn::Linear>("head", kWidth, kVocab);
  }

 protected:
  Tensor construct(const Tensor& ids) override {
    const int64_t n = ids.dim(0), t = ids.dim(1);
    const Tensor mask = ops::reshape(ops::not_equal(ids, 0), {n, 1, 1, t});
    Tensor y = drop_(norm_(tok_(ids) + pos_(ops::arange(0, t))));
    for (const Ptr<BertBlock>& block : blocks_) y = block(y, mask);
    return head_(y);
  }

 private:
  Ptr<nn::Embedding> tok_, pos_;
  Ptr<nn::LayerNorm> norm_;
  Ptr<nn::Dropout> drop_;
  std::vector<Ptr<BertBlock>> blocks_;
  Ptr<nn::Linear> head_;
};

// Touvron et al., "LLaMA", 2023: RMS norm, rotary positions, SwiGLU, no biases.
class RmsNorm final : public Cell {
 public:
  explicit RmsNorm(int64_t width) {
    register_parameter("weight", nn::init::ones({width}), &weight_);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    return ops::rms_norm(x, weight_->read(), {.eps = 1e-6});
  }

 private:
  nn::ParameterPtr weight_;
};

// The halves (a, b) of every head to (a cos - b sin, b cos + a sin); Su et al., "RoFormer", 2021.
Tensor rotate(const Tensor& x) {
  const int64_t t = x.dim(2), half = x.dim(3) / 2;
  const Tensor step = ops::exp(ops::arange(0.0, static_cast<double>(half)) *
                               (-std::log(10000.0) / static_cast<double>(half)));
  const Tensor angle = ops::reshape(ops::arange(0.0, static_cast<double>(t)), {t, 1}) * step;
  const Tensor c = ops::cast(ops::cos(angle), x.dtype()), s = ops::cast(ops::sin(angle), x.dtype());
  const std::vector<Tensor> h = ops::split(x, 2, 3);
  const Tensor both[] = {h[0] * c - h[1] * s, h[1] * c + h[0] * s};
  return ops::concat(both, 3);
}

class LlamaBlock final : public Cell {
 public:
  LlamaBlock(int64_t width, int64_t heads, int64_t inner)
      : heads_(heads),
        norm1_(add<RmsNorm>("norm1", width)),
        qkv_(add<nn::Linear>("qkv", width, 3 * width, nn::LinearOptions{.bias = false})),
        proj_(add<nn::Linear>("proj", width, width, nn::LinearOptions{.bias = false})),
        norm2_(add<RmsNorm>("norm2", width)),
        gate_(add<nn::Linear>("gate", width, inner, nn::LinearOptions{.bias = false})),
        up_(add<nn::Linear>("up", width, inner, nn::LinearOptions{.bias = false})),
        down_(add<nn::Linear>("down", inner, width, nn::LinearOptions{.bias = false})) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const std::vector<Tensor> h = split_heads(qkv_(norm1_(x)), heads_);
    const Tensor mixed =
        ops::scaled_dot_product_attention(rotate(h[0]), rotate(h[1]), h[2], {.causal = true});
    const Tensor y = x + proj_(join_heads(mixed));
    const Tensor z = norm2_(y);
    return y + down_(ops::silu(gate_(z)) * up_(z));
  }

 private:
  int64_t heads_;
  Ptr<RmsNorm> norm1_;
  Ptr<nn::Linear> qkv_, proj_;
  Ptr<RmsNorm> norm2_;
  Ptr<nn::Linear> gate_, up_, down_;
};

class Llama final : public Cell {
 public:
  static constexpr int64_t kVocab = 1000, kWidth = 256;
  Llama() {
    tok_ = add<nn::Embedding>("tok", kVocab, kWidth);
    blocks_ = add<Sequential>("blocks");
    for (int i = 0; i < 4; ++i) blocks_->append(nn::make<LlamaBlock>(kWidth, 4, 688));
    norm_ = add<RmsNorm>("norm", kWidth);
    head_ = add<nn::Linear>("head", kWidth, kVocab, nn::LinearOptions{.bias = false});
  }

 protected:
  Tensor construct(const Tensor& ids) override { return head_(norm_(blocks_(tok_(ids)))); }

 private:
  Ptr<nn::Embedding> tok_;
  Ptr<Sequential> blocks_;
  Ptr<RmsNorm> norm_;
  Ptr<nn::Linear> head_;
};

// Recurrent networks: x [n, t, in]; the input's share of all steps is one product, the loop is
// unrolled in the trace. Hochreiter and Schmidhuber, 1997; Cho et al., 2014.
class Recurrent : public Cell {
 public:
  Recurrent(int64_t in, int64_t width, int64_t gates)
      : width_(width),
        ih_(add<nn::Linear>("ih", in, gates * width)),
        hh_(add<nn::Linear>("hh", width, gates * width)),
        head_(add<nn::Linear>("head", width, 10)) {}

 protected:
  int64_t width_;
  Ptr<nn::Linear> ih_, hh_, head_;
};

class Lstm final : public Recurrent {
 public:
  Lstm() : Recurrent(64, 256, 4) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor all = ih_(x);
    Tensor h = ops::zeros({x.dim(0), width_}), c = h;
    for (int64_t t = 0; t < x.dim(1); ++t) {
      const std::vector<Tensor> g = ops::split(ops::select(all, 1, t) + hh_(h), 4, 1);
      c = ops::sigmoid(g[1]) * c + ops::sigmoid(g[0]) * ops::tanh(g[2]);
      h = ops::sigmoid(g[3]) * ops::tanh(c);
    }
    return head_(h);
  }
};

class Gru final : public Recurrent {
 public:
  Gru() : Recurrent(64, 256, 3) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor all = ih_(x);
    Tensor h = ops::zeros({x.dim(0), width_});
    for (int64_t t = 0; t < x.dim(1); ++t) {
      const std::vector<Tensor> a = ops::split(ops::select(all, 1, t), 3, 1);
      const std::vector<Tensor> b = ops::split(hh_(h), 3, 1);
      const Tensor r = ops::sigmoid(a[0] + b[0]), z = ops::sigmoid(a[1] + b[1]);
      const Tensor n = ops::tanh(a[2] + r * b[2]);
      h = n + z * (h - n);
    }
    return head_(h);
  }
};

}  // namespace

nn::CellPtr make_vit() { return nn::make<Vit>(); }
nn::CellPtr make_mixer() { return nn::make<Mixer>(); }
nn::CellPtr make_bert() { return nn::make<Bert>(); }
nn::CellPtr make_llama() { return nn::make<Llama>(); }
nn::CellPtr make_lstm() { return nn::make<Lstm>(); }
nn::CellPtr make_gru() { return nn::make<Gru>(); }

}  // namespace rutile::bench
