// SPDX-License-Identifier: Apache-2.0
// Optimizers: parameter groups, slots as States (they are in checkpoints), learning rate and step
// count as 0-d States, so that a compiled step needs no recompilation when they change.
//
//   auto opt = std::make_shared<optim::AdamW>(
//       optim::decay_groups(*net), optim::AdamWOptions{.lr = 2e-3, .weight_decay = 0.05});
//   opt->set_schedule(optim::cosine(2e-3, 0, 1000));
//   opt->step(grads);   // in the order of opt->parameters()
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rutile/nn/cell.h"
#include "rutile/nn/optim/schedule.h"
#include "rutile/nn/optim/sharding.h"
#include "rutile/nn/parameter.h"
#include "rutile/ops/attrs.h"

namespace rutile::nn::optim {

struct ParameterGroup {
  std::vector<ParameterPtr> parameters = {};
  double lr_scale = 1;                      // times the learning rate
  std::optional<double> weight_decay = {};  // instead of the optimizer's
};

// Two groups: parameters of two or more dimensions with the optimizer's weight decay, the others
// (biases, norms) without.
RUTILE_API std::vector<ParameterGroup> decay_groups(const Cell& net);

class RUTILE_API Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // All parameters of all groups, in order.
  const std::vector<ParameterPtr>& parameters() const { return parameters_; }
  // Updates the parameters and counts the step. `grads` goes with parameters(); an empty Tensor
  // leaves its parameter alone. Where `skip` (0-d bool) is true nothing changes; `grad_scale` (0-d)
  // multiplies the gradients as they are read (optim::prepare gives both). May be traced.
  // Error{kType} for a parameter that has another dtype than when the optimizer was made.
  void step(std::span<const Tensor> grads, const Tensor& skip = {}, const Tensor& grad_scale = {});

  // Host side, before each step: writes schedule(steps()) into the learning rate.
  void before_step();
  void set_schedule(Schedule schedule) { schedule_ = std::move(schedule); }
  bool has_schedule() const { return static_cast<bool>(schedule_); }
  // The current learning rate.
  double lr() const;
  void set_lr(double lr);
  // Steps taken: those that failed or were skipped do not count.
  int64_t steps() const;

  // "lr", "step" and slots: "momentum.layer1.0.conv1.weight".
  const std::vector<NamedState>& named_states() const { return states_; }
  // All of them to the device of the first parameter; step() does it outside traces.
  void move_states();
  // Keeps only this rank's shard of the slots from now on (nn/optim/sharding.h). All ranks of the
  // group call it, before the first step; in a group of one it does nothing. Error{kRuntime} if it
  // was sharded before.
  void shard(ShardOptions options = {});
  // Null if it is not sharded.
  const Sharding* sharding() const { return sharding_.get(); }
  // Those of named_states() of which other ranks have other shards.
  std::vector<ShardedState> sharded_states() const;
  virtual std::string type_name() const = 0;

 protected:
  Optimizer(std::vector<ParameterGroup> groups, double lr, double weight_decay);
  // A slot for every parameter, filled; index as parameters().
  std::vector<Ref<State>> make_slots(const std::string& name, double initial = 0);
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  // A group's, or the optimizer's.
  double weight_decay(const ParameterGroup& g) const {
    return g.weight_decay.value_or(weight_decay_);
  }
  struct Update {
    int index = 0;  // in parameters()
    int group = 0;  // in groups()
    State* parameter = nullptr;
    Tensor grad;
  };
  // What all updates of a step share: lr f64[], step i64[] from 1, and those of step() or none.
  struct StepInputs {
    Tensor lr, step, skip, grad_scale;
  };
  // Runs the update ops of all given parameters.
  virtual void update(std::span<const Update> updates, const StepInputs& in) = 0;
  // Whether update() treats each element of a parameter by itself: then parts of parameters are as
  // good as whole ones.
  virtual bool elementwise() const { return false; }

 private:
  struct ParameterSlot {
    Ref<State> state;
    size_t parameter = 0;
  };
  std::vector<ParameterGroup> groups_;
  std::vector<ParameterPtr> parameters_;
  std::vector<int> group_of_;
  double weight_decay_ = 0;
  Ref<State> lr_, step_;
  std::vector<NamedState> states_;
  Schedule schedule_;
  std::vector<TensorMeta> slot_metas_;  // by parameter; empty without slots
  std::vector<ParameterSlot> all_slots_;
  std::unique_ptr<Sharding> sharding_;
};

