// SPDX-License-Identifier: Apache-2.0
// Reference kernels of CTC, in double: forward and backward variables as Graves defines them.
#include <cmath>
#include <limits>
#include <vector>

#include "rutile/kernels/ctc_shape.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  const double top = std::max(a, b);
  if (top == kNone || std::isnan(a + b)) return a + b;
  return top + std::log1p(std::exp(std::min(a, b) - top));
}

struct Sequence {
  const Elements* x = nullptr;
  int64_t n = 0, steps = 0;
  bool one = false;
  std::vector<int64_t> path;  // the target with blanks around each label

  int64_t places() const { return static_cast<int64_t>(path.size()); }
  // Of a tensor with the shape of log_probs.
  double value(const Elements& e, int64_t t, int64_t place) const {
    const int64_t k = path[static_cast<size_t>(place)];
    return one ? e.at({t, k}) : e.at({t, n, k});
  }
  double log_p(int64_t t, int64_t place) const { return value(*x, t, place); }
  bool may_skip(int64_t from, int64_t to) const {  // a blank between two different labels
    return to % 2 == 1 && path[static_cast<size_t>(from)] != path[static_cast<size_t>(to)];
  }
};
using Lattice = std::vector<std::vector<double>>;

// alpha[t][s]: log P of all beginnings that end at place s in step t.
Lattice forward(const Sequence& q) {
  Lattice a(static_cast<size_t>(q.steps), std::vector<double>(q.path.size(), kNone));
  for (int64_t t = 0; t < q.steps; ++t) {
    for (int64_t s = 0; s < q.places(); ++s) {
      double sum = t == 0 && s < 2 ? 0 : kNone;
      if (t > 0) {
        const std::vector<double>& last = a[static_cast<size_t>(t - 1)];
        for (int64_t from = std::max<int64_t>(s - 2, 0); from <= s; ++from) {
          if (from == s - 2 && !q.may_skip(from, s)) continue;
          sum = log_add(sum, last[static_cast<size_t>(from)]);
        }
      }
      a[static_cast<size_t>(t)][static_cast<size_t>(s)] = sum + q.log_p(t, s);
    }
  }
  return a;
}
// beta[t][s]: log P of all endings after step t from place s on.
Lattice backward(const Sequence& q) {
  Lattice b(static_cast<size_t>(q.steps), std::vector<double>(q.path.size(), kNone));
  for (int64_t t = q.steps - 1; t >= 0; --t) {
    for (int64_t s = 0; s < q.places(); ++s) {
      double sum = t == q.steps - 1 && s + 2 >= q.places() ? 0 : kNone;
      for (int64_t to = s; t + 1 < q.steps && to < std::min(s + 3, q.places()); ++to) {
        if (to == s + 2 && !q.may_skip(s, to)) continue;
        sum = log_add(sum,
                      b[static_cast<size_t>(t + 1)][static_cast<size_t>(to)] + q.log_p(t + 1, to));
      }
      b[static_cast<size_t>(t)][static_cast<size_t>(s)] = sum;
    }
  }
  return b;
}

// The sequences of a run, whose operands start at input `first`.
Status sequences(const RefPlan& p, const KernelArgs& args, int first, const Elements& x,
                 std::vector<Sequence>* all) {
  const TensorMeta* metas[7];
  for (int i = 0; i < p.in.size(); ++i) metas[i] = &p.in[i];
  CtcShape s = ctc_shape(CallMeta{nullptr, p.attrs.get(), {metas, metas + p.in.size()}, {}}, first);
  // Copies in order, as what checks them reads them.
  std::vector<int64_t> numbers[3];
  for (int i = 0; i < 3; ++i) {
    const Elements e = input(p, args, first + 1 + i);
    for (Walk w(e.meta().shape, e.meta().strides); !w.done(); w.next()) {
      numbers[i].push_back(e.int_at(w.index()));
    }
  }
  s.wide_targets = s.wide_inputs = s.wide_lengths = true;
  const CtcData d{numbers[0].data(), numbers[1].data(), numbers[2].data()};
  std::vector<int64_t> starts(static_cast<size_t>(s.n));
  RUTILE_RETURN_IF_ERROR(ctc_starts(s, d, starts.data()));
  for (int64_t i = 0; i < s.n; ++i) {
    Sequence q;
    q.x = &x;
    q.n = i;
    q.one = x.meta().rank() == 2;
    q.steps = d.input_length(s, i);
    q.path.push_back(s.blank);
    for (int64_t k = 0; k < d.length(s, i); ++k) {
      q.path.push_back(d.label(s, starts[static_cast<size_t>(i)] + k));
      q.path.push_back(s.blank);
    }
    all->push_back(std::move(q));
  }
  return Status();
}
Dims place_of(const Elements& e, int64_t i) { return e.meta().rank() == 0 ? Dims() : Dims{i}; }

Status run_nll(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements x = input(p, args, 0), y = output(p, args);
  std::vector<Sequence> all;
  RUTILE_RETURN_IF_ERROR(sequences(p, args, 0, x, &all));
  for (const Sequence& q : all) {
    double sum = q.steps == 0 && q.places() == 1 ? 0 : kNone;
    if (q.steps > 0) {
      const std::vector<double> last = forward(q).back();
      for (size_t s = last.size() - std::min<size_t>(last.size(), 2); s < last.size(); ++s) {
        sum = log_add(sum, last[s]);
      }
    }
    y.set(place_of(y, q.n), -sum);
  }
  return Status();
}

