// SPDX-License-Identifier: Apache-2.0
// Purpose: on a GPU layer norms, RMS norms and their gradients become formulas where additions or
// casts stand beside them, so that fuse_elementwise makes one generated kernel of all that: a
// residual addition, the norm and the cast of its result pass once over memory, and so do the cast
// of a gradient, the norm's gradient and the sum with the residual's. Requires: layout has run;
// runs before fuse_elementwise. Guarantees: only norms over rows of the last dimension that lie
// dense, and for which the device has a kernel that is made of the formula; results are those of
// the single ops within rounding.
#include <map>

#include "rutile/graph/pass/append.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

bool is_gradient(const Node& n) {
  return n.op == &ops::kLayerNormGrad || n.op == &ops::kRmsNormGrad;
}
bool is_norm(const Node& n) {
  return n.op == &ops::kLayerNorm || n.op == &ops::kRmsNorm || is_gradient(n);
}

Tensor widened(const Tensor& t) { return ops::cast(t, DType::kF32); }
Tensor row_mean(const Tensor& t) { return ops::mean(t, {.axes = {-1}, .keepdims = true}); }

// y, mean?, rstd; x as f32.
TensorList forward(const Node& n, std::span<const Tensor> in) {
  const auto& a = *static_cast<const ops::LayerNormAttrs*>(n.attrs.get());
  const bool layer = n.op == &ops::kLayerNorm;
  const Tensor x = widened(in[0]);
  Tensor mean, centred = x;
  if (layer) {
    mean = row_mean(x);
    centred = x - mean;
  }
  const Tensor rstd = ops::rsqrt(row_mean(ops::square(centred)) + a.eps);
  Tensor y = centred * rstd;
  if (in.size() > 1 && in[1].defined()) y = y * widened(in[1]);
  if (in.size() > 2 && in[2].defined()) y = y + widened(in[2]);
  y = ops::cast(y, in[0].dtype());
  Shape stats = in[0].shape();
  stats.pop_back();
  const Tensor flat = ops::reshape(rstd, stats);
  if (layer) return {y, ops::reshape(mean, stats), flat};
  return {y, flat};
}

// dx, dweight, dbias?
TensorList backward(const Node& n, std::span<const Tensor> in) {
  const bool layer = n.op == &ops::kLayerNormGrad;
  const size_t stats = layer ? 3 : 2, weight = stats + 1;
  const Tensor g = widened(in[0]);
  Tensor centred = widened(in[1]);
  if (layer) centred = centred - ops::expand_dims(in[2], -1);
  const Tensor rstd = ops::expand_dims(in[stats], -1);
  const Tensor xhat = centred * rstd;
  const Tensor gw = in.size() > weight && in[weight].defined() ? g * widened(in[weight]) : g;
  Tensor inner = gw - xhat * row_mean(gw * xhat);
  if (layer) inner = inner - row_mean(gw);
  ops::SumAttrs rows;
  for (int d = 0; d + 1 < in[1].rank(); ++d) rows.axes.push_back(d);
  const Tensor dx = ops::cast(inner * rstd, in[1].dtype()), dw = ops::sum(g * xhat, rows);
  if (!layer) return {dx, dw};
  return {dx, dw, ops::sum(g, rows)};
}

class NormFormulas {
 public:
  NormFormulas(Graph& g, DeviceType device) : g_(g), device_(device), readers_(readers_of(g)) {}
  Status run();

 private:
  bool joins(NodeId id, const TensorMeta& domain) const;
  bool has_company(const Node& n) const;
  bool fits(const Node& n) const;
  bool is_taken(const Node& n);
  void expand(NodeId id);

  Graph& g_;
  const DeviceType device_;
  const std::vector<std::vector<NodeId>> readers_;
  Renames renames_;
  std::map<std::string, bool> taken_;  // by operands
};

