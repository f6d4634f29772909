// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/reduce.h"

#include <gmock/gmock.h>

#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using testing::Each;
using testing::ElementsAre;

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

TEST(Norm, ZeroHasNoGradient) {
  const auto [g, h] =
      two_gradients([](const Tensor& x) { return norm(x); }, Tensor::zeros({3}, DType::kF64));
  EXPECT_THAT(g.to_vector<double>(), Each(0));
  EXPECT_THAT(h.to_vector<double>(), Each(0));
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
