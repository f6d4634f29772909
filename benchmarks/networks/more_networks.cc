// SPDX-License-Identifier: Apache-2.0
// Networks that move elements about: branches, windows, upsampling, attention by hand, skinny
// products.
#include <cmath>

#include "rutile/benchmarks/networks/networks.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::bench {

namespace {

using nn::Cell;
using nn::Ptr;
using nn::Sequential;

// Szegedy et al., "Going deeper with convolutions", 2015: four branches side by side, behind the
// large kernel of AlexNet.
class Inception final : public Cell {
 public:
  Inception(int64_t in, int64_t out)
      : one_(add<nn::Conv2d>("one", in, out, 1)),
        reduce3_(add<nn::Conv2d>("reduce3", in, 48, 1)),
        three_(add<nn::Conv2d>("three", 48, out, 3, nn::Conv2dOptions{.pad = 1})),
        reduce5_(add<nn::Conv2d>("reduce5", in, 16, 1)),
        five_(add<nn::Conv2d>("five", 16, out, 5, nn::Conv2dOptions{.pad = 2})),
        pool_(add<nn::Conv2d>("pool", in, out, 1)) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor smooth = ops::max_pool2d(x, {.kernel = 3, .stride = 1, .pad = 1});
    const Tensor all[] = {one_(x), three_(ops::relu(reduce3_(x))), five_(ops::relu(reduce5_(x))),
                          pool_(smooth)};
    return ops::relu(ops::concat(all, 1));
  }

 private:
  Ptr<nn::Conv2d> one_, reduce3_, three_, reduce5_, five_, pool_;
};

class GoogleNet final : public Cell {
 public:
  GoogleNet() {
    stem_ = add<nn::Conv2d>("stem", 3, 64, 11, nn::Conv2dOptions{.stride = 4, .pad = 2});
    blocks_ = add<Sequential>("blocks");
    blocks_->append(nn::make<Inception>(64, 24));
    blocks_->append(nn::make<Inception>(96, 32));
    blocks_->append(nn::make<Inception>(128, 32));
    head_ = add<nn::Linear>("head", 128, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = blocks_(ops::relu(stem_(x)));
    return head_(ops::flatten(ops::global_avg_pool(y), 1));
  }

 private:
  Ptr<nn::Conv2d> stem_;
  Ptr<Sequential> blocks_;
  Ptr<nn::Linear> head_;
};

// A decoder that upsamples: nearest neighbours, then pixel shuffle (Shi et al., 2016).
class Upsampler final : public Cell {
 public:
  Upsampler() {
    in_ = add<nn::Conv2d>("in", 3, 48, 3, nn::Conv2dOptions{.pad = 1});
    mid_ = add<nn::Conv2d>("mid", 48, 48, 3, nn::Conv2dOptions{.pad = 1});
    out_ = add<nn::Conv2d>("out", 48, 12, 3, nn::Conv2dOptions{.pad = 1});
  }

 protected:
  Tensor construct(const Tensor& x) override {
    Tensor y = ops::leaky_relu(in_(x));
    y = out_(ops::leaky_relu(mid_(ops::upsample_nearest2d(y))));
    const int64_t n = y.dim(0), c = y.dim(1) / 4, h = y.dim(2), w = y.dim(3);
    y = ops::permute(ops::reshape(y, {n, c, 2, 2, h, w}), {0, 1, 4, 2, 5, 3});
    return ops::reshape(y, {n, c, 2 * h, 2 * w});
  }

