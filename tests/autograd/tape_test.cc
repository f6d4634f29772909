// SPDX-License-Identifier: Apache-2.0
#include "rutile/autograd/tape.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "rutile/ops/arrange.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/state.h"
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

// The composition is differentiated: a tensor at two places must count once for each, not twice.
TEST(Tape, OneTensorAtTwoPlacesOfAComposition) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  const Tensor y = ops::recompute(
      [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] * in[1] * in[1]}; },
      {x, x})[0];
  EXPECT_EQ(scope.gradient(ops::sum(y), {x})[0].to_vector<double>(), (Doubles{3, 12, 27}));
}

TEST(Tape, SecondOrderOfAttentionOfATensorWithItself) {
  const Tensor x = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {1, 2, 3});
  const Tensor c = Tensor::from<double>({.1, .2, .3, .5, .7, .9}, {1, 2, 3});
  auto second = [&](bool copies) {
    GradScope outer;
    outer.watch(x);
    Tensor g;
    {
      GradScope inner;
      inner.watch(x);
      auto use = [&] { return copies ? x * 1.0 : x; };
      const Tensor q = use(), k = use(), v = use();
      g = inner.gradient(ops::sum(ops::scaled_dot_product_attention(q, k, v) * c), {x})[0];
    }
    return outer.gradient(ops::sum(g * c), {x})[0].to_vector<double>();
  };
  const Doubles same = second(false), apart = second(true);
  for (size_t i = 0; i < same.size(); ++i) EXPECT_NEAR(same[i], apart[i], 1e-12) << i;
}

TEST(Tape, HooksSeeTheWholeGradientOfWhatACompositionUses) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  int calls = 0;
  scope.add_hook(x, [&](const Tensor& g) {
    ++calls;
    return g * 10.0;
  });
  const Tensor y = ops::recompute(
      [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] * in[0]}; }, {x})[0];
  EXPECT_EQ(scope.gradient(ops::sum(y + x), {x})[0].to_vector<double>(), (Doubles{30, -30, 70}));
  EXPECT_EQ(calls, 1);
}

TEST(Tape, SeveralOutputsOfACompositionInOneWalk) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  const auto y = ops::recompute(
      [](const std::vector<Tensor>& in) {
        const Tensor shared = in[0] * in[0];
        return std::vector<Tensor>{shared, shared * in[0], shared};
      },
      {x});
  const Tensor total = ops::sum(y[0] + y[1] * 2.0 + y[2] * 3.0);
  EXPECT_EQ(scope.gradient(total, {x})[0].to_vector<double>(), (Doubles{14, 8, 78}));
}

TEST(Tape, WhatOnlyAnInnerScopeWatchesIsForgottenWithIt) {
  const Tensor x = x3(), w = x3();
  const int64_t before = allocator(kCpu).stats().live_bytes;
  GradScope outer;
  outer.watch(w);
  for (int i = 0; i < 4; ++i) {
    const Tensor big = ops::full({1 << 12}, 0.5, DType::kF64);
    GradScope inner;
    inner.watch(big);
    inner.watch(x);
    inner.add_hook(big, [](const Tensor&) { return Tensor(); });
    inner.gradient(ops::sum(ops::exp(ops::exp(big))) + ops::sum(x * w), {big, x});
  }
  EXPECT_LE(allocator(kCpu).stats().live_bytes - before, 1 << 12);
  EXPECT_FALSE(call_modes().tape->tracked(x));
  EXPECT_TRUE(call_modes().tape->tracked(w));
  const Tensor y = x * 2.0;
  EXPECT_FALSE(call_modes().tape->tracked(y));
  EXPECT_EQ(outer.gradient(ops::sum(w * w), {w})[0].to_vector<double>(), (Doubles{2, -4, 6}));
}

TEST(Tape, AnOuterScopesWatchOutlivesTheInnerScope) {
  const Tensor x = x3();
  GradScope outer;
  {
    GradScope inner;
    outer.watch(x);
    inner.watch(x);
    EXPECT_EQ(inner.gradient(ops::sum(x * x), {x})[0].to_vector<double>(), (Doubles{2, -4, 6}));
  }
  EXPECT_EQ(outer.gradient(ops::sum(x * x), {x})[0].to_vector<double>(), (Doubles{2, -4, 6}));
}

