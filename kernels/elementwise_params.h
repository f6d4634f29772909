// SPDX-License-Identifier: Apache-2.0
// The attributes of elementwise ops as the numbers that functors take.
#pragma once

#include "rutile/ops/elementwise.h"

namespace rutile::kernels {

inline constexpr int kMaxParams = 2;

inline void elementwise_params(const OpDef& op, const void* attrs, double* p) {
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
  }
}

}  // namespace rutile::kernels
