// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/optim.h"

#include <gmock/gmock.h>

#include <cmath>

#include "rutile/core/thread.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/state.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using testing::ElementsAre;

Ref<State> state(const Tensor& t) { return make_ref<State>("s", t); }
Tensor number(double v, DType t = DType::kF64) { return Tensor::scalar(v, t); }

// A fresh tensor of reproducible numbers.
Tensor noise(const Shape& s, double phase, DType t = DType::kF32) {
  return cast(sin(cast(arange(0, s.numel()), DType::kF64) * 12.9898 + phase), t);
}

TEST(Momentum, FirstStepTakesTheGradientWhole) {
  // torch.optim.SGD(lr=0.1, momentum=0.9, dampening=0.5): buf = g first, then 0.9 buf + 0.5 g.
  MomentumAttrs a{0.9, 0.5};
  auto p = state(full({2}, 1.0, DType::kF64)), v = state(zeros({2}, DType::kF64));
  State* states[] = {p.get(), v.get()};
  double want_p = 1, want_v = 0;
  for (int step = 1; step <= 3; ++step) {
    const Tensor rest[] = {full({2}, 0.3 * step, DType::kF64), number(0.1),
                           Tensor::scalar(int64_t{step}, DType::kI64)};
    State::update(kMomentum, &a, states, rest);
    want_v = step == 1 ? 0.3 : 0.9 * want_v + 0.5 * 0.3 * step;
    want_p -= 0.1 * want_v;
    EXPECT_NEAR(p->read().to_vector<double>()[1], want_p, 1e-15);
    EXPECT_NEAR(v->read().to_vector<double>()[0], want_v, 1e-15);
  }
}

TEST(Momentum, Nesterov) {
  MomentumAttrs a{.nesterov = true, .weight_decay = 0.1, .lr_scale = 2};
  auto p = state(full({1}, 2.0, DType::kF64)), v = state(full({1}, 0.5, DType::kF64));
  State* states[] = {p.get(), v.get()};
  const Tensor rest[] = {full({1}, 1.0, DType::kF64), number(0.05)};
  State::update(kMomentum, &a, states, rest);
  const double g = 1 + 0.1 * 2, buf = 0.9 * 0.5 + g;
  EXPECT_NEAR(v->read().item(), buf, 1e-15);
  EXPECT_NEAR(p->read().item(), 2 - 0.1 * (g + 0.9 * buf), 1e-15);
}

// torch.optim.Adam and AdamW, written down step by step.
template <bool kDecoupled>
void run_adam(const OpDef& op, DType dtype, double tolerance) {
  AdamAttrs a{0.8, 0.95, 1e-6, 0.3};
  auto p = state(full({3}, 1.5, dtype)), m = state(zeros({3}, dtype)), v = state(zeros({3}, dtype));
  State* states[] = {p.get(), m.get(), v.get()};
  double wp = 1.5, wm = 0, wv = 0;
  for (int step = 1; step <= 5; ++step) {
    double g = std::cos(step);
    const Tensor rest[] = {full({3}, g, dtype), number(0.02),
                           Tensor::scalar(int64_t{step}, DType::kI64)};
    State::update(op, &a, states, rest);
    if (kDecoupled) wp *= 1 - 0.02 * 0.3;
    if (!kDecoupled) g += 0.3 * wp;
    wm = 0.8 * wm + 0.2 * g;
    wv = 0.95 * wv + 0.05 * g * g;
    wp -= 0.02 * (wm / (1 - std::pow(0.8, step))) /
          (std::sqrt(wv / (1 - std::pow(0.95, step))) + 1e-6);
    EXPECT_NEAR(cast(p->read(), DType::kF64).to_vector<double>()[2], wp, tolerance);
  }
}

TEST(Adam, FollowsTheFormula) {
  run_adam<false>(kAdam, DType::kF64, 1e-14);
  run_adam<true>(kAdamW, DType::kF64, 1e-14);
  run_adam<false>(kAdam, DType::kF32, 2e-6);
  run_adam<true>(kAdamW, DType::kF32, 2e-6);
}

