// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/require.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"

namespace rutile::ops {

namespace {

Status infer_range(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<RequireRangeAttrs>();
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  if (!(a.min <= a.max)) {
    return value_error(cat("expects min <= max, got ", a.min, " and ", a.max));
  }
  if (a.positive < 0) return value_error(cat("positive must not be negative, got ", a.positive));
  if (a.positive > 0 && x.rank() == 0) return value_error("expects at least rank 1");
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

GradResult grad_range(GradCtx& c) { return {c.grad()}; }

}  // namespace

constinit const OpDef kRequireRange = define({
    .name = "require_range",
    .inputs = {"x"},
    .attrs = attrs_of<RequireRangeAttrs>(),
    .infer = infer_range,
    .flops = flops_per_input<2>,
    .grad = grad_range,
    .checks_values = true,
    .doc = "x itself; an error for NaN, for numbers outside [min, max] and for lines with too few "
           "above 0.",
});

Tensor require_range(Arg x, RequireRangeAttrs attrs) {
  return call1(kRequireRange, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops
