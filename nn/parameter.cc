// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/parameter.h"

#include "rutile/core/complex.h"
#include "rutile/ops/transfer.h"

namespace rutile::nn {

Parameter::Parameter(std::string name, Tensor value, bool frozen) {
  const bool trained = !frozen && value.defined() && is_differentiable(value.dtype());
  if (!value.defined())
    throw_error(ErrorCode::kType, cat("parameter ", name, " got an empty Tensor"));
  requires_grad_ = trained;
  state_ = make_ref<State>(std::move(name), ops::to_device_in_force(value));
}

void Parameter::set_requires_grad(bool on) {
  if (on && !is_differentiable(meta().dtype)) {
    throw_error(ErrorCode::kType, cat("parameter ", name(), " ", meta(), " has no gradient"));
  }
  if (on != requires_grad_) edition.fetch_add(1, std::memory_order_relaxed);
  requires_grad_ = on;
}

std::atomic<uint64_t> Parameter::edition{0};

int64_t count_elements(const std::vector<ParameterPtr>& parameters) {
  int64_t n = 0;
  for (const ParameterPtr& p : parameters) n += p->numel();
  return n;
}

}  // namespace rutile::nn
