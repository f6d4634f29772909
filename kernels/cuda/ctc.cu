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
  // u of the label of this place.
  RUTILE_FN double weight(const CtcArgs& a, int64_t t, int64_t place) const {
    return load_any<double>(a.type, a.u,
                            t * a.u_step + index * a.u_n + label(a, place) * a.u_class);
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

// Sum of what the threads have, for all of them.
RUTILE_DEVICE double sum_of_threads(double mine, double* shared) {
  shared[threadIdx.x] = mine;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  const double sum = shared[0];
  __syncthreads();
  return sum;
}

// The gradient of step t from the places' shares: each label is added up where it first stands, the
// blank by all threads.
template <class F>
RUTILE_DEVICE void write_step(const CtcArgs& a, const Sequence& q, int64_t t, double g,
                              double* shared, F&& share) {
  const int64_t base = t * a.dx_step + q.index * a.dx_n;
  double blank = 0;
  for (int64_t s = 2 * static_cast<int64_t>(threadIdx.x); s < q.places(); s += 2 * kThreads) {
    blank += share(s);
  }
  blank = sum_of_threads(blank, shared);
  for (int64_t k = threadIdx.x; k < q.length; k += kThreads) {
    const int64_t label = q.label(a, 2 * k + 1);
    bool first = true;
    for (int64_t j = 0; j < k && first; ++j) first = q.label(a, 2 * j + 1) != label;
    if (!first) continue;
    double sum = label == a.blank ? blank : 0;
    for (int64_t j = k; j < q.length; ++j) {
      if (q.label(a, 2 * j + 1) == label) sum += share(2 * j + 1);
    }
    store_any<double>(a.type, a.dx, base + label * a.dx_class, -g * sum);
  }
  bool alone = true;  // a target that has the blank for a label adds it up with that
  for (int64_t j = 0; j < q.length && alone; ++j) alone = q.label(a, 2 * j + 1) != a.blank;
  if (threadIdx.x == 0 && alone) {
    store_any<double>(a.type, a.dx, base + a.blank * a.dx_class, -g * blank);
  }
  __syncthreads();
}

// Means over the alignments up to place s at step t of the sum of u so far, t included.
RUTILE_DEVICE void forward_means(const CtcArgs& a, const Sequence& q, int64_t t, const double* last,
                                 const double* row, const double* last_means, double* means) {
  for (int64_t s = threadIdx.x; s < q.places(); s += kThreads) {
    double mean = row[s] == none() ? 0 : q.weight(a, t, s);
    const double rest = q.log_p(a, t, s) - row[s];
    for (int64_t from = s > 2 ? s - 2 : 0; t > 0 && row[s] != none() && from <= s; ++from) {
      if (from == s - 2 && !q.may_skip(a, from, s)) continue;
      mean += M::exp(last[from] + rest) * last_means[from];
    }
    means[s] = mean;
  }
  __syncthreads();
}
// Of what follows, t not included.
RUTILE_DEVICE void backward_means(const CtcArgs& a, const Sequence& q, int64_t t,
                                  const double* next, const double* row, const double* next_means,
                                  double* means) {
  for (int64_t s = threadIdx.x; s < q.places(); s += kThreads) {
    double mean = 0;
    const bool any = t + 1 < q.steps && row[s] != none();
    for (int64_t to = s; any && to < s + 3 && to < q.places(); ++to) {
      if (to == s + 2 && !q.may_skip(a, s, to)) continue;
      mean += M::exp(next[to] + q.log_p(a, t + 1, to) - row[s]) *
              (next_means[to] + q.weight(a, t + 1, to));
    }
    means[s] = mean;
  }
  __syncthreads();
}

// Checks the sequence and clears its gradient; whether it can be worked on, for all threads.
RUTILE_DEVICE bool begin(const CtcArgs& a, const Sequence& q, int* bad) {
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
  return *bad == 0;
}

#endif

__global__ void __launch_bounds__(kThreads) ctc(RUTILE_PARAM CtcArgs a) {
  __shared__ double shared[kThreads];
  __shared__ int bad[1];
  const Sequence q(a, blockIdx.x);
  if (!begin(a, q, bad)) return;
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
    const double* const alpha = row(t);
    write_step(a, q, t, g, shared, [&](int64_t s) { return M::exp(alpha[s] + beta[s] + loss); });
  }
}

// dx(t, label) = -g sum of (share of an alignment) (its sum of u), ddy = -sum of share * u.
__global__ void __launch_bounds__(kThreads) ctc_twice(RUTILE_PARAM CtcArgs a) {
  __shared__ double shared[kThreads];
  __shared__ int bad[1];
  const Sequence q(a, blockIdx.x);
  if (!begin(a, q, bad)) return;
  double* const rows = a.workspace + q.index * a.rows() * a.places();
  const auto row = [&](int64_t t) { return rows + t * a.places(); };
  const auto means = [&](int64_t t) { return row(a.steps + 2 + t); };
  const double g = load_any<double>(a.dy_type, a.dy, q.index * a.dy_stride);
  const double loss = load_any<double>(a.nll_type, a.nll_in, q.index * a.nll_stride);
  const bool infinite = loss == -none();
  for (int64_t t = 0; t < q.steps; ++t) {
    const int64_t last = t > 0 ? t - 1 : 0;
    forward(a, q, t, row(last), row(t));
    forward_means(a, q, t, row(last), row(t), means(last), means(t));
  }
  double sum = 0;
  for (int64_t t = q.steps - 1; t >= 0; --t) {
    const int64_t now = a.steps + t % 2, next = a.steps + (t + 1) % 2;
    backward(a, q, t, row(next), row(now));
    backward_means(a, q, t, row(next), row(now), means(next), means(now));
    const double *const alpha = row(t), *const beta = row(now);
    const double *const before = means(t), *const behind = means(now);
    const auto share = [&](int64_t s) {
      return infinite ? loss - loss : M::exp(alpha[s] + beta[s] + loss);
    };
    for (int64_t s = threadIdx.x; s < q.places(); s += kThreads) {
      sum += share(s) * q.weight(a, t, s);
    }
    if (g == 0) continue;
    write_step(a, q, t, g, shared, [&](int64_t s) { return share(s) * (before[s] + behind[s]); });
  }
  sum = sum_of_threads(sum, shared);
  if (threadIdx.x == 0) {
    store_any<double>(a.dy_type, a.ddy, q.index * a.ddy_stride, infinite ? 0 : -sum);
  }
}

}  // namespace

int launch_ctc(const CtcArgs& a, Stream stream) {
  const Grid grid{.x = a.n, .threads = kThreads};
  return a.twice ? launch_blocks(ctc_twice, grid, stream, a) : launch_blocks(ctc, grid, stream, a);
}

}  // namespace rutile::cuda
