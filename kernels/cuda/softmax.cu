// SPDX-License-Identifier: Apache-2.0
// Softmax and cross entropy: one pass for the largest element and the sum, a second one that
// writes. f64 computes in double, everything else in float.
#include "rutile/kernels/cuda/softmax.h"

#include "rutile/kernels/cuda/top_sum.h"
#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

template <class C>
RUTILE_DEVICE TopSum<C> row_top_sum(const Group& g, DType t, const void* x, int64_t base,
                                    int64_t step, int64_t n, bool valid, TopSum<C>* shared) {
  TopSum<C> mine;
  for (int64_t i = g.lane; valid && i < n; i += g.lanes) mine.take(load<C>(t, x, base + i * step));
  return g.all(mine, shared, [](const TopSum<C>& a, const TopSum<C>& b) { return a.joined(b); });
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) softmax(RUTILE_PARAM SoftmaxArgs a) {
  alignas(16) __shared__ char memory[kGroupThreads * sizeof(TopSum<C>)];
  const Group g(a.group);
  const bool valid = g.row < a.rows;
  int64_t at[3] = {};
  if (valid) a.index.find(g.row, at);
  const TopSum<C> t = row_top_sum(g, a.in_type[0], a.in[0], at[0], a.step[0], a.n, valid,
                                  reinterpret_cast<TopSum<C>*>(memory));
  if (!valid) return;
  const C log_sum = a.log ? M::log(t.sum) : C(0);
  for (int64_t i = g.lane; i < a.n; i += g.lanes) {
    const C v = load<C>(a.in_type[0], a.in[0], at[0] + i * a.step[0]) - t.top;
    store<C>(a.out_type, a.out, at[2] + i * a.step[2], a.log ? v - log_sum : M::exp(v) / t.sum);
  }
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) softmax_grad(RUTILE_PARAM SoftmaxArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(a.group);
  const bool valid = g.row < a.rows;
  int64_t at[3] = {};
  if (valid) a.index.find(g.row, at);
  C mine = 0;
  for (int64_t i = g.lane; valid && i < a.n; i += g.lanes) {
    const C d = load<C>(a.in_type[0], a.in[0], at[0] + i * a.step[0]);
    mine += a.log ? d : d * load<C>(a.in_type[1], a.in[1], at[1] + i * a.step[1]);
  }
  const C sum = g.sum(mine, shared);
  for (int64_t i = g.lane; valid && i < a.n; i += g.lanes) {
    const C d = load<C>(a.in_type[0], a.in[0], at[0] + i * a.step[0]);
    const C y = load<C>(a.in_type[1], a.in[1], at[1] + i * a.step[1]);
    store<C>(a.out_type, a.out, at[2] + i * a.step[2], a.log ? d - M::exp(y) * sum : y * (d - sum));
  }
}

template <class C>
RUTILE_FN C class_weight(const CrossEntropyArgs& a, int64_t k) {
  return a.weight ? load<C>(a.weight_type, a.weight, k * a.weight_step) : C(1);
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) cross_entropy(RUTILE_PARAM CrossEntropyArgs a) {
  alignas(16) __shared__ char memory[kGroupThreads * sizeof(TopSum<C>)];
  const Group g(a.group);
  const bool valid = g.row < a.rows;
  int64_t at[4] = {};
  if (valid) a.index.find(g.row, at);
  const TopSum<C> t = row_top_sum(g, a.x_type, a.x, at[0], a.step, a.classes, valid,
                                  reinterpret_cast<TopSum<C>*>(memory));
  const C lse = t.top + M::log(t.sum);
  C smooth = 0;
  if (a.smoothing != 0) {
    C mine = 0;
    for (int64_t k = g.lane; valid && k < a.classes; k += g.lanes) {
      mine += class_weight<C>(a, k) * (lse - load<C>(a.x_type, a.x, at[0] + k * a.step));
    }
    smooth = g.sum(mine, reinterpret_cast<C*>(memory)) *
             static_cast<C>(a.smoothing / static_cast<double>(a.classes));
  }
  if (!valid || g.lane != 0) return;
  const int64_t label = load<int64_t>(a.label_type, a.labels, at[1]);
  C term = 0, weight = 0;
  if (label != a.ignore) {
    const int64_t y = a.fault.resolve(label, g.row, a.classes, false, FaultKind::kLabel);
    if (y >= 0) {
      weight = class_weight<C>(a, y);
      term = static_cast<C>(1 - a.smoothing) * weight *
                 (lse - load<C>(a.x_type, a.x, at[0] + y * a.step)) +
             smooth;
    }
  }
  store<C>(a.lse_type, a.lse, at[2], lse);
  if (a.reduce == CrossEntropyArgs::kNone) {
    store<C>(a.loss_type, a.loss, at[3], term);
  } else {
    static_cast<C*>(a.terms)[g.row] = term;
    static_cast<C*>(a.weights)[g.row] = weight;
  }
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads) join_terms(RUTILE_PARAM CrossEntropyArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(whole_block());
  C term = 0, weight = 0;
  for (int64_t i = g.lane; i < a.rows; i += g.lanes) {
    term += static_cast<const C*>(a.terms)[i];
    weight += static_cast<const C*>(a.weights)[i];
  }
  term = g.sum(term, shared);
  weight = g.sum(weight, shared);
  if (g.lane != 0) return;
  store<C>(a.loss_type, a.loss, 0, a.reduce == CrossEntropyArgs::kMean ? term / weight : term);
}

