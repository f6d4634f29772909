// SPDX-License-Identifier: Apache-2.0
// Reference kernels of softmax, losses and the norms over rows, in double.
#include "rutile/ops/softmax.h"

#include <cmath>
#include <limits>
#include <vector>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/loss.h"

namespace rutile::kernels {
namespace {

// ---- softmax ------------------------------------------------------------------------------------

// Calls f(index with `axis` at 0) for all rows along the axis.
template <class F>
void for_rows(const Shape& shape, int axis, F&& f) {
  Shape outer = shape;
  outer[axis] = shape[axis] > 0 ? 1 : 0;
  for (Walk w(outer, contiguous_strides(outer)); !w.done(); w.next()) f(w.index());
}

struct MaxAndSum {
  double max, sum;  // of exp(x - max)
};

MaxAndSum max_and_sum(const Elements& x, Dims at, int axis) {
  const int64_t n = x.meta().dim(axis);
  MaxAndSum r{-std::numeric_limits<double>::infinity(), 0};
  for (at[axis] = 0; at[axis] < n; ++at[axis]) {
    const double v = x.at(at);
    if (v > r.max || std::isnan(v)) r.max = v;
    if (std::isnan(v)) break;
  }
  for (at[axis] = 0; at[axis] < n; ++at[axis]) r.sum += std::exp(x.at(at) - r.max);
  return r;
}

template <bool kLog>
Status run_softmax(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements x = input(p, args, 0), y = output(p, args);
  const int axis = axis_of(p.as<ops::SoftmaxAttrs>().axis, p.in[0].rank());
  for_rows(p.in[0].shape, axis, [&](Dims at) {
    const MaxAndSum r = max_and_sum(x, at, axis);
    for (at[axis] = 0; at[axis] < p.in[0].dim(axis); ++at[axis]) {
      const double v = x.at(at) - r.max;
      y.set(at, kLog ? v - std::log(r.sum) : std::exp(v) / r.sum);
    }
  });
  return Status();
}

template <bool kLog>
Status run_softmax_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements g = input(p, args, 0), y = input(p, args, 1), dx = output(p, args);
  const int axis = axis_of(p.as<ops::SoftmaxAttrs>().axis, p.in[0].rank());
  const int64_t n = p.in[0].dim(axis);
  for_rows(p.in[0].shape, axis, [&](Dims at) {
    double s = 0;
    for (at[axis] = 0; at[axis] < n; ++at[axis]) s += kLog ? g.at(at) : g.at(at) * y.at(at);
    for (at[axis] = 0; at[axis] < n; ++at[axis]) {
      dx.set(at, kLog ? g.at(at) - std::exp(y.at(at)) * s : y.at(at) * (g.at(at) - s));
    }
  });
  return Status();
}

// ---- cross_entropy ------------------------------------------------------------------------------

struct Labels {
  Elements labels, weight;
  int64_t classes = 0;
  const ops::CrossEntropyAttrs* attrs = nullptr;

