// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/batch_norm.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

constexpr int kEach = 4;
using M = kernels::StdMath;

template <class C>
struct Channel {
  C mean, rstd, weight, bias;
  RUTILE_FN Channel(const BatchNormArgs& a, int64_t c)
      : mean(load<C>(a.stat_type, a.mean_in, c * a.mean_step)),
        rstd(load<C>(a.stat_type, a.rstd_in, c * a.rstd_step)),
        weight(a.weight ? load<C>(a.weight_type, a.weight, c * a.weight_step) : C(1)),
        bias(a.bias ? load<C>(a.bias_type, a.bias, c * a.bias_step) : C(0)) {
    if (a.variance) rstd = C(1) / M::sqrt(rstd + static_cast<C>(a.eps));
  }
  RUTILE_FN C normal(C x) const { return (x - mean) * rstd; }
};

struct Part {
  int64_t begin, end;
  RUTILE_DEVICE explicit Part(const BatchNormArgs& a)
      : begin(blockIdx.y * a.part), end(begin + a.part < a.rows ? begin + a.part : a.rows) {}
};

template <class C>
RUTILE_DEVICE void write_part(const BatchNormArgs& a, const Group& g, C first, C second,
                              C* shared) {
  first = g.sum(first, shared);
  second = g.sum(second, shared);
  if (g.lane != 0 || g.row >= a.channels) return;
  C* partial = static_cast<C*>(a.partial) + 2 * blockIdx.y * a.channels;
  partial[g.row] = first;
  partial[a.channels + g.row] = second;
}
// What all parts give for this thread's channel, for every lane.
template <class C>
RUTILE_DEVICE void join_parts(const BatchNormArgs& a, const Group& g, C* first, C* second,
                              C* shared) {
  *first = *second = 0;
  for (int64_t p = g.lane; g.row < a.channels && p < a.parts; p += g.lanes) {
    const C* partial = static_cast<const C*>(a.partial) + 2 * p * a.channels;
    *first += partial[g.row];
    *second += partial[a.channels + g.row];
  }
  *first = g.sum(*first, shared);
  *second = g.sum(*second, shared);
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) channel_sums(RUTILE_PARAM BatchNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(a.group);
  const bool valid = g.row < a.channels;
  const int64_t base = valid ? g.row * a.x_channel : 0;
  const C shift = valid && a.rows > 0 ? load<C>(a.x_type, a.x, base) : C(0);
  const Part part(a);
  C sum = 0, square = 0;
  for (int64_t r = part.begin + g.lane; valid && r < part.end; r += g.lanes) {
    int64_t at[4];
    a.row.find(r, at);
    const C d = load<C>(a.x_type, a.x, base + at[0]) - shift;
    sum += d;
    square += d * d;
  }
  write_part(a, g, sum, square, shared);
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) channel_statistics(RUTILE_PARAM BatchNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g({32, 8, false});
  C sum, square;
  join_parts(a, g, &sum, &square, shared);
  if (g.lane != 0 || g.row >= a.channels) return;
  const C n = static_cast<C>(a.rows > 0 ? a.rows : 1);  // no elements: mean 0, variance 0
  const C shift = a.rows > 0 ? load<C>(a.x_type, a.x, g.row * a.x_channel) : C(0);
  const C off = sum / n;
  const C var = square / n - off * off;
  store<C>(a.stat_type, a.mean, g.row, shift + off);
  store<C>(a.stat_type, a.rstd, g.row,
           C(1) / M::sqrt((var < C(0) ? C(0) : var) + static_cast<C>(a.eps)));
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) apply_norm(RUTILE_PARAM BatchNormArgs a) {
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kGroupThreads * kEach;
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = block + e * kGroupThreads + threadIdx.x;
    if (i >= a.n) return;
    int64_t at[7];
    a.element.find(i, at);
    const Channel<C> c(a, at[6]);
    C v = c.normal(load<C>(a.x_type, a.x, at[1])) * c.weight + c.bias;
    if (a.residual) v += load<C>(a.x_type, a.residual, at[2]);
    if (a.relu && v <= C(0)) v = 0;
    store<C>(a.x_type, a.y, at[0], v);
  }
}

