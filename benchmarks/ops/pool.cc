// SPDX-License-Identifier: Apache-2.0
// The pools of ResNet-50 at 224x224 (3x3 stride 2 of 64x112x112, mean of 2048x7x7), forward and
// gradient, by placement: bytes/s counts every tensor once.
//
//   bench_ops --benchmark_filter='pool/'
#include "rutile/ops/pool.h"

#include <benchmark/benchmark.h>

#include "rutile/core/placement.h"

namespace rutile {
namespace {

constexpr int64_t kBatch = 16;
const Shape kImage{kBatch, 64, 112, 112}, kLast{kBatch, 2048, 7, 7};

Tensor filled(const Shape& shape, DType t, const Placement& p) {
  TensorMeta meta;
  throw_if_error(place(shape, t, kCpu, p, &meta));
  Tensor x = Tensor::empty(meta);
  // Finite in both types: every 16 bits are a small positive bf16.
  auto* bits = static_cast<uint16_t*>(x.mutable_data());
  const int64_t n = meta.nbytes() / 2;
  for (int64_t i = 0; i < n; ++i) bits[i] = static_cast<uint16_t>(0x3f00 + (i * 7919) % 251);
  return x;
}

template <class F>
void measure(benchmark::State& state, const Tensor& x, F&& run) {
  int64_t bytes = 0;
  for (auto _ : state) {
    const TensorList out = run();
    bytes = x.meta().nbytes();
    for (const Tensor& t : out) bytes += t.meta().nbytes();
    benchmark::DoNotOptimize(out[0].data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

void max_forward(benchmark::State& state, DType t, Placement p) {
  const Tensor x = filled(kImage, t, p);
  const ops::MaxPool2dAttrs a{.kernel = 3, .stride = 2, .pad = 1};
  measure(state, x, [&] {
    ops::MaxPool2dResult r = ops::max_pool2d_with_indices(x, a);
    return TensorList{r.y, r.indices};
  });
}

void max_gradient(benchmark::State& state, DType t, Placement p) {
  const Tensor x = filled(kImage, t, p);
  const ops::MaxPool2dResult r =
      ops::max_pool2d_with_indices(x, {.kernel = 3, .stride = 2, .pad = 1});
  const ops::MaxPool2dGradAttrs a{112, 112, 3, 2, 1};
  measure(state, x, [&] { return TensorList{ops::max_pool2d_grad(r.y, r.indices, a)}; });
}

void average_forward(benchmark::State& state, DType t, Placement p) {
  const Tensor x = filled(kImage, t, p);
  measure(state, x,
          [&] { return TensorList{ops::avg_pool2d(x, {.kernel = 3, .stride = 2, .pad = 1})}; });
}

void average_gradient(benchmark::State& state, DType t, Placement p) {
  const Tensor dy = filled({kBatch, 64, 56, 56}, t, p);
  const ops::AvgPool2dGradAttrs a{112, 112, 3, 2, 1};
  measure(state, dy, [&] { return TensorList{ops::avg_pool2d_grad(dy, a)}; });
}

void global_forward(benchmark::State& state, DType t, Placement p) {
  const Tensor x = filled(kLast, t, p);
  measure(state, x, [&] { return TensorList{ops::global_avg_pool(x)}; });
}

void global_gradient(benchmark::State& state, DType t, Placement p) {
  const Tensor dy = filled({kBatch, 2048, 1, 1}, t, p);
  const ops::PlaneSizeAttrs a{7, 7, p.channels_last};
  measure(state, dy, [&] { return TensorList{ops::global_avg_pool_grad(dy, a)}; });
}

bool register_all() {
  struct Case {
    const char* name;
    void (*run)(benchmark::State&, DType, Placement);
  };
  for (const Case& c : {Case{"max", max_forward}, Case{"max_grad", max_gradient},
                        Case{"avg", average_forward}, Case{"avg_grad", average_gradient},
                        Case{"global", global_forward}, Case{"global_grad", global_gradient}}) {
    for (const char* name : {"row_major", "channels_last", "aBcd16b", "aBcd8b"}) {
      for (const DType t : {DType::kF32, DType::kBF16}) {
        Placement p;
        parse_placement(name, &p);
        benchmark::RegisterBenchmark(cat("pool/", c.name, "/", name, "/", t).c_str(),
                                     [c, t, p](benchmark::State& s) { c.run(s, t, p); })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