TEST(Tape, AnInnerScopeMustWatchWhatItDifferentiatesBy) {
  const Tensor x = x3();
  GradScope outer;
  outer.watch(x);
  const Tensor z = x * 3.0;
  GradScope inner;
  inner.watch(z);
  const Tensor y = ops::sum(z * z);
  EXPECT_THROW(inner.gradient(y, {x}), Error);  // z is a constant of x to it
  EXPECT_EQ(inner.gradient(y, {z})[0].to_vector<double>(), (Doubles{6, -12, 18}));
}

TEST(Tape, ScopesThatEndOutOfOrderKeepWorking) {
  const Tensor x = x3();
  auto outer = std::make_unique<GradScope>();
  auto inner = std::make_unique<GradScope>();
  outer->watch(x);
  inner->watch(x);
  outer.reset();
  EXPECT_EQ(inner->gradient(ops::sum(x * x), {x})[0].to_vector<double>(), (Doubles{2, -4, 6}));
  inner.reset();
  EXPECT_EQ(call_modes().tape, nullptr);
}

TEST(Tape, AScopeOfAnotherThreadIsAnError) {
  const Tensor x = x3();
  GradScope scope;
  scope.watch(x);
  std::thread([&] {
    EXPECT_THROW(scope.watch(x), Error);
    EXPECT_THROW(scope.gradient(ops::sum(x), {x}), Error);
    EXPECT_THROW(scope.add_hook(x, [](const Tensor& g) { return g; }), Error);
  }).join();
}

TEST(Tape, AGradientTakenInsideRecompute) {
  const Tensor x = x3(), w = Tensor::from<double>({2, 2, 2}, {3});
  GradScope scope;
  scope.watch(x);
  scope.watch(w);
  const Tensor y = ops::recompute(
      [&](const std::vector<Tensor>& in) {
        GradScope inner;
        inner.watch(in[0]);
        const Tensor g = inner.gradient(ops::sum(in[0] * in[0] * w), {in[0]})[0];
        return std::vector<Tensor>{ops::sum(g * g)};
      },
      {x})[0];
  const auto g = scope.gradient(y, {x, w});
  EXPECT_EQ(g[0].to_vector<double>(), (Doubles{32, -64, 96}));
  EXPECT_EQ(g[1].to_vector<double>(), (Doubles{16, 64, 144}));
}

TEST(Tape, ATensorInSeveralPlacesIsAVariableInEach) {
  const Tensor x = x3();
  const auto r = value_and_grad(
      [](const std::vector<Tensor>& in) { return ops::sum(in[0] * 2.0 + in[1] * 3.0); }, {x, x});
  EXPECT_EQ(r.grads[0].to_vector<double>(), (Doubles{2, 2, 2}));
  EXPECT_EQ(r.grads[1].to_vector<double>(), (Doubles{3, 3, 3}));
}

// rot90 by 4 gives its input back: the tape must not take it for another variable.
TEST(Tape, AResultThatIsTheInputIsAVariableOfItsOwn) {
  const Tensor x = Tensor::from<double>({1, 2, 3, 4}, {2, 2});
  GradScope scope;
  scope.watch(x);
  const Tensor before = ops::sum(x * x);
  const Tensor same = ops::rot90(x, 4);
  EXPECT_NE(same.impl(), x.impl());
  const Tensor y = before + ops::sum(same);
  EXPECT_EQ(scope.gradient(y, {x})[0].to_vector<double>(), (Doubles{3, 5, 7, 9}));
}

TEST(Tape, ThreadsDifferentiateByOneState) {
  State w("w", Tensor::from<double>({1, 2, 3}, {3}));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        GradScope scope;
        const Tensor watched = w.read();
        scope.watch(watched);
        const Tensor y = ops::sum(w.read() * w.read() * static_cast<double>(t + 1));
        const Doubles g = scope.gradient(y, {watched})[0].to_vector<double>();
        wrong += g != Doubles{2.0 * (t + 1), 4.0 * (t + 1), 6.0 * (t + 1)};
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

// What was read before the scope opened is what it reads, too.
TEST(Tape, AWatchedStateIsReadAsItWasWatched) {
  State w("w", x3());
  const Tensor before = w.read();
  GradScope scope;
  scope.watch(before);
  const Tensor y = ops::sum(w.read() * 2.0);
  EXPECT_EQ(scope.gradient(y, {before})[0].to_vector<double>(), (Doubles{2, 2, 2}));
}

}  // namespace
}  // namespace rutile