// What backward needs of all labels: the sum of their weights, and of those of all classes.
template <class C>
__global__ void __launch_bounds__(kGroupThreads) label_totals(RUTILE_PARAM CrossEntropyArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(whole_block());
  C weight = 0, all = 0;
  for (int64_t i = g.lane; i < a.rows; i += g.lanes) {
    int64_t at[4];
    a.index.find(i, at);
    const int64_t label = load<int64_t>(a.label_type, a.labels, at[1]);
    if (label == a.ignore) continue;
    const int64_t y = a.fault.resolve(label, i, a.classes, false, FaultKind::kLabel);
    if (y >= 0) weight += class_weight<C>(a, y);
  }
  for (int64_t k = g.lane; k < a.classes; k += g.lanes) all += class_weight<C>(a, k);
  weight = g.sum(weight, shared);
  all = g.sum(all, shared);
  if (g.lane != 0) return;
  static_cast<C*>(a.totals)[0] = weight;
  static_cast<C*>(a.totals)[1] = all;
}

template <class C>
__global__ void __launch_bounds__(kGroupThreads)
    cross_entropy_grad(RUTILE_PARAM CrossEntropyArgs a) {
  const Group g(a.group);
  if (g.row >= a.rows) return;
  int64_t at[4];
  a.index.find(g.row, at);
  const int64_t to = a.dx_index.find_one(g.row);
  const int64_t label = load<int64_t>(a.label_type, a.labels, at[1]);
  const bool ignored = label == a.ignore || a.classes == 0;
  const int64_t y =
      ignored ? -1 : a.fault.resolve(label, g.row, a.classes, false, FaultKind::kLabel);
  C scale = load<C>(a.grad_type, a.grad, a.reduce == CrossEntropyArgs::kNone ? at[3] : 0);
  if (a.reduce == CrossEntropyArgs::kMean) scale /= static_cast<const C*>(a.totals)[0];
  const C lse = load<C>(a.lse_type, a.lse_in, at[2]);
  const C share = static_cast<C>(a.smoothing / static_cast<double>(a.classes));
  const C hot = ignored ? C(0) : static_cast<C>(1 - a.smoothing) * class_weight<C>(a, y);
  const C all = hot + share * static_cast<const C*>(a.totals)[1];
  for (int64_t k = g.lane; k < a.classes; k += g.lanes) {
    C d = 0;
    if (!ignored) {
      const C p = M::exp(load<C>(a.x_type, a.x, at[0] + k * a.step) - lse);
      d = scale * (p * all - (k == y ? hot : C(0)) - share * class_weight<C>(a, k));
    }
    store<C>(a.dx_type, a.dx, to + k * a.dx_step, d);
  }
}

}  // namespace

int launch_softmax(const SoftmaxArgs& a, Stream stream) {
  const bool wide = a.in_type[0] == DType::kF64;
  return launch_blocks(wide ? softmax<double> : softmax<float>, group_grid(a.group, a.rows), stream,
                       a);
}
int launch_softmax_grad(const SoftmaxArgs& a, Stream stream) {
  const bool wide = a.in_type[0] == DType::kF64;
  return launch_blocks(wide ? softmax_grad<double> : softmax_grad<float>,
                       group_grid(a.group, a.rows), stream, a);
}
int launch_cross_entropy(const CrossEntropyArgs& a, Stream stream) {
  const bool wide = a.x_type == DType::kF64;
  if (const int code = launch_blocks(wide ? cross_entropy<double> : cross_entropy<float>,
                                     group_grid(a.group, a.rows), stream, a)) {
    return code;
  }
  if (a.reduce == CrossEntropyArgs::kNone) return 0;
  return launch_blocks(wide ? join_terms<double> : join_terms<float>, {.threads = kGroupThreads},
                       stream, a);
}
int launch_cross_entropy_grad(const CrossEntropyArgs& a, Stream stream) {
  const bool wide = a.x_type == DType::kF64;
  if (const int code = launch_blocks(wide ? label_totals<double> : label_totals<float>,
                                     {.threads = kGroupThreads}, stream, a)) {
    return code;
  }
  return launch(wide ? cross_entropy_grad<double> : cross_entropy_grad<float>,
                group_grid(a.group, a.rows), stream, a);
}

}  // namespace rutile::cuda
