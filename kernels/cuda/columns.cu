// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/columns.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

template <class C>
__global__ void __launch_bounds__(kCoverThreads) unfold(RUTILE_PARAM ColumnsArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t left = i;
  const int64_t column = left % a.ow;
  left /= a.ow;
  const int64_t row = left % a.oh;
  left /= a.oh;
  const int64_t kw = left % a.kernel[1];
  left /= a.kernel[1];
  const int64_t kh = left % a.kernel[0], plane = left / a.kernel[0];
  const int64_t y = row * a.stride[0] - a.pad[0] + kh * a.dilation[0];
  const int64_t x = column * a.stride[1] - a.pad[1] + kw * a.dilation[1];
  C v = 0;
  if (y >= 0 && y < a.h && x >= 0 && x < a.w) {
    v = load<C>(a.type, a.in, a.image_at.find_one((plane * a.h + y) * a.w + x));
  }
  store<C>(a.type, a.out, a.columns_at.find_one(i), v);
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) fold(RUTILE_PARAM ColumnsArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t x = i % a.w, y = i / a.w % a.h, plane = i / a.w / a.h;
  C sum = 0;
  for (int64_t kh = 0; kh < a.kernel[0]; ++kh) {
    const int64_t from = y + a.pad[0] - kh * a.dilation[0], row = from / a.stride[0];
    if (from < 0 || from % a.stride[0] != 0 || row >= a.oh) continue;
    for (int64_t kw = 0; kw < a.kernel[1]; ++kw) {
      const int64_t across = x + a.pad[1] - kw * a.dilation[1], column = across / a.stride[1];
      if (across < 0 || across % a.stride[1] != 0 || column >= a.ow) continue;
      const int64_t tap = (plane * a.kernel[0] + kh) * a.kernel[1] + kw;
      sum += load<C>(a.type, a.in, a.columns_at.find_one((tap * a.oh + row) * a.ow + column));
    }
  }
  store<C>(a.type, a.out, a.image_at.find_one(i), sum);
}

// Sums over the positions that show an element: on each axis its own, or one in the padding.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) pad_grad(RUTILE_PARAM PadGradArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t place[kMaxRank], tried[kMaxRank], left = i, to = 0;
  for (int d = a.rank - 1; d >= 0; --d) {
    place[d] = left % a.size[d];
    left /= a.size[d];
    to += place[d] * a.dx_step[d];
    tried[d] = 0;
  }
  C sum = 0;
  for (bool more = true; more;) {
    int64_t from = 0;
    bool shows = true;
    for (int d = 0; d < a.rank; ++d) {
      // Candidates: before the data, the element itself, behind the data.
      const int64_t k = tried[d], p = k < a.before[d]    ? k - a.before[d]
                                      : k == a.before[d] ? place[d]
                                                         : a.size[d] + k - a.before[d] - 1;
      shows = shows && pad_source(p, a.size[d], a.mode) == place[d];
      from += (p + a.before[d]) * a.dy_step[d];
    }
    if (shows) sum += load<C>(a.type, a.dy, from);
    more = false;
    for (int d = a.rank - 1; d >= 0 && !more; --d) {
      if (++tried[d] <= a.before[d] + a.after[d]) {
        more = true;
      } else {
        tried[d] = 0;
      }
    }
  }
  store<C>(a.type, a.dx, to, sum);
}

// One block: each thread counts its stretch, then writes behind those before it.
__global__ void __launch_bounds__(1024) nonzero(RUTILE_PARAM NonzeroArgs a) {
  __shared__ int64_t counts[1024];
  const int t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int64_t each = (a.n + threads - 1) / threads;
  const int64_t begin = t * each, end = begin + each < a.n ? begin + each : a.n;
  const auto set = [&](int64_t i) {
    const int64_t at = a.at.find_one(i);
    return is_floating(a.type) ? (a.type == DType::kF64 ? cuda::at<double>(a.x, at) != 0
                                                        : load<float>(a.type, a.x, at) != 0)
                               : load<int64_t>(a.type, a.x, at) != 0;
  };
  int64_t mine = 0;
  for (int64_t i = begin; i < end; ++i) mine += set(i);
  counts[t] = mine;
  __syncthreads();
  for (int ahead = 1; ahead < threads; ahead *= 2) {
    const int64_t before = t >= ahead ? counts[t - ahead] : 0;
    __syncthreads();
    counts[t] += before;
    __syncthreads();
  }
  int64_t row = t > 0 ? counts[t - 1] : 0;
  for (int64_t i = begin; i < end; ++i) {
    if (!set(i)) continue;
    int64_t left = i;
    for (int d = a.rank - 1; d >= 0; --d) {
      a.rows[row * a.rank + d] = left % a.size[d];
      left /= a.size[d];
    }
    ++row;
  }
  const int64_t total = counts[threads - 1];
  for (int64_t i = total * a.rank + t; i < a.n * a.rank; i += threads) a.rows[i] = -1;
  if (t == 0) *a.count = total;
}

}  // namespace

int launch_unfold(const ColumnsArgs& a, Stream stream) {
  return launch(a.type == DType::kF64 ? unfold<double> : unfold<float>, cover(a.n), stream, a);
}
int launch_fold(const ColumnsArgs& a, Stream stream) {
  return launch(a.type == DType::kF64 ? fold<double> : fold<float>, cover(a.n), stream, a);
}
int launch_pad_grad(const PadGradArgs& a, Stream stream) {
  return launch(a.type == DType::kF64 ? pad_grad<double> : pad_grad<float>, cover(a.n), stream, a);
}
int launch_nonzero(const NonzeroArgs& a, Stream stream) {
  return launch_blocks(nonzero, {.threads = a.n <= 4096 ? 128 : 1024}, stream, a);
}

}  // namespace rutile::cuda
