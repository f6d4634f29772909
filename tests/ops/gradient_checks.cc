// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/autograd/checker.h"
#include "rutile/autograd/tape.h"
#include "rutile/core/complex.h"
#include "rutile/ops/call.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

namespace {

using Tensors = std::vector<Tensor>;

bool has_gradient(const OpDef& op) { return op.grad || (op.compose && !op.no_grad); }

// The op as a function of its differentiable inputs.
struct Differentiable {
  const Sample& sample;
  Tensors in;
  std::vector<size_t> which;

  Tensors operator()(const Tensors& xs) const {
    Tensors all = in;
    for (size_t k = 0; k < which.size(); ++k) all[which[k]] = xs[k];
    const TensorList out = call_n(*sample.op, sample.attrs.get(), all);
    return {out.begin(), out.end()};
  }
  Tensors points() const {
    Tensors xs;
    for (const size_t i : which) xs.push_back(in[i]);
    return xs;
  }
};

Differentiable in_float64(const Sample& s, DType t) {
  const DType wide = is_complex(t) ? DType::kC128 : is_floating(t) ? DType::kF64 : t;
  Tensors in = with_float_type(s.make_inputs(wide), DType::kF64);
  return {s, in, differentiable(s, in)};
}

// Every floating output in f64: a sample whose attributes fix another type cannot be checked.
bool checkable(const Tensors& ys) {
  return std::all_of(ys.begin(), ys.end(), [](const Tensor& y) {
    return !y.defined() || !is_differentiable(y.dtype()) || real_dtype(y.dtype()) == DType::kF64;
  });
}

bool any_float(const Tensors& ys) {
  return std::any_of(ys.begin(), ys.end(),
                     [](const Tensor& y) { return y.defined() && is_differentiable(y.dtype()); });
}

// Gradients of sum_i <c_i, y_i> by `wanted` with fixed c_i; one list per floating output.
std::vector<Tensors> gradients(const Differentiable& f, const Tensors& xs, const Tensors& wanted) {
  GradScope scope;
  for (const Tensor& x : wanted) scope.watch(x);
  const Tensors ys = f(xs);
  std::vector<Tensors> result;
  for (size_t i = 0; i < ys.size(); ++i) {
    if (!ys[i].defined() || !is_differentiable(ys[i].dtype())) continue;
    const Tensor c = samples::make_tensor(samples::in(ys[i].shape()), ys[i].dtype(), {77 + i});
    result.push_back(scope.gradient(ys[i], wanted, c, /*retain=*/true));
  }
  return result;
}

int64_t elements(const Tensors& in) {
  int64_t n = 0;
  for (const Tensor& t : in) n += t.defined() ? t.numel() : 0;
  return n;
}

// Second derivatives are slow: small samples show what large ones would.
void check_order(const OpDef& op, Findings& findings, bool second) {
  if (!has_gradient(op)) return;
  int samples_seen = 0, checked = 0, excused = 0;
  for_each_sample(op, findings, [&](const Sample& s, DType t) {
    const Differentiable f = in_float64(s, t);
    if (f.which.empty()) return;
    ++samples_seen;
    if (second && elements(f.in) > 400) {
      ++excused;
      return;
    }
    if (!s.no_gradient.empty() || (second && !s.no_second_order.empty())) {
      ++excused;
      return;
    }
    const Tensors ys = f(f.points());
    if (!checkable(ys) || !any_float(ys)) return;
    GradCheckOptions options;
    options.second_order = second;
    options.max_elements = second ? 3 : 10;
    options.directions = second ? 1 : 2;
    // The points move by 2e-4 at most: values of a sample keep further from kinks than that.
    const Status status = check_gradients(f, f.points(), options);
    ++checked;
    if (!status.ok()) {
      std::string which;
      for (const size_t i : f.which)
        which += cat(which.empty() ? "" : ", ", op.input_name(static_cast<int>(i)));
      findings.add(cat(s.describe(DType::kF64), " by (", which, "): ", status.message()));
    }
  });
  if (samples_seen > 0 && checked == 0 && excused < samples_seen && !findings.enough()) {
    findings.add(cat(op.name, " has a gradient, but no sample can check it in f64"));
  }
  if (samples_seen == 0)
    findings.add(cat(op.name, " has a gradient, but no differentiable sample"));
}

}  // namespace

void check_gradient(const OpDef& op, Findings& findings) { check_order(op, findings, false); }

void check_second_order(const OpDef& op, Findings& findings) { check_order(op, findings, true); }

// With only one input watched fewer inputs may be saved and other branches of the rule run; the
// gradient must stay the same. In every floating type: shape and type are those of the input.
void check_saves(const OpDef& op, Findings& findings) {
  if (!has_gradient(op)) return;
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    Tensors in = s.make_inputs(t);
    const Differentiable f{s, in, differentiable(s, in)};
    if (f.which.empty() || (is_long(s) && t != DType::kF32)) return;
    const Tensors xs = f.points();
    const std::vector<Tensors> all = gradients(f, xs, xs);
    for (size_t k = 0; k < xs.size(); ++k) {
      for (const Tensors& g : all) {
        if (!(g[k].shape() == xs[k].shape()) || g[k].dtype() != xs[k].dtype()) {
          findings.add(cat(s.describe(t), ": the gradient of ", xs[k].meta(), " is ", g[k].meta()));
        }
      }
      if (xs.size() == 1) continue;
      const std::vector<Tensors> alone = gradients(f, xs, {xs[k]});
      for (size_t y = 0; y < all.size(); ++y) {
        compare(cat(s.describe(t), ", gradient of input ", f.which[k], " watched alone"), alone[y],
                {&all[y][k], 1}, s, findings);
      }
    }
  });
}

}  // namespace rutile::harness
