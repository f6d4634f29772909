// SPDX-License-Identifier: Apache-2.0
#include "rutile/debug/verify.h"

#include <gmock/gmock.h>

#include <functional>

#include "rutile/autograd/tape.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/custom.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::debug {
namespace {

using ::testing::HasSubstr;

struct Network {
  const char* name;
  std::function<nn::CellPtr()> make;
  Shape x;
  OptionalDType amp;
  DType dtype = DType::kF32;
};
nn::CellPtr small_resnet() {
  return nn::make<nn::models::ResNet>(nn::models::ResNetOptions{
      .blocks = {1, 1, 1, 1}, .bottleneck = false, .channels = 1, .classes = 10});
}
class VerifySteps : public ::testing::TestWithParam<Network> {};
INSTANTIATE_TEST_SUITE_P(
    Networks, VerifySteps,
    ::testing::Values(
        Network{"mlp", [] { return nn::make<nn::models::Mlp>(); }, {4, 784}, {}},
        Network{"lenet", [] { return nn::make<nn::models::LeNet>(); }, {2, 1, 32, 32}, {}},
        Network{"lenet_bf16",
                [] { return nn::make<nn::models::LeNet>(); },
                {2, 1, 32, 32},
                DType::kBF16},
        Network{"resnet", small_resnet, {2, 1, 16, 16}, {}},
        Network{"lenet_f64",
                [] { return nn::make<nn::models::LeNet>(); },
                {2, 1, 32, 32},
                {},
                DType::kF64}),
    [](const auto& p) { return p.param.name; });

TEST_P(VerifySteps, AgreeAndLeaveStatesAlone) {
  set_seed(3);
  const Network& net = GetParam();
  auto cell = net.make();
  cell->to(net.dtype);
  auto optimizer =
      std::make_shared<nn::optim::AdamW>(cell->parameters(), nn::optim::AdamWOptions{});
  nn::TrainStep step(cell, nn::CrossEntropyLoss(), optimizer,
                     {.mode = nn::Mode::kGraph, .amp = net.amp});
  const Tensor x = ops::random_normal({.shape = net.x, .dtype = net.dtype});
  const Tensor y =
      ops::random_randint({.shape = {net.x[0]}, .low = 0, .high = 10, .dtype = DType::kI64});
  step(x, y);
  const auto states = step.named_states();
  std::vector<std::vector<char>> before;
  const auto bytes = [](const Ref<State>& s) {
    const Tensor t = s->concrete();
    std::vector<char> b(static_cast<size_t>(t.meta().nbytes()));
    t.copy_out(b.data(), b.size());
    return b;
  };
  for (const auto& [name, state] : states) before.push_back(bytes(state));
  const VerifyReport r = verify(*step.compiled(), {x, y});
  EXPECT_EQ(r.text().find("(not judged)") == std::string::npos, net.dtype == DType::kF64);
  EXPECT_TRUE(r.ok()) << r.text(30);
  EXPECT_GT(r.nodes.size(), 10u);
  EXPECT_GT(r.passes.size(), 5u);
  if (net.dtype == DType::kF64) {
    EXPECT_LT(r.results[0].error, 1e-4);
    EXPECT_LE(r.results[0].tolerance, 1e-4);
  } else if (std::string(net.name) != "resnet") {  // that one amplifies rounding
    EXPECT_LT(r.results[0].error, net.amp.set ? 0.3 : 1e-2) << r.text();
  }
  for (size_t i = 0; i < states.size(); ++i) {
    EXPECT_EQ(bytes(states[i].second), before[i]) << states[i].first;
  }
}

// The gradient of a bias in front of a batch norm is 0, and rounding.
TEST(Verify, WhatCancelsIsNoDifference) {
  set_seed(3);
  auto cell = nn::make<nn::Sequential>();
  cell->append(nn::make<nn::Conv2d>(3, 8, 3));
  cell->append(nn::make<nn::BatchNorm2d>(8));
  cell->append(nn::make<nn::ReLU>());
  cell->append(nn::make<nn::Flatten>());
  cell->append(nn::make<nn::Linear>(8 * 36, 4));
  auto optimizer = std::make_shared<nn::optim::SGD>(cell->parameters());
  nn::TrainStep step(cell, nn::CrossEntropyLoss(), optimizer, {.mode = nn::Mode::kGraph});
  const Tensor x = ops::random_normal({.shape = {4, 3, 8, 8}});
  const Tensor y = ops::random_randint({.shape = {4}, .low = 0, .high = 4});
  step(x, y);
  const VerifyReport r = verify(*step.compiled(), {x, y}, {.passes = false});
  EXPECT_TRUE(r.ok()) << r.text(30);
  // A wrong sum is found where nothing cancels as where it does.
  CustomOp op;
  op.name = "verify_wrong_sum";
  op.inputs = {"x"};
  op.compose = [](const CustomAttrs&, std::span<const Tensor> in) {
    return TensorList{ops::sum(in[0])};
  };
  op.infer = [](const CustomCall& c) {
    return std::vector<TensorMeta>{TensorMeta({}, c.in(0).dtype, kCpu)};
  };
  op.kernel = [](const CustomCall& c, const KernelArgs& a) {  // leaves the last one out
    float sum = 0;
    for (int64_t i = 0; i + 1 < c.in(0).numel(); ++i) sum += static_cast<const float*>(a.in[0])[i];
    *static_cast<float*>(a.out[0]) = sum;
  };
  const OpDef& wrong = register_op(std::move(op));
  graph::Compiled f = graph::compile([&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{call_op(wrong, {in[0]})[0]};
  });
  for (const float last : {-6.f, 4.f}) {
    EXPECT_FALSE(verify(f, {Tensor::from<float>({1, 2, 3, last}, {4})}).ok()) << last;
  }
}

TEST(Verify, InferenceWithFrozenWeights) {
  auto cell = small_resnet();
  nn::EvalStep eval(cell, {.mode = nn::Mode::kGraph});
  const Tensor x = ops::random_normal({.shape = {2, 1, 16, 16}});
  eval(x);
  const VerifyReport r = verify(*eval.compiled(), {x});
  EXPECT_TRUE(r.ok()) << r.text(30);
}

// An op whose kernel is not what its definition says: the node is named, its neighbours are not.
TEST(Verify, NamesTheNodeThatIsWrong) {
  CustomOp op;
  op.name = "verify_wrong";
  op.inputs = {"x"};
  op.elementwise = true;
  op.compose = [](const CustomAttrs&, std::span<const Tensor> in) {
    return TensorList{in[0] + 1.0};
  };
  op.kernel = [](const CustomCall& c, const KernelArgs& a) {
    for (int64_t i = 0; i < c.in(0).numel(); ++i) {
      static_cast<float*>(a.out[0])[i] =
          static_cast<const float*>(a.in[0])[i] + (i == 2 ? 1.1f : 1.f);
    }
  };
  const OpDef& wrong = register_op(std::move(op));
  graph::Compiled f = graph::compile([&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{
        ops::sum(ops::exp(call_op(wrong, {ops::sin(in[0])})[0]), {.axes = {0}})};
  });
  const Tensor x = Tensor::from<float>({1, 2, 3, 4}, {4});
  const VerifyReport r = verify(f, {x});
  EXPECT_FALSE(r.ok());
  for (const Comparison& c : r.nodes) {
    EXPECT_EQ(c.ok(), c.what != "verify_wrong by custom") << c.what << " " << c.error;
  }
  EXPECT_THAT(r.text(), HasSubstr("!! verify_wrong by custom"));
  EXPECT_THAT(r.text(), HasSubstr("verify_test.cc:"));
}

// No kernel takes these operands as they lie: one of them is copied for it.
TEST(Verify, KernelsWithCopiesOfTheirOperands) {
  const Tensor x = ops::random_normal({.shape = {2, 6, 8, 8}});
  const Tensor where = ops::max_pool2d_with_indices(x, {.kernel = {2, 2}}).indices;
  graph::Compiled f = graph::compile([](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{ops::max_pool2d_gather(in[0], in[1], {.kernel = {2, 2}})};
  });
  const std::vector<Tensor> inputs{ops::to_channels_last(x), where};
  f(inputs);
  int copies = 0;
  for (const graph::Step& s : f.session().program().steps) copies += s.copied > 0;
  EXPECT_EQ(copies, 1);
  const VerifyReport r = verify(f, inputs);
  EXPECT_TRUE(r.ok()) << r.text();
}

TEST(Verify, RefusesToRunInsideAGradient) {
  graph::Compiled f = graph::compile([](const std::vector<Tensor>& in) { return in; });
  GradScope scope;
  EXPECT_THROW(verify(f, {Tensor::full({2}, 1.0)}), Error);
}

}  // namespace
}  // namespace rutile::debug
