// SPDX-License-Identifier: Apache-2.0
// Elementwise chains, embeddings and matrix products.
#include "rutile/benchmarks/networks/networks.h"
#include "rutile/nn/init.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::bench {

namespace {

using nn::Cell;
using nn::Ptr;

// Thirty elementwise ops with broadcast rows and columns.
class Chain final : public Cell {
 public:
  Chain() {
    register_parameter("scale", nn::init::ones({1, 4096}), &scale_);
    register_parameter("shift", nn::init::zeros({4096}), &shift_);
    register_parameter("column", nn::init::ones({256, 1}), &column_);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor scale = scale_->read(), shift = shift_->read(), column = column_->read();
    Tensor y = ops::tanh(x * scale + shift);
    const Tensor gate = ops::sigmoid(x - column);
    y = y * gate + x * (1.0 - gate);
    for (int i = 0; i < 3; ++i) {
      const Tensor z = ops::relu(y * scale + column) - ops::abs(y) * 0.5;
      y = y + z * ops::exp(-(z * z)) * 0.25;
    }
    return ops::maximum(y, shift) / (ops::sqrt(ops::square(column) + 1.0) + ops::square(y));
  }

 private:
  nn::ParameterPtr scale_, shift_, column_;
};

class Autoencoder final : public Cell {
 public:
  Autoencoder() {
    const int64_t widths[] = {784, 256, 64, 256, 784};
    for (int i = 0; i < 4; ++i) {
      fc_[i] = add<nn::Linear>(cat("fc", i), widths[i], widths[i + 1]);
    }
  }

 protected:
  Tensor construct(const Tensor& x) override {
    Tensor y = x;
    for (int i = 0; i < 3; ++i) y = ops::relu(fc_[i](y));
    return ops::sigmoid(fc_[3](y));
  }

 private:
  Ptr<nn::Linear> fc_[4];
};

// Cheng et al., "Wide & deep learning", 2016: 16 fields of one table, a linear and a deep part.
class Recommender final : public Cell {
 public:
  static constexpr int64_t kFields = 16, kRows = 50000, kWidth = 32;
  Recommender() {
    table_ = add<nn::Embedding>("table", kRows, kWidth);
    wide_ = add<nn::Embedding>("wide", kRows, 1);
    fc1_ = add<nn::Linear>("fc1", kFields * kWidth, 256);
    fc2_ = add<nn::Linear>("fc2", 256, 64);
    fc3_ = add<nn::Linear>("fc3", 64, 1);
  }

 protected:
  Tensor construct(const Tensor& ids) override {
    const Tensor deep = ops::relu(fc2_(ops::relu(fc1_(ops::flatten(table_(ids), 1)))));
    return fc3_(deep) + ops::sum(wide_(ids), {.axes = {1}});
  }

 private:
  Ptr<nn::Embedding> table_, wide_;
  Ptr<nn::Linear> fc1_, fc2_, fc3_;
};

// Koren et al., "Matrix factorization techniques for recommender systems", 2009.
class Factorisation final : public Cell {
 public:
  static constexpr int64_t kRows = 20000, kWidth = 48;
  Factorisation() {
    user_ = add<nn::Embedding>("user", kRows, kWidth);
    item_ = add<nn::Embedding>("item", kRows, kWidth);
    user_bias_ = add<nn::Embedding>("user_bias", kRows, 1);
    item_bias_ = add<nn::Embedding>("item_bias", kRows, 1);
  }

 protected:
  Tensor construct(const Tensor& ids) override {
    const Tensor u = ops::select(ids, 1, 0), i = ops::select(ids, 1, 1);
    const Tensor dot = ops::sum(user_(u) * item_(i), {.axes = {1}, .keepdims = true});
    return dot + user_bias_(u) + item_bias_(i);
  }

 private:
  Ptr<nn::Embedding> user_, item_, user_bias_, item_bias_;
};

}  // namespace

nn::CellPtr make_chain() { return nn::make<Chain>(); }
nn::CellPtr make_autoencoder() { return nn::make<Autoencoder>(); }
nn::CellPtr make_recommender() { return nn::make<Recommender>(); }
nn::CellPtr make_factorisation() { return nn::make<Factorisation>(); }

}  // namespace rutile::bench
