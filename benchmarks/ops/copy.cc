// SPDX-License-Identifier: Apache-2.0
// Copies between placements, rows by index, sorting; bytes/s counts every tensor once.
//
//   bench_ops --benchmark_filter='copy/'
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

using Make = std::function<std::function<Tensor()>()>;

void measure(benchmark::State& state, const Make& make) {
  const std::function<Tensor()> run = make();
  int64_t bytes = 0;
  for (auto _ : state) {
    const Tensor y = run();
    bytes = 2 * y.meta().nbytes();
    benchmark::DoNotOptimize(y.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

void add(const std::string& name, const Make& make) {
  benchmark::RegisterBenchmark(name.c_str(), measure, make)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void register_type(DType t) {
  const std::string type = cat("/", dtype_name(t));
  add("copy/transpose/2048x2048" + type, [=] {
    const Tensor x = ops::transpose(filled({2048, 2048}, t));
    return [=] { return ops::contiguous(x); };
  });
  add("copy/heads/8x256x6x64" + type, [=] {
    const Tensor x = ops::transpose(filled({8, 256, 6, 64}, t), {0, 2, 1, 3});
    return [=] { return ops::contiguous(x); };
  });
  for (const int64_t c : {3, 64}) {
    const Shape s{16, c, 112, 112};
    const std::string name = cat(c, "x112x112", type);
    add("copy/to_channels_last/" + name, [=] {
      const Tensor x = filled(s, t);
      return [=] { return ops::to_channels_last(x); };
    });
    add("copy/from_channels_last/" + name, [=] {
      const Tensor x = ops::to_channels_last(filled(s, t));
      return [=] { return ops::contiguous(x); };
    });
  }
  add("copy/concat/16x64x112x112" + type, [=] {
    const Tensor x = filled({16, 64, 112, 112}, t);
    return [=] { return ops::concat({{x, x}}, 1); };
  });
  add("copy/pad/16x64x112x112" + type, [=] {
    const Tensor x = filled({16, 64, 112, 112}, t);
    return [=] { return ops::pad(x, {0, 0, 1, 1}, {0, 0, 1, 1}); };
  });
  add("copy/flip/16x64x112x112" + type, [=] {
    const Tensor x = filled({16, 64, 112, 112}, t);
    return [=] { return ops::flip(x, {3}); };
  });
  add("copy/embedding/2048_of_50000x384" + type, [=] {
    const Tensor table = filled({50000, 384}, t);
    const Tensor ids = ops::remainder(ops::mul(ops::arange(0, 2048), 7919), 50000);
    return [=] { return ops::embedding(ids, table); };
  });
  add("copy/embedding_grad/2048_to_1000x384" + type, [=] {
    const Tensor g = filled({2048, 384}, t);
    const Tensor ids = ops::remainder(ops::mul(ops::arange(0, 2048), 7919), 1000);
    const ops::EmbeddingGradAttrs a{1000, -1, DType::kF32};
    return [=] { return call1(ops::kEmbeddingGrad, &a, {g, ids}); };
  });
  add("copy/topk/5_of_16x50257" + type, [=] {
    const Tensor x = filled({16, 50257}, t);
    return [=] { return ops::topk(x, 5).values; };
  });
  add("copy/sort/16x10000" + type, [=] {
    const Tensor x = filled({16, 10000}, t);
    return [=] { return ops::sort(x).values; };
  });
}

bool register_all() {
  register_type(DType::kF32);
  register_type(DType::kBF16);
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
