// SPDX-License-Identifier: Apache-2.0
// Linear layers of a small GPT (8 x 256 tokens, width 384) and of an MLP, with the products of
// their gradients, and the batched products of attention.
#include <benchmark/benchmark.h>

#include <cstring>

#include "rutile/ops/matmul.h"

namespace rutile {
namespace {

Tensor fresh(const Shape& shape, DType t) {
  Tensor x = Tensor::empty(shape, t);
  std::memset(x.mutable_data(), 0, static_cast<size_t>(x.meta().nbytes()));
  return x;
}

void report(benchmark::State& state, int64_t products) {
  state.counters["GFLOP/s"] = benchmark::Counter(
      2e-9 * static_cast<double>(products * state.iterations()), benchmark::Counter::kIsRate);
}

struct Layer {
  int64_t rows, in, out;
};

void forward(benchmark::State& state, Layer l, DType t) {
  const Tensor x = fresh({l.rows, l.in}, t), w = fresh({l.out, l.in}, t), b = fresh({l.out}, t);
  for (auto _ : state) benchmark::DoNotOptimize(ops::linear(x, w, b));
  report(state, l.rows * l.in * l.out);
}

void input_grad(benchmark::State& state, Layer l, DType t) {
  const Tensor dy = fresh({l.rows, l.out}, t), w = fresh({l.out, l.in}, t);
  for (auto _ : state) benchmark::DoNotOptimize(ops::matmul(dy, w));
  report(state, l.rows * l.in * l.out);
}

void weight_grad(benchmark::State& state, Layer l, DType t) {
  const Tensor dy = fresh({l.rows, l.out}, t), x = fresh({l.rows, l.in}, t);
  ops::MatmulAttrs a;
  a.transpose_a = true;
  a.out_dtype = DType::kF32;
  for (auto _ : state) benchmark::DoNotOptimize(ops::matmul(dy, x, a));
  report(state, l.rows * l.in * l.out);
}

void batched(benchmark::State& state, DType t, bool transpose_b) {
  const Tensor q = fresh({8, 6, 256, transpose_b ? 64 : 256}, t);
  const Tensor k = fresh({8, 6, 256, 64}, t);
  ops::MatmulAttrs a;
  a.transpose_b = transpose_b;
  for (auto _ : state) benchmark::DoNotOptimize(ops::matmul(q, k, a));
  report(state, 48 * 256 * 256 * 64);
}

bool register_all() {
  constexpr Layer kLayers[] = {{2048, 384, 1152}, {2048, 384, 384}, {2048, 384, 1536},
                               {2048, 1536, 384}, {64, 784, 512},   {64, 512, 512},
                               {64, 512, 10},     {4, 4, 4}};
  const auto add = [](const std::string& name, auto f) {
    benchmark::RegisterBenchmark(name.c_str(), f)->UseRealTime()->Unit(benchmark::kMicrosecond);
  };
  for (const DType t : {DType::kF32, DType::kBF16, DType::kF64}) {
    for (const Layer& l : kLayers) {
      const std::string size = cat("/", t, "/", l.rows, "_", l.in, "_", l.out);
      add(cat("linear", size), [=](benchmark::State& s) { forward(s, l, t); });
      add(cat("linear_input_grad", size), [=](benchmark::State& s) { input_grad(s, l, t); });
      if (t == DType::kF64) continue;
      add(cat("linear_weight_grad", size), [=](benchmark::State& s) { weight_grad(s, l, t); });
    }
    add(cat("batched_qk/", t), [=](benchmark::State& s) { batched(s, t, true); });
    add(cat("batched_av/", t), [=](benchmark::State& s) { batched(s, t, false); });
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
