// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/update.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/update_rules.h"

namespace rutile::cuda {
namespace {

namespace rules = kernels::rules;
using M = kernels::StdMath;

template <class R>
__global__ void __launch_bounds__(32)
    step_numbers(RUTILE_PARAM UpdateScalars a, RUTILE_PARAM typename R::Attrs attrs) {
  if (threadIdx.x != 0) return;
  StepNumbers out;
  out.skip = a.skip && load<float>(a.skip_type, a.skip, 0) != 0;
  const double lr = a.lr ? load<double>(a.lr_type, a.lr, 0) : 0;
  const double step = a.step ? load<double>(a.step_type, a.step, 0) : 0;
  const double scale = a.grad_scale ? load<double>(a.scale_type, a.grad_scale, 0) : 1;
  if (!out.skip) {
    const rules::Numbers n = rules::numbers_of<R>(&attrs, lr, step, scale);
    out.scale = n.scale;
    out.decay = n.decay;
    out.shrink = n.shrink;
    for (int i = 0; i < rules::kNumbers; ++i) out.k[i] = n.k[i];
  }
  *a.numbers = out;
}

template <class C>
struct StepOf {
  C scale, decay, shrink, k[rules::kNumbers];
  RUTILE_FN explicit StepOf(const StepNumbers& n)
      : scale(static_cast<C>(n.scale)),
        decay(static_cast<C>(n.decay)),
        shrink(static_cast<C>(n.shrink)) {
    for (int i = 0; i < rules::kNumbers; ++i) k[i] = static_cast<C>(n.k[i]);
  }
};

template <class R, class C>
__global__ void __launch_bounds__(kChunkThreads) apply(RUTILE_PARAM UpdateArgs a) {
  if (a.numbers->skip) return;
  StepOf<C> n(*a.numbers);
  const int t = a.tensors.find(blockIdx.x);
  const UpdateTensors::Entry& e = a.tensors.entry[t];
  if constexpr (rules::kHasNorms<R>) n.k[rules::kTrust] = static_cast<C>(a.trust[e.number]);
  const ChunkRange range(e, blockIdx.x);
  for (int64_t i = range.begin + threadIdx.x; i < range.end; i += kChunkThreads) {
    C p = static_cast<const C*>(e.p[0])[i], s[3] = {};
#pragma unroll
    for (int j = 0; j < R::kSlots; ++j) s[j] = static_cast<const C*>(e.p[j + 1])[i];
    const C g = load<C>(e.type, e.p[4], i) * n.scale + p * n.decay;
    p *= n.shrink;
    R::template apply<M>(p, s, g, n.k);
    static_cast<C*>(e.p[0])[i] = p;
    if (e.p[5]) store<C>(a.copy_type[t], e.p[5], i, p);
#pragma unroll
    for (int j = 0; j < R::kSlots; ++j) static_cast<C*>(e.p[j + 1])[i] = s[j];
  }
}

template <class R, class C>
__global__ void __launch_bounds__(kChunkThreads) measure(RUTILE_PARAM UpdateArgs a) {
  __shared__ double shared[kChunkThreads];
  if (a.numbers->skip) return;
  const StepOf<C> n(*a.numbers);
  const UpdateTensors::Entry& e = a.tensors.entry[a.tensors.find(blockIdx.x)];
  const ChunkRange range(e, blockIdx.x);
  double sum[2] = {};
  for (int64_t i = range.begin + threadIdx.x; i < range.end; i += kChunkThreads) {
    C p = static_cast<const C*>(e.p[0])[i], s[3] = {};
#pragma unroll
    for (int j = 0; j < R::kSlots; ++j) s[j] = static_cast<const C*>(e.p[j + 1])[i];
    const C g = load<C>(e.type, e.p[4], i) * n.scale + p * n.decay;
    p *= n.shrink;
    C x, y;
    R::template measure<M>(p, s, g, n.k, &x, &y);
    sum[0] += static_cast<double>(x) * static_cast<double>(x);
    sum[1] += static_cast<double>(y) * static_cast<double>(y);
    if constexpr (R::kMeasureWrites) {
#pragma unroll
      for (int j = 0; j < R::kSlots; ++j) static_cast<C*>(e.p[j + 1])[i] = s[j];
    }
  }
  for (int k = 0; k < 2; ++k) {
    const double total = Group(whole_block()).sum(sum[k], shared);
    if (threadIdx.x == 0) a.sums[2 * (a.tensors.block_base + blockIdx.x) + k] = total;
  }
}

// One block a tensor: the norms, and the factor that the rule makes of them.
template <class R>
__global__ void __launch_bounds__(kChunkThreads) trust(RUTILE_PARAM UpdateArgs a) {
  __shared__ double shared[kChunkThreads];
  if (a.numbers->skip) return;
  const int t = static_cast<int>(blockIdx.x);
  const UpdateTensors::Entry& e = a.tensors.entry[t];
  const int end = t + 1 < a.tensors.count ? a.tensors.entry[t + 1].first_block : a.tensors.blocks;
  double norm[2];
  for (int k = 0; k < 2; ++k) {
    double sum = 0;
    for (int b = e.first_block + threadIdx.x; b < end; b += kChunkThreads) {
      sum += a.sums[2 * (a.tensors.block_base + b) + k];
    }
    norm[k] = M::sqrt(Group(whole_block()).sum(sum, shared));
  }
  if (threadIdx.x == 0) a.trust[e.number] = R::trust(norm[0], norm[1], a.numbers->k);
}

template <class R>
struct Launches {
  static int numbers(const UpdateScalars& a, const void* attrs, Stream stream) {
    return launch(step_numbers<R>, {.threads = 32}, stream, a,
                  *static_cast<const typename R::Attrs*>(attrs));
  }
  static int apply(const UpdateArgs& a, bool wide, Stream stream) {
    const Grid grid{.x = a.tensors.blocks, .threads = kChunkThreads};
    return launch(wide ? cuda::apply<R, double> : cuda::apply<R, float>, grid, stream, a);
  }
  static int measure(const UpdateArgs& a, bool wide, Stream stream) {
    const Grid grid{.x = a.tensors.blocks, .threads = kChunkThreads};
    if (const int code = launch_blocks(wide ? cuda::measure<R, double> : cuda::measure<R, float>,
                                       grid, stream, a)) {
      return code;
    }
    return launch_blocks(trust<R>, {.x = a.tensors.count, .threads = kChunkThreads}, stream, a);
  }
};

template <class R>
UpdateKernel kernel_of() {
  UpdateKernel k{Launches<R>::numbers, Launches<R>::apply, nullptr};
  if constexpr (rules::kHasNorms<R>) k.measure = Launches<R>::measure;
  return k;
}

}  // namespace

UpdateKernel update_kernel(int family) {
  using UpdateKernelOf = UpdateKernel (*)();
#define RUTILE_UPDATE(constant, rule) kernel_of<rules::rule>,
  constexpr UpdateKernelOf kernels[] = {
#include "rutile/ops/update_list.inc"
  };
#undef RUTILE_UPDATE
  return kernels[family]();
}

}  // namespace rutile::cuda