// An optimizer whose update is an op of ops/update.h.
class RUTILE_API RuleOptimizer : public Optimizer {
 public:
  std::string type_name() const override { return type_name_; }

 protected:
  struct Slot {
    std::string name;
    double initial = 0;
  };
  // `attrs` as the op's; weight_decay and lr_scale are those of the groups.
  template <class A>
  RuleOptimizer(std::string type_name, std::vector<ParameterGroup> groups, double lr,
                const OpDef& op, const A& attrs, std::vector<Slot> slots)
      : RuleOptimizer(std::move(type_name), std::move(groups), lr, attrs.weight_decay, op,
                      AnyAttrs(attrs_of<A>(), &attrs), std::move(slots)) {}
  RuleOptimizer(std::string type_name, std::vector<ParameterGroup> groups, double lr,
                double weight_decay, const OpDef& op, AnyAttrs attrs, std::vector<Slot> slots);

 private:
  void update(std::span<const Update> updates, const StepInputs& in) override;
  bool elementwise() const override;
  std::string type_name_;
  const OpDef& op_;
  std::vector<AnyAttrs> attrs_;                 // by group
  std::vector<std::vector<Ref<State>>> slots_;  // by slot and parameter
};

// One group of them all.
inline std::vector<ParameterGroup> one_group(std::vector<ParameterPtr> parameters) {
  return {{std::move(parameters), 1, {}}};
}

// The optimizers. Options are PyTorch's with its defaults; formulas stand at the ops
// (ops/update.h). Each takes groups or parameters.
#define RUTILE_OPTIMIZER(Name)                                             \
  class RUTILE_API Name final : public RuleOptimizer {                     \
   public:                                                                 \
    Name(std::vector<ParameterGroup> groups, Name##Options options = {});  \
    Name(std::vector<ParameterPtr> parameters, Name##Options options = {}) \
        : Name(one_group(std::move(parameters)), options) {}               \
  };

struct SGDOptions {
  double lr = 0.01;
  double weight_decay = 0;  // L2: added to the gradient, as in all others but where it says so
  bool maximize = false;
};
// p -= lr * (g + weight_decay * p)
RUTILE_OPTIMIZER(SGD)

struct MomentumOptions {
  double lr = 0.01;
  double momentum = 0.9;
  double dampening = 0;
  bool nesterov = false;
  double weight_decay = 0;
  bool maximize = false;
};
// v = momentum * v + (1 - dampening) * (g + weight_decay * p), in the first step without dampening;
// p -= lr * v, or with Nesterov p -= lr * (g + momentum * v). As PyTorch's SGD.
RUTILE_OPTIMIZER(Momentum)

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
  bool maximize = false;
};
// Kingma and Ba, "Adam", 2015; with amsgrad as Reddi et al., 2018.
RUTILE_OPTIMIZER(Adam)

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.01;
  bool amsgrad = false;
  bool maximize = false;
};
// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019: p *= 1 - lr * weight_decay
// first, then Adam.
RUTILE_OPTIMIZER(AdamW)

// ---- Gradients on their way to the update
// -----------------------------------------------------------------------------------

class LossScaler;

struct Prepared {
  Tensor skip;        // bool[]: some gradient is inf or NaN; empty without a scaler
  Tensor grad_scale;  // 0-d, for Optimizer::step; empty if there is nothing to scale
  Tensor norm;        // 0-d, of the gradients as they will count, before clipping
};
// What loss scaling (scaler may be null) and clipping to a global norm (0: none) ask of the update,
// by one read of the gradients. The same as LossScaler::unscale and clip_by_global_norm, without
// their passes over the gradients; results differ by the rounding of one product. `parts` > 1:
// the gradients are sums of so many and count as their mean. `sharding`: some may be this rank's
// parts of them; then all ranks call it.
RUTILE_API Prepared prepare(std::span<const Tensor> grads, const LossScaler* scaler,
                            double clip_norm = 0, int64_t parts = 1,
                            const Sharding* sharding = nullptr);

// Scales the gradients (in place of the vector's entries) so that their global 2-norm is at most
// max_norm; returns the norm before, 0-d. Empty entries are skipped.
RUTILE_API Tensor clip_by_global_norm(std::vector<Tensor>* grads, double max_norm);

}  // namespace rutile::nn::optim