Status run_nll_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements dy = input(p, args, 0), x = input(p, args, 1), nll = input(p, args, 5);
  const Elements dx = output(p, args);
  std::vector<Sequence> all;
  RUTILE_RETURN_IF_ERROR(sequences(p, args, 1, x, &all));
  for (Walk w(dx.meta().shape, dx.meta().strides); !w.done(); w.next()) dx.set(w.index(), 0);
  for (const Sequence& q : all) {
    const double g = dy.at(place_of(dy, q.n)), loss = nll.at(place_of(nll, q.n));
    if (g == 0) continue;
    const Lattice a = forward(q), b = backward(q);
    std::vector<double> sums(static_cast<size_t>(x.meta().shape.back()));
    for (int64_t t = 0; t < q.steps; ++t) {
      const auto& at = a[static_cast<size_t>(t)];
      const auto& bt = b[static_cast<size_t>(t)];
      std::fill(sums.begin(), sums.end(), 0.0);
      for (size_t s = 0; s < q.path.size(); ++s) {
        const double share = std::exp(at[s] + bt[s] + loss);  // of the alignments
        sums[static_cast<size_t>(q.path[s])] -= g * share;
      }
      for (size_t k = 0; k < sums.size(); ++k) {
        const auto c = static_cast<int64_t>(k);
        dx.set(q.one ? Dims{t, c} : Dims{t, q.n, c}, sums[k]);
      }
    }
  }
  return Status();
}

// Beside forward(): the mean of the sum of u over the steps so far, over the beginnings that end at
// a place.
Lattice forward_means(const Sequence& q, const Elements& u, const Lattice& a) {
  Lattice m(a.size(), std::vector<double>(q.path.size(), 0.0));
  for (int64_t t = 0; t < q.steps; ++t) {
    for (int64_t s = 0; s < q.places(); ++s) {
      const double here = a[static_cast<size_t>(t)][static_cast<size_t>(s)];
      if (here == kNone) continue;
      const double all = here - q.log_p(t, s);
      double mean = q.value(u, t, s);
      for (int64_t from = std::max<int64_t>(s - 2, 0); t > 0 && from <= s; ++from) {
        if (from == s - 2 && !q.may_skip(from, s)) continue;
        const double part = a[static_cast<size_t>(t - 1)][static_cast<size_t>(from)];
        if (part == kNone) continue;
        mean += std::exp(part - all) * m[static_cast<size_t>(t - 1)][static_cast<size_t>(from)];
      }
      m[static_cast<size_t>(t)][static_cast<size_t>(s)] = mean;
    }
  }
  return m;
}
// Beside backward(): that over the steps still to come, over the endings.
Lattice backward_means(const Sequence& q, const Elements& u, const Lattice& b) {
  Lattice m(b.size(), std::vector<double>(q.path.size(), 0.0));
  for (int64_t t = q.steps - 2; t >= 0; --t) {
    for (int64_t s = 0; s < q.places(); ++s) {
      const double all = b[static_cast<size_t>(t)][static_cast<size_t>(s)];
      double mean = 0;
      for (int64_t to = s; to < std::min(s + 3, q.places()); ++to) {
        if (to == s + 2 && !q.may_skip(s, to)) continue;
        const double part = b[static_cast<size_t>(t + 1)][static_cast<size_t>(to)];
        if (part == kNone || all == kNone) continue;
        mean += std::exp(part + q.log_p(t + 1, to) - all) *
                (m[static_cast<size_t>(t + 1)][static_cast<size_t>(to)] + q.value(u, t + 1, to));
      }
      m[static_cast<size_t>(t)][static_cast<size_t>(s)] = mean;
    }
  }
  return m;
}

Status run_nll_grad_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements u = input(p, args, 0), dy = input(p, args, 1), x = input(p, args, 2);
  const Elements nll = input(p, args, 6), dx = output(p, args), ddy = output(p, args, 1);
  std::vector<Sequence> all;
  RUTILE_RETURN_IF_ERROR(sequences(p, args, 2, x, &all));
  for (Walk w(dx.meta().shape, dx.meta().strides); !w.done(); w.next()) dx.set(w.index(), 0);
  for (const Sequence& q : all) {
    const double g = dy.at(place_of(dy, q.n)), loss = nll.at(place_of(nll, q.n));
    const bool infinite = std::isinf(loss);
    const Lattice a = forward(q), b = backward(q);
    const Lattice am = forward_means(q, u, a), bm = backward_means(q, u, b);
    double sum = 0;
    for (size_t t = 0; t < a.size(); ++t) {
      std::vector<double> sums(static_cast<size_t>(x.meta().shape.back()));
      for (size_t s = 0; s < q.path.size(); ++s) {
        const double share = std::exp(a[t][s] + b[t][s] + loss);
        sum -= share * q.value(u, static_cast<int64_t>(t), static_cast<int64_t>(s));
        sums[static_cast<size_t>(q.path[s])] -= g * share * (am[t][s] + bm[t][s]);
      }
      for (size_t k = 0; g != 0 && k < sums.size(); ++k) {
        const auto c = static_cast<int64_t>(k), at = static_cast<int64_t>(t);
        dx.set(q.one ? Dims{at, c} : Dims{at, q.n, c}, sums[k]);
      }
    }
    ddy.set(place_of(ddy, q.n), infinite ? 0 : sum);
  }
  return Status();
}

}  // namespace

void register_ctc_ref() {
  register_kernel(ref_row<run_nll>(ops::kCtcNll));
  register_kernel(ref_row<run_nll_grad>(ops::kCtcNllGrad));
  register_kernel(ref_row<run_nll_grad_grad>(ops::kCtcNllGradGrad));
}

}  // namespace rutile::kernels
