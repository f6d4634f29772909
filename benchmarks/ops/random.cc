// SPDX-License-Identifier: Apache-2.0
// Random numbers and dropout; items are elements.
//
//   bench_ops --benchmark_filter='random/'
#include "rutile/ops/random.h"

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

namespace rutile {
namespace {

constexpr int64_t kElements = 1 << 20;

void add(const std::string& name, const std::function<Tensor(const Tensor&)>& draw) {
  const auto measure = [=](benchmark::State& state) {
    const Tensor key = Tensor::from<uint64_t>({7}, {1});
    for (auto _ : state) benchmark::DoNotOptimize(draw(key).data());
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kElements);
  };
  benchmark::RegisterBenchmark(cat("random/", name).c_str(), measure)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

bool register_all() {
  for (const DType t : {DType::kF32, DType::kBF16}) {
    const std::string type = cat("/", dtype_name(t));
    add("uniform" + type, [=](const Tensor& k) {
      return ops::random_uniform(k, {{kElements}, 0, 1, t});
    });
    add("normal" + type, [=](const Tensor& k) {
      return ops::random_normal(k, {{kElements}, 0, 1, t});
    });
    add("truncated" + type, [=](const Tensor& k) {
      return ops::truncated_normal(k, {{kElements}, 0, 1, -2, 2, t});
    });
    const Tensor key = Tensor::from<uint64_t>({1}, {1});
    add("dropout" + type, [=, x = Tensor()](const Tensor& k) mutable {
      if (!x.defined()) x = ops::random_normal(key, {{kElements}, 0, 1, t});
      return ops::dropout(k, x, {0.1});
    });
  }
  add("bernoulli", [](const Tensor& k) { return ops::random_bernoulli(k, {{kElements}, 0.5}); });
  add("randint", [](const Tensor& k) { return ops::random_randint(k, {{kElements}, 0, 100}); });
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
