// SPDX-License-Identifier: Apache-2.0
// Where another thread begins to pay (core/thread_cost.h): the same work on one thread and on all.
//
//   bench_ops --benchmark_filter='thread_cost/'
#include <benchmark/benchmark.h>

#include <string>

#include "rutile/core/thread.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile {
namespace {

void add(const std::string& name, Tensor (*run)(const Tensor&)) {
  for (const int64_t n : {8192, 16384, 32768, 65536, 131072}) {
    for (const bool one : {true, false}) {
      const auto measure = [=](benchmark::State& state) {
        const ThreadCountScope threads(one ? 1 : num_threads());
        const Tensor x = ops::random_normal({.shape = {n / 256, 256}});
        for (auto _ : state) benchmark::DoNotOptimize(run(x).data());
      };
      const std::string full = cat("thread_cost/", name, "/", n, one ? "/one" : "/all");
      benchmark::RegisterBenchmark(full.c_str(), measure)->UseRealTime();
    }
  }
}

bool register_all() {
  add("add", [](const Tensor& x) { return x + x; });
  add("exp", [](const Tensor& x) { return ops::exp(x); });
  add("softmax", [](const Tensor& x) { return ops::softmax(x); });
  add("sum_rows", [](const Tensor& x) { return ops::sum(x, {.axes = {1}}); });
  add("sum_columns", [](const Tensor& x) { return ops::sum(x, {.axes = {0}}); });
  return true;
}

const bool registered = register_all();

}  // namespace
}  // namespace rutile
