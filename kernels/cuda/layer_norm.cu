// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/layer_norm.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

// Offsets of the column in x, y, gradient, weight and bias.
struct Column {
  int64_t at[5];
  RUTILE_FN Column(const LayerNormArgs& a, int64_t c) {
    if (a.column.rank <= 1) {
      for (int k = 0; k < 5; ++k) at[k] = a.column.rank == 0 ? 0 : c * a.column.stride[k][0];
    } else {
      a.column.find(c, at);
    }
  }
};

template <class C>
__global__ void __launch_bounds__(kGroupThreads) layer_norm(RUTILE_PARAM LayerNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(a.group);
  const bool valid = g.row < a.rows;
  int64_t at[5] = {};
  if (valid) a.row.find(g.row, at);
  const C scale = C(1) / static_cast<C>(a.n);
  C mean = 0;
  if (!a.rms) {
    C sum = 0;
    for (int64_t c = g.lane; valid && c < a.n; c += g.lanes) {
      sum += load<C>(a.x_type, a.x, at[0] + Column(a, c).at[0]);
    }
    mean = g.sum(sum, shared) * scale;
  }
  C square = 0;
  for (int64_t c = g.lane; valid && c < a.n; c += g.lanes) {
    const C v = load<C>(a.x_type, a.x, at[0] + Column(a, c).at[0]) - mean;
    square += v * v;
  }
  const C rstd = C(1) / M::sqrt(g.sum(square, shared) * scale + static_cast<C>(a.eps));
  if (!valid) return;
  for (int64_t c = g.lane; c < a.n; c += g.lanes) {
    const Column k(a, c);
    C v = (load<C>(a.x_type, a.x, at[0] + k.at[0]) - mean) * rstd;
    if (a.weight) v *= load<C>(a.weight_type, a.weight, k.at[3]);
    if (a.bias) v += load<C>(a.bias_type, a.bias, k.at[4]);
    store<C>(a.y_type, a.y, at[1] + k.at[1], v);
  }
  if (g.lane != 0) return;
  if (!a.rms) store<C>(a.stat_type, a.mean, at[3], mean);
  store<C>(a.stat_type, a.rstd, at[4], rstd);
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) layer_norm_dx(RUTILE_PARAM LayerNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(a.group);
  const bool valid = g.row < a.rows;
  int64_t at[5] = {};
  if (valid) a.row.find(g.row, at);
  const C mean = valid && !a.rms ? load<C>(a.stat_type, a.mean_in, at[3]) : C(0);
  const C rstd = valid ? load<C>(a.stat_type, a.rstd_in, at[4]) : C(0);
  C sum = 0, sum_x = 0;
  const auto weighted = [&](const Column& k) {
    const C d = load<C>(a.grad_type, a.grad, at[2] + k.at[2]);
    return a.weight ? d * load<C>(a.weight_type, a.weight, k.at[3]) : d;
  };
  for (int64_t c = g.lane; valid && c < a.n; c += g.lanes) {
    const Column k(a, c);
    const C d = weighted(k);
    sum += d;
    sum_x += d * ((load<C>(a.x_type, a.x, at[0] + k.at[0]) - mean) * rstd);
  }
  const C scale = C(1) / static_cast<C>(a.n);
  sum = a.rms ? C(0) : g.sum(sum, shared) * scale;
  sum_x = g.sum(sum_x, shared) * scale;
  for (int64_t c = g.lane; valid && c < a.n; c += g.lanes) {
    const Column k(a, c);
    const C hat = (load<C>(a.x_type, a.x, at[0] + k.at[0]) - mean) * rstd;
    store<C>(a.y_type, a.y, at[1] + k.at[1], rstd * (weighted(k) - sum - hat * sum_x));
  }
}

// Sums over the rows of a part: 32 columns by 8 lanes.
template <class C>
__global__ void __launch_bounds__(kGroupThreads) layer_norm_dweight(RUTILE_PARAM LayerNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g({8, 32, true});
  const int64_t c = g.row;
  const bool valid = c < a.n;
  const Column k(a, valid ? c : 0);
  const int64_t begin = blockIdx.y * a.part;
  const int64_t end = begin + a.part < a.rows ? begin + a.part : a.rows;
  C dweight = 0, dbias = 0;
  for (int64_t r = begin + g.lane; valid && r < end; r += g.lanes) {
    int64_t at[5];
    a.row.find(r, at);
    const C mean = a.rms ? C(0) : load<C>(a.stat_type, a.mean_in, at[3]);
    const C rstd = load<C>(a.stat_type, a.rstd_in, at[4]);
    const C d = load<C>(a.grad_type, a.grad, at[2] + k.at[2]);
    dweight += d * ((load<C>(a.x_type, a.x, at[0] + k.at[0]) - mean) * rstd);
    dbias += d;
  }
  dweight = g.sum(dweight, shared);
  dbias = g.sum(dbias, shared);
  if (!valid || g.lane != 0) return;
  C* partial = static_cast<C*>(a.partial) + 2 * blockIdx.y * a.n;
  partial[c] = dweight;
  partial[a.n + c] = dbias;
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) join_dweight(RUTILE_PARAM LayerNormArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g({8, 32, true});
  const int64_t c = g.row;
  C dweight = 0, dbias = 0;
  for (int64_t p = g.lane; c < a.n && p < a.parts; p += g.lanes) {
    dweight += static_cast<const C*>(a.partial)[2 * p * a.n + c];
    dbias += static_cast<const C*>(a.partial)[(2 * p + 1) * a.n + c];
  }
  dweight = g.sum(dweight, shared);
  dbias = g.sum(dbias, shared);
  if (c >= a.n || g.lane != 0) return;
  store<C>(a.stat_type, a.dweight, c, dweight);
  if (a.dbias) store<C>(a.stat_type, a.dbias, c, dbias);
}

// dx may lie where x or the gradient does: it comes last.
template <class C>
int launch_grad(const LayerNormArgs& a, Stream stream) {
  const GroupShape columns{8, 32, true};
  if (const int code =
          launch_blocks(layer_norm_dweight<C>, group_grid(columns, a.n, a.parts), stream, a)) {
    return code;
  }
  if (const int code = launch_blocks(join_dweight<C>, group_grid(columns, a.n), stream, a)) {
    return code;
  }
  return launch_blocks(layer_norm_dx<C>, group_grid(a.group, a.rows), stream, a);
}

}  // namespace

int launch_layer_norm(const LayerNormArgs& a, Stream stream) {
  const bool wide = a.stat_type == DType::kF64;
  return launch_blocks(wide ? layer_norm<double> : layer_norm<float>, group_grid(a.group, a.rows),
                       stream, a);
}
int launch_layer_norm_grad(const LayerNormArgs& a, Stream stream) {
  return a.stat_type == DType::kF64 ? launch_grad<double>(a, stream)
                                    : launch_grad<float>(a, stream);
}

}  // namespace rutile::cuda
