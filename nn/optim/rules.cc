// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/rules.h"

#include "rutile/ops/update.h"

namespace rutile::nn::optim {

namespace {

const OpDef& rmsprop_op(const RMSPropOptions& o) {
  if (o.centered) return o.momentum != 0 ? ops::kRmspropCenteredMomentum : ops::kRmspropCentered;
  return o.momentum != 0 ? ops::kRmspropMomentum : ops::kRmsprop;
}

}  // namespace

Adamax::Adamax(std::vector<ParameterGroup> groups, AdamaxOptions o)
    : RuleOptimizer("Adamax", std::move(groups), o.lr, ops::kAdamax,
                    ops::AdamAttrs{.beta1 = o.beta1,
                                   .beta2 = o.beta2,
                                   .eps = o.eps,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    {{"m"}, {"u"}}) {}

NAdam::NAdam(std::vector<ParameterGroup> groups, NAdamOptions o)
    : RuleOptimizer("NAdam", std::move(groups), o.lr, ops::kNAdam,
                    ops::NAdamAttrs{.beta1 = o.beta1,
                                    .beta2 = o.beta2,
                                    .eps = o.eps,
                                    .momentum_decay = o.momentum_decay,
                                    .decoupled_weight_decay = o.decoupled_weight_decay,
                                    .weight_decay = o.weight_decay,
                                    .maximize = o.maximize},
                    {{"m"}, {"v"}}) {}

RAdam::RAdam(std::vector<ParameterGroup> groups, RAdamOptions o)
    : RuleOptimizer("RAdam", std::move(groups), o.lr, ops::kRAdam,
                    ops::RAdamAttrs{.beta1 = o.beta1,
                                    .beta2 = o.beta2,
                                    .eps = o.eps,
                                    .decoupled_weight_decay = o.decoupled_weight_decay,
                                    .weight_decay = o.weight_decay,
                                    .maximize = o.maximize},
                    {{"m"}, {"v"}}) {}

Adagrad::Adagrad(std::vector<ParameterGroup> groups, AdagradOptions o)
    : RuleOptimizer("Adagrad", std::move(groups), o.lr, ops::kAdagrad,
                    ops::AdagradAttrs{.lr_decay = o.lr_decay,
                                      .eps = o.eps,
                                      .weight_decay = o.weight_decay,
                                      .maximize = o.maximize},
                    {{"sum", o.initial_accumulator}}) {}

Adadelta::Adadelta(std::vector<ParameterGroup> groups, AdadeltaOptions o)
    : RuleOptimizer(
          "Adadelta", std::move(groups), o.lr, ops::kAdadelta,
          ops::AdadeltaAttrs{
              .rho = o.rho, .eps = o.eps, .weight_decay = o.weight_decay, .maximize = o.maximize},
          {{"square_avg"}, {"acc_delta"}}) {}

namespace {
template <class Slot>
std::vector<Slot> rmsprop_slots(const RMSPropOptions& o) {
  std::vector<Slot> slots{{"square_avg"}};
  if (o.centered) slots.push_back({"grad_avg"});
  if (o.momentum != 0) slots.push_back({"momentum"});
  return slots;
}
}  // namespace

RMSProp::RMSProp(std::vector<ParameterGroup> groups, RMSPropOptions o)
    : RuleOptimizer("RMSProp", std::move(groups), o.lr, rmsprop_op(o),
                    ops::RmspropAttrs{.alpha = o.alpha,
                                      .eps = o.eps,
                                      .momentum = o.momentum,
                                      .weight_decay = o.weight_decay,
                                      .maximize = o.maximize},
                    rmsprop_slots<Slot>(o)) {}

Rprop::Rprop(std::vector<ParameterGroup> groups, RpropOptions o)
    : RuleOptimizer("Rprop", std::move(groups), o.lr, ops::kRprop,
                    ops::RpropAttrs{.eta_minus = o.eta_minus,
                                    .eta_plus = o.eta_plus,
                                    .min_step = o.min_step,
                                    .max_step = o.max_step,
                                    .maximize = o.maximize},
                    {{"prev"}, {"step_size", o.lr}}) {}

ASGD::ASGD(std::vector<ParameterGroup> groups, ASGDOptions o)
    : RuleOptimizer("ASGD", std::move(groups), o.lr, ops::kAsgd,
                    ops::AsgdAttrs{.lambd = o.lambd,
                                   .alpha = o.alpha,
                                   .t0 = o.t0,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    {{"ax"}}) {}

FTRL::FTRL(std::vector<ParameterGroup> groups, FTRLOptions o)
    : RuleOptimizer("FTRL", std::move(groups), o.lr, ops::kFtrl,
                    ops::FtrlAttrs{.l1 = o.l1,
                                   .l2 = o.l2,
                                   .lr_power = o.lr_power,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    {{"accum", o.initial_accumulator}, {"linear"}}) {}

Lion::Lion(std::vector<ParameterGroup> groups, LionOptions o)
    : RuleOptimizer("Lion", std::move(groups), o.lr, ops::kLion,
                    ops::LionAttrs{.beta1 = o.beta1,
                                   .beta2 = o.beta2,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    {{"m"}}) {}

LAMB::LAMB(std::vector<ParameterGroup> groups, LAMBOptions o)
    : RuleOptimizer("LAMB", std::move(groups), o.lr, ops::kLamb,
                    ops::LambAttrs{.beta1 = o.beta1,
                                   .beta2 = o.beta2,
                                   .eps = o.eps,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    {{"m"}, {"v"}}) {}

LARS::LARS(std::vector<ParameterGroup> groups, LARSOptions o)
    : RuleOptimizer("LARS", std::move(groups), o.lr, ops::kLars,
                    ops::LarsAttrs{.momentum = o.momentum,
                                   .coefficient = o.coefficient,
                                   .eps = o.eps,
                                   .weight_decay = o.weight_decay,
                                   .maximize = o.maximize},
                    {{"velocity"}}) {}

}  // namespace rutile::nn::optim
