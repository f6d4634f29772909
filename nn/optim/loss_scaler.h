// SPDX-License-Identifier: Apache-2.0
// Loss scaling for f16 (Micikevicius et al., "Mixed precision training", 2018). All of it is ops on
// the device: nothing waits for a value.
//
//   auto scaler = std::make_shared<optim::LossScaler>(optim::LossScalerOptions{});
//   Tensor scaled = scaler->scale(loss);
//   std::vector<Tensor> grads = scope.gradient(scaled, parameters);
//   optim::Prepared p = optim::prepare(grads, scaler.get());   // p.skip: any is inf or NaN
//   optimizer->step(grads, p.skip, p.grad_scale);
//   scaler->update(p.skip);
#pragma once

#include <vector>

#include "rutile/nn/parameter.h"

namespace rutile::nn::optim {

struct LossScalerOptions {
  double initial = 65536;
  bool dynamic = true;  // otherwise the scale stays
  double growth = 2, backoff = 0.5;
  int64_t interval = 2000;  // steps without overflow before it grows
};

class RUTILE_API LossScaler {
 public:
  explicit LossScaler(LossScalerOptions options = {});
  Tensor scale(const Tensor& loss) const;
  // The scale, f32[].
  Tensor scale_now() const { return scale_->read(); }
  // Divides the gradients by the scale; returns bool[]: whether the step is to be skipped. Where
  // nobody needs the unscaled gradients, optim::prepare (optimizer.h) saves this pass.
  Tensor unscale(std::vector<Tensor>* grads) const;
  void update(const Tensor& skip);
  // "scale" and "good_steps".
  std::vector<NamedState> named_states() const;
  double value() const { return scale_->concrete().item(); }

 private:
  LossScalerOptions options_;
  Ref<State> scale_, good_steps_;
};

}  // namespace rutile::nn::optim
