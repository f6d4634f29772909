// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/ops/harness.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "rutile/core/complex.h"
#include "rutile/ops/call.h"
#include "rutile/ops/plan_cache.h"

namespace rutile::harness {

using samples::place;
using samples::to_doubles;

std::span<const CheckKind> check_kinds() {
  static constexpr CheckKind kKinds[] = {
      {"Infer", check_infer},
      {"Call", check_call},
      {"Kernels", check_kernels},
      {"Overwrite", check_overwrite},
      {"Compose", check_compose},
      {"Gradient", check_gradient},
      {"SecondOrder", check_second_order},
      {"Saves", check_saves},
      {"Graph", check_graph},
      {"GraphGradient", check_graph_gradient},
      {"Batching", check_batching},
      {"LowPrecision", check_low_precision},
      {"Amp", check_amp},
      {"Errors", check_errors},
      {"Fuzz", check_fuzz},
  };
  return kKinds;
}

namespace {

void guarded(const Sample& s, DType t, Findings& findings, const Body& body) {
  try {
    body(s, t);
  } catch (const std::exception& e) {
    findings.add(cat(s.describe(t), ": throws ", e.what()));
  }
}

bool is_mutated(const OpDef& op, size_t i) {
  const size_t named = std::min(i, static_cast<size_t>(std::max(op.num_inputs, 1) - 1));
  return op.mutate_mask >> named & 1u;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

std::string at(const Shape& shape, size_t flat) {
  Dims index = Dims::filled(shape.rank(), 0);
  auto left = static_cast<int64_t>(flat);
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[d] = left % shape[d];
    left /= shape[d];
  }
  return to_string(index);
}

using Close = std::function<bool(double got, double want)>;

void compare_one(const std::string& what, const Tensor& got, const Tensor& want, const Close& close,
                 Findings& findings) {
  if (got.defined() != want.defined()) {
    findings.add(cat(what, ": ", got.defined() ? "is given" : "is missing"));
    return;
  }
  if (!got.defined()) return;
  if (!(got.shape() == want.shape()) || got.dtype() != want.dtype()) {
    findings.add(cat(what, ": is ", got.meta(), ", expected ", want.meta()));
    return;
  }
  const std::vector<double> a = to_doubles(got), b = to_doubles(want);
  size_t wrong = 0, first = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (same(a[i], b[i]) || close(a[i], b[i])) continue;
    if (wrong++ == 0) first = i;
  }
  if (wrong) {
    findings.add(cat(what, ": ", wrong, " of ", a.size(), " elements differ, first at ",
                     at(got.shape(), is_complex(got.dtype()) ? first / 2 : first), ": ", a[first],
                     ", expected ", b[first]));
  }
}

std::string output_name(const std::string& what, size_t i, size_t n) {
  return n == 1 ? what : cat(what, ", output ", i);
}

bool same_count(const std::string& what, size_t got, size_t want, Findings& findings) {
  if (got == want) return true;
  findings.add(cat(what, ": gives ", got, " outputs, expected ", want));
  return false;
}

}  // namespace

void for_each_case(const OpDef& op, Findings& findings, const Body& body) {
  const SampleList list = samples::samples_of(op);
  for (const Sample& s : list.samples) {
    for (const DType t : s.dtypes) {
      if (!findings.enough()) guarded(s, t, findings, body);
    }
  }
}

void for_each_sample(const OpDef& op, Findings& findings, const Body& body) {
  const SampleList list = samples::samples_of(op);
  for (const Sample& s : list.samples) {
    auto it = std::find_if(s.dtypes.begin(), s.dtypes.end(), is_differentiable);
    if (!findings.enough()) guarded(s, it == s.dtypes.end() ? s.dtypes[0] : *it, findings, body);
  }
}

bool is_long(const Sample& s) {
  int64_t n = 0;
  for (const samples::Input& in : s.inputs) n += in.absent ? 0 : in.shape.numel();
  return n > 20000;
}

std::vector<Tensor> run_op(const OpDef& op, const void* attrs, std::span<const Tensor> in) {
  if (!op.mutate_mask) {
    const TensorList out = call_n(op, attrs, in);
    return {out.begin(), out.end()};
  }
  // Copies that nobody else holds are updated in place, as those of a State are.
  std::vector<Tensor> copies;
  for (size_t i = 0; i < in.size(); ++i) {
    copies.push_back(is_mutated(op, i) && in[i].defined() ? place(in[i], in[i].meta()) : in[i]);
  }
  const TensorList out = call_n(op, attrs, copies);
  return {out.begin(), out.end()};
}

std::vector<Tensor> run_oracle(const OpDef& op, const void* attrs, std::span<const Tensor> in) {
  ScopedValue<bool> reference(call_modes().reference_kernels, true);
  bool has_row = op.view_offset != nullptr;
  for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) has_row = has_row || row.reference;
  if (has_row || !op.compose) return run_op(op, attrs, in);
  const TensorList out = op.compose(attrs, in);
  return {out.begin(), out.end()};
}

void compare(const std::string& what, std::span<const Tensor> got, std::span<const Tensor> want,
             const Sample& sample, Findings& findings) {
  if (!same_count(what, got.size(), want.size(), findings)) return;
  for (size_t i = 0; i < got.size(); ++i) {
    const Tolerance tol = want[i].defined() ? sample.tolerance(want[i].dtype()) : Tolerance{};
    const auto close = [tol](double a, double b) {
      return std::abs(a - b) <= tol.atol + tol.rtol * std::abs(b) && std::isfinite(b);
    };
    compare_one(output_name(what, i, got.size()), got[i], want[i], close, findings);
  }
}