 private:
  Ptr<nn::Conv2d> in_, mid_, out_;
};

// Attention as people write it, in shifted windows (Liu et al., "Swin transformer", 2021).
class SwinBlock final : public Cell {
 public:
  static constexpr int64_t kWindow = 7, kHeads = 4;
  SwinBlock(int64_t width, bool shifted)
      : width_(width),
        shift_(shifted ? 3 : 0),
        norm1_(add<nn::LayerNorm>("norm1", width)),
        qkv_(add<nn::Linear>("qkv", width, 3 * width)),
        proj_(add<nn::Linear>("proj", width, width)),
        norm2_(add<nn::LayerNorm>("norm2", width)),
        up_(add<nn::Linear>("up", width, 4 * width)),
        down_(add<nn::Linear>("down", 4 * width, width)) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const int64_t n = x.dim(0), h = x.dim(1), w = x.dim(2), t = kWindow * kWindow;
    const int64_t gh = h / kWindow, gw = w / kWindow, d = width_ / kHeads;
    Tensor y = norm1_(x);
    if (shift_) y = ops::roll(ops::roll(y, -shift_, 1), -shift_, 2);
    y = ops::permute(ops::reshape(y, {n, gh, kWindow, gw, kWindow, width_}), {0, 1, 3, 2, 4, 5});
    y = qkv_(ops::reshape(y, {n * gh * gw, t, width_}));
    y = ops::permute(ops::reshape(y, {n * gh * gw, t, 3, kHeads, d}), {2, 0, 3, 1, 4});
    const Tensor q = ops::select(y, 0, 0), k = ops::select(y, 0, 1), v = ops::select(y, 0, 2);
    const Tensor scores = ops::matmul(q, ops::swapaxes(k, 2, 3)) * (1.0 / std::sqrt(1.0 * d));
    y = ops::matmul(ops::softmax(scores, -1), v);
    y = proj_(ops::reshape(ops::permute(y, {0, 2, 1, 3}), {n * gh * gw, t, width_}));
    y = ops::permute(ops::reshape(y, {n, gh, gw, kWindow, kWindow, width_}), {0, 1, 3, 2, 4, 5});
    y = ops::reshape(y, {n, h, w, width_});
    if (shift_) y = ops::roll(ops::roll(y, shift_, 1), shift_, 2);
    y = x + y;
    return y + down_(ops::gelu(up_(norm2_(y))));
  }

 private:
  int64_t width_, shift_;
  Ptr<nn::LayerNorm> norm1_;
  Ptr<nn::Linear> qkv_, proj_;
  Ptr<nn::LayerNorm> norm2_;
  Ptr<nn::Linear> up_, down_;
};

class Swin final : public Cell {
 public:
  Swin() {
    patch_ = add<nn::Conv2d>("patch", 3, 96, 4, nn::Conv2dOptions{.stride = 4});
    blocks_ = add<Sequential>("blocks");
    for (int i = 0; i < 2; ++i) blocks_->append(nn::make<SwinBlock>(96, i == 1));
    head_ = add<nn::Linear>("head", 96, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = blocks_(ops::permute(patch_(x), {0, 2, 3, 1}));
    return head_(ops::mean(y, {.axes = {1, 2}}));
  }

 private:
  Ptr<nn::Conv2d> patch_;
  Ptr<Sequential> blocks_;
  Ptr<nn::Linear> head_;
};

// Mildenhall et al., "NeRF", 2020: many points, narrow layers, sines of every frequency.
class Nerf final : public Cell {
 public:
  Nerf() {
    for (int i = 0; i < 4; ++i) fc_[i] = add<nn::Linear>(cat("fc", i), i == 0 ? 39 : 64, 64);
    head_ = add<nn::Linear>("head", 64, 4);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    std::vector<Tensor> parts{x};
    for (int i = 0; i < 6; ++i) {
      const Tensor angle = x * static_cast<double>(1 << i);
      parts.push_back(ops::sin(angle));
      parts.push_back(ops::cos(angle));
    }
    Tensor y = ops::concat(parts, 1);
    for (const Ptr<nn::Linear>& fc : fc_) y = ops::softplus(fc(y));
    return head_(y);
  }

 private:
  Ptr<nn::Linear> fc_[4], head_;
};

// Kipf and Welling, "Graph convolutional networks", 2017: messages along edges, summed by node.
class GraphNet final : public Cell {
 public:
  static constexpr int64_t kNodes = 4096, kWidth = 64;
  GraphNet() {
    table_ = add<nn::Embedding>("table", kNodes, kWidth);
    fc1_ = add<nn::Linear>("fc1", kWidth, kWidth);
    fc2_ = add<nn::Linear>("fc2", kWidth, 16);
  }

 protected:
  Tensor construct(const Tensor& edges) override {
    const Tensor from = ops::select(edges, 1, 0), to = ops::select(edges, 1, 1);
    const auto spread = [&](const Tensor& h) {
      return ops::index_add(ops::gather(h, from, 0), to, 0, kNodes);
    };
    const Tensor h = ops::relu(spread(fc1_(table_->weight->read())));
    return spread(fc2_(h));
  }

 private:
  Ptr<nn::Embedding> table_;
  Ptr<nn::Linear> fc1_, fc2_;
};

}  // namespace

nn::CellPtr make_inception() { return nn::make<GoogleNet>(); }
nn::CellPtr make_upsampler() { return nn::make<Upsampler>(); }
nn::CellPtr make_swin() { return nn::make<Swin>(); }
nn::CellPtr make_nerf() { return nn::make<Nerf>(); }
nn::CellPtr make_graph() { return nn::make<GraphNet>(); }

}  // namespace rutile::bench
