// SPDX-License-Identifier: Apache-2.0
#include "rutile/debug/interpret.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/view.h"

namespace rutile::debug {

Tensor placed(const Tensor& t, const TensorMeta& meta) {
  if (!t.defined() || same_placement(t.meta(), meta)) return t;
  if (meta.layout == kStrided && meta.is_contiguous()) return ops::contiguous(t);
  const Tensor moved = ops::reorder(t, placement_of(meta));
  return same_placement(moved.meta(), meta) ? moved : Tensor();
}

std::vector<Tensor> run_node(const graph::Node& n, const std::vector<Tensor>& in, bool reference,
                             bool* had_reference) {
  std::vector<Tensor> out(n.outputs.size());
  CallModes modes;
  modes.reference_kernels = reference;
  modes.device = call_modes().device;
  ScopedValue<CallModes> only(call_modes(), modes);
  try {
    call(*n.op, n.attrs.get(), in, out);
  } catch (const Error& e) {
    if (!reference || e.code() != ErrorCode::kUnsupported) throw;
    call_modes().reference_kernels = false;
    call(*n.op, n.attrs.get(), in, out);
    if (had_reference) *had_reference = false;
  }
  return out;
}

std::vector<Tensor> first_values(const graph::Graph& g, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> values(g.values.size());
  for (size_t i = 0; i < g.inputs.size(); ++i) values[g.inputs[i]] = inputs[i];
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].kind == graph::ValueKind::kConstant) values[v] = g.values[v].constant;
  }
  for (const graph::StateSlot& s : g.states)
    values[s.in] = placed(s.state->concrete(), g.meta(s.in));
  return values;
}

Results results_of(const graph::Graph& g, const std::vector<Tensor>& values) {
  Results r;
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    r.tensors.push_back(values[g.outputs[i]]);
    r.names.push_back(cat("output ", i));
  }
  std::vector<const graph::StateSlot*> written;
  for (const graph::StateSlot& s : g.states) {
    if (s.out != s.in) written.push_back(&s);
  }
  std::sort(written.begin(), written.end(), [](const auto* a, const auto* b) {
    return a->name != b->name ? a->name < b->name : a->state.get() < b->state.get();
  });
  for (const graph::StateSlot* s : written) {
    r.tensors.push_back(values[s->out]);
    r.names.push_back(cat("state ", s->name));
  }
  return r;
}

Results interpret(const graph::Graph& g, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> values = first_values(g, inputs);
  std::vector<int> uses = g.count_uses();
  for (const graph::NodeId id : g.order) {
    const graph::Node& n = g.nodes[id];
    std::vector<Tensor> in;
    for (const graph::ValueId v : n.inputs) in.push_back(v == graph::kNone ? Tensor() : values[v]);
    const std::vector<Tensor> out = run_node(n, in, /*reference=*/false);
    for (size_t i = 0; i < out.size(); ++i) {
      // Ops behind may rely on it: parameters and their slots lie alike.
      const Tensor t = placed(out[i], g.meta(n.outputs[i]));
      values[n.outputs[i]] = t.defined() ? t : out[i];
    }
    for (const graph::ValueId v : n.inputs) {
      if (v != graph::kNone && --uses[v] == 0) values[v] = Tensor();
    }
  }
  return results_of(g, values);
}

namespace {

std::vector<double> numbers(const Tensor& t) {
  CallModes plain;
  ScopedValue<CallModes> only(call_modes(), plain);
  if (!is_complex(t.dtype())) return ops::cast(t, DType::kF64).to_vector<double>();
  const auto parts = ops::cast(t, DType::kC128).to_vector<std::complex<double>>();
  std::vector<double> list;
  for (const std::complex<double>& z : parts) {
    list.push_back(z.real());
    list.push_back(z.imag());
  }
  return list;
}

}  // namespace

double relative_error(const Tensor& got, const Tensor& want) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!got.defined() || !want.defined() || !(got.shape() == want.shape())) return kInfinite;
  const std::vector<double> a = numbers(got), b = numbers(want);
  double largest = 0, difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) {
      if (std::isfinite(b[i])) largest = std::max(largest, std::abs(b[i]));
      continue;
    }
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return kInfinite;
    largest = std::max({largest, std::abs(a[i]), std::abs(b[i])});
    difference = std::max(difference, std::abs(a[i] - b[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

namespace {

// Floating inputs, each element off by up to the share.
std::vector<Tensor> moved(const std::vector<Tensor>& in, double share, uint64_t draw) {
  CallModes plain;
  plain.device = call_modes().device;
  ScopedValue<CallModes> only(call_modes(), plain);
  std::vector<Tensor> out = in;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i].defined() || !is_floating(in[i].dtype())) continue;
    const Tensor key = Tensor::from<uint64_t>({draw * in.size() + i}, {1});
    const Tensor factor = ops::random_uniform(
        key, {.shape = in[i].shape(), .low = 1 - share, .high = 1 + share, .dtype = DType::kF64});
    const Tensor t = ops::cast(ops::mul(ops::cast(in[i], DType::kF64), factor), in[i].dtype());
    if (const Tensor p = placed(t, in[i].meta()); p.defined()) out[i] = p;
  }
  return out;
}

}  // namespace

double conditioned_error(const graph::Node& n, const std::vector<Tensor>& in, const Tensor& got,
                         const std::vector<Tensor>& want, size_t output, double tolerance) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  const std::vector<double> a = numbers(got), b = numbers(want[output]);
  std::vector<double> change(b.size(), 0);
  for (const uint64_t draw : {1, 2}) {
    const Tensor other = run_node(n, moved(in, tolerance, draw), /*reference=*/true)[output];
    if (!(other.shape() == want[output].shape())) return kInfinite;
    const std::vector<double> c = numbers(other);
    for (size_t i = 0; i < c.size(); ++i) change[i] = std::max(change[i], std::abs(c[i] - b[i]));
  }
  double largest = 0, error = 0;
  for (const double v : b) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < b.size(); ++i) {
    if (a[i] == b[i]) continue;
    error = std::max(error, std::abs(a[i] - b[i]) / std::max(largest, change[i] / tolerance));
  }
  return std::isfinite(error) ? error : kInfinite;
}

}  // namespace rutile::debug
