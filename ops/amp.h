// SPDX-License-Identifier: Apache-2.0
// Automatic mixed precision as a scope; the only AMP in the system, eager and graph alike.
//
//   AmpScope amp(DType::kBF16);
//   Tensor y = ops::linear(x, w);   // runs in bf16, gradients of w come out in f32
#pragma once

#include "rutile/ops/call.h"

namespace rutile {

// Casts float inputs of each op by its class (OpDef::amp) while it lives; scopes nest.
class AmpScope {
 public:
  explicit AmpScope(DType low) : scope_(call_modes().amp, AmpState{true, low}) {}

 private:
  ScopedValue<AmpState> scope_;
};

}  // namespace rutile
