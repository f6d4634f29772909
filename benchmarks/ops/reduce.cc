// SPDX-License-Identifier: Apache-2.0
// Reductions; bytes/s counts the input once.
//
//   bench_ops --benchmark_filter='reduce/'
#include "rutile/ops/reduce.h"

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/view.h"

namespace rutile {
namespace {

Tensor filled(const Shape& shape, DType t) {
  const Tensor n = ops::cast(ops::arange(0, shape.numel()), DType::kF32);
  return ops::cast(ops::reshape(ops::sin(n), shape), t);
}

using Run = std::function<Tensor(const Tensor&)>;

void add(const std::string& name, const Shape& shape, DType t, bool channels_last, const Run& run) {
  const auto measure = [=](benchmark::State& state) {
    const Tensor plain = filled(shape, t);
    const Tensor x = channels_last ? ops::to_channels_last(plain) : plain;
    for (auto _ : state) benchmark::DoNotOptimize(run(x).data());
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * x.meta().nbytes());
  };
  benchmark::RegisterBenchmark(cat("reduce/", name, "/", t).c_str(), measure)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

template <class A>
Run over(Tensor (*op)(Arg, A), const Dims& axes) {
  return [=](const Tensor& x) {
    A a;
    a.axes = axes;
    return op(x, a);
  };
}

bool register_all() {
  for (const DType t : {DType::kF32, DType::kBF16}) {
    const Shape images{16, 64, 56, 56}, activations{2048, 1536};
    add("sum/all/16x64x56x56", images, t, false, over(ops::sum, {}));
    add("sum/nhw/16x64x56x56", images, t, false, over(ops::sum, {0, 2, 3}));
    add("sum/nhw/16x64x56x56/channels_last", images, t, true, over(ops::sum, {0, 2, 3}));
    add("mean/hw/16x64x56x56/channels_last", images, t, true, over(ops::mean, {2, 3}));
    add("sum/columns/2048x1536", activations, t, false, over(ops::sum, {0}));
    add("sum/rows/2048x1536", activations, t, false, over(ops::sum, {1}));
    add("sum/rows/262144x3", {262144, 3}, t, false, over(ops::sum, {1}));
    add("sum/columns/262144x3", {262144, 3}, t, false, over(ops::sum, {0}));
    add("sum/all/64", {64}, t, false, over(ops::sum, {}));
    add("max/rows/2048x1536", activations, t, false, over(ops::max, {1}));
    add("argmax/rows/2048x1536", activations, t, false, over(ops::argmax, {1}));
    add("argmax/columns/2048x1536", activations, t, false, over(ops::argmax, {0}));
    add("var/rows/2048x1536", activations, t, false, over(ops::var, {1}));
    add("norm/all/2048x1536", activations, t, false, over(ops::norm, {}));
    add("logsumexp/rows/2048x1536", activations, t, false, over(ops::logsumexp, {1}));
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
