// SPDX-License-Identifier: Apache-2.0
// The gradient of one op: its rule, or its composition differentiated in a scope of its own.
#include <algorithm>

#include "rutile/autograd/tape_impl.h"
#include "rutile/ops/composition.h"
#include "rutile/ops/integer_gradients.h"

namespace rutile {
namespace {

// Below it a call costs more than what it does: a rule's few calls are made as they stand.
constexpr int64_t kRepeatElements = 2048;

bool repeats(const OpDef& op, std::span<const Tensor> out_grads) {
  const CallModes& modes = call_modes();
  if (modes.trace || modes.tape || modes.run || modes.reference_kernels) return false;
  const auto large = [&](const Tensor& t) {
    return t.defined() && (!op.grad || t.numel() >= kRepeatElements);
  };
  return std::any_of(out_grads.begin(), out_grads.end(), large) && may_repeat(op);
}

uint64_t mask_of(std::span<const Tensor> tensors) {
  uint64_t mask = 1;
  for (const Tensor& t : tensors) mask = mask * 2 + t.defined();
  return mask;
}

GradResult plain_rule(const TapeNode& n, uint32_t needs, std::span<const Tensor> saved_in,
                      std::span<const Tensor> saved_out, std::span<const Tensor> out_grads) {
  if (n.op->grad) {
    GradCtx ctx(*n.op, n.attrs.get(), saved_in, saved_out, out_grads, n.in_metas, n.given, needs,
                [](const Region::Function& body, const std::vector<Tensor>& in,
                   std::span<const Tensor> dy) { return Tape::vjp(body, in, dy); });
    return n.op->grad(ctx);
  }
  // No rule: differentiate the composition on the saved inputs.
  std::vector<Tensor> operands;
  std::vector<int> index;
  std::vector<Tensor> all(saved_in.begin(), saved_in.end());
  for (int i = 0; i < n.in_vars.size(); ++i) {
    if (!n.in_vars[i]) continue;
    index.push_back(i);
    operands.push_back(all[static_cast<size_t>(i)]);
  }
  auto body = [&](const std::vector<Tensor>& xs) {
    std::vector<Tensor> args = all;
    for (size_t k = 0; k < index.size(); ++k) args[index[k]] = xs[k];
    TensorList r = n.op->compose(n.attrs.get(), args);
    return std::vector<Tensor>(r.begin(), r.end());
  };
  std::vector<Tensor> dx = Tape::vjp(body, operands, out_grads);
  GradResult result;
  result.resize(n.in_vars.size());
  for (size_t k = 0; k < index.size(); ++k) result[index[k]] = dx[k];
  return result;
}

}  // namespace

// The calls of the rule as they were made on the same metas before, in fewer passes over memory.
GradResult Tape::gradients_of(const TapeNode& n, uint32_t needs,
                              std::span<const Tensor> out_grads) {
  if (n.in_metas.size() > 16 || !repeats(*n.op, out_grads)) {
    return plain_rule(n, needs, n.saved_in, n.saved_out, out_grads);
  }
  std::vector<TensorMeta> metas(n.in_metas.begin(), n.in_metas.end());
  std::vector<TensorMeta> operand_metas;
  std::vector<Tensor> operands;
  const std::span<const Tensor> groups[] = {n.saved_in, n.saved_out, out_grads};
  uint64_t kind = detail::mix_hash(n.given, needs);
  for (const uint32_t var : n.in_vars) kind = detail::mix_hash(kind, var != 0);
  for (const auto& group : groups) {
    kind = detail::mix_hash(kind, mask_of(group));
    for (const Tensor& t : group) {
      if (t.defined()) operands.push_back(t);
    }
  }
  for (const Tensor& t : operands) metas.push_back(t.meta());
  const CompositionKey key{n.op, n.attrs.get(), kind, metas};
  bool known = false;
  const Composition* found = find_composition(key, &known);
  if (!known) {
    const auto fn = [&](const std::vector<Tensor>& symbols) {
      size_t next = 0;
      std::vector<Tensor> parts[3];
      for (int k = 0; k < 3; ++k) {
        for (const Tensor& t : groups[k]) {
          parts[k].push_back(t.defined() ? symbols[next++] : Tensor());
        }
      }
      const GradResult r = plain_rule(n, needs, parts[0], parts[1], parts[2]);
      std::vector<Tensor> all(r.begin(), r.end());
      all.resize(static_cast<size_t>(n.in_metas.size()));
      return all;
    };
    operand_metas.assign(metas.begin() + n.in_metas.size(), metas.end());
    found = remember_composition(key, make_composition(fn, operand_metas));
  }
  if (!found) return plain_rule(n, needs, n.saved_in, n.saved_out, out_grads);
  GradResult result;
  result.resize(n.in_metas.size());
  found->run(operands, result);
  return result;
}

// A tensor that stands at several places gets its whole gradient at the first of them.
std::vector<Tensor> Tape::vjp(const Region::Function& fn, const std::vector<Tensor>& operands,
                              std::span<const Tensor> grads) {
  GradScope scope;
  scope.partial_ = true;
  std::vector<Tensor> xs;
  std::vector<size_t> place;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Tensor& t = operands[i];
    const bool again =
        std::any_of(xs.begin(), xs.end(), [&](const Tensor& x) { return x.impl() == t.impl(); });
    if (!ops::has_gradient(t.dtype()) || again) continue;
    scope.watch(t);
    xs.push_back(t);
    place.push_back(i);
  }
  std::vector<Tensor> ys, dys;
  const std::vector<Tensor> made = fn(operands);
  for (size_t i = 0; i < made.size() && i < grads.size(); ++i) {
    if (!grads[i].defined() || !scope.tape_.tracked(made[i])) continue;
    ys.push_back(made[i]);
    dys.push_back(grads[i]);
  }
  std::vector<Tensor> result(operands.size());
  if (ys.empty()) return result;
  std::vector<Tensor> g = scope.gradients(ys, xs, dys, /*retain=*/false);
  for (size_t k = 0; k < g.size(); ++k) result[place[k]] = std::move(g[k]);
  return result;
}

}  // namespace rutile
