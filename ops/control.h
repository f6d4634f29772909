// SPDX-License-Identifier: Apache-2.0
// Ops that steer differentiation: stop_gradient and recompute.
#pragma once

#include <functional>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/ops/call.h"

namespace rutile::ops {

extern const OpDef kStopGradient;
// x itself; no gradient flows through it.
RUTILE_API Tensor stop_gradient(Arg x);

struct RecomputeAttrs {
  Ref<Region> body;
  RUTILE_REFLECT(body)
};
extern const OpDef kRecompute;
// fn(inputs), keeping none of its intermediate results for the gradient: backward runs fn again
// (Chen et al., "Training deep nets with sublinear memory cost", 2016). fn may read Parameters and
// tensors from outside; they get their gradients. The second run sees the States as the first one
// did (the same dropout masks) and writes none of them.
//
//   std::vector<Tensor> y = ops::recompute([&](auto& x) { return std::vector{block(x[0])}; }, {x});
RUTILE_API std::vector<Tensor> recompute(
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& fn,
    const std::vector<Tensor>& inputs);

}  // namespace rutile::ops
