// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/parameter.h"

namespace rutile::nn {

namespace {
bool trainable(DType t) { return t == DType::kF32 || t == DType::kF64; }
}  // namespace

Parameter::Parameter(std::string name, Tensor value, bool frozen) {
  const bool trained = !frozen && value.defined() && trainable(value.dtype());
  if (!value.defined() || (!frozen && is_floating(value.dtype()) && !trained)) {
    throw_error(ErrorCode::kType, cat("parameter ", name, " must be f32 or f64, got ",
                                      value.defined() ? to_string(value.meta()) : "an empty Tensor",
                                      "; mixed precision casts where it is used"));
  }
  requires_grad_ = trained;
  state_ = make_ref<State>(std::move(name), std::move(value));
}

void Parameter::set_requires_grad(bool on) {
  if (on && !trainable(meta().dtype)) {
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
