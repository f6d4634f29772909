// SPDX-License-Identifier: Apache-2.0
// The attributes of elementwise ops as the numbers that functors take; `dtype` is the input's.
#pragma once

#include "rutile/ops/activation.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/special.h"

namespace rutile::kernels {

inline constexpr int kMaxParams = 3;

inline void elementwise_params(const OpDef& op, const void* attrs, DType dtype, double* p) {
  auto is = [&op](const OpDef& forward, const OpDef& gradient) {
    return &op == &forward || &op == &gradient;
  };
  if (is(ops::kGelu, ops::kGeluGrad)) {
    const auto& a = *static_cast<const ops::GeluAttrs*>(attrs);
    p[0] = a.approximate == ops::GeluApproximate::kTanh;
  } else if (is(ops::kLeakyRelu, ops::kLeakyReluGrad)) {
    p[0] = static_cast<const ops::LeakyReluAttrs*>(attrs)->alpha;
  } else if (is(ops::kElu, ops::kEluGrad)) {
    p[0] = static_cast<const ops::EluAttrs*>(attrs)->alpha;
  } else if (is(ops::kClip, ops::kClipGrad)) {
    p[0] = static_cast<const ops::ClipAttrs*>(attrs)->min;
    p[1] = static_cast<const ops::ClipAttrs*>(attrs)->max;
  } else if (&op == &ops::kCelu) {
    p[0] = static_cast<const ops::CeluAttrs*>(attrs)->alpha;
  } else if (&op == &ops::kThreshold) {
    p[0] = static_cast<const ops::ThresholdAttrs*>(attrs)->threshold;
    p[1] = static_cast<const ops::ThresholdAttrs*>(attrs)->value;
  } else if (&op == &ops::kSoftshrink || &op == &ops::kHardshrink) {
    p[0] = static_cast<const ops::ShrinkAttrs*>(attrs)->lambd;
  } else if (&op == &ops::kPolygamma) {
    p[0] = static_cast<double>(static_cast<const ops::PolygammaAttrs*>(attrs)->n);
  } else if (&op == &ops::kNanToNum) {
    ops::nan_to_num_values(*static_cast<const ops::NanToNumAttrs*>(attrs), dtype, p);
  }
}

}  // namespace rutile::kernels
