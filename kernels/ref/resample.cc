// SPDX-License-Identifier: Apache-2.0
// Weighted sums along all spatial dimensions at once, one element of the result at a time.
#include "rutile/kernels/axis_taps.h"

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/pool3d.h"

namespace rutile::kernels {
namespace {

struct ResampleRef : Plan {
  TensorMeta x, y;
  std::vector<AxisTaps> axes;
};

// Sum over the taps of dimensions `axis` and later.
double sum(const ResampleRef& p, const Elements& x, const Dims& out, size_t axis, Dims* in) {
  if (axis == p.axes.size()) return x.at(*in);
  const AxisTaps& t = p.axes[axis];
  const int dim = p.x.rank() - static_cast<int>(p.axes.size() - axis);
  const auto o = static_cast<size_t>(out[dim]);
  double total = 0;
  for (int64_t k = t.first[o]; k < t.first[o + 1]; ++k) {
    (*in)[dim] = t.pixel[static_cast<size_t>(k)];
    total += t.weight[static_cast<size_t>(k)] * sum(p, x, out, axis + 1, in);
  }
  return total;
}

Status run(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ResampleRef&>(base);
  const Elements x(p.x, args.in[0]), y(p.y, args.out[0]);
  for (Walk w(p.y); !w.done(); w.next()) {
    Dims in = w.index();
    y.put(w.offset(), sum(p, x, w.index(), 0, &in));
  }
  return Status();
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ResampleRef>();
  p->x = call.in(0);
  p->y = call.out();
  p->axes = axis_taps(call);
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_resample_ref() {
  for (const OpDef* op :
       {&ops::kInterpolate, &ops::kInterpolateGrad, &ops::kAvgPool3d, &ops::kAvgPool3dGrad}) {
    register_kernel({.op = op, .name = "ref", .prepare = prepare, .reference = true});
  }
}

}  // namespace rutile::kernels