void compare_bits(const std::string& what, std::span<const Tensor> got,
                  std::span<const Tensor> want, Findings& findings) {
  if (!same_count(what, got.size(), want.size(), findings)) return;
  for (size_t i = 0; i < got.size(); ++i) {
    compare_one(
        output_name(what, i, got.size()), got[i], want[i], [](double, double) { return false; },
        findings);
  }
}

void compare_norm(const std::string& what, const Tensor& got, const Tensor& want, Tolerance tol,
                  Findings& findings) {
  if (!(got.shape() == want.shape())) {
    findings.add(cat(what, ": is ", got.meta(), ", expected the shape of ", want.meta()));
    return;
  }
  const std::vector<double> a = to_doubles(got), b = to_doubles(want);
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (same(a[i], b[i])) continue;
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  const double limit =
      tol.rtol * std::sqrt(norm) + tol.atol * std::sqrt(static_cast<double>(a.size()));
  if (!(std::sqrt(error) <= limit)) {
    findings.add(cat(what, ": differs by ", std::sqrt(error), " in norm, allowed ", limit,
                     "; the norm is ", std::sqrt(norm)));
  }
}

std::vector<Tensor> placed(std::span<const Tensor> in, const char* tag) {
  std::vector<Tensor> out;
  for (const Tensor& t : in) {
    if (!t.defined() || t.rank() != 4) {
      out.push_back(t);
      continue;
    }
    TensorMeta like = t.meta();
    if (std::string_view(tag) == "acdb") {
      like.strides = ordered_strides(like.shape, {0, 2, 3, 1});
    } else {
      like.layout = intern_layout(tag);
    }
    out.push_back(place(t, like));
  }
  return out;
}

std::vector<Tensor> with_float_type(std::span<const Tensor> in, DType t) {
  std::vector<Tensor> out;
  for (const Tensor& x : in) {
    if (!x.defined() || !is_differentiable(x.dtype())) {
      out.push_back(x);
      continue;
    }
    const DType to = is_complex(x.dtype()) ? complex_dtype(t) : t;
    if (x.dtype() == to) {
      out.push_back(x);
      continue;
    }
    const samples::Input same_elements = samples::in(x.shape()).values(to_doubles(x));
    const Tensor cast = samples::make_tensor(same_elements, to, {});
    // Gapless placements survive; a view with gaps becomes row-major.
    out.push_back(x.meta().is_dense() ? place(cast, x.meta()) : cast);
  }
  return out;
}

std::vector<size_t> differentiable(const Sample& s, std::span<const Tensor> in) {
  std::vector<size_t> which;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i].defined() && is_differentiable(in[i].dtype()) && s.inputs[i].differentiable) {
      which.push_back(i);
    }
  }
  return which;
}

void check_infer(const OpDef& op, Findings& findings) {
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    const std::vector<Tensor> in = s.make_inputs(t);
    std::vector<const TensorMeta*> metas;
    bool one_type = true;
    for (const Tensor& x : in) {
      metas.push_back(x.defined() ? &x.meta() : nullptr);
      one_type = one_type && (!x.defined() || !in[0].defined() || x.dtype() == in[0].dtype());
    }
    const std::vector<Tensor> before = s.make_inputs(t);
    const std::vector<Tensor> held = in;  // a second handle: the op must not write
    const TensorList result = call_n(op, s.attrs.get(), in);
    const std::vector<Tensor> out(result.begin(), result.end());
    compare_bits(cat(s.describe(t), ", inputs after the call"), held, before, findings);
    if (op.promote && !one_type) return;  // infer sees the inputs after casts
    const CallMeta call{&op, s.attrs.get(), metas, {}};
    SmallVector<TensorMeta, 1> inferred;
    Status status = infer_call(call, &inferred);
    TensorMeta plain;
    if (op.view_offset && status.code() == ErrorCode::kUnsupported) {  // the view is of a copy
      const auto base = static_cast<size_t>(op.alias[0]);
      plain = TensorMeta(in[base].shape(), in[base].dtype());
      metas[base] = &plain;
      status = infer_call(call, &inferred);
    }
    throw_if_error(status);
    // Every field must be set: start from something else.
    std::vector<TensorMeta> again(static_cast<size_t>(inferred.size()),
                                  TensorMeta({7, 7, 7}, DType::kC128));
    throw_if_error(op.infer(call, again.data()));
    if (!same_count(s.describe(t), out.size(), again.size(), findings)) return;
    for (size_t i = 0; i < out.size(); ++i) {
      const TensorMeta& m = inferred[static_cast<int>(i)];
      const std::string what = output_name(s.describe(t), i, out.size());
      if (!(again[i] == m)) findings.add(cat(what, ": infer leaves fields unset"));
      // A composition's last op chooses the placement.
      bool same_meta = out[i].meta() == m;
      if (op.compose) same_meta = out[i].shape() == m.shape && out[i].dtype() == m.dtype;
      if (op.dynamic) same_meta = out[i].dtype() == m.dtype;
      if (!same_meta) findings.add(cat(what, ": is ", out[i].meta(), ", infer says ", m));
    }
    if (s.not_deterministic.empty()) {
      compare_bits(cat(s.describe(t), ", run again"), run_op(op, s.attrs.get(), in), out, findings);
    }
  });
}

}  // namespace rutile::harness