TEST(Updates, HappenInPlaceUnlessSomebodyHoldsTheElements) {
  SgdAttrs a;
  auto p = state(full({1000}, 1.0));
  State* states[] = {p.get()};
  const Tensor rest[] = {full({1000}, 1.0), number(0.5, DType::kF32)};
  const void* memory = p->concrete().data();
  const uint64_t version = p->version();
  State::update(kSgd, &a, states, rest);
  EXPECT_EQ(p->concrete().data(), memory);
  EXPECT_GT(p->version(), version);
  const Tensor held = p->read();
  State::update(kSgd, &a, states, rest);
  EXPECT_EQ(held.to_vector<float>()[0], 0.5f);
  EXPECT_EQ(p->read().to_vector<float>()[999], 0.0f);
}

TEST(Updates, SkipLeavesEverythingAsItIs) {
  AdamAttrs a;
  for (const DType t : {DType::kF32, DType::kF64}) {
    auto p = state(full({5}, 1.0, t)), m = state(full({5}, 2.0, t)), v = state(full({5}, 3.0, t));
    State* states[] = {p.get(), m.get(), v.get()};
    const Tensor rest[] = {full({5}, std::nan(""), t), number(0.1), number(1),
                           full({}, true, DType::kBool)};
    State::update(kAdamW, &a, states, rest);
    EXPECT_EQ(cast(p->read(), DType::kF64).to_vector<double>()[4], 1);
    EXPECT_EQ(cast(m->read(), DType::kF64).to_vector<double>()[0], 2);
    EXPECT_EQ(cast(v->read(), DType::kF64).to_vector<double>()[0], 3);
  }
}

TEST(Updates, AFailedCallLeavesTheStatesUsable) {
  SgdAttrs a;
  auto p = state(full({3}, 1.0));
  State* states[] = {p.get()};
  const Tensor rest[] = {full({4}, 1.0), number(0.5, DType::kF32)};
  EXPECT_RUTILE_ERROR(State::update(kSgd, &a, states, rest), kValue, "grad expects shape [3]");
  EXPECT_THAT(p->read().to_vector<float>(), ElementsAre(1, 1, 1));
}

// One kernel over all parameters gives the bits of one kernel each, with any number of threads.
TEST(Updates, MultiTensorKernelsGiveTheSameBits) {
  const Shape shapes[] = {{70000}, {3}, {129, 65}, {0}, {16384}, {1}};
  const int n = static_cast<int>(std::size(shapes));
  const Tensor lr = number(0.01, DType::kF32), step = Tensor::scalar(int64_t{3}, DType::kI64);
  auto part = [&](int role, int i) {
    const Tensor t = reshape(noise(shapes[i], role * 10 + i), shapes[i]);
    return role == 2 ? square(t) : t;
  };
  std::vector<std::vector<float>> want;
  const AdamAttrs one{.weight_decay = 0.05};
  for (int role = 0; role < 3; ++role) want.insert(want.end(), n, {});
  for (int i = 0; i < n; ++i) {
    const Tensor in[] = {part(0, i), part(1, i), part(2, i), part(3, i), lr, step};
    const TensorList out = call_n(kAdamW, &one, in);
    for (int role = 0; role < 3; ++role) {
      want[static_cast<size_t>(role * n + i)] = out[role].to_vector<float>();
    }
  }
  for (const int threads : {1, 2, 5}) {
    ThreadCountScope scope(threads);
    std::vector<Tensor> in{lr, step, Tensor(), Tensor()};
    for (int role = 0; role < 4; ++role) {
      for (int i = 0; i < n; ++i) in.push_back(part(role, i));
    }
    const TensorList out = call_n(kAdamWMulti, &one, in);
    ASSERT_EQ(out.size(), 3 * n);
    for (int i = 0; i < 3 * n; ++i) {
      EXPECT_EQ(out[i].to_vector<float>(), want[static_cast<size_t>(i)]) << i;
    }
  }
}

TEST(Assign, CopiesAndAdds) {
  auto s = state(zeros({3}, DType::kI64));
  State* states[] = {s.get()};
  const Tensor v[] = {Tensor::from<int64_t>({1, 2, 3}, {3})};
  State::update(kAssign, nullptr, states, v);
  State::update(kAssignAdd, nullptr, states, v);
  EXPECT_THAT(s->read().to_vector<int64_t>(), ElementsAre(2, 4, 6));
}

