// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/optimizer.h"

#include <unordered_set>

#include "rutile/core/complex.h"
#include "rutile/nn/optim/loss_scaler.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/complex.h"
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
  if (!(lr >= 0)) {
    throw_error(ErrorCode::kValue, cat("the learning rate must not be negative, got ", lr));
  }
  states_ = {{"lr", lr_}, {"step", step_}};
}
Optimizer::~Optimizer() = default;

namespace {

// Both parts of complex numbers are `initial`.
Tensor slot_value(const TensorMeta& parameter, double initial) {
  if (!is_complex(parameter.dtype)) {
    return Tensor::full(parameter.shape, initial, parameter.dtype);
  }
  Shape pairs = parameter.shape;
  pairs.push_back(2);
  return ops::view_as_complex(Tensor::full(pairs, initial, real_dtype(parameter.dtype)));
}

}  // namespace

std::vector<Ref<State>> Optimizer::make_slots(const std::string& name, double initial) {
  std::vector<Ref<State>> slots;
  std::unordered_set<std::string> taken;
  slot_metas_.clear();
  for (const ParameterPtr& p : parameters_) {
    slot_metas_.push_back(p->meta());
    std::string full = cat(name, ".", p->name());
    // Parameters of two networks may have the same name.
    for (int n = 2; !taken.insert(full).second; ++n) full = cat(name, ".", p->name(), "#", n);
    const Tensor value = slot_value(p->meta(), initial);
    slots.push_back(make_ref<State>(full, value.to(p->meta().device)));
    states_.emplace_back(full, slots.back());
    all_slots_.push_back({slots.back(), slots.size() - 1});
  }
  return slots;
}

void Optimizer::step(std::span<const Tensor> grads, const Tensor& skip, const Tensor& grad_scale) {
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
  if (!call_modes().states) move_states();
  Tensor one = Tensor::scalar(int64_t{1}, DType::kI64);
  if (skip.defined()) one = ops::where(skip, Tensor::scalar(int64_t{0}, DType::kI64), one);
  State* counted[] = {step_.get()};
  State::update(ops::kAssignAdd, nullptr, counted, {&one, 1});
  std::vector<Update> updates;
  std::vector<size_t> given;
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    given.push_back(i);
    Tensor grad = grads[i];
    const ParameterPtr p = sharding_ ? sharding_->begin(i, &grad) : parameters_[i];
    if (p)
      updates.push_back({static_cast<int>(i), group_of_[i], p->state().get(), std::move(grad)});
  }
  update(updates, {lr_->read(), step_->read(), skip, grad_scale});
  if (sharding_) sharding_->finish(given);
}

void Optimizer::shard(ShardOptions options) {
  if (sharding_) throw_error(ErrorCode::kRuntime, cat(type_name(), " is sharded already"));
  auto made = std::make_unique<Sharding>(parameters_, std::move(options), elementwise());
  if (made->ranks() == 1) return;
  for (const ParameterSlot& s : all_slots_) {
    s.state->set_concrete(made->own(made->shard(s.parameter), s.state->concrete()));
  }
  sharding_ = std::move(made);
}

std::vector<ShardedState> Optimizer::sharded_states() const {
  std::vector<ShardedState> found;
  if (!sharding_) return found;
  for (const ParameterSlot& s : all_slots_) {
    const Shard& shard = sharding_->shard(s.parameter);
    if (shard.kind != ShardKind::kWhole) found.push_back({s.state->name(), s.state, shard});
  }
  return found;
}

void Optimizer::before_step() {
  if (schedule_) set_lr(schedule_(steps()));
}

double Optimizer::lr() const { return lr_->concrete().item(); }
void Optimizer::set_lr(double lr) {
  lr_->set_concrete(Tensor::scalar(lr, DType::kF64).to(lr_->meta().device));
}

void Optimizer::move_states() {
  const Device device = parameters_.front()->meta().device;
  for (const auto& [name, state] : states_) {
    if (!(state->meta().device == device)) state->set_concrete(state->concrete().to(device));
  }
  if (sharding_) sharding_->move(device);
}

int64_t Optimizer::steps() const { return step_->concrete().item<int64_t>(); }

// ---- Optimizers of one op
// ---------------------------------------------------------------------------------------

namespace {

// Numbers that no rule makes sense of.
void check_rule(const std::string& type_name, const AnyAttrs& attrs) {
  const AttrsInfo& info = *attrs.info();
  for (int i = 0; i < info.num_fields; ++i) {
    const AttrValue value = info.get(attrs.get(), i);
    const double* const v = std::get_if<double>(&value);
    if (!v) continue;
    const std::string_view name = field_name(info, i);
    const bool share = name == "beta1" || name == "beta2" || name == "rho";
    const bool positive = share || name == "eps" || name == "momentum" || name == "weight_decay";
    if ((!positive || *v >= 0) && (!share || *v < 1)) continue;
    throw_error(ErrorCode::kValue,
                cat(type_name, ": ", name, share ? " expects 0 <= " : " expects ",
                    share ? std::string(name) + " < 1" : "0 or more", ", got ", *v));
  }
}

}  // namespace

