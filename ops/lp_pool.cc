// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/lp_pool.h"

#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/pool1d.h"
#include "rutile/ops/pool3d.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {

namespace {

// Mean over windows by the average pool of as many dimensions.
AvgPool1dAttrs mean_attrs(const LpPool1dAttrs& a) { return {a.kernel, a.stride, 0, a.ceil_mode}; }
AvgPool2dAttrs mean_attrs(const LpPool2dAttrs& a) { return {a.kernel, a.stride, 0, a.ceil_mode}; }
AvgPool3dAttrs mean_attrs(const LpPool3dAttrs& a) { return {a.kernel, a.stride, 0, a.ceil_mode}; }
Tensor mean(const Tensor& x, const AvgPool1dAttrs& a) { return avg_pool1d(x, a); }
Tensor mean(const Tensor& x, const AvgPool2dAttrs& a) { return avg_pool2d(x, a); }
Tensor mean(const Tensor& x, const AvgPool3dAttrs& a) { return avg_pool3d(x, a); }

template <class A, const OpDef* kMean>
Status infer_pool(const CallMeta& call, TensorMeta* out) {
  const A& a = call.as<A>();
  if (a.norm_type == 0 || !std::isfinite(a.norm_type)) {
    return value_error(cat("norm_type must be a number other than 0, got ", a.norm_type));
  }
  const auto to = mean_attrs(a);
  return kMean->infer(CallMeta{kMean, &to, call.inputs, {}}, out);
}

template <class A>
TensorList compose_pool(const void* attrs, std::span<const Tensor> in) {
  const A& a = *static_cast<const A*>(attrs);
  const Tensor x = wide(in[0]);
  const double p = a.norm_type;
  const bool steep = p > 0 && p < 2 && p != 1;  // a derivative at 0 is infinite
  const Tensor powers = p == 2 ? square(x) : steep ? flat_power(x, p) : pow(x, p);
  double elements = 1;
  for (const int64_t k : entries(a.kernel)) elements *= static_cast<double>(k);
  const Tensor sums = mean(powers, mean_attrs(a)) * elements;
  return {cast(flat_power(sums, 1 / p), in[0].dtype())};
}

template <class A, const OpDef* kMean>
consteval OpSpec lp_pool(const char* name, const char* doc) {
  return {
      .name = name,
      .inputs = {"x"},
      .attrs = attrs_of<A>(),
      .infer = infer_pool<A, kMean>,
      .flops = flops_per_input<3>,
      .compose = compose_pool<A>,
      .amp = Amp::kHigh,
      .doc = doc,
  };
}

}  // namespace

constinit const OpDef kLpPool1d = define(lp_pool<LpPool1dAttrs, &kAvgPool1d>(
    "lp_pool1d", "Power sums over windows of the last dimension, and their root."));
constinit const OpDef kLpPool2d = define(lp_pool<LpPool2dAttrs, &kAvgPool2d>(
    "lp_pool2d", "Power sums over windows of the last two dimensions, and their root."));
constinit const OpDef kLpPool3d = define(lp_pool<LpPool3dAttrs, &kAvgPool3d>(
    "lp_pool3d", "Power sums over windows of the last three dimensions, and their root."));

Tensor lp_pool1d(Arg x, LpPool1dAttrs attrs) {
  return call1(kLpPool1d, &attrs, {x.tensor}, x.where);
}

Tensor lp_pool2d(Arg x, LpPool2dAttrs attrs) {
  return call1(kLpPool2d, &attrs, {x.tensor}, x.where);
}

Tensor lp_pool3d(Arg x, LpPool3dAttrs attrs) {
  return call1(kLpPool3d, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops
