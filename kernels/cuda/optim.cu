// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/optim.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

__global__ void __launch_bounds__(32) clear(uint8_t* flag) {
  if (threadIdx.x == 0) *flag = 0;
}

template <class C>
__global__ void __launch_bounds__(kChunkThreads) unscale(RUTILE_PARAM UnscaleArgs a) {
  const int t = a.tensors.find(blockIdx.x);
  const PairTensors::Entry& e = a.tensors.entry[t];
  const C inverse = C(1) / load<C>(a.scale_type, a.scale, 0);
  const ChunkRange range(e, blockIdx.x);
  bool overflow = false;
  for (int64_t i = range.begin + threadIdx.x; i < range.end; i += kChunkThreads) {
    const C x = load<C>(e.type, e.p[0], i);
    overflow = overflow || !kernels::fn::is_finite(x);
    store<C>(a.out_type[t], e.p[1], i, x * inverse);
  }
  if (overflow) *a.overflow = 1;
}

__global__ void __launch_bounds__(kChunkThreads) squares(RUTILE_PARAM NormArgs a) {
  __shared__ double shared[kChunkThreads];
  const PairTensors::Entry& e = a.tensors.entry[a.tensors.find(blockIdx.x)];
  const ChunkRange range(e, blockIdx.x);
  double sum = 0;
  for (int64_t i = range.begin + threadIdx.x; i < range.end; i += kChunkThreads) {
    const double x = e.type == DType::kF64 ? at<double>(e.p[0], i)
                                           : static_cast<double>(load<float>(e.type, e.p[0], i));
    sum += x * x;
  }
  sum = Group(whole_block()).sum(sum, shared);
  if (threadIdx.x == 0) a.sums[a.tensors.block_base + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kChunkThreads) join_norm(RUTILE_PARAM NormArgs a) {
  __shared__ double shared[kChunkThreads];
  double sum = 0;
  for (int64_t b = threadIdx.x; b < a.blocks; b += kChunkThreads) sum += a.sums[b];
  sum = Group(whole_block()).sum(sum, shared);
  if (threadIdx.x == 0) store<double>(a.out_type, a.out, 0, kernels::StdMath::sqrt(sum));
}

__global__ void __launch_bounds__(32) loss_scale(RUTILE_PARAM LossScaleArgs a) {
  if (threadIdx.x != 0) return;
  if (*a.overflow) {
    *a.scale *= a.backoff;
    *a.good = 0;
  } else if (++*a.good >= a.interval) {
    const float grown = *a.scale * a.growth;
    if (kernels::fn::is_finite(grown)) *a.scale = grown;
    *a.good = 0;
  }
}

}  // namespace

int launch_clear(uint8_t* flag, Stream stream) {
  return launch(clear, {.threads = 32}, stream, flag);
}
int launch_unscale(const UnscaleArgs& a, Stream stream) {
  bool wide = a.scale_type == DType::kF64;
  for (int i = 0; i < a.tensors.count; ++i) wide = wide || a.out_type[i] == DType::kF64;
  return launch(wide ? unscale<double> : unscale<float>,
                {.x = a.tensors.blocks, .threads = kChunkThreads}, stream, a);
}
int launch_squares(const NormArgs& a, Stream stream) {
  return launch_blocks(squares, {.x = a.tensors.blocks, .threads = kChunkThreads}, stream, a);
}
int launch_norm(const NormArgs& a, Stream stream) {
  return launch_blocks(join_norm, {.threads = kChunkThreads}, stream, a);
}
int launch_loss_scale(const LossScaleArgs& a, Stream stream) {
  return launch(loss_scale, {.threads = 32}, stream, a);
}

}  // namespace rutile::cuda
