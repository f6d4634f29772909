// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/gradients.h"

#include "rutile/core/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn::optim {

namespace {

void check_limit(const char* name, double v) {
  if (v > 0) return;
  throw_error(ErrorCode::kValue, cat(name, " must be positive, got ", v));
}

}  // namespace

void clip_by_value(std::vector<Tensor>* grads, double limit) {
  check_limit("limit", limit);
  for (Tensor& g : *grads) {
    if (g.defined()) g = ops::clip(g, {.min = -limit, .max = limit});
  }
}

void clip_by_norm(std::vector<Tensor>* grads, double max_norm) {
  check_limit("max_norm", max_norm);
  for (Tensor& g : *grads) {
    if (!g.defined()) continue;
    const Tensor factor = ops::minimum(max_norm / (ops::global_norm({&g, 1}) + 1e-6), 1.0);
    g = g * ops::cast(factor, g.dtype());
  }
}

void centralize(std::vector<Tensor>* grads) {
  for (Tensor& g : *grads) {
    if (!g.defined() || g.rank() < 2) continue;
    Dims axes;
    for (int i = 1; i < g.rank(); ++i) axes.push_back(i);
    g = g - ops::mean(g, {.axes = axes, .keepdims = true});
  }
}

EMA::EMA(std::vector<ParameterPtr> parameters, EMAOptions o)
    : options_(o), parameters_(std::move(parameters)) {
  if (!(o.decay >= 0 && o.decay <= 1)) {
    throw_error(ErrorCode::kValue, cat("the decay of an EMA must be in [0, 1], got ", o.decay));
  }
  for (const ParameterPtr& p : parameters_) {
    if (!p) throw_error(ErrorCode::kValue, "an EMA got a null parameter");
    if (!is_differentiable(p->meta().dtype)) {
      throw_error(ErrorCode::kType,
                  cat("parameter ", p->name(), " ", p->meta(), " has no average"));
    }
    const std::string name = cat("ema.", p->name());
    averages_.push_back(make_ref<State>(name, p->value()));
    states_.emplace_back(name, averages_.back());
  }
  updates_ = make_ref<State>("updates", Tensor::scalar(int64_t{0}, DType::kI64));
  states_.emplace_back("updates", updates_);
}

// a - (1 - decay) (a - p): the update of gradient descent that maximizes, with the parameter as
// gradient and a weight decay of 1.
void EMA::update(const Tensor& skip) {
  Tensor one = Tensor::scalar(int64_t{1}, DType::kI64);
  if (skip.defined()) one = ops::where(skip, Tensor::scalar(int64_t{0}, DType::kI64), one);
  State* counted[] = {updates_.get()};
  State::update(ops::kAssignAdd, nullptr, counted, {&one, 1});
  Tensor rate = Tensor::scalar(1 - options_.decay, DType::kF64);
  if (options_.warm_up) {
    const Tensor n = ops::cast(updates_->read(), DType::kF64);
    rate = 1.0 - ops::minimum((n + 1.0) / (n + 10.0), options_.decay);
  }
  const ops::SgdAttrs attrs{.weight_decay = 1, .maximize = true};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    State* states[] = {averages_[i].get()};
    const Tensor rest[] = {parameters_[i]->read(), rate, Tensor(), skip};
    State::update(ops::kSgd, &attrs, states, rest);
  }
}

void EMA::swap() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor average = averages_[i]->concrete();
    averages_[i]->set_concrete(parameters_[i]->value());
    parameters_[i]->state()->set_concrete(average);
  }
}

}  // namespace rutile::nn::optim
