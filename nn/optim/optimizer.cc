// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/optimizer.h"

#include <unordered_set>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/optim.h"

namespace rutile::nn::optim {

std::vector<ParameterGroup> decay_groups(const Cell& net) {
  ParameterGroup decayed, plain;
  plain.weight_decay = 0.0;
  for (const ParameterPtr& p : net.parameters()) {
    (p->meta().rank() >= 2 ? decayed : plain).parameters.push_back(p);
  }
  std::vector<ParameterGroup> groups;
  if (!decayed.parameters.empty()) groups.push_back(std::move(decayed));
  if (!plain.parameters.empty()) groups.push_back(std::move(plain));
  return groups;
}

Optimizer::Optimizer(std::vector<ParameterGroup> groups, double lr, double weight_decay)
    : groups_(std::move(groups)),
      weight_decay_(weight_decay),
      lr_(make_ref<State>("lr", Tensor::scalar(lr, DType::kF64))),
      step_(make_ref<State>("step", Tensor::scalar(int64_t{0}, DType::kI64))) {
  std::unordered_set<const Parameter*> seen;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (const ParameterPtr& p : groups_[g].parameters) {
      if (!p) throw_error(ErrorCode::kValue, cat("parameter group ", g, " has a null parameter"));
      if (!seen.insert(p.get()).second) {
        throw_error(ErrorCode::kValue, cat("parameter ", p->name(), " is given twice"));
      }
      parameters_.push_back(p);
      group_of_.push_back(static_cast<int>(g));
    }
  }
  if (parameters_.empty()) throw_error(ErrorCode::kValue, "an optimizer needs parameters");
  states_ = {{"lr", lr_}, {"step", step_}};
}
Optimizer::~Optimizer() = default;

std::vector<Ref<State>> Optimizer::make_slots(const std::string& name) {
  std::vector<Ref<State>> slots;
  std::unordered_set<std::string> taken;
  slot_metas_.clear();
  for (const ParameterPtr& p : parameters_) {
    slot_metas_.push_back(p->meta());
    std::string full = cat(name, ".", p->name());
    // Parameters of two networks may have the same name.
    for (int n = 2; !taken.insert(full).second; ++n) full = cat(name, ".", p->name(), "#", n);
    slots.push_back(make_ref<State>(full, Tensor::zeros(p->meta().shape, p->meta().dtype)));
    states_.emplace_back(full, slots.back());
  }
  return slots;
}

void Optimizer::step(std::span<const Tensor> grads, const Tensor& skip) {
  if (grads.size() != parameters_.size()) {
    throw_error(ErrorCode::kValue, cat(type_name(), " has ", parameters_.size(),
                                       " parameters, got ", grads.size(), " gradients"));
  }
  for (size_t i = 0; i < slot_metas_.size(); ++i) {
    if (parameters_[i]->meta().dtype == slot_metas_[i].dtype) continue;
    throw_error(ErrorCode::kType,
                cat("parameter ", parameters_[i]->name(), " was ", slot_metas_[i], " when this ",
                    type_name(), " was made and is ", parameters_[i]->meta(),
                    " now; make the optimizer after Cell::to()"));
  }
  Tensor one = Tensor::scalar(int64_t{1}, DType::kI64);
  if (skip.defined()) one = ops::where(skip, Tensor::scalar(int64_t{0}, DType::kI64), one);
  State* counted[] = {step_.get()};
  State::update(ops::kAssignAdd, nullptr, counted, {&one, 1});
  std::vector<Update> updates;
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    const ParameterGroup& group = groups_[static_cast<size_t>(group_of_[i])];
    updates.push_back({static_cast<int>(i), parameters_[i]->state().get(), grads[i], group.lr_scale,
                       group.weight_decay.value_or(weight_decay_)});
  }
  update(updates, lr_->read(), step_->read(), skip);
}

void Optimizer::before_step() {
  if (schedule_) set_lr(schedule_(steps()));
}

double Optimizer::lr() const { return lr_->concrete().item(); }
void Optimizer::set_lr(double lr) { lr_->set_concrete(Tensor::scalar(lr, DType::kF64)); }
int64_t Optimizer::steps() const { return step_->concrete().item<int64_t>(); }

// ---- SGD
// ------------------------------------------------------------------------------------------

