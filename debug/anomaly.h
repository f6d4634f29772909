// SPDX-License-Identifier: Apache-2.0
// Where the first NaN or infinity comes from. While a scope is open, every op that runs on its
// thread, eagerly or in a compiled step, is looked at; the first one that writes a NaN or an
// infinity is an Error{kValue} that names it with its Cell and the line of the forward call:
//
//   debug::DetectAnomaly scope;
//   Tensor loss = ops::mean(ops::log(x));
//   // [log] gives 1 nan among 3 elements, the first at [1]; its inputs are finite | x f32[3]@cpu |
//   //   at train.cc:12
//
// In backward it names the op of the gradient rule and the forward call it belongs to. A compiled
// step stops before parameters are written, where the optimizer comes behind; its fused kernels are
// named by all that they are made of. Costs a pass over every result; nothing where no scope is.
#pragma once

#include <memory>

#include "rutile/core/api.h"

namespace rutile::debug {

struct AnomalyOptions {
  bool nan = true;
  bool inf = true;  // off: masks of -inf and overflows under a loss scale are no anomaly
};

// For the thread that makes it. Scopes nest, each with its options, and may end in any order.
class RUTILE_API DetectAnomaly {
 public:
  explicit DetectAnomaly(AnomalyOptions options = {});
  ~DetectAnomaly();
  DetectAnomaly(const DetectAnomaly&) = delete;
  DetectAnomaly& operator=(const DetectAnomaly&) = delete;

 private:
  class Hooks;
  std::shared_ptr<Hooks> hooks_;
};

}  // namespace rutile::debug
