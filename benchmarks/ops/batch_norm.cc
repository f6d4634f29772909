// SPDX-License-Identifier: Apache-2.0
// The batch norms of ResNet-50 at 224x224, forward and gradient, by placement: bytes/s counts every
// tensor once.
//
//   bench_ops --benchmark_filter='batch_norm/'
#include <benchmark/benchmark.h>

#include "rutile/core/placement.h"
#include "rutile/ops/norm.h"

namespace rutile {
namespace {

constexpr int64_t kBatch = 16;

Tensor filled(const Shape& shape, DType t, const Placement& p) {
  TensorMeta meta;
  throw_if_error(place(shape, t, kCpu, p, &meta));
  Tensor x = Tensor::empty(meta);
  // Finite in both types: every 16 bits are a small bf16 of either sign.
  auto* bits = static_cast<uint16_t*>(x.mutable_data());
  const int64_t n = meta.nbytes() / 2;
  for (int64_t i = 0; i < n; ++i) {
    bits[i] = static_cast<uint16_t>((i * 2654435761 >> 7 & 0x8000) | (0x3f00 + (i * 7919) % 251));
  }
  return x;
}

Tensor gradient(const OpDef& op, const TensorList& in) { return call_n(op, nullptr, in)[0]; }

enum class Kind { kPlain, kRelu, kAddRelu };

struct Case {
  const char* name;
  Kind kind;
  bool grad;
};

void measure(benchmark::State& state, const Case& c, const Shape& shape, DType t, Placement p) {
  const Tensor x = filled(shape, t, p), other = filled(shape, t, p);
  const Tensor weight = Tensor::full({shape[1]}, 1.5), bias = Tensor::full({shape[1]}, 0.25);
  const ops::BatchNormResult f = c.kind == Kind::kPlain ? ops::batch_norm(x, weight, bias)
                                 : c.kind == Kind::kRelu
                                     ? ops::batch_norm_relu(x, weight, bias)
                                     : ops::batch_norm_add_relu(x, other, weight, bias);
  const auto forward = [&]() -> Tensor {
    if (c.kind == Kind::kPlain) return ops::batch_norm(x, weight, bias).y;
    if (c.kind == Kind::kRelu) return ops::batch_norm_relu(x, weight, bias).y;
    return ops::batch_norm_add_relu(x, other, weight, bias).y;
  };
  const auto backward = [&]() -> Tensor {
    if (c.kind == Kind::kPlain) {
      return gradient(ops::kBatchNormGrad, {other, x, f.mean, f.rstd, weight});
    }
    if (c.kind == Kind::kRelu) {
      return gradient(ops::kBatchNormReluGrad, {other, x, f.mean, f.rstd, weight, bias});
    }
    return gradient(ops::kBatchNormAddReluGrad, {other, x, f.y, f.mean, f.rstd, weight, other});
  };
  for (auto _ : state) benchmark::DoNotOptimize((c.grad ? backward() : forward()).data());
  const int64_t tensors = 2 + (c.grad ? 1 : 0) + (c.kind == Kind::kAddRelu ? 1 + 2 * c.grad : 0);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * tensors * x.meta().nbytes());
}

bool register_all() {
  const Case cases[] = {
      {"plain", Kind::kPlain, false},      {"relu", Kind::kRelu, false},
      {"add_relu", Kind::kAddRelu, false}, {"plain_grad", Kind::kPlain, true},
      {"relu_grad", Kind::kRelu, true},    {"add_relu_grad", Kind::kAddRelu, true}};
  const Shape shapes[] = {
      {kBatch, 64, 112, 112}, {kBatch, 256, 56, 56}, {kBatch, 256, 14, 14}, {kBatch, 2048, 7, 7}};
  for (const Case& c : cases) {
    for (const Shape& shape : shapes) {
      for (const char* name : {"row_major", "channels_last", "aBcd16b"}) {
        for (const DType t : {DType::kF32, DType::kBF16}) {
          Placement p;
          parse_placement(name, &p);
          benchmark::RegisterBenchmark(
              cat("batch_norm/", c.name, "/", shape[1], "x", shape[2], "/", name, "/", t).c_str(),
              [=](benchmark::State& s) { measure(s, c, shape, t, p); })
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
