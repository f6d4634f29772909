// SPDX-License-Identifier: Apache-2.0
// Into and out of blocked layouts by oneDNN.
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/dnnl_util.h"
#include "rutile/ops/view.h"

namespace rutile::kernels {

namespace {

struct ReorderPlan : Plan {
  DnnlCall call;
};

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta &from = c.in(0), &to = c.out();
  if (from.layout == kStrided && to.layout == kStrided) {
    reason->text = "neither side is blocked";
  } else if (!dnnl_has(from.dtype) || !dnnl_has(to.dtype)) {
    reason->text = cat("oneDNN has no fast ", from.dtype, " to ", to.dtype, " here");
  } else if (from.numel() == 0) {
    reason->text = "is empty";
  } else if (!dnnl_describes(from) || !dnnl_describes(to)) {
    reason->text = "oneDNN does not take these strides";
  } else {
    return true;
  }
  return false;
}

Status run(const Plan& plan, const KernelArgs& args) {
  return static_cast<const ReorderPlan&>(plan).call.run({args.in[0], args.out[0], args.workspace});
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ReorderPlan>();
  RUTILE_RETURN_IF_ERROR(dnnl_try(dnnl_threads(8.0 * c.in(0).numel()), [&] {
    const auto from = dnnl_desc(c.in(0)), to = dnnl_desc(c.out());
    const dnnl::reorder::primitive_desc pd(dnnl_engine(), from, dnnl_engine(), to, dnnl_attr());
    const auto scratch = pd.scratchpad_desc();
    p->workspace_bytes = scratch.get_size();
    p->call.set(dnnl::reorder(pd),
                {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scratch}});
  }));
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_reorder_dnnl() {
  for (const OpDef* op : {&ops::kReorder, &ops::kContiguous}) {
    KernelRow row;
    row.op = op;
    row.name = "reorder_dnnl";
    row.supports = supports;
    row.prepare = prepare;
    register_kernel(row);
  }
}

}  // namespace rutile::kernels
