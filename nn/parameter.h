// SPDX-License-Identifier: Apache-2.0
// Parameter: a trained State of a Cell. Optimizers want full precision (f32, f64); mixed precision
// casts where it is used. Integers and bools (counters, masks) are kept but not trained.
//
//   auto w = std::make_shared<nn::Parameter>("weight", init::normal({4, 3}, 0, 0.02));
//   Tensor y = ops::matmul(x, w->read());
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rutile/ops/state.h"

namespace rutile::nn {

class RUTILE_API Parameter {
 public:
  // Low precision and complex numbers are Error{kType}, unless `frozen`: a parameter that is never
  // trained (what a file of weights holds, say) may have any dtype.
  Parameter(std::string name, Tensor value, bool frozen = false);
  Parameter(const Parameter&) = delete;
  Parameter& operator=(const Parameter&) = delete;

  // Full path below the outermost Cell that holds it: "layer1.0.conv1.weight".
  const std::string& name() const { return state_->name(); }
  // The value; inside a trace the symbolic one.
  Tensor read() const { return state_->read(); }
  // The stored value, also inside a trace.
  Tensor value() const { return state_->value(); }
  const TensorMeta& meta() const { return state_->meta(); }
  int64_t numel() const { return meta().numel(); }
  // Replaces the value; shape and dtype must stay (Error{kValue}).
  void set_value(const Tensor& value) { state_->write(value); }
  const Ref<State>& state() const { return state_; }

  bool requires_grad() const { return requires_grad_; }
  // A parameter without gradient is left alone by optimizers.
  void set_requires_grad(bool on);
  // Counts such changes of all parameters: a quick look for who depends on many.
  static std::atomic<uint64_t> edition;

 private:
  Ref<State> state_;
  bool requires_grad_ = true;
};

using ParameterPtr = std::shared_ptr<Parameter>;
using NamedParameter = std::pair<std::string, ParameterPtr>;
using NamedState = std::pair<std::string, Ref<State>>;

// Elements in all of them.
RUTILE_API int64_t count_elements(const std::vector<ParameterPtr>& parameters);

}  // namespace rutile::nn
