// SPDX-License-Identifier: Apache-2.0
// Elementwise ops by the bytes that they read and write.
#include <benchmark/benchmark.h>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile {
namespace {

constexpr int64_t kMany = 16 << 20;

Tensor uniform(const Shape& shape, DType t) {
  return ops::cast(ops::random_uniform({.shape = shape, .low = -1}), t);
}

void count(benchmark::State& state, int64_t bytes, int64_t elements) {
  state.SetBytesProcessed(state.iterations() * bytes);
  state.counters["ns_per_element"] =
      benchmark::Counter(static_cast<double>(state.iterations() * elements),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <class F>
void unary(benchmark::State& state, DType t, F f) {
  const Tensor x = uniform({state.range(0)}, t);
  for (auto _ : state) benchmark::DoNotOptimize(f(x).impl());
  count(state, 2 * x.meta().nbytes(), x.numel());
}
template <class F>
void binary(benchmark::State& state, DType t, const Shape& a, const Shape& b, F f) {
  const Tensor x = uniform(a, t), y = uniform(b, t);
  for (auto _ : state) benchmark::DoNotOptimize(f(x, y).impl());
  count(state, 2 * x.meta().nbytes() + y.meta().nbytes(), x.numel());
}

#define RUTILE_UNARY_BENCHMARK(name, type, expression)                      \
  void name##_##type(benchmark::State& state) {                             \
    unary(                                                                  \
        state, *[](DType* t) { return parse_dtype(#type, t), t; }(&parsed), \
        [](const Tensor& x) { return expression; });                        \
  }                                                                         \
  BENCHMARK(name##_##type)->Arg(1 << 14)->Arg(kMany)->UseRealTime();
DType parsed;
RUTILE_UNARY_BENCHMARK(relu, f32, ops::relu(x))
RUTILE_UNARY_BENCHMARK(relu, bf16, ops::relu(x))
RUTILE_UNARY_BENCHMARK(exp, f32, ops::exp(x))
RUTILE_UNARY_BENCHMARK(tanh, f32, ops::tanh(x))
RUTILE_UNARY_BENCHMARK(gelu, f32, ops::gelu(x))
RUTILE_UNARY_BENCHMARK(gelu, bf16, ops::gelu(x))
RUTILE_UNARY_BENCHMARK(gelu_tanh, f32, ops::gelu(x, {ops::GeluApproximate::kTanh}))
RUTILE_UNARY_BENCHMARK(gelu_grad, f32, ops::gelu_grad(x, x))
RUTILE_UNARY_BENCHMARK(sigmoid, f32, ops::sigmoid(x))
RUTILE_UNARY_BENCHMARK(sin, f32, ops::sin(x))
RUTILE_UNARY_BENCHMARK(exp, f64, ops::exp(x))
RUTILE_UNARY_BENCHMARK(to_bf16, f32, ops::cast(x, DType::kBF16))
RUTILE_UNARY_BENCHMARK(to_f32, bf16, ops::cast(x, DType::kF32))
RUTILE_UNARY_BENCHMARK(add_number, f32, x + 1.5)

#define RUTILE_ADD_BENCHMARK(name, type, a, b)                                                \
  void name(benchmark::State& state) {                                                        \
    binary(state, DType::type, a, b, [](const Tensor& x, const Tensor& y) { return x + y; }); \
  }                                                                                           \
  BENCHMARK(name)->UseRealTime();
RUTILE_ADD_BENCHMARK(add_f32, kF32, Shape{kMany}, Shape{kMany})
RUTILE_ADD_BENCHMARK(add_bf16, kBF16, Shape{kMany}, Shape{kMany})
RUTILE_ADD_BENCHMARK(add_row_f32, kF32, (Shape{kMany / 64, 64}), Shape{64})
RUTILE_ADD_BENCHMARK(add_column_f32, kF32, (Shape{kMany / 64, 64}), (Shape{kMany / 64, 1}))
RUTILE_ADD_BENCHMARK(add_channels_f32, kF32, (Shape{16, 256, 64, 64}), (Shape{256, 1, 1}))
RUTILE_ADD_BENCHMARK(add_channels_7x7_f32, kF32, (Shape{167, 2048, 7, 7}), (Shape{2048, 1, 1}))

void add_transposed(benchmark::State& state) {
  const Tensor x = uniform({4096, 4096}, DType::kF32);
  TensorMeta m = x.meta();
  m.strides = {1, 4096};
  const Tensor t = Tensor::view_of(x.impl()->owner, x.impl()->data, m);
  for (auto _ : state) benchmark::DoNotOptimize((x + t).impl());
  count(state, 3 * x.meta().nbytes(), x.numel());
}
BENCHMARK(add_transposed)->UseRealTime();

}  // namespace
}  // namespace rutile