  double weight_of(int64_t k) const { return weight ? weight.at({k}) : 1; }
  double total_weight() const {
    double s = 0;
    for (int64_t k = 0; k < classes; ++k) s += weight_of(k);
    return s;
  }
  // What the mean divides by; kIndex for a label that is no class.
  Status check(double* norm) const {
    *norm = 0;
    for (Walk w(labels.meta()); !w.done(); w.next()) {
      const int64_t y = labels.get_int(w.offset());
      if (y == attrs->ignore_index) continue;
      if (resolve_index(y, classes, false) < 0) {
        return index_out_of_range("label", y, w.index(), classes, false);
      }
      *norm += weight_of(y);
    }
    return Status();
  }
};

int class_axis(int rank) { return rank == 1 ? 0 : 1; }

// The label's index with the class put in.
Dims with_class(const Dims& at, int axis, int64_t k) {
  Dims full;
  for (int i = 0; i <= at.rank(); ++i) {
    if (i == axis) full.push_back(k);
    if (i < at.rank()) full.push_back(at[i]);
  }
  return full;
}

Status run_cross_entropy(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::CrossEntropyAttrs>();
  const Elements x = input(p, args, 0), loss = output(p, args, 0), lse = output(p, args, 1);
  const int axis = class_axis(p.in[0].rank());
  const Labels l{input(p, args, 1), input(p, args, 2), p.in[0].dim(axis), &a};
  double norm = 0, sum = 0;
  RUTILE_RETURN_IF_ERROR(l.check(&norm));
  for (Walk w(p.in[1]); !w.done(); w.next()) {
    const MaxAndSum r = max_and_sum(x, with_class(w.index(), axis, 0), axis);
    const double log_sum = r.max + std::log(r.sum);
    lse.set(w.index(), log_sum);
    const int64_t y = l.labels.get_int(w.offset());
    double v = 0;
    if (y != a.ignore_index) {
      v = (1 - a.label_smoothing) * l.weight_of(y) *
          (log_sum - x.at(with_class(w.index(), axis, y)));
      for (int64_t k = 0; a.label_smoothing != 0 && k < l.classes; ++k) {
        v += a.label_smoothing / static_cast<double>(l.classes) * l.weight_of(k) *
             (log_sum - x.at(with_class(w.index(), axis, k)));
      }
    }
    if (a.reduction == Reduction::kNone) loss.set(w.index(), v);
    sum += v;
  }
  if (a.reduction == Reduction::kSum) loss.put(0, sum);
  if (a.reduction == Reduction::kMean) loss.put(0, sum / norm);
  return Status();
}

Status run_cross_entropy_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::CrossEntropyAttrs>();
  const Elements g = input(p, args, 0), x = input(p, args, 1), lse = input(p, args, 3);
  const Elements dx = output(p, args);
  const int axis = class_axis(p.in[1].rank());
  const Labels l{input(p, args, 2), input(p, args, 4), p.in[1].dim(axis), &a};
  double norm = 0;
  RUTILE_RETURN_IF_ERROR(l.check(&norm));
  const double all = a.label_smoothing * l.total_weight() / static_cast<double>(l.classes);
  for (Walk w(p.in[2]); !w.done(); w.next()) {
    const int64_t y = l.labels.get_int(w.offset());
    double scale = a.reduction == Reduction::kNone ? g.at(w.index()) : g.get(0);
    if (a.reduction == Reduction::kMean) scale /= norm;
    for (int64_t k = 0; k < l.classes; ++k) {
      const Dims at = with_class(w.index(), axis, k);
      if (y == a.ignore_index) {
        dx.set(at, 0);
        continue;
      }
      const double hot = (1 - a.label_smoothing) * l.weight_of(y);
      const double target =
          (k == y ? hot : 0) + a.label_smoothing * l.weight_of(k) / static_cast<double>(l.classes);
      dx.set(at, scale * (std::exp(x.at(at) - lse.at(w.index())) * (hot + all) - target));
    }
  }
  return Status();
}

// ---- layer_norm, rms_norm -----------------------------------------------------------------------

// Rows of x and of everything shaped like it, by row and column in row-major order.
struct RowShape {
  Shape shape, rows, columns;
  RowShape(const Shape& s, int64_t axes) : shape(s) {
    for (int i = 0; i < s.rank(); ++i) (i < s.rank() - axes ? rows : columns).push_back(s[i]);
  }
  int64_t width() const { return columns.numel(); }
  static double at(const Elements& e, const Shape& s, int64_t i) { return e.at(position_of(i, s)); }
  double x(const Elements& e, int64_t r, int64_t c) const { return at(e, shape, r * width() + c); }
  void set(const Elements& e, int64_t r, int64_t c, double v) const {
    e.set(position_of(r * width() + c, shape), v);
  }
  double scale(const Elements& w, int64_t c, double otherwise) const {
    return w ? at(w, columns, c) : otherwise;
  }
};

