// SPDX-License-Identifier: Apache-2.0
// Tools between the gradients and the optimizer, and averages of parameters. clip_by_global_norm
// and prepare stand in optimizer.h. All of it is ops: it may be traced.
//
//   std::vector<Tensor> grads = scope.gradient(loss, parameters);
//   optim::centralize(&grads);
//   optim::clip_by_value(&grads, 1.0);
#pragma once

#include <memory>
#include <vector>

#include "rutile/nn/parameter.h"

namespace rutile::nn::optim {

// Limits every element to [-limit, limit]. Empty entries are skipped, here and below.
RUTILE_API void clip_by_value(std::vector<Tensor>* grads, double limit);
// Scales each gradient down to a 2-norm of at most max_norm, by itself.
RUTILE_API void clip_by_norm(std::vector<Tensor>* grads, double max_norm);
// Takes the mean over all dimensions but the first off gradients of two or more dimensions (Yong et
// al., "Gradient centralization", 2020).
RUTILE_API void centralize(std::vector<Tensor>* grads);

struct EMAOptions {
  double decay = 0.999;
  bool warm_up = false;  // decay min(decay, (1 + n) / (10 + n)) in the n-th update
};
// Exponential moving averages of parameters: a = decay * a + (1 - decay) * p, one kernel for all in
// a compiled step (StepOptions::ema).
//
//   auto ema = std::make_shared<optim::EMA>(net->parameters(), optim::EMAOptions{.decay = 0.99});
//   ema->update();           // after each step
//   {
//     optim::EMAScope averaged(*ema);   // the parameters are the averages here
//     evaluate();
//   }
class RUTILE_API EMA {
 public:
  // The averages start as the parameters' values.
  explicit EMA(std::vector<ParameterPtr> parameters, EMAOptions options = {});
  // Where `skip` (0-d bool) is true nothing changes.
  void update(const Tensor& skip = {});
  // Exchanges parameters and averages; not inside a trace.
  void swap();
  const std::vector<ParameterPtr>& parameters() const { return parameters_; }
  // "ema.<parameter>" and "updates".
  const std::vector<NamedState>& named_states() const { return states_; }

 private:
  EMAOptions options_;
  std::vector<ParameterPtr> parameters_;
  std::vector<Ref<State>> averages_;
  Ref<State> updates_;
  std::vector<NamedState> states_;
};

// Swaps at both ends.
class RUTILE_API EMAScope {
 public:
  explicit EMAScope(EMA& ema) : ema_(ema) { ema_.swap(); }
  ~EMAScope() { ema_.swap(); }
  EMAScope(const EMAScope&) = delete;
  EMAScope& operator=(const EMAScope&) = delete;

 private:
  EMA& ema_;
};

}  // namespace rutile::nn::optim
