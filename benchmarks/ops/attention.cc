// SPDX-License-Identifier: Apache-2.0
// Attention, forward and backward, on views of one projection [b, t, 3, h, d] as a transformer
// makes them. GFLOP/s counts 4 b h t^2 d forward and 10 b h t^2 d backward, half of it when causal.
//
//   bench_ops --benchmark_filter='attention/'
#include "rutile/ops/attention.h"

#include <benchmark/benchmark.h>

#include "rutile/ops/view.h"

namespace rutile {
namespace {

struct Size {
  int64_t b, h, t, d;
};
constexpr Size kSizes[] = {{8, 6, 256, 64}, {2, 6, 1024, 64}, {1, 1, 2048, 64}, {8, 12, 128, 32}};

Tensor filled(const Shape& shape, DType t) {
  Tensor x = Tensor::empty(TensorMeta(shape, t));
  // Finite in both types: every 16 bits are a small bf16 of either sign.
  auto* bits = static_cast<uint16_t*>(x.mutable_data());
  const int64_t n = x.meta().nbytes() / 2;
  for (int64_t i = 0; i < n; ++i) {
    bits[i] = static_cast<uint16_t>(0x3e00 + (i * 7919) % 251 + (i * 31 % 2 << 15));
  }
  return x;
}

void run(benchmark::State& state, Size s, DType t, bool causal, bool backward) {
  const Tensor qkv = filled({s.b, s.t, 3, s.h, s.d}, t);
  const std::vector<Tensor> parts = ops::split(qkv, 3, 2);
  Tensor in[3];
  for (int i = 0; i < 3; ++i) {
    in[i] = ops::permute(ops::reshape(parts[static_cast<size_t>(i)], {s.b, s.t, s.h, s.d}),
                         {0, 2, 1, 3});
  }
  const ops::AttentionAttrs a{.causal = causal};
  const ops::AttentionResult r = ops::attention_with_lse(in[0], in[1], in[2], {}, a);
  const Tensor all[] = {r.y, in[0], in[1], in[2], r.y, r.lse};
  for (auto _ : state) {
    if (backward) {
      benchmark::DoNotOptimize(call_n(ops::kAttentionGrad, &a, all)[0].data());
    } else {
      benchmark::DoNotOptimize(ops::attention_with_lse(in[0], in[1], in[2], {}, a).y.data());
    }
  }
  const double flops = (backward ? 10.0 : 4.0) * (causal ? 0.5 : 1.0) *
                       static_cast<double>(s.b * s.h * s.t * s.t * s.d);
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

bool register_all() {
  for (const bool backward : {false, true}) {
    for (const DType t : {DType::kF32, DType::kBF16}) {
      for (const bool causal : {true, false}) {
        for (const Size& s : kSizes) {
          const std::string name =
              cat("attention/", backward ? "backward/" : "forward/", t,
                  causal ? "/causal/" : "/full/", "b", s.b, "_h", s.h, "_t", s.t, "_d", s.d);
          benchmark::RegisterBenchmark(
              name.c_str(), [=](benchmark::State& state) { run(state, s, t, causal, backward); })
              ->Unit(benchmark::kMillisecond)
              ->UseRealTime();
        }
      }
    }
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
