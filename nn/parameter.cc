// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/parameter.h"

namespace rutile::nn {

Parameter::Parameter(std::string name, Tensor value) {
  if (!value.defined() || (value.dtype() != DType::kF32 && value.dtype() != DType::kF64)) {
    throw_error(ErrorCode::kType, cat("parameter ", name, " must be f32 or f64, got ",
                                      value.defined() ? to_string(value.meta()) : "an empty Tensor",
                                      "; mixed precision casts where it is used"));
  }
  state_ = make_ref<State>(std::move(name), std::move(value));
}

int64_t count_elements(const std::vector<ParameterPtr>& parameters) {
  int64_t n = 0;
  for (const ParameterPtr& p : parameters) n += p->numel();
  return n;
}

}  // namespace rutile::nn