template <bool kRms>
Status run_norm(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::LayerNormAttrs>();
  const RowShape s(p.in[0].shape, a.axes);
  const Elements x = input(p, args, 0), w = input(p, args, 1);
  const Elements b = kRms ? Elements() : input(p, args, 2);
  const double n = static_cast<double>(s.width());
  for (int64_t r = 0; r < s.rows.numel(); ++r) {
    double mean = 0, square = 0;
    for (int64_t c = 0; !kRms && c < s.width(); ++c) mean += s.x(x, r, c) / n;
    for (int64_t c = 0; c < s.width(); ++c) {
      square += (s.x(x, r, c) - mean) * (s.x(x, r, c) - mean) / n;
    }
    const double rstd = 1 / std::sqrt(square + a.eps);
    for (int64_t c = 0; c < s.width(); ++c) {
      const double y = (s.x(x, r, c) - mean) * rstd * s.scale(w, c, 1) + s.scale(b, c, 0);
      s.set(output(p, args), r, c, y);
    }
    const Dims at = position_of(r, s.rows);
    if (!kRms) output(p, args, 1).set(at, mean);
    output(p, args, kRms ? 1 : 2).set(at, rstd);
  }
  return Status();
}

template <bool kRms>
Status run_norm_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const RowShape s(p.in[1].shape, p.as<ops::LayerNormAttrs>().axes);
  const Elements g = input(p, args, 0), x = input(p, args, 1);
  const Elements mean = input(p, args, 2), rstd = input(p, args, kRms ? 2 : 3);
  const Elements w = input(p, args, kRms ? 3 : 4);
  const double n = static_cast<double>(s.width());
  std::vector<double> dweight(static_cast<size_t>(s.width())), dbias(dweight);
  for (int64_t r = 0; r < s.rows.numel(); ++r) {
    const double m = kRms ? 0 : s.at(mean, s.rows, r), k = s.at(rstd, s.rows, r);
    double sum_g = 0, sum_gx = 0;
    for (int64_t c = 0; c < s.width(); ++c) {
      const double xhat = (s.x(x, r, c) - m) * k, gw = s.x(g, r, c) * s.scale(w, c, 1);
      sum_g += gw / n;
      sum_gx += gw * xhat / n;
      dweight[static_cast<size_t>(c)] += s.x(g, r, c) * xhat;
      dbias[static_cast<size_t>(c)] += s.x(g, r, c);
    }
    for (int64_t c = 0; c < s.width(); ++c) {
      const double xhat = (s.x(x, r, c) - m) * k, gw = s.x(g, r, c) * s.scale(w, c, 1);
      s.set(output(p, args), r, c, k * (gw - (kRms ? 0 : sum_g) - xhat * sum_gx));
    }
  }
  for (int64_t c = 0; c < s.width(); ++c) {
    output(p, args, 1).put(c, dweight[static_cast<size_t>(c)]);
    if (!kRms) output(p, args, 2).put(c, dbias[static_cast<size_t>(c)]);
  }
  return Status();
}

}  // namespace

void register_softmax_ref() {
  register_kernel(ref_row<run_softmax<false>>(ops::kSoftmax));
  register_kernel(ref_row<run_softmax<true>>(ops::kLogSoftmax));
  register_kernel(ref_row<run_softmax_grad<false>>(ops::kSoftmaxGrad));
  register_kernel(ref_row<run_softmax_grad<true>>(ops::kLogSoftmaxGrad));
}

void register_loss_ref() {
  register_kernel(ref_row<run_cross_entropy>(ops::kCrossEntropy));
  register_kernel(ref_row<run_cross_entropy_grad>(ops::kCrossEntropyGrad));
}

void register_layer_norm_ref() {
  register_kernel(ref_row<run_norm<false>>(ops::kLayerNorm));
  register_kernel(ref_row<run_norm_grad<false>>(ops::kLayerNormGrad));
  register_kernel(ref_row<run_norm<true>>(ops::kRmsNorm));
  register_kernel(ref_row<run_norm_grad<true>>(ops::kRmsNormGrad));
}

}  // namespace rutile::kernels
