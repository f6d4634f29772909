// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/loss_scaler.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/optim.h"

namespace rutile::nn::optim {

LossScaler::LossScaler(LossScalerOptions o)
    : options_(o),
      scale_(make_ref<State>("scale", Tensor::scalar(o.initial, DType::kF32))),
      good_steps_(make_ref<State>("good_steps", Tensor::scalar(int64_t{0}, DType::kI64))) {
  if (!(o.initial > 0)) {
    throw_error(ErrorCode::kValue, cat("the loss scale must be positive, got ", o.initial));
  }
}

Tensor LossScaler::scale(const Tensor& loss) const { return ops::mul(loss, scale_->read()); }

Tensor LossScaler::unscale(std::vector<Tensor>* grads) const {
  std::vector<Tensor> given;
  for (const Tensor& g : *grads) {
    if (g.defined()) given.push_back(g);
  }
  ops::Unscaled unscaled = ops::unscale_and_check(given, scale_->read());
  size_t next = 0;
  for (Tensor& g : *grads) {
    if (g.defined()) g = std::move(unscaled.grads[next++]);
  }
  return unscaled.overflow;
}

void LossScaler::update(const Tensor& skip) {
  if (!options_.dynamic) return;
  const ops::LossScaleAttrs attrs{
      .growth = options_.growth, .backoff = options_.backoff, .interval = options_.interval};
  State* states[] = {scale_.get(), good_steps_.get()};
  State::update(ops::kUpdateLossScale, &attrs, states, {&skip, 1});
}

std::vector<NamedState> LossScaler::named_states() const {
  return {{"scale", scale_}, {"good_steps", good_steps_}};
}

}  // namespace rutile::nn::optim
