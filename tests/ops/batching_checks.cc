// SPDX-License-Identifier: Apache-2.0
// vmap against the slices one by one: each operand alone and all of them together differ from slice
// to slice, by a rule, the composition or a loop.
#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/graph/trace/vmap.h"
#include "rutile/ops/batching.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

namespace {

using Tensors = std::vector<Tensor>;
constexpr int kSlices = 3;

// The inputs of a slice: values of their own, as the sample wants them.
Tensors slice_inputs(const Sample& s, DType t, int slice) {
  Tensors all;
  for (size_t i = 0; i < s.inputs.size(); ++i) {
    const DType own = s.inputs[i].dtype.set ? s.inputs[i].dtype.value : t;
    all.push_back(
        samples::make_tensor(s.inputs[i], own, {1000 + 10 * i + static_cast<uint64_t>(slice)}));
  }
  return all;
}

struct Case {
  const OpDef& op;
  const Sample& s;
  const std::vector<Tensors>& slices;

  void run(const std::vector<bool>& differs, const std::string& what, Findings& findings) const {
    Tensors xs, want;
    for (size_t i = 0; i < differs.size(); ++i) {
      if (!differs[i]) continue;
      Tensors parts;
      for (const Tensors& in : slices) parts.push_back(in[i]);
      xs.push_back(ops::stack(parts));
    }
    auto one = [&](size_t slice, const Tensors& given) {
      Tensors in = slices[0];
      size_t next = 0;
      for (size_t i = 0; i < differs.size(); ++i) {
        if (differs[i]) in[i] = given.empty() ? slices[slice][i] : given[next++];
      }
      const TensorList out = call_n(op, s.attrs.get(), in);
      return Tensors(out.begin(), out.end());
    };
    std::vector<Tensors> each;
    for (size_t k = 0; k < kSlices; ++k) each.push_back(one(k, {}));
    for (size_t r = 0; r < each[0].size(); ++r) {
      Tensors parts;
      for (const Tensors& out : each) parts.push_back(out[r]);
      want.push_back(ops::stack(parts));
    }
    graph::vmap_counts() = {};
    const Tensors got = graph::vmap([&](const Tensors& x) { return one(0, x); }, xs);
    compare(cat(what, ", vmap"), got, want, s, findings);
    if (graph::vmap_counts().failures) findings.add(cat(what, ": its batching rule fails"));
    if (graph::vmap_counts().slices) findings.add(cat(what, ": runs slice by slice"));
  }
};

bool skipped(const OpDef& op) {
  return op.mutate_mask || op.dynamic || op.effects != kPure || op.runs_bodies;
}

}  // namespace

void check_batching(const OpDef& op, Findings& findings) {
  if (skipped(op)) return;
  int64_t rules = 0;
  bool any = false;
  for_each_sample(op, findings, [&](const Sample& s, DType t) {
    if (is_long(s)) return;
    const bool wide = std::find(s.dtypes.begin(), s.dtypes.end(), DType::kF64) != s.dtypes.end();
    if (wide) t = DType::kF64;
    std::vector<Tensors> slices;
    for (int k = 0; k < kSlices; ++k) slices.push_back(slice_inputs(s, t, k));
    std::vector<bool> all, none;
    int present = 0;
    for (const Tensor& x : slices[0]) {
      if (x.defined() && x.rank() == kMaxRank) return;
      all.push_back(x.defined());
      present += x.defined() ? 1 : 0;
    }
    none.assign(all.size(), false);
    if (present == 0) return;
    any = true;
    const Case c{op, s, slices};
    c.run(all, s.describe(t), findings);
    rules += graph::vmap_counts().rules;
    for (size_t i = 0; present > 1 && i < all.size(); ++i) {
      if (!all[i]) continue;
      std::vector<bool> alone = none;
      alone[i] = true;
      c.run(alone, cat(s.describe(t), ", operand ", i, " alone"), findings);
      rules += graph::vmap_counts().rules;
    }
  });
  // Rules of random ops are for keys that the function draws: tests/graph/vmap_test.cc.
  if (op.num_inputs > 0 && op.input_name(0) == "key") return;
  if (any && ops::batch_rule(op) && rules == 0) findings.add("its batching rule takes no sample");
}

}  // namespace rutile::harness