RuleOptimizer::RuleOptimizer(std::string type_name, std::vector<ParameterGroup> groups, double lr,
                             double weight_decay, const OpDef& op, AnyAttrs attrs,
                             std::vector<Slot> slots)
    : Optimizer(std::move(groups), lr, weight_decay), type_name_(std::move(type_name)), op_(op) {
  RUTILE_CHECK(op.attrs != nullptr && static_cast<int>(slots.size()) + 1 == op.num_outputs,
               "an optimizer has the slots of its op");
  for (const ParameterGroup& g : this->groups()) {
    AnyAttrs& own = attrs_.emplace_back(attrs);
    auto set = [&](const char* name, double v) {
      throw_if_error(op.attrs->set(own.get_mutable(), field_index(*op.attrs, name), v));
    };
    set("weight_decay", this->weight_decay(g));
    set("lr_scale", g.lr_scale);
    check_rule(type_name_, own);
  }
  for (const Slot& s : slots) slots_.push_back(make_slots(s.name, s.initial));
}

void RuleOptimizer::update(std::span<const Update> updates, const StepInputs& in) {
  SmallVector<State*, 4> states;
  for (const Update& u : updates) {
    states.clear();
    states.push_back(u.parameter);
    for (const auto& slot : slots_) states.push_back(slot[static_cast<size_t>(u.index)].get());
    const Tensor rest[] = {u.grad, in.lr, in.step, in.skip, in.grad_scale};
    State::update(op_, attrs_[static_cast<size_t>(u.group)].get(), states, rest);
  }
}

bool RuleOptimizer::elementwise() const { return &op_ != &ops::kLamb && &op_ != &ops::kLars; }

SGD::SGD(std::vector<ParameterGroup> groups, SGDOptions o)
    : RuleOptimizer("SGD", std::move(groups), o.lr, ops::kSgd,
                    ops::SgdAttrs{.weight_decay = o.weight_decay, .maximize = o.maximize}, {}) {}

Momentum::Momentum(std::vector<ParameterGroup> groups, MomentumOptions o)
    : RuleOptimizer("Momentum", std::move(groups), o.lr, ops::kMomentum,
                    ops::MomentumAttrs{.momentum = o.momentum,
                                       .dampening = o.dampening,
                                       .nesterov = o.nesterov,
                                       .weight_decay = o.weight_decay,
                                       .maximize = o.maximize},
                    {{"momentum"}}) {}

Adam::Adam(std::vector<ParameterGroup> groups, AdamOptions o)
    : RuleOptimizer("Adam", std::move(groups), o.lr, o.amsgrad ? ops::kAdamAmsgrad : ops::kAdam,
                    ops::AdamAttrs{.beta1 = o.beta1,
                                   .beta2 = o.beta2,
                                   .eps = o.eps,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    o.amsgrad ? std::vector<Slot>{{"m"}, {"v"}, {"vmax"}}
                              : std::vector<Slot>{{"m"}, {"v"}}) {}

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamWOptions o)
    : RuleOptimizer("AdamW", std::move(groups), o.lr, o.amsgrad ? ops::kAdamWAmsgrad : ops::kAdamW,
                    ops::AdamAttrs{.beta1 = o.beta1,
                                   .beta2 = o.beta2,
                                   .eps = o.eps,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    o.amsgrad ? std::vector<Slot>{{"m"}, {"v"}, {"vmax"}}
                              : std::vector<Slot>{{"m"}, {"v"}}) {}

// ---- Gradients on their way to the update
// -----------------------------------------------------------------------------------

namespace {

// Of all gradients, some of which are spread over the ranks.
Tensor norm_of(std::span<const Tensor> grads, const Sharding* sharding) {
  std::vector<Tensor> whole, own;
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    (sharding && sharding->is_part(i, grads[i]) ? own : whole).push_back(grads[i]);
  }
  if (own.empty()) return ops::global_norm(whole);
  const Tensor mine = ops::global_norm(own), wide = ops::cast(mine, DType::kF64);
  Tensor squares = ops::all_reduce(ops::mul(wide, wide), {.group = sharding->options().group});
  if (!whole.empty()) {
    const Tensor rest = ops::cast(ops::global_norm(whole), DType::kF64);
    squares = ops::add(squares, ops::mul(rest, rest));
  }
  return ops::cast(ops::sqrt(squares), mine.dtype());
}

}  // namespace

Prepared prepare(std::span<const Tensor> grads, const LossScaler* scaler, double clip_norm,
                 int64_t parts, const Sharding* sharding) {
  Prepared r;
  const double mean = 1.0 / static_cast<double>(parts);
  if (scaler) {
    r.grad_scale = ops::div(mean, scaler->scale_now());
  } else if (parts > 1) {
    r.grad_scale = Tensor::scalar(mean, DType::kF64);
  }
  if (!scaler && !(clip_norm > 0)) return r;
  const Tensor norm = norm_of(grads, sharding);
  r.norm = r.grad_scale.defined() ? ops::mul(norm, r.grad_scale) : norm;
  if (scaler) r.skip = ops::logical_not(ops::isfinite(norm));
  if (clip_norm > 0) {
    const Tensor k = ops::minimum(ops::div(clip_norm, ops::add(r.norm, 1e-6)), 1.0);
    r.grad_scale = r.grad_scale.defined() ? ops::mul(k, r.grad_scale) : k;
  }
  return r;
}

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
