// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/distributions.h"

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/rejection.h"

namespace rutile::kernels {
namespace {

template <double kDraw(double, const rejection::Words&)>
Status run_draw(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const PhiloxKey key{*static_cast<const uint64_t*>(args.in[0])};
  const TensorMeta& parameter = p.in[1];
  const Elements in = input(p, args, 1), out = output(p, args);
  constexpr double kElementNs = 50;
  parallel_for(0, parameter.numel(), grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    Walk w(parameter.shape, parameter.strides, begin);
    for (int64_t i = begin; i < end; ++i, w.next()) {
      out.put(i, kDraw(in.get(w.offset()), {key, static_cast<uint64_t>(i)}));
    }
  });
  return Status();
}

}  // namespace

void register_distributions_ref() {
  register_kernel(ref_row<run_draw<rejection::gamma>>(ops::kRandomGamma));
  register_kernel(ref_row<run_draw<rejection::poisson>>(ops::kRandomPoisson));
}

}  // namespace rutile::kernels
