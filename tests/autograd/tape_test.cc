// SPDX-License-Identifier: Apache-2.0
#include "rutile/autograd/tape.h"

#include <gtest/gtest.h>

#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile {
namespace {

Tensor x3() { return Tensor::from<double>({1, -2, 3}, {3}); }
using Doubles = std::vector<double>;

TEST(Tape, NothingIsRecordedOutsideAScope) {
  const Tensor x = x3();
  {
    GradScope scope;
    scope.watch(x);
    EXPECT_TRUE(call_modes().tape->tracked(x));
  }
  EXPECT_EQ(call_modes().tape, nullptr);
  GradScope later;
  EXPECT_FALSE(call_modes().tape->tracked(x));
}

TEST(Tape, GradientAccumulatesOverUses) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  const Tensor y = ops::sum(x * x + x * 3.0);
  EXPECT_EQ(scope.gradient(y, {x})[0].to_vector<double>(), (Doubles{5, -1, 9}));
}

TEST(Tape, UnusedInputsGetZeros) {
  const Tensor x = x3(), unused = x3();
  GradScope scope;
  scope.watch(x);
  scope.watch(unused);
  const auto g = scope.gradient(ops::sum(x), {x, unused});
  EXPECT_EQ(g[1].to_vector<double>(), (Doubles{0, 0, 0}));
}

TEST(Tape, DerivativesOfAnyOrderByNesting) {
  const Tensor x = x3();
  GradScope third;
  third.watch(x);
  Tensor d2;
  {
    GradScope second;
    second.watch(x);
    Tensor d1;
    {
      GradScope first;
      first.watch(x);
      d1 = first.gradient(ops::sum(x * x * x * x), {x})[0];
    }
    d2 = second.gradient(ops::sum(d1), {x})[0];
  }
  EXPECT_EQ(d2.to_vector<double>(), (Doubles{12, 48, 108}));
  EXPECT_EQ(third.gradient(ops::sum(d2), {x})[0].to_vector<double>(), (Doubles{24, -48, 72}));
}

TEST(Tape, SecondCallNeedsRetain) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  const Tensor y = ops::sum(x * x);
  EXPECT_EQ(scope.gradient(y, {x}, {}, true)[0].to_vector<double>(), (Doubles{2, -4, 6}));
  EXPECT_EQ(scope.gradient(y, {x})[0].to_vector<double>(), (Doubles{2, -4, 6}));
  EXPECT_THROW(scope.gradient(y, {x}), Error);
}

TEST(Tape, HooksSeeAndReplaceEachGradientOnce) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  const Tensor h = x * 2.0;
  int calls = 0;
  scope.add_hook(h, [&](const Tensor& g) {
    ++calls;
    return g * 10.0;
  });
  scope.add_hook(x, [](const Tensor&) { return Tensor(); });
  const auto g = scope.gradient(ops::sum(h * h), {x, h});
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(g[1].to_vector<double>(), (Doubles{40, -80, 120}));
  EXPECT_EQ(g[0].to_vector<double>(), (Doubles{80, -160, 240}));
}

TEST(Tape, HookOfWrongShapeIsAnError) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  scope.add_hook(x, [](const Tensor& g) { return ops::sum(g); });
  EXPECT_THROW(scope.gradient(ops::sum(x), {x}), Error);
}

TEST(Tape, StopGradientAndNoGradScope) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  Tensor constant;
  {
    NoGradScope off;
    constant = x * 5.0;
  }
  const Tensor y = ops::sum(ops::stop_gradient(x) * x + constant);
  EXPECT_EQ(scope.gradient(y, {x})[0].to_vector<double>(), x.to_vector<double>());
}

TEST(Tape, RecomputeReadsCapturedTensorsToo) {
  const Tensor x = x3(), w = Tensor::from<double>({2, 2, 2}, {3});
  GradScope scope;
  scope.watch(x);
  scope.watch(w);
  int runs = 0;
  const Tensor y = ops::recompute(
      [&](const std::vector<Tensor>& in) {
        ++runs;
        return std::vector<Tensor>{ops::sum(in[0] * in[0] * w)};
      },
      {x})[0];
  const auto g = scope.gradient(y, {x, w});
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(g[0].to_vector<double>(), (Doubles{4, -8, 12}));
  EXPECT_EQ(g[1].to_vector<double>(), (Doubles{1, 4, 9}));
}

TEST(Tape, MistakesAreNamed) {
  const Tensor x = x3();
  const Tensor i = Tensor::from<int32_t>({1}, {1});
  GradScope scope;
  EXPECT_THROW(scope.watch(i), Error);
  EXPECT_THROW(scope.gradient(ops::sum(x), {x}), Error);  // not watched
  scope.watch(x);
  EXPECT_THROW(scope.gradient(x * 2.0, {x}), Error);         // not a single element
  EXPECT_THROW(scope.gradient(x, {x}, ops::sum(x)), Error);  // dy of another shape
  EXPECT_THROW(scope.add_hook(x3(), [](const Tensor& g) { return g; }), Error);
}

TEST(Tape, SavedTensorsAreReleasedByBackward) {
  const int64_t before = allocator(kCpu).stats().live_bytes;
  const Tensor x = ops::full({1 << 16}, 1.0, DType::kF32);
  GradScope scope;
  scope.watch(x);
  Tensor y = ops::sum(ops::exp(ops::exp(x * 0.1)));
  const int64_t recorded = allocator(kCpu).stats().live_bytes;
  const Tensor g = scope.gradient(y, {x})[0];
  const int64_t after = allocator(kCpu).stats().live_bytes;
  EXPECT_GE(recorded - before, 3 * 4 * (1 << 16));
  EXPECT_LE(after - before, 2 * 5 * (1 << 16));  // x and its gradient
}

}  // namespace
}  // namespace rutile
