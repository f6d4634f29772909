// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/conv_shape.h"

#include "rutile/ops/conv.h"
#include "rutile/ops/post_ops.h"

namespace rutile::kernels {

namespace {

template <class A>
void take_geometry(const A& a, ConvShape* s) {
  s->stride_h = a.stride.h;
  s->stride_w = a.stride.w;
  s->pad_h = a.pad.h;
  s->pad_w = a.pad.w;
  s->dil_h = a.dilation.h;
  s->dil_w = a.dilation.w;
  s->groups = a.groups;
}

}  // namespace

ConvTensors conv_tensors(const CallMeta& call) {
  if (call.op == &ops::kConv2d || call.op == &ops::kConv2dAct) {
    return {&call.in(0), &call.in(1), &call.out()};
  }
  if (call.op == &ops::kConv2dInputGrad) return {&call.out(), &call.in(1), &call.in(0)};
  return {&call.in(1), &call.out(), &call.in(0)};
}

ConvShape conv_shape(const CallMeta& call) {
  ConvShape s;
  if (call.op == &ops::kConv2d) {
    take_geometry(call.as<ops::Conv2dAttrs>(), &s);
  } else if (call.op == &ops::kConv2dAct) {
    take_geometry(call.as<ops::Conv2dActAttrs>(), &s);
  } else if (call.op == &ops::kConv2dInputGrad) {
    take_geometry(call.as<ops::Conv2dInputGradAttrs>(), &s);
  } else {
    take_geometry(call.as<ops::Conv2dWeightGradAttrs>(), &s);
  }
  const ConvTensors t = conv_tensors(call);
  s.n = t.x->dim(0);
  s.ic = t.weight->dim(1);
  s.oc = t.weight->dim(0) / s.groups;
  s.h = t.x->dim(2);
  s.w = t.x->dim(3);
  s.kh = t.weight->dim(2);
  s.kw = t.weight->dim(3);
  s.oh = t.y->dim(2);
  s.ow = t.y->dim(3);
  return s;
}

}  // namespace rutile::kernels
