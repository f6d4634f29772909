// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/softmax.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::nn {
namespace {

const Tensor& square_matrix() {
  static const Tensor x = ops::full({4, 4}, 0.5);
  return x;
}

// dtypes of a product, a softmax of it, and its sum with f32.
std::vector<DType> dtypes(DType low, AmpPolicyPtr policy) {
  AmpScope amp(low, std::move(policy));
  const Tensor y = ops::matmul(square_matrix(), square_matrix());
  return {y.dtype(), ops::softmax(y).dtype(), ops::add(y, square_matrix()).dtype()};
}

TEST(AmpLevels, SayWhichOpsRunInLowPrecision) {
  const DType f32 = DType::kF32;
  for (const DType low : {DType::kBF16, DType::kF16}) {
    using L = AmpLevel;
    EXPECT_EQ(dtypes(low, make_amp_policy(L::kO0)), (std::vector{f32, f32, f32}));
    EXPECT_EQ(dtypes(low, make_amp_policy(L::kO1)), (std::vector{low, f32, f32}));
    EXPECT_EQ(dtypes(low, nullptr), (std::vector{low, f32, f32}));
    EXPECT_EQ(dtypes(low, make_amp_policy(L::kO2)), (std::vector{low, low, low}));
    EXPECT_EQ(dtypes(low, make_amp_policy(L::kO3)), (std::vector{low, low, low}));
  }
}

TEST(AmpLevels, ListsOverrideThem) {
  const DType f32 = DType::kF32, low = DType::kBF16;
  EXPECT_EQ(dtypes(low, make_amp_policy(AmpLevel::kO1, {"softmax"}, {"matmul"})),
            (std::vector{f32, low, f32}));
  EXPECT_EQ(dtypes(low, make_amp_policy(AmpLevel::kO2, {}, {"softmax"})),
            (std::vector{low, f32, low}));
  EXPECT_RUTILE_ERROR(make_amp_policy(AmpLevel::kO1, {"matmal"}), kValue, "no op \"matmal\"");
  EXPECT_RUTILE_ERROR(make_amp_policy(AmpLevel::kO1, {"exp"}, {"exp"}), kValue, "cannot be in");
}

TEST(AmpLevels, ScopesNestAndEnd) {
  AmpScope outer(DType::kBF16, make_amp_policy(AmpLevel::kO2));
  {
    AmpScope inner(DType::kF16);
    EXPECT_EQ(ops::softmax(ops::cast(square_matrix(), DType::kF16)).dtype(), DType::kF32);
  }
  EXPECT_EQ(ops::softmax(ops::cast(square_matrix(), DType::kBF16)).dtype(), DType::kBF16);
}

TEST(AmpLevels, RecomputeRunsAsTheFirstTime) {
  AmpPolicyPtr policy = make_amp_policy(AmpLevel::kO2);
  std::vector<DType> seen;
  GradScope scope;
  const Tensor x = ops::full({4, 4}, 0.5);
  scope.watch(x);
  Tensor y;
  {
    AmpScope amp(DType::kBF16, policy);
    y = ops::recompute(
        [&](const std::vector<Tensor>& in) {
          const Tensor s = ops::softmax(ops::matmul(in[0], in[0]));
          seen.push_back(s.dtype());
          return std::vector<Tensor>{s};
        },
        {x})[0];
  }
  scope.gradient(y, {x}, ops::ones_like(y));
  EXPECT_EQ(seen, (std::vector{DType::kBF16, DType::kBF16}));
}

TEST(AmpLevels, AreAPartOfTheCompileKey) {
  graph::Compiled f(
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{ops::softmax(ops::matmul(in[0], in[0]))};
      },
      {});
  const AmpLevel levels[] = {AmpLevel::kO1, AmpLevel::kO2, AmpLevel::kO1, AmpLevel::kO2};
  for (const AmpLevel level : levels) {
    AmpScope amp(DType::kBF16, make_amp_policy(level));
    EXPECT_EQ(f({square_matrix()})[0].dtype(), level == AmpLevel::kO1 ? DType::kF32 : DType::kBF16);
  }
  AmpScope usual(DType::kBF16);
  f({square_matrix()});
  EXPECT_EQ(f.compilations(), 2);
}

CellPtr small_net() {
  set_seed(5);
  auto net = make<Sequential>();
  net->append(make<Linear>(6, 16));
  net->append(make<LayerNorm>(16));
  net->append(make<GELU>());
  net->append(make<Linear>(16, 3));
  return net;
}

std::vector<double> losses(StepOptions options, DType* outputs = nullptr) {
  CellPtr net = small_net();
  auto optimizer =
      std::make_shared<optim::AdamW>(net->parameters(), optim::AdamWOptions{.lr = 0.01});
  options.outputs = true;
  TrainStep step(net, CrossEntropyLoss(), optimizer, options);
  set_seed(1);
  ops::RandomNormalAttrs a;
  a.shape = {16, 6};
  const Tensor x = ops::random_normal(a), y = ops::remainder(ops::arange(0, 16), 3);
  std::vector<double> all;
  for (int i = 0; i < 8; ++i) {
    const StepResult r = step(x, y);
    all.push_back(r.loss.item());
    if (outputs) *outputs = r.outputs.dtype();
  }
  for (const ParameterPtr& p : net->parameters()) EXPECT_EQ(p->meta().dtype, DType::kF32);
  return all;
}

TEST(AmpLevels, TrainAlikeInBothModes) {
  const std::vector<double> exact = losses({});
  for (const DType low : {DType::kBF16, DType::kF16}) {
    for (const AmpLevel level : {AmpLevel::kO0, AmpLevel::kO1, AmpLevel::kO2, AmpLevel::kO3}) {
      DType outputs{};
      StepOptions options{.mode = Mode::kGraph, .amp = low, .amp_level = level};
      const std::vector<double> graph = losses(options, &outputs);
      options.mode = Mode::kEager;
      const std::vector<double> eager = losses(options);
      for (size_t i = 0; i < exact.size(); ++i) {
        EXPECT_NEAR(graph[i], exact[i], level == AmpLevel::kO0 ? 1e-6 : 0.05) << i;
        EXPECT_NEAR(eager[i], graph[i], 0.02) << i;
      }
      const bool full = level == AmpLevel::kO0 || level == AmpLevel::kO2;
      EXPECT_EQ(outputs, full ? DType::kF32 : low);
    }
  }
}

}  // namespace
}  // namespace rutile::nn
