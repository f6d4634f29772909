// SPDX-License-Identifier: Apache-2.0
// What a call on four elements costs: add_grad inside a gradient scope, add_number with a number,
// add_two_shapes two adds of shapes that alternate. The names are those of compare/torch_side.py.
#include <benchmark/benchmark.h>

#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile {
namespace {

Tensor four() { return Tensor::from<float>({1, 2, 3, 4}, {4}); }

void add(benchmark::State& state) {
  const Tensor x = four(), y = four();
  for (auto _ : state) {
    Tensor z = x + y;
    benchmark::DoNotOptimize(z.impl());
  }
}
BENCHMARK(add);

void add_number(benchmark::State& state) {
  const Tensor x = four();
  for (auto _ : state) {
    Tensor z = x + 2.0;
    benchmark::DoNotOptimize(z.impl());
  }
}
BENCHMARK(add_number);

void add_grad(benchmark::State& state) {
  const Tensor x = four(), y = four();
  constexpr int kCalls = 64;  // the scope's own cost is shared by many calls, as in a model
  for (auto _ : state) {
    GradScope scope;
    scope.watch(x);
    for (int i = 0; i < kCalls; ++i) {
      Tensor z = x + y;
      benchmark::DoNotOptimize(z.impl());
    }
  }
  state.SetItemsProcessed(state.iterations() * kCalls);
  state.counters["per_call"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kCalls),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(add_grad);

void add_two_shapes(benchmark::State& state) {
  const Tensor x = four(), y = Tensor::zeros({2, 3});
  for (auto _ : state) {
    Tensor a = x + x, b = y + y;
    benchmark::DoNotOptimize(a.impl());
    benchmark::DoNotOptimize(b.impl());
  }
}
BENCHMARK(add_two_shapes);

void mul_add_relu_sum_backward(benchmark::State& state) {
  const Tensor x = four(), w = four(), b = four();
  for (auto _ : state) {
    GradScope scope;
    scope.watch(w);
    scope.watch(b);
    const Tensor y = ops::sum(ops::relu(x * w + b));
    auto grads = scope.gradient(y, {w, b});
    benchmark::DoNotOptimize(grads.data());
  }
}
BENCHMARK(mul_add_relu_sum_backward);

}  // namespace
}  // namespace rutile
