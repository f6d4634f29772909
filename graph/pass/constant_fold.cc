// SPDX-License-Identifier: Apache-2.0
// Purpose: runs ops whose inputs are all constants (or that have none) once, at compile time.
// Requires: nothing. Guarantees: no pure node is left whose inputs are constants, unless its result
// would be larger than 1 MiB or a constant lies in memory that others may write to.
#include "rutile/graph/pass/inference.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/rewriter.h"
#include "rutile/ops/call.h"
#include "rutile/ops/transfer.h"

namespace rutile::graph {

namespace {
constexpr int64_t kMaxBytes = int64_t{1} << 20;
}

Status constant_fold(Graph& g) {
  Rewriter rw(g);
  for (NodeId id : rw.old_order()) {
    const Node& n = rw.resolved(id);
    bool fold = !g.has_effects(n) && n.op->mutate_mask == 0 && !n.op->runs_bodies;
    std::vector<Tensor> in;
    for (ValueId v : n.inputs) {
      fold = fold && (v == kNone || (g.values[v].kind == ValueKind::kConstant &&
                                     !may_change(g.values[v].constant)));
      if (fold) in.push_back(v == kNone ? Tensor() : g.values[v].constant);
    }
    // A constant that is to be elsewhere is moved there once, whatever its size.
    for (ValueId v : n.outputs) {
      fold = fold && (g.meta(v).nbytes() <= kMaxBytes || n.op == &ops::kToDevice);
    }
    if (!fold) {
      rw.keep(id);
      continue;
    }
    CallModes plain;
    plain.reference_kernels = call_modes().reference_kernels;
    if (!n.outputs.empty()) plain.device = g.meta(n.outputs.front()).device;
    ScopedValue<CallModes> modes(call_modes(), plain);
    try {
      TensorList out = call_n(*n.op, n.attrs.get(), in);
      for (int i = 0; i < out.size(); ++i) rw.replace(n.outputs[i], g.add_constant(out[i]));
    } catch (const Error&) {
      rw.keep(id);  // it fails when run, with the message that belongs there
    }
  }
  rw.finish();
  return Status();
}

}  // namespace rutile::graph
