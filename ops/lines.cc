// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/lines.h"

#include "rutile/ops/index.h"
#include "rutile/ops/order.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scan.h"
#include "rutile/ops/scatter.h"
#include "rutile/ops/softmax.h"

namespace rutile::ops {
namespace {

TensorMeta as_line(const TensorMeta& m) {
  return m.rank() > 0 ? m : TensorMeta({1}, m.dtype, m.device);
}

}  // namespace

LineCall::LineCall(const CallMeta& c) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    inputs_.push_back(c.has(i) ? as_line(c.in(i)) : TensorMeta());
  }
  for (int i = 0; i < c.num_inputs(); ++i) pointers_.push_back(c.has(i) ? &inputs_[i] : nullptr);
  for (const TensorMeta& m : c.outputs) outputs_.push_back(as_line(m));
  call_ = c;
  call_.inputs = {pointers_.begin(), pointers_.end()};
  call_.outputs = {outputs_.begin(), outputs_.end()};
}

void lines_to_numbers(const CallMeta& c, TensorMeta* out) {
  // An index of its own rank shapes the result of a lookup; that of a scatter is shaped as x.
  const bool like_x = c.op == &kScatterAdd || c.op == &kScatter;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!like_x && c.has(i) && c.in(i).rank() > 0) return;
  }
  for (int i = 0; i < c.op->num_outputs; ++i) {
    if (out[i].shape == Shape{1}) out[i] = TensorMeta({}, out[i].dtype, out[i].device);
  }
}

bool is_line_of_number(const CallMeta& c) {
  if (!c.has(0) || c.in(0).rank() > 0 || c.in(0).layout != kStrided) return false;
  for (const OpDef* op :
       {&kSoftmax, &kLogSoftmax, &kSoftmaxGrad, &kLogSoftmaxGrad, &kCumsum, &kCumprod, &kCummax,
        &kCummin, &kLogcumsumexp, &kKthvalue, &kMedian, &kNanmedian, &kMode, &kTopk, &kSort,
        &kTakeAlongAxis, &kScatterAdd, &kScatter, &kGather}) {
    if (op == c.op) return true;
  }
  return false;
}

}  // namespace rutile::ops