// An elementwise op over the same elements.
bool NormFormulas::joins(NodeId id, const TensorMeta& domain) const {
  if (id == kNone) return false;
  const Node& n = g_.nodes[id];
  if (!n.op->elementwise || n.outputs.size() != 1 || n.op->mutate_mask != 0) return false;
  const TensorMeta& y = g_.meta(n.outputs[0]);
  return y.shape == domain.shape && y.is_contiguous() && is_floating(y.dtype);
}

bool NormFormulas::has_company(const Node& n) const {
  const TensorMeta& domain = g_.meta(n.outputs[0]);
  const ValueId from = n.inputs[0];
  if (const NodeId p = g_.values[from].producer; joins(p, domain) && g_.nodes[p].phase == n.phase &&
                                                 g_.nodes[p].clone_group == n.clone_group) {
    return true;
  }
  for (const NodeId r : readers_[n.outputs[0]]) {
    if (joins(r, domain) && g_.nodes[r].phase == n.phase &&
        g_.nodes[r].clone_group == n.clone_group) {
      return true;
    }
  }
  return false;
}

bool NormFormulas::fits(const Node& n) const {
  const auto& a = *static_cast<const ops::LayerNormAttrs*>(n.attrs.get());
  const int x = is_gradient(n) ? 1 : 0;
  const TensorMeta& m = g_.meta(n.inputs[static_cast<size_t>(x)]);
  if (m.device.type != device_ || a.axes != 1 || m.rank() < 2 || m.numel() == 0 ||
      m.dim(m.rank() - 1) > kMaxRowElements || m.dtype == DType::kF64) {
    return false;
  }
  for (const ValueId v : n.inputs) {
    if (v != kNone && !g_.meta(v).is_contiguous()) return false;
  }
  return true;
}

// Whether the device makes a kernel of such a formula: asked with what all of them have.
bool NormFormulas::is_taken(const Node& n) {
  const TensorMeta& x = g_.meta(n.inputs[is_gradient(n) ? 1 : 0]);
  const std::string key = cat(x);
  if (const auto at = taken_.find(key); at != taken_.end()) return at->second;
  ops::FusedProgram program(1);
  const ops::SumAttrs rows{.axes = {-1}, .keepdims = true};
  const ops::CastAttrs wide{DType::kF32}, back{x.dtype};
  const int from = program.add(ops::kCast, {0}, &wide);
  const int mean = program.add(ops::kMean, {from}, &rows);
  const int centred = program.add(ops::kSub, {from, mean}, nullptr);
  program.outputs.push_back(program.add(ops::kCast, {centred}, &back));
  const ops::FusedElementwiseAttrs attrs{program.text(), false};
  const TensorMeta* in[] = {&x};
  const bool taken =
      has_kernel({&ops::kFusedElementwise, &attrs, in, {&x, 1}}, x.device.type, Rows::kFast);
  taken_.emplace(key, taken);
  return taken;
}

void NormFormulas::expand(NodeId id) {
  const Node n = g_.nodes[id];
  AppendScope append(g_, n, n.origins);
  std::vector<Tensor> in;
  for (const ValueId v : n.inputs) in.push_back(append.symbol(renames_.resolve(v)));
  const TensorList results = is_gradient(n) ? backward(n, in) : forward(n, in);
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    renames_.put(n.outputs[i], append.value_of(results[static_cast<int>(i)]));
  }
}

Status NormFormulas::run() {
  const std::vector<NodeId> old = std::move(g_.order);
  g_.order.clear();
  for (const NodeId id : old) {
    const Node& n = g_.nodes[id];
    if (is_norm(n) && fits(n) && has_company(n) && is_taken(n)) {
      remark_done(g_, {id});
      expand(id);
    } else {
      g_.order.push_back(id);
    }
  }
  g_.replace_uses(renames_.map());
  return Status();
}

}  // namespace

Status norm_formulas(Graph& g) { return norm_formulas_on(g, DeviceType::kCuda); }
Status norm_formulas_on(Graph& g, DeviceType device) { return NormFormulas(g, device).run(); }

}  // namespace rutile::graph
