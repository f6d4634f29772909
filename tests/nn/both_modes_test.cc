// SPDX-License-Identifier: Apache-2.0
// Whole networks of the layers, trained eagerly and compiled: the same losses, step by step. In
// f64, where only the order of sums differs; in f32 within what that makes of it in a few steps.
#include <gtest/gtest.h>

#include "rutile/nn/conv_layers.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/nn/recurrent.h"
#include "rutile/nn/train_step.h"
#include "rutile/nn/transformer.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::nn {
namespace {

constexpr int64_t kBatch = 6, kTime = 7, kFeatures = 4, kClasses = 3;

// The class of a sequence from the last state of two layers, both ways.
template <class Layer>
class SequenceNet final : public Cell {
 public:
  std::string type_name() const override { return "SequenceNet"; }

 protected:
  Tensor construct(const Tensor& x) override { return out_(ops::select(layers_(x), 1, kTime - 1)); }

 private:
  Ptr<Layer> layers_ = add<Layer>(
      "layers", kFeatures, 6,
      RecurrentOptions{.layers = 2, .batch_first = true, .dropout = 0.2, .bidirectional = true});
  Ptr<Linear> out_ = add<Linear>("out", 12, kClasses);
};

class AttentionNet final : public Cell {
 public:
  std::string type_name() const override { return "AttentionNet"; }

 protected:
  Tensor construct(const Tensor& x) override {
    return out_(ops::mean(encoder_(in_(x)), {.axes = {1}}));
  }

 private:
  Ptr<Linear> in_ = add<Linear>("in", kFeatures, 8);
  Ptr<TransformerEncoder> encoder_ = add<TransformerEncoder>(
      "encoder", 8, 2, 2,
      TransformerOptions{.feedforward = 16, .dropout = 0.2, .batch_first = true});
  Ptr<Linear> out_ = add<Linear>("out", 8, kClasses);
};

// Two levels with a skip between their halves.
class UNet final : public Cell {
 public:
  std::string type_name() const override { return "UNet"; }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor top = ops::relu(norm_(down_(x)));
    const Tensor low = ops::relu(bottom_(pool_(top)));
    return out_(ops::relu(level_(ops::concat({{top, up_(low)}}, 1))));
  }

 private:
  Ptr<Conv2d> down_ = add<Conv2d>("down", 1, 6, 3, Conv2dOptions{.pad = 1});
  Ptr<BatchNorm2d> norm_ = add<BatchNorm2d>("norm", 6);
  Ptr<MaxPool2d> pool_ = add<MaxPool2d>("pool", 2);
  Ptr<Conv2d> bottom_ = add<Conv2d>("bottom", 6, 8, 3, Conv2dOptions{.pad = 1});
  Ptr<ConvTranspose2d> up_ =
      add<ConvTranspose2d>("up", 8, 6, 2, ConvTranspose2dOptions{.stride = 2});
  Ptr<Conv2d> level_ = add<Conv2d>("level", 12, 6, 3, Conv2dOptions{.pad = 1});
  Ptr<Conv2d> out_ = add<Conv2d>("out", 6, 1, 1);
};

Tensor drawn(const Shape& shape, DType t) {
  const Tensor key = Tensor::from<uint64_t>({7}, {1});
  return ops::cast(ops::random_normal(key, {.shape = shape}), t);
}

std::vector<double> losses(const std::function<CellPtr()>& make_net, const LossFn& loss,
                           const Tensor& x, const Tensor& y, Mode mode) {
  set_seed(11);
  const CellPtr net = make_net();
  net->to(x.dtype());
  net->train();
  auto optimizer = std::make_shared<optim::Adam>(net->parameters(), optim::AdamOptions{.lr = 0.02});
  TrainStep step(net, loss, optimizer, {.mode = mode});
  std::vector<double> found;
  for (int i = 0; i < 12; ++i) found.push_back(step(x, y).loss.item());
  return found;
}

void expect_alike(const std::function<CellPtr()>& make_net, const LossFn& loss, const Shape& shape,
                  const std::function<Tensor(const Tensor&)>& target) {
  for (const DType t : {DType::kF64, DType::kF32}) {
    const Tensor x = drawn(shape, t), y = target(x);
    const std::vector<double> eager = losses(make_net, loss, x, y, Mode::kEager);
    const std::vector<double> graph = losses(make_net, loss, x, y, Mode::kGraph);
    for (size_t i = 0; i < eager.size(); ++i) {
      EXPECT_NEAR(graph[i], eager[i], (t == DType::kF64 ? 1e-9 : 2e-3) * eager[i])
          << dtype_name(t) << " " << i;
    }
    EXPECT_LT(eager.back(), 0.9 * eager.front()) << dtype_name(t);
  }
}

Tensor labels(const Tensor& x) {
  const Tensor total = ops::sum(x, {.axes = {1, 2}});
  return ops::cast(ops::greater(total, -1.5), DType::kI64) +
         ops::cast(ops::greater(total, 1.5), DType::kI64);
}
const Shape kSequences{kBatch, kTime, kFeatures};

TEST(BothModes, Lstm) {
  expect_alike([] { return make<SequenceNet<LSTM>>(); }, CrossEntropyLoss{}, kSequences, labels);
}
TEST(BothModes, Gru) {
  expect_alike([] { return make<SequenceNet<GRU>>(); }, CrossEntropyLoss{}, kSequences, labels);
}
TEST(BothModes, Transformer) {
  expect_alike([] { return make<AttentionNet>(); }, CrossEntropyLoss{}, kSequences, labels);
}
TEST(BothModes, UNet) {
  expect_alike([] { return make<UNet>(); }, BCEWithLogitsLoss{}, {4, 1, 12, 10},
               [](const Tensor& x) { return ops::cast(ops::greater(x, 0.0), x.dtype()); });
}

}  // namespace
}  // namespace rutile::nn