TEST(LossScale, FindsOverflowAndAdapts) {
  const Tensor scale = number(4, DType::kF32);
  const Tensor fine[] = {full({3}, 8.0), cast(full({70000}, 2.0), DType::kF16)};
  Unscaled u = unscale_and_check(fine, scale);
  EXPECT_FALSE(u.overflow.item<bool>());
  EXPECT_EQ(u.grads[0].to_vector<float>()[0], 2);
  EXPECT_EQ(u.grads[1].dtype(), DType::kF32);
  const Tensor bad[] = {full({3}, 8.0), full({1}, INFINITY)};
  EXPECT_TRUE(unscale_and_check(bad, scale).overflow.item<bool>());

  auto s = state(number(4, DType::kF32)), good = state(Tensor::scalar(int64_t{0}, DType::kI64));
  State* states[] = {s.get(), good.get()};
  const LossScaleAttrs a{2, 0.5, 3};
  auto step = [&](bool overflow) {
    const Tensor rest[] = {full({}, overflow, DType::kBool)};
    State::update(kUpdateLossScale, &a, states, rest);
    return s->read().item();
  };
  EXPECT_EQ(step(false), 4);
  EXPECT_EQ(step(false), 4);
  EXPECT_EQ(step(false), 8);
  EXPECT_EQ(step(false), 8);
  EXPECT_EQ(step(true), 4);
  EXPECT_EQ(good->read().item<int64_t>(), 0);
}

TEST(GlobalNorm, ClipsToTheLimitAndLeavesSmallOnesAlone) {
  const Tensor xs[] = {full({4}, 3.0), full({16}, 2.0)};  // norm 10
  const Clipped c = clip_by_global_norm(xs, 5);
  EXPECT_NEAR(c.norm.item(), 10, 1e-6);
  EXPECT_NEAR(global_norm(c.tensors).item(), 5, 1e-5);
  const Clipped same = clip_by_global_norm(xs, 100);
  EXPECT_EQ(same.tensors[0].to_vector<float>()[0], 3);
  EXPECT_EQ(global_norm({}).item(), 0);
}

TEST(GlobalNorm, DoesNotOverflowAndIgnoresTheNumberOfThreads) {
  const Tensor big[] = {full({4}, 1e30f)};
  EXPECT_NEAR(global_norm(big).item() / 2e30, 1, 1e-6);
  const Tensor xs[] = {noise({100000}, 1), noise({77}, 2)};
  const double one = [&] {
    ThreadCountScope scope(1);
    return global_norm(xs).item();
  }();
  ThreadCountScope scope(4);
  EXPECT_EQ(global_norm(xs).item(), one);
}

// call() copies what a kernel cannot read as it lies; that must not cost a copy of the parameter.
TEST(Update, StaysInPlaceWithAStridedGradient) {
  auto p = state(full({64, 32}, 1.0));
  const void* memory = p->concrete().data();
  State* states[] = {p.get()};
  const SgdAttrs a;
  for (const Tensor& g : {full({64, 32}, 0.5), transpose(full({32, 64}, 0.5))}) {
    const Tensor rest[] = {g, number(1)};
    State::update(kSgd, &a, states, rest);
    EXPECT_EQ(p->concrete().data(), memory);
  }
  EXPECT_EQ(p->read().to_vector<float>(), std::vector<float>(64 * 32, 0.0f));
}

TEST(BatchNormStats, OfStatesThatWereColumns) {
  const Tensor both = reshape(arange(0.0, 8.0, 1.0), {4, 2});
  const auto m = state(select(both, 1, 0)), v = state(select(both, 1, 1));
  batch_norm_update_stats(*m, *v, full({4}, 1.0), full({4}, 1.0),
                          {.momentum = 0, .eps = 0, .count = 10});
  EXPECT_THAT(m->read().to_vector<float>(), ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(v->read().to_vector<float>(), ElementsAre(1, 3, 5, 7));
}

}  // namespace
}  // namespace rutile::ops
