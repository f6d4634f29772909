// SPDX-License-Identifier: Apache-2.0
// Optimizer updates of 25.6 million parameters, the number of ResNet-50, as one tensor and as its
// 161 tensors in one kernel; bytes/s counts what is read and what is written.
//
//   bench_ops --benchmark_filter='optim/'
#include "rutile/ops/optim.h"

#include <benchmark/benchmark.h>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/state.h"

namespace rutile {
namespace {

constexpr int64_t kParameters = 25557032;

Ref<State> state_of(double v) { return make_ref<State>("s", ops::full({kParameters}, v)); }

void run_update(benchmark::State& state, const OpDef& op, const AnyAttrs& attrs, int slots,
                DType grad, bool step, int64_t bytes) {
  std::vector<Ref<State>> held;
  std::vector<State*> states;
  for (int i = 0; i <= slots; ++i) {
    held.push_back(state_of(i == 0 ? 1.0 : 0.1));
    states.push_back(held.back().get());
  }
  std::vector<Tensor> rest;
  rest.push_back(ops::full({kParameters}, 0.01, grad));
  rest.push_back(ops::full({}, 1e-3));
  if (step) rest.push_back(ops::full({}, 1, DType::kI64));
  for (auto _ : state) State::update(op, attrs.get(), states, rest);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes * kParameters);
}

template <class A>
AnyAttrs attrs(const A& a) {
  return AnyAttrs(attrs_of<A>(), &a);
}

void sgd(benchmark::State& s) {
  run_update(s, ops::kSgd, attrs(ops::SgdAttrs{}), 0, DType::kF32, false, 12);
}
void momentum(benchmark::State& s) {
  run_update(s, ops::kMomentum, attrs(ops::MomentumAttrs{}), 1, DType::kF32, false, 20);
}
void adamw(benchmark::State& s) {
  run_update(s, ops::kAdamW, attrs(ops::AdamAttrs{.weight_decay = 0.05}), 2, DType::kF32, true, 28);
}
void adamw_bf16(benchmark::State& s) {
  run_update(s, ops::kAdamW, attrs(ops::AdamAttrs{.weight_decay = 0.05}), 2, DType::kBF16, true,
             26);
}

// Sizes about as uneven as those of a convolutional network: a third of them tiny.
void adamw_multi(benchmark::State& s) {
  constexpr int64_t kCount = 161;
  std::vector<Tensor> in{ops::full({}, 1e-3), ops::full({}, 1, DType::kI64), Tensor(), Tensor()};
  int64_t total = 0;
  for (const double v : {1.0, 0.1, 0.1, 0.01}) {
    for (int64_t i = 0; i < kCount; ++i) {
      const int64_t n = i % 3 == 0 ? 256 : 2 * kParameters * i / (kCount * kCount) * 3 / 2;
      in.push_back(ops::full({n}, v));
      total += v == 1.0 ? n : 0;
    }
  }
  const ops::AdamAttrs a{.weight_decay = 0.05};
  for (auto _ : s) {
    // The handles move from the results to the next call, so that it works in place.
    TensorList out = call_n(ops::kAdamWMulti, &a, in);
    for (int i = 0; i < out.size(); ++i) in[static_cast<size_t>(i) + 4] = std::move(out[i]);
  }
  s.SetBytesProcessed(static_cast<int64_t>(s.iterations()) * 28 * total);
}

void global_norm(benchmark::State& s) {
  const Tensor xs[] = {ops::full({kParameters}, 0.01)};
  for (auto _ : s) benchmark::DoNotOptimize(ops::global_norm(xs).data());
  s.SetBytesProcessed(static_cast<int64_t>(s.iterations()) * 4 * kParameters);
}

void unscale(benchmark::State& s) {
  const Tensor xs[] = {ops::full({kParameters}, 0.01)};
  const Tensor scale = ops::full({}, 1024.0);
  for (auto _ : s) benchmark::DoNotOptimize(ops::unscale_and_check(xs, scale).overflow.data());
  s.SetBytesProcessed(static_cast<int64_t>(s.iterations()) * 8 * kParameters);
}

bool register_all() {
  auto add = [](const char* name, void (*fn)(benchmark::State&)) {
    benchmark::RegisterBenchmark(name, fn)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  add("optim/sgd", sgd);
  add("optim/momentum", momentum);
  add("optim/adamw", adamw);
  add("optim/adamw_bf16_grad", adamw_bf16);
  add("optim/adamw_multi", adamw_multi);
  add("optim/global_norm", global_norm);
  add("optim/unscale_and_check", unscale);
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
