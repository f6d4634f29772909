// SPDX-License-Identifier: Apache-2.0
// What eager execution repeats of compositions and gradients: fewer calls, the same bits.
#include <gtest/gtest.h>

#include <functional>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/call.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::graph {
namespace {

Tensor ramp(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  float* p = t.mutable_data_as<float>();
  for (int64_t i = 0; i < t.numel(); ++i) p[i] = 0.37f * static_cast<float>((i * 7) % 13 - 6);
  return t;
}

int64_t calls_of(const std::function<void()>& run) {
  const int64_t before = call_stats().calls;
  run();
  return call_stats().calls - before;
}

std::vector<Tensor> loss_and_gradient(const std::vector<Tensor>& x) {
  GradScope scope;
  scope.watch(x[0]);
  const Tensor loss = ops::huber_loss(x[0], x[1]);
  return {loss, scope.gradient(loss, {x[0]})[0]};
}

TEST(EagerComposition, TakesFewerCallsThanItsDefinition) {
  const std::vector<Tensor> x{ramp({64, 64}), Tensor::full({64, 64}, 0.25)};
  loss_and_gradient(x);
  const int64_t again = calls_of([&] { loss_and_gradient(x); });
  struct Seen final : RunHook {
    void before(const OpDef&, std::span<const Tensor>) override {}
    void after(const OpDef&, const void*, std::span<const Tensor>, std::span<const Tensor>,
               std::source_location) override {}
  } hook;
  ScopedValue<RunHook*> watched(call_modes().run, &hook);  // who watches sees every call
  EXPECT_LT(again, calls_of([&] { loss_and_gradient(x); }));
}

TEST(EagerComposition, GivesTheBitsOfTheSingleOps) {
  const std::vector<Tensor> x{ramp({64, 64}), Tensor::full({64, 64}, 0.25)};
  const std::vector<Tensor> first = loss_and_gradient(x), again = loss_and_gradient(x);
  const std::vector<Tensor> single = compile(loss_and_gradient, {.passes_off = "all"})(x);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].to_vector<float>(), again[i].to_vector<float>());
    EXPECT_EQ(first[i].to_vector<float>(), single[i].to_vector<float>());
  }
}

}  // namespace
}  // namespace rutile::graph
