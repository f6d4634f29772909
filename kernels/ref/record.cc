// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/record.h"

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

Status run_record(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  try {
    *static_cast<bool*>(args.out[0]) =
        ops::keep_recorded(p.as<ops::RecordAttrs>(), p.in[0], args.in[0]);
  } catch (const Error& e) {
    return Status(e.code(), e.what());
  }
  return Status();
}

}  // namespace

void register_record_ref() { register_kernel(ref_row<run_record>(ops::kRecord)); }

}  // namespace rutile::kernels
