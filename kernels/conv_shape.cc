// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/conv_shape.h"

#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/conv_norm.h"
#include "rutile/ops/post_ops.h"

namespace rutile::kernels {

namespace {

template <class A>
void take_geometry(const CallMeta& call, ConvShape* s) {
  const A& a = call.as<A>();
  s->stride_h = a.stride.h;
  s->stride_w = a.stride.w;
  s->pad_h = a.pad.h;
  s->pad_w = a.pad.w;
  s->dil_h = a.dilation.h;
  s->dil_w = a.dilation.w;
  s->groups = a.groups;
  if constexpr (requires { a.stride.d; }) {
    s->spatial = 3;
    s->stride_d = a.stride.d;
    s->pad_d = a.pad.d;
    s->dil_d = a.dilation.d;
  }
}

}  // namespace

ConvKind conv_kind(const OpDef* op) {
  for (const OpDef* forward :
       {&ops::kConv2d, &ops::kConv2dAct, &ops::kConv2dStats, &ops::kConv3d}) {
    if (op == forward) return ConvKind::kForward;
  }
  for (const OpDef* grad :
       {&ops::kConv2dInputGrad, &ops::kConv2dNormInputGrad, &ops::kConv3dInputGrad}) {
    if (op == grad) return ConvKind::kInputGrad;
  }
  return ConvKind::kWeightGrad;
}

ConvTensors conv_tensors(const CallMeta& call) {
  switch (conv_kind(call.op)) {
    case ConvKind::kForward:
      return {&call.in(0), &call.in(1), &call.out()};
    case ConvKind::kInputGrad:
      return {&call.out(), &call.in(1), &call.in(0)};
    default:
      return {&call.in(1), &call.out(), &call.in(0)};
  }
}

ConvShape conv_shape(const CallMeta& call) {
  ConvShape s;
  if (call.op == &ops::kConv2d) take_geometry<ops::Conv2dAttrs>(call, &s);
  if (call.op == &ops::kConv2dAct) take_geometry<ops::Conv2dActAttrs>(call, &s);
  if (call.op == &ops::kConv2dInputGrad) take_geometry<ops::Conv2dInputGradAttrs>(call, &s);
  if (call.op == &ops::kConv2dWeightGrad) take_geometry<ops::Conv2dWeightGradAttrs>(call, &s);
  if (call.op == &ops::kConv2dStats) take_geometry<ops::Conv2dAttrs>(call, &s);
  if (call.op == &ops::kConv2dNormInputGrad) take_geometry<ops::Conv2dAttrs>(call, &s);
  if (call.op == &ops::kConv2dNormWeightGrad) take_geometry<ops::Conv2dWeightGradAttrs>(call, &s);
  if (call.op == &ops::kConv3d) take_geometry<ops::Conv3dAttrs>(call, &s);
  if (call.op == &ops::kConv3dInputGrad) take_geometry<ops::Conv3dInputGradAttrs>(call, &s);
  if (call.op == &ops::kConv3dWeightGrad) take_geometry<ops::Conv3dWeightGradAttrs>(call, &s);
  const ConvTensors t = conv_tensors(call);
  s.n = t.x->dim(0);
  s.ic = t.weight->dim(1);
  s.oc = t.weight->dim(0) / s.groups;
  const int h = s.spatial, w = h + 1;
  s.h = t.x->dim(h);
  s.w = t.x->dim(w);
  s.kh = t.weight->dim(h);
  s.kw = t.weight->dim(w);
  s.oh = t.y->dim(h);
  s.ow = t.y->dim(w);
  if (s.spatial == 3) {
    s.d = t.x->dim(2);
    s.kd = t.weight->dim(2);
    s.od = t.y->dim(2);
  }
  return s;
}

Strides volume_strides(const Strides& s) {
  return s.rank() == 5 ? s : Strides{s[0], s[1], 0, s[2], s[3]};
}

}  // namespace rutile::kernels
