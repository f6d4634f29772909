// SPDX-License-Identifier: Apache-2.0
// Forward and backward variables as Graves et al. define them.
#include "rutile/kernels/cuda/ctc.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

constexpr int kThreads = 256;
using M = kernels::StdMath;

RUTILE_FN double none() { return -__builtin_inf(); }
RUTILE_FN double log_add(double a, double b) {
  const double top = a > b ? a : b, low = a > b ? b : a;
  if (a != a || b != b || top == none()) return a + b;
  return top + M::log1p(M::exp(low - top));
}

// A sequence: its target lies from `start` on.
struct Sequence {
  int64_t index, start = 0, steps = 0, length = 0;
  bool good = true;

  RUTILE_FN Sequence(const CtcArgs& a, int64_t i) : index(i) {
    steps = load<int64_t>(a.input_type, a.inputs, i);
    length = load<int64_t>(a.length_type, a.lengths, i);
    start = i * a.room;
    if (!a.padded) {
      start = 0;
      for (int64_t k = 0; k < i; ++k) start += load<int64_t>(a.length_type, a.lengths, k);
    }
    const int64_t room = a.padded ? a.room : a.labels - start;
    good = check(a, steps, a.steps + 1) && check(a, length, room + 1);
  }
  RUTILE_FN bool check(const CtcArgs& a, int64_t v, int64_t limit) const {
    if (v >= 0 && v < limit) return true;
    a.fault.raise(FaultKind::kIndex, v, index, limit, false);
    return false;
  }
  RUTILE_FN int64_t places() const { return 2 * length + 1; }
  RUTILE_FN int64_t label(const CtcArgs& a, int64_t place) const {
    return place % 2 == 0 ? a.blank : load<int64_t>(a.target_type, a.targets, start + place / 2);
  }
  RUTILE_FN double log_p(const CtcArgs& a, int64_t t, int64_t place) const {
    return load_any<double>(
        a.type, a.x, t * a.step_stride + index * a.n_stride + label(a, place) * a.class_stride);
  }
  // A blank between two different labels.
  RUTILE_FN bool may_skip(const CtcArgs& a, int64_t from, int64_t to) const {
    return to % 2 == 1 && label(a, from) != label(a, to);
  }
};

#if RUTILE_KERNEL_CODE

// Row t of the forward variables from the row before.
RUTILE_DEVICE void forward(const CtcArgs& a, const Sequence& q, int64_t t, const double* last,
                           double* row) {
  for (int64_t s = threadIdx.x; s < q.places(); s += kThreads) {
    double sum = t == 0 && s < 2 ? 0 : none();
    for (int64_t from = s > 2 ? s - 2 : 0; t > 0 && from <= s; ++from) {
      if (from == s - 2 && !q.may_skip(a, from, s)) continue;
      sum = log_add(sum, last[from]);
    }
    row[s] = sum + q.log_p(a, t, s);
  }
  __syncthreads();
}

RUTILE_DEVICE void backward(const CtcArgs& a, const Sequence& q, int64_t t, const double* next,
                            double* row) {
  for (int64_t s = threadIdx.x; s < q.places(); s += kThreads) {
    double sum = t == q.steps - 1 && s + 2 >= q.places() ? 0 : none();
    for (int64_t to = s; t + 1 < q.steps && to < s + 3 && to < q.places(); ++to) {
      if (to == s + 2 && !q.may_skip(a, s, to)) continue;
      sum = log_add(sum, next[to] + q.log_p(a, t + 1, to));
    }
    row[s] = sum;
  }
  __syncthreads();
}

// The gradient of step t: each label is added up where it first stands, the blank by all threads.
RUTILE_DEVICE void write_step(const CtcArgs& a, const Sequence& q, int64_t t, const double* alpha,
                              const double* beta, double g, double loss, double* shared) {
  const int64_t base = t * a.dx_step + q.index * a.dx_n;
  const auto share = [&](int64_t s) { return M::exp(alpha[s] + beta[s] + loss); };
  double blank = 0;
  for (int64_t s = 2 * static_cast<int64_t>(threadIdx.x); s < q.places(); s += 2 * kThreads) {
    blank += share(s);
  }
  shared[threadIdx.x] = blank;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  for (int64_t k = threadIdx.x; k < q.length; k += kThreads) {
    const int64_t label = q.label(a, 2 * k + 1);
    bool first = true;
    for (int64_t j = 0; j < k && first; ++j) first = q.label(a, 2 * j + 1) != label;
    if (!first) continue;
    double sum = label == a.blank ? shared[0] : 0;
    for (int64_t j = k; j < q.length; ++j) {
      if (q.label(a, 2 * j + 1) == label) sum += share(2 * j + 1);
    }
    store_any<double>(a.type, a.dx, base + label * a.dx_class, -g * sum);
  }
  bool alone = true;  // a target that has the blank for a label adds it up with that
  for (int64_t j = 0; j < q.length && alone; ++j) alone = q.label(a, 2 * j + 1) != a.blank;
  if (threadIdx.x == 0 && alone) {
    store_any<double>(a.type, a.dx, base + a.blank * a.dx_class, -g * shared[0]);
  }
  __syncthreads();
}

#endif

__global__ void __launch_bounds__(kThreads) ctc(RUTILE_PARAM CtcArgs a) {
  __shared__ double shared[kThreads];
  __shared__ int bad[1];
  const Sequence q(a, blockIdx.x);
  if (threadIdx.x == 0) *bad = q.good ? 0 : 1;
  __syncthreads();
  for (int64_t k = threadIdx.x; q.good && k < q.length; k += kThreads) {
    if (!q.check(a, q.label(a, 2 * k + 1), a.classes)) (void)atomicOr(bad, 1);
  }
  if (a.backward) {
    for (int64_t e = threadIdx.x; e < a.steps * a.classes; e += kThreads) {
      store_any<double>(a.type, a.dx,
                        e / a.classes * a.dx_step + q.index * a.dx_n + e % a.classes * a.dx_class,
                        0.0);
    }
  }
  __syncthreads();
  if (*bad) return;
  double* const rows = a.workspace + q.index * a.rows() * a.places();
  const auto row = [&](int64_t t) { return rows + (a.backward ? t : t % 2) * a.places(); };
  if (!a.backward) {
    for (int64_t t = 0; t < q.steps; ++t) {
      forward(a, q, t, row(t > 0 ? t - 1 : 0), row(t));
    }
    if (threadIdx.x != 0) return;
    double sum = q.steps == 0 && q.length == 0 ? 0 : none();
    for (int64_t s = q.places() > 2 ? q.places() - 2 : 0; q.steps > 0 && s < q.places(); ++s) {
      sum = log_add(sum, row(q.steps - 1)[s]);
    }
    store_any<double>(a.nll_type, a.nll, q.index * a.nll_stride, -sum);
    return;
  }
  const double g = load_any<double>(a.dy_type, a.dy, q.index * a.dy_stride);
  const double loss = load_any<double>(a.nll_type, a.nll_in, q.index * a.nll_stride);
  if (g == 0) return;
  for (int64_t t = 0; t < q.steps; ++t) forward(a, q, t, row(t > 0 ? t - 1 : 0), row(t));
  for (int64_t t = q.steps - 1; t >= 0; --t) {
    double* const beta = row(a.steps + t % 2);
    backward(a, q, t, row(a.steps + (t + 1) % 2), beta);
    write_step(a, q, t, row(t), beta, g, loss, shared);
  }
}

}  // namespace

int launch_ctc(const CtcArgs& a, Stream stream) {
  return launch_blocks(ctc, {.x = a.n, .threads = kThreads}, stream, a);
}

}  // namespace rutile::cuda