SGD::SGD(std::vector<ParameterGroup> groups, SGDOptions o)
    : Optimizer(std::move(groups), o.lr, o.weight_decay) {}
SGD::SGD(std::vector<ParameterPtr> parameters, SGDOptions o)
    : SGD(std::vector<ParameterGroup>{{std::move(parameters), 1, {}}}, o) {}

void SGD::update(std::span<const Update> updates, const Tensor& lr, const Tensor&,
                 const Tensor& skip) {
  for (const Update& u : updates) {
    const ops::SgdAttrs attrs{.weight_decay = u.weight_decay, .lr_scale = u.lr_scale};
    State* states[] = {u.parameter};
    const Tensor rest[] = {u.grad, lr, skip};
    State::update(ops::kSgd, &attrs, states, rest);
  }
}

// ---- Momentum
// -------------------------------------------------------------------------------------

Momentum::Momentum(std::vector<ParameterGroup> groups, MomentumOptions o)
    : Optimizer(std::move(groups), o.lr, o.weight_decay),
      options_(o),
      velocity_(make_slots("momentum")) {}
Momentum::Momentum(std::vector<ParameterPtr> parameters, MomentumOptions o)
    : Momentum(std::vector<ParameterGroup>{{std::move(parameters), 1, {}}}, o) {}

void Momentum::update(std::span<const Update> updates, const Tensor& lr, const Tensor& step,
                      const Tensor& skip) {
  for (const Update& u : updates) {
    const ops::MomentumAttrs attrs{.momentum = options_.momentum,
                                   .dampening = options_.dampening,
                                   .nesterov = options_.nesterov,
                                   .weight_decay = u.weight_decay,
                                   .lr_scale = u.lr_scale};
    State* states[] = {u.parameter, velocity_[static_cast<size_t>(u.index)].get()};
    const Tensor rest[] = {u.grad, lr, step, skip};
    State::update(ops::kMomentum, &attrs, states, rest);
  }
}

// ---- Adam
// -----------------------------------------------------------------------------------------

Adam::Adam(std::vector<ParameterGroup> groups, AdamOptions o, bool decoupled)
    : Optimizer(std::move(groups), o.lr, o.weight_decay),
      options_(o),
      decoupled_(decoupled),
      m_(make_slots("m")),
      v_(make_slots("v")) {}
Adam::Adam(std::vector<ParameterGroup> groups, AdamOptions o)
    : Adam(std::move(groups), o, /*decoupled=*/false) {}
Adam::Adam(std::vector<ParameterPtr> parameters, AdamOptions o)
    : Adam(std::vector<ParameterGroup>{{std::move(parameters), 1, {}}}, o) {}

void Adam::update(std::span<const Update> updates, const Tensor& lr, const Tensor& step,
                  const Tensor& skip) {
  for (const Update& u : updates) {
    const ops::AdamAttrs attrs{.beta1 = options_.beta1,
                               .beta2 = options_.beta2,
                               .eps = options_.eps,
                               .weight_decay = u.weight_decay,
                               .lr_scale = u.lr_scale};
    const size_t i = static_cast<size_t>(u.index);
    State* states[] = {u.parameter, m_[i].get(), v_[i].get()};
    const Tensor rest[] = {step, u.grad, lr, skip};
    State::update(decoupled_ ? ops::kAdamW : ops::kAdam, &attrs, states, rest);
  }
}

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamWOptions o)
    : Adam(std::move(groups), {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay},
           /*decoupled=*/true) {}
AdamW::AdamW(std::vector<ParameterPtr> parameters, AdamWOptions o)
    : AdamW(std::vector<ParameterGroup>{{std::move(parameters), 1, {}}}, o) {}

// ---- Clipping
// ---------------------------------------------------------------------------------------

Tensor clip_by_global_norm(std::vector<Tensor>* grads, double max_norm) {
  if (!(max_norm > 0)) {
    throw_error(ErrorCode::kValue, cat("max_norm must be positive, got ", max_norm));
  }
  std::vector<Tensor> given;
  for (const Tensor& g : *grads) {
    if (g.defined()) given.push_back(g);
  }
  ops::Clipped clipped = ops::clip_by_global_norm(given, max_norm);
  size_t next = 0;
  for (Tensor& g : *grads) {
    if (g.defined()) g = std::move(clipped.tensors[next++]);
  }
  return clipped.norm;
}

}  // namespace rutile::nn::optim
