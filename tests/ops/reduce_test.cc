// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/reduce.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/lp_pool.h"
#include "rutile/ops/special.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::IsNan;

using Function = std::function<Tensor(const Tensor&)>;

// The gradient of f's sum at x, and the gradient of that gradient's sum.
std::pair<Tensor, Tensor> two_gradients(const Function& f, const Tensor& x) {
  GradScope outer;
  outer.watch(x);
  Tensor g;
  {
    GradScope inner;
    inner.watch(x);
    g = inner.gradient(sum(f(x)), {x})[0];
  }
  return {g, outer.gradient(sum(g), {x})[0]};
}

// As PyTorch has it: a deviation of 0 has the gradient 0.
TEST(Std, ConstantValuesHaveNoGradient) {
  const auto [g, h] = two_gradients([](const Tensor& x) { return std(x, {.axes = {1}}); },
                                    Tensor::from<double>({2, 2, 2, 1, 2, 3}, {2, 3}));
  EXPECT_THAT(g.to_vector<double>(), ElementsAre(0, 0, 0, -0.5, 0, 0.5));
  for (const double v : h.to_vector<double>()) EXPECT_NEAR(v, 0, 1e-15);
}

TEST(Reductions, NumbersHaveAxisZero) {
  const Tensor x = Tensor::from<double>({-3}, {});
  for (const int64_t axis : {0, -1}) {
    for (const bool keep : {false, true}) {
      EXPECT_EQ(sum(x, {.axes = {axis}, .keepdims = keep}).shape(), Shape{});
      EXPECT_EQ(mean(x, {.axes = {axis}, .keepdims = keep}).item(), -3);
      EXPECT_EQ(max(x, {.axes = {axis}, .keepdims = keep}).item(), -3);
      EXPECT_EQ(norm(x, {.axes = {axis}, .keepdims = keep}).item(), 3);
      EXPECT_EQ(argmax(x, {.axes = {axis}, .keepdims = keep}).item<int64_t>(), 0);
    }
    const auto [g, h] =
        two_gradients([&](const Tensor& t) { return sum(t * t, {.axes = {axis}}); }, x);
    EXPECT_EQ(g.item(), -6);
    EXPECT_EQ(h.item(), 2);
  }
  EXPECT_RUTILE_ERROR(sum(x, {.axes = {1}}), kIndex, "no axes");
  EXPECT_RUTILE_ERROR(sum(x, {.axes = {0, -1}}), kIndex, "no axes");
}

TEST(Norm, ZeroHasNoGradient) {
  const auto [g, h] =
      two_gradients([](const Tensor& x) { return norm(x); }, Tensor::zeros({3}, DType::kF64));
  EXPECT_THAT(g.to_vector<double>(), Each(0));
  EXPECT_THAT(h.to_vector<double>(), Each(0));
}

// No slope of a power at 0 is infinite, to both orders.
TEST(Powers, ZerosHaveNoGradient) {
  const Tensor zeros = Tensor::zeros({1, 1, 2, 2}, DType::kF64);
  for (const double p : {0.5, 1.0, 1.5, 2.0, 3.0}) {
    const auto [g, h] = two_gradients(
        [&](const Tensor& x) { return lp_pool2d(x, {.norm_type = p, .kernel = 2}); }, zeros);
    EXPECT_THAT(g.to_vector<double>(), Each(0)) << p;
    EXPECT_THAT(h.to_vector<double>(), Each(0)) << p;
  }
  for (const double p : {-1.0, 0.5, 1.5, 3.0}) {
    const auto [g, h] = two_gradients([&](const Tensor& x) { return vector_norm(x, {.ord = p}); },
                                      Tensor::from<double>({0, 2, -3}, {3}));
    EXPECT_EQ(g.to_vector<double>()[0], 0) << p;
    for (const double v : h.to_vector<double>()) EXPECT_TRUE(std::isfinite(v)) << p;
  }
}

// PyTorch 2.12: 0 at the origin.
TEST(Atan2, OriginHasNoGradientAndNothingOverflows) {
  const auto slopes = [](const Tensor& y, const Tensor& x) {
    GradScope scope;
    scope.watch(y);
    scope.watch(x);
    return scope.gradient(sum(atan2(y, x)), {y, x});
  };
  const auto g = slopes(Tensor::from<float>({0, 3e30f, 3e-30f}, {3}),
                        Tensor::from<float>({0, 4e30f, 4e-30f}, {3}));
  const auto by_y = g[0].to_vector<float>(), by_x = g[1].to_vector<float>();
  const float y_slopes[] = {0, 1.6e-31f, 1.6e29f}, x_slopes[] = {0, -1.2e-31f, -1.2e29f};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_FLOAT_EQ(by_y[i], y_slopes[i]);
    EXPECT_FLOAT_EQ(by_x[i], x_slopes[i]);
  }
}

TEST(Logit, NoValueHasNoSlope) {
  const auto [g, h] = two_gradients([](const Tensor& x) { return logit(x); },
                                    Tensor::from<double>({2.5, -1e-300, 0.5, 0.25}, {4}));
  EXPECT_THAT(g.to_vector<double>(), ElementsAre(IsNan(), IsNan(), 4, DoubleNear(16 / 3.0, 1e-14)));
  EXPECT_EQ(h.to_vector<double>()[2], 0);
}

TEST(FocalLoss, SaturatedLogitsHaveNoSlope) {
  const auto [g, h] = two_gradients(
      [](const Tensor& x) {
        return sigmoid_focal_loss(x, Tensor::from<double>({1, 0}, {2}), {.gamma = 0.5});
      },
      Tensor::from<double>({800, -800}, {2}));
  EXPECT_THAT(g.to_vector<double>(), Each(0));
  EXPECT_THAT(h.to_vector<double>(), Each(0));
  const auto [g2, h2] = two_gradients(
      [](const Tensor& x) {
        return focal_loss(x, Tensor::from<int64_t>({0}, {1}), {.gamma = 0.5});
      },
      Tensor::from<double>({800, -800}, {1, 2}));
  EXPECT_THAT(g2.to_vector<double>(), Each(0));
  EXPECT_THAT(h2.to_vector<double>(), Each(0));
}

TEST(Prod, GradientsOfAnyOrderAtZeros) {
  auto product = [](const Tensor& x) { return prod(x); };
  const auto [g, h] = two_gradients(product, Tensor::from<double>({0, 2, 3}, {3}));
  EXPECT_THAT(g.to_vector<double>(), ElementsAre(6, 0, 0));
  EXPECT_THAT(h.to_vector<double>(), ElementsAre(5, 3, 2));
  const auto [g2, h2] = two_gradients(product, Tensor::from<double>({0, 2, 0, 3, 5}, {5}));
  EXPECT_THAT(g2.to_vector<double>(), Each(0));
  EXPECT_THAT(h2.to_vector<double>(), ElementsAre(30, 0, 30, 0, 0));
}

}  // namespace
}  // namespace rutile::ops
