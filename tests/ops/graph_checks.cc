// SPDX-License-Identifier: Apache-2.0
// Eager against traced: the same bits with the optional passes off, close with them on. What is
// placed otherwise in a trace shows in the order of the sums behind it, so placements are compared
// too.
#include "rutile/autograd/tape.h"
#include "rutile/core/complex.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/call.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

namespace {

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

// Absent inputs do not enter a graph; `fn` gets the list with them put back.
struct Present {
  Tensors in;
  std::vector<size_t> where;
  size_t count = 0;

  explicit Present(const Tensors& all) : count(all.size()) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i].defined()) continue;
      in.push_back(all[i]);
      where.push_back(i);
    }
  }
  Tensors restore(const Tensors& given) const {
    Tensors all(count);
    for (size_t k = 0; k < where.size(); ++k) all[where[k]] = given[k];
    return all;
  }
};

void check_compiled(const std::string& what, const Sample& s, const Tensors& all,
                    const Function& fn, bool bits, Findings& findings) {
  const Present present(all);
  std::vector<TensorMeta> metas;  // of the last results, in a trace as eagerly
  const Function on_present = [&](const Tensors& given) {
    const Tensors results = fn(present.restore(given));
    metas.clear();
    for (const Tensor& t : results) metas.push_back(t.meta());
    return results;
  };
  const Tensors want = on_present(present.in);
  const std::vector<TensorMeta> eager = metas;
  graph::Compiled plain = graph::compile(on_present, {.passes_off = "all", .name = what});
  const Tensors traced = plain(present.in);
  for (size_t i = 0; i < eager.size(); ++i) {
    if (eager[i].numel() == 0 || same_placement(eager[i], metas[i])) continue;
    findings.add(
        cat(what, ": output ", i, " is ", eager[i], " eagerly, ", metas[i], " in a trace"));
  }
  if (bits) {
    compare_bits(cat(what, ", traced"), traced, want, findings);
  } else {
    compare(cat(what, ", traced"), traced, want, s, findings);
  }
  graph::Compiled fused = graph::compile(on_present, {.passes_off = "", .name = what});
  compare(cat(what, ", compiled"), fused(present.in), want, s, findings);
  // A second run of the same plan finds the arena full of the first one's values.
  compare(cat(what, ", compiled, second run"), fused(present.in), want, s, findings);
}

bool skipped(const OpDef& op, const Sample& s, DType t) {
  return op.dynamic || (is_long(s) && t != DType::kF32);
}

}  // namespace

void check_graph(const OpDef& op, Findings& findings) {
  if (op.mutate_mask) return;  // run as States: tests/graph
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    if (skipped(op, s, t)) return;
    const Function fn = [&](const Tensors& in) {
      const TensorList out = call_n(op, s.attrs.get(), in);
      return Tensors(out.begin(), out.end());
    };
    check_compiled(s.describe(t), s, s.make_inputs(t), fn, s.not_deterministic.empty(), findings);
  });
}

void check_graph_gradient(const OpDef& op, Findings& findings) {
  if (!op.grad && (!op.compose || op.no_grad)) return;
  for_each_sample(op, findings, [&](const Sample& s, DType t) {
    const Tensors in = s.make_inputs(t);
    const std::vector<size_t> which = differentiable(s, in);
    if (skipped(op, s, t) || which.empty()) return;
    const Function fn = [&](const Tensors& args) {
      GradScope scope;
      Tensors xs;
      for (const size_t i : which) {
        xs.push_back(args[i]);
        scope.watch(args[i]);
      }
      const TensorList ys = call_n(op, s.attrs.get(), args);
      Tensors out;
      for (int i = 0; i < ys.size(); ++i) {
        if (!is_differentiable(ys[i].dtype())) continue;
        const Tensor c = samples::make_tensor(samples::in(ys[i].shape()), ys[i].dtype(),
                                              {77 + static_cast<uint64_t>(i)});
        for (const Tensor& g : scope.gradient(ys[i], xs, c, /*retain=*/true)) out.push_back(g);
      }
      return out;
    };
    if (fn(in).empty()) return;
    check_compiled(cat(s.describe(t), ", gradient"), s, in, fn, s.not_deterministic.empty(),
                   findings);
  });
}

}  // namespace rutile::harness
