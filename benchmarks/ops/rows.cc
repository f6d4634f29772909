// SPDX-License-Identifier: Apache-2.0
// Ops over rows: softmax, cross entropy, layer norm on the shapes of a small GPT; bytes/s counts
// every tensor once.
//
//   bench_ops --benchmark_filter='rows/'
#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/view.h"

namespace rutile {
namespace {

Tensor filled(const Shape& shape, DType t) {
  return ops::cast(
      ops::reshape(ops::sin(ops::cast(ops::arange(0, shape.numel()), DType::kF32)), shape), t);
}

using Run = std::function<TensorList()>;
struct Case {
  int64_t bytes_in;
  Run run;
};

void measure(benchmark::State& state, const std::function<Case()>& make) {
  const Case c = make();
  int64_t bytes = 0;
  for (auto _ : state) {
    const TensorList out = c.run();
    bytes = c.bytes_in;
    for (const Tensor& t : out) bytes += t.meta().nbytes();
    benchmark::DoNotOptimize(out[0].data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

Case softmax(DType t, const Shape& shape, int64_t axis) {
  const Tensor x = filled(shape, t);
  return {x.meta().nbytes(), [=] { return TensorList{ops::softmax(x, axis)}; }};
}

Case softmax_grad(DType t) {
  const Tensor x = filled({2048, 384}, t), y = ops::softmax(x);
  const ops::SoftmaxAttrs a;
  return {2 * x.meta().nbytes(), [=] { return TensorList{call1(ops::kSoftmaxGrad, &a, {x, y})}; }};
}

Case layer_norm(DType t) {
  const Tensor x = filled({2048, 384}, t), w = filled({384}, DType::kF32);
  return {x.meta().nbytes(), [=] { return TensorList{ops::layer_norm(x, w, w)}; }};
}

Case layer_norm_grad(DType t) {
  const Tensor x = filled({2048, 384}, t), w = filled({384}, DType::kF32);
  const ops::LayerNormResult r = ops::layer_norm_with_stats(x, w, w);
  return {2 * x.meta().nbytes(), [=] {
            const ops::LayerNormAttrs a;
            const Tensor in[] = {x, x, r.mean, r.rstd, w};
            return call_n(ops::kLayerNormGrad, &a, in);
          }};
}

Case cross_entropy(DType t) {
  const Tensor x = filled({2048, 8192}, t), y = ops::arange(0, 2048);
  return {x.meta().nbytes(), [=] { return TensorList{ops::cross_entropy(x, y)}; }};
}

Case cross_entropy_grad(DType t) {
  const Tensor x = filled({2048, 8192}, t), y = ops::arange(0, 2048);
  const Tensor in[] = {x, y};
  const ops::CrossEntropyAttrs a;
  const Tensor lse = call_n(ops::kCrossEntropy, &a, in)[1], g = ops::ones({});
  return {x.meta().nbytes(), [=] {
            const Tensor args[] = {g, x, y, lse};
            return call_n(ops::kCrossEntropyGrad, &a, args);
          }};
}

void add(const std::string& name, const std::function<Case()>& make) {
  benchmark::RegisterBenchmark(name.c_str(), measure, make)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

bool register_all() {
  for (const DType t : {DType::kF32, DType::kBF16}) {
    const std::string type = cat("/", dtype_name(t));
    add("rows/softmax/2048x384" + type, [=] { return softmax(t, {2048, 384}, -1); });
    add("rows/softmax/16384x64" + type, [=] { return softmax(t, {16384, 64}, -1); });
    add("rows/softmax/8x64x4096_axis1" + type, [=] { return softmax(t, {8, 64, 4096}, 1); });
    add("rows/softmax_grad/2048x384" + type, [=] { return softmax_grad(t); });
    add("rows/layer_norm/2048x384" + type, [=] { return layer_norm(t); });
    add("rows/layer_norm_grad/2048x384" + type, [=] { return layer_norm_grad(t); });
    add("rows/cross_entropy/2048x8192" + type, [=] { return cross_entropy(t); });
    add("rows/cross_entropy_grad/2048x8192" + type, [=] { return cross_entropy_grad(t); });
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
