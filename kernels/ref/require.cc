// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/require.h"

#include "rutile/kernels/range_error.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

Status run_range(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::RequireRangeAttrs>();
  const TensorMeta& x = p.in[0];
  const int64_t line = x.rank() > 0 ? x.shape.back() : 1;
  return dispatch_float(x.dtype, [&](auto id) -> Status {
    using T = typename decltype(id)::type;
    const T* from = static_cast<const T*>(args.in[0]);
    T* to = static_cast<T*>(args.out[0]);
    int64_t at = 0, positive = 0;
    for (Walk w(x); !w.done(); w.next(), ++at) {
      const T value = from[w.offset()];
      const double v = convert<double>(value);
      if (!(v >= a.min && v <= a.max)) return out_of_range(a, v);
      to[at] = value;
      positive += v > 0;
      if ((at + 1) % line != 0) continue;
      if (positive < a.positive) return too_few_positive(a, positive);
      positive = 0;
    }
    return Status();
  });
}

}  // namespace

void register_require_ref() { register_kernel(ref_row<run_range>(ops::kRequireRange)); }

}  // namespace rutile::kernels
