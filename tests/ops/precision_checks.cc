// SPDX-License-Identifier: Apache-2.0
// bf16 and f16 stay close to f32, and AMP casts what it should.
#include <algorithm>
#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/ops/amp.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

namespace {

using Tensors = std::vector<Tensor>;

// Rounding of the result, with room for one intermediate.
Tolerance low_tolerance(DType t) {
  return t == DType::kBF16 ? Tolerance{1.2e-2, 4e-3} : Tolerance{2e-3, 1e-3};
}

double largest(const Tensor& t) {
  double m = 0;
  for (const double v : samples::to_doubles(t)) {
    if (std::isfinite(v)) m = std::max(m, std::abs(v));
  }
  return m;
}

// Gradients of the floating outputs by the watched inputs, with the same c as for f32.
Tensors gradients(const Sample& s, const Tensors& in) {
  GradScope scope;
  Tensors xs;
  for (const size_t i : differentiable(s, in)) {
    scope.watch(in[i]);
    xs.push_back(in[i]);
  }
  const TensorList ys = call_n(*s.op, s.attrs.get(), in);
  Tensors out;
  for (int i = 0; i < ys.size(); ++i) {
    if (!is_floating(ys[i].dtype())) continue;
    const samples::Input c = samples::in(ys[i].shape());
    const Tensor low = samples::make_tensor(c, DType::kBF16, {77 + static_cast<uint64_t>(i)});
    const Tensor dy = with_float_type({&low, 1}, ys[i].dtype())[0];
    for (const Tensor& g : scope.gradient(ys[i], xs, dy, /*retain=*/true)) out.push_back(g);
  }
  return out;
}

void compare_all(const std::string& what, const Tensors& low, const Tensors& full, Tolerance tol,
                 Findings& findings) {
  if (low.size() != full.size()) {
    findings.add(cat(what, ": gives ", low.size(), " results, in f32 ", full.size()));
    return;
  }
  for (size_t i = 0; i < low.size(); ++i) {
    // Beyond the range of f16 there is nothing to compare.
    if (largest(full[i]) > 6e4) continue;
    compare_norm(cat(what, ", result ", i), low[i], full[i], tol, findings);
  }
}

// An attribute says which type the result has, whatever AMP does with the inputs.
bool states_result_type(const Sample& s) {
  const AttrsInfo* info = s.op->attrs;
  const int field = info ? field_index(*info, "out_dtype") : -1;
  return field >= 0 && std::holds_alternative<DType>(info->get(s.attrs.get(), field));
}

}  // namespace

void check_low_precision(const OpDef& op, Findings& findings) {
  const bool has_grad = op.grad || (op.compose && !op.no_grad);
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    if (!is_low_precision(t)) return;
    const Tensors low = s.make_inputs(t);
    const Tensors full = with_float_type(low, DType::kF32);
    Tolerance tol = low_tolerance(t);
    if (s.tolerances.count(t)) tol = s.tolerances.at(t);
    compare_all(cat(s.describe(t), " against f32"), run_op(op, s.attrs.get(), low),
                run_op(op, s.attrs.get(), full), tol, findings);
    if (!has_grad || is_long(s) || !s.no_gradient.empty()) return;
    tol.rtol *= 2;
    tol.atol *= 2;
    compare_all(cat(s.describe(t), ", gradient against f32"), gradients(s, low), gradients(s, full),
                tol, findings);
  });
}

void check_amp(const OpDef& op, Findings& findings) {
  if (op.amp == Amp::kKeep || op.mutate_mask) return;
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    if (t != DType::kF32 || is_long(s) || s.name == "special numbers") return;
    const Tensors in = s.make_inputs(t);
    const Tensors full = run_op(op, s.attrs.get(), in);
    AmpScope amp(DType::kBF16);
    const Tensors got = run_op(op, s.attrs.get(), in);
    if (op.amp != Amp::kLow) {
      compare_bits(cat(s.describe(t), " under AMP"), got, full, findings);
      const Tensors low = with_float_type(in, DType::kBF16);
      const Tensors high = with_float_type(low, DType::kF32);
      if (op.amp == Amp::kHigh) {
        compare_bits(cat(s.describe(t), " of bf16 under AMP"), run_op(op, s.attrs.get(), low),
                     run_op(op, s.attrs.get(), high), findings);
      }
      return;
    }
    for (size_t i = 0; i < got.size(); ++i) {
      const std::string what = cat(s.describe(t), " under AMP, output ", i);
      // Outputs after the first are statistics for backward and may stay in f32.
      if (i == 0 && !states_result_type(s) && full[i].dtype() == DType::kF32 &&
          got[i].dtype() != DType::kBF16) {
        findings.add(cat(what, ": is ", got[i].meta(), ", expected bf16"));
      }
      compare_norm(what, got[i], full[i], {2e-2, 1e-2}, findings);
    }
  });
}

}  // namespace rutile::harness