// The gradient of what stands behind the norm, at an element: behind any ReLU.
template <class C>
RUTILE_FN C inner_gradient(const BatchNormArgs& a, const Channel<C>& c, C normal, int64_t dy,
                           int64_t y, int64_t dy2) {
  C d = load<C>(a.x_type, a.dy, dy);
  if (a.dy2) d += load<C>(a.x_type, a.dy2, dy2);
  if (a.mask_from_y) return load<C>(a.x_type, a.y_in, y) > C(0) ? d : C(0);
  if (a.relu) return normal * c.weight + c.bias > C(0) ? d : C(0);
  return d;
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) gradient_sums(RUTILE_PARAM BatchNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(a.group);
  const bool valid = g.row < a.channels;
  const int64_t channel = valid ? g.row : 0;
  const Part part(a);
  C sum = 0, product = 0;
  if (valid) {
    const Channel<C> c(a, channel);
    for (int64_t r = part.begin + g.lane; r < part.end; r += g.lanes) {
      int64_t at[4];
      a.row.find(r, at);
      const C normal = c.normal(load<C>(a.x_type, a.x, channel * a.x_channel + at[0]));
      const C d = inner_gradient(a, c, normal, channel * a.dy_channel + at[1],
                                 channel * a.y_channel + at[2], channel * a.dy2_channel + at[3]);
      sum += d;
      product += d * normal;
    }
  }
  write_part(a, g, sum, product, shared);
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) join_gradients(RUTILE_PARAM BatchNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g({32, 8, false});
  C sum, product;
  join_parts(a, g, &sum, &product, shared);
  if (g.lane != 0 || g.row >= a.channels) return;
  store<C>(a.stat_type, a.dbias, g.row, sum);
  store<C>(a.stat_type, a.dweight, g.row, product);
  static_cast<C*>(a.sums)[g.row] = sum;
  static_cast<C*>(a.sums)[a.channels + g.row] = product;
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) norm_dx(RUTILE_PARAM BatchNormArgs a) {
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kGroupThreads * kEach;
  const C scale = C(1) / static_cast<C>(a.rows);
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = block + e * kGroupThreads + threadIdx.x;
    if (i >= a.n) return;
    int64_t at[7];
    a.element.find(i, at);
    const Channel<C> c(a, at[6]);
    const C normal = c.normal(load<C>(a.x_type, a.x, at[1]));
    const C d = inner_gradient(a, c, normal, at[2], at[3], at[4]);
    const C sum = static_cast<const C*>(a.sums)[at[6]];
    const C product = static_cast<const C*>(a.sums)[a.channels + at[6]];
    store<C>(a.x_type, a.y, at[0], c.weight * c.rstd * (d - (sum + normal * product) * scale));
    if (a.dresidual) store<C>(a.x_type, a.dresidual, at[5], d);
  }
}

__global__ void __launch_bounds__(kGroupThreads) running_stats(RUTILE_PARAM RunningStatsArgs a) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kGroupThreads + threadIdx.x;
  if (c >= a.channels) return;
  const double mean = load<double>(a.type, a.batch_mean, c * a.steps[2]);
  const double rstd = load<double>(a.type, a.batch_rstd, c * a.steps[3]);
  const double var = (1 / (rstd * rstd) - a.eps) * a.correction;
  const double old_mean = load<double>(a.type, a.mean, c * a.steps[0]);
  const double old_var = load<double>(a.type, a.var, c * a.steps[1]);
  store<double>(a.type, a.mean, c * a.steps[0], (1 - a.momentum) * old_mean + a.momentum * mean);
  store<double>(a.type, a.var, c * a.steps[1], (1 - a.momentum) * old_var + a.momentum * var);
}

Grid element_grid(const BatchNormArgs& a) {
  return {.x = blocks_for(a.n, kGroupThreads, kEach), .threads = kGroupThreads};
}
Grid join_grid(const BatchNormArgs& a) {
  return {.x = (a.channels + 7) / 8, .threads = kGroupThreads};
}

template <class C>
int forward(const BatchNormArgs& a, Stream stream) {
  if (const int code =
          launch_blocks(channel_sums<C>, group_grid(a.group, a.channels, a.parts), stream, a)) {
    return code;
  }
  if (const int code = launch_blocks(channel_statistics<C>, join_grid(a), stream, a)) return code;
  BatchNormArgs b = a;
  b.mean_in = a.mean;
  b.rstd_in = a.rstd;
  b.mean_step = b.rstd_step = 1;
  return launch(apply_norm<C>, element_grid(a), stream, b);
}

template <class C>
int backward(const BatchNormArgs& a, Stream stream) {
  if (const int code =
          launch_blocks(gradient_sums<C>, group_grid(a.group, a.channels, a.parts), stream, a)) {
    return code;
  }
  if (const int code = launch_blocks(join_gradients<C>, join_grid(a), stream, a)) return code;
  return launch(norm_dx<C>, element_grid(a), stream, a);
}

}  // namespace

int launch_batch_norm(const BatchNormArgs& a, Stream stream) {
  return a.x_type == DType::kF64 ? forward<double>(a, stream) : forward<float>(a, stream);
}
int launch_batch_norm_apply(const BatchNormArgs& a, Stream stream) {
  return launch(a.x_type == DType::kF64 ? apply_norm<double> : apply_norm<float>, element_grid(a),
                stream, a);
}
int launch_batch_norm_grad(const BatchNormArgs& a, Stream stream) {
  return a.x_type == DType::kF64 ? backward<double>(a, stream) : backward<float>(a, stream);
}
int launch_running_stats(const RunningStatsArgs& a, Stream stream) {
  return launch(running_stats,
                {.x = blocks_for(a.channels, kGroupThreads), .threads = kGroupThreads}, stream, a);
}

}  // namespace rutile::cuda
