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
#include "rutile/nn/parameter.h"

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
  // leaves its parameter alone. Where `skip` (0-d bool) is true nothing changes. May be traced.
  // Error{kType} for a parameter that has another dtype than when the optimizer was made.
  void step(std::span<const Tensor> grads, const Tensor& skip = {});

  // Host side, before each step: writes schedule(steps()) into the learning rate.
  void before_step();
  void set_schedule(Schedule schedule) { schedule_ = std::move(schedule); }
  // The current learning rate.
  double lr() const;
  void set_lr(double lr);
  // Steps taken: those that failed or were skipped do not count.
  int64_t steps() const;

  // "lr", "step" and slots: "momentum.layer1.0.conv1.weight".
  const std::vector<NamedState>& named_states() const { return states_; }
  virtual std::string type_name() const = 0;

 protected:
  Optimizer(std::vector<ParameterGroup> groups, double lr, double weight_decay);
  // A slot for every parameter, zero; index as parameters().
  std::vector<Ref<State>> make_slots(const std::string& name);
  struct Update {
    int index = 0;  // in parameters()
    State* parameter = nullptr;
    Tensor grad;
    double lr_scale = 1, weight_decay = 0;
  };
  // Runs the update ops of all given parameters; `lr` f64[], `step` i64[] counts from 1.
  virtual void update(std::span<const Update> updates, const Tensor& lr, const Tensor& step,
                      const Tensor& skip) = 0;

 private:
  std::vector<ParameterGroup> groups_;
  std::vector<ParameterPtr> parameters_;
  std::vector<int> group_of_;
  double weight_decay_ = 0;
  Ref<State> lr_, step_;
  std::vector<NamedState> states_;
  Schedule schedule_;
  std::vector<TensorMeta> slot_metas_;  // by parameter; empty without slots
};

struct SGDOptions {
  double lr = 0.01;
  double weight_decay = 0;  // L2: added to the gradient
};
// p -= lr * (g + weight_decay * p)
class RUTILE_API SGD final : public Optimizer {
 public:
  SGD(std::vector<ParameterGroup> groups, SGDOptions options = {});
  SGD(std::vector<ParameterPtr> parameters, SGDOptions options = {});
  std::string type_name() const override { return "SGD"; }

 private:
  void update(std::span<const Update> updates, const Tensor& lr, const Tensor& step,
              const Tensor& skip) override;
};

struct MomentumOptions {
  double lr = 0.01;
  double momentum = 0.9;
  double dampening = 0;
  bool nesterov = false;
  double weight_decay = 0;  // L2: added to the gradient
};
// v = momentum * v + (1 - dampening) * (g + weight_decay * p), in the first step without dampening;
// p -= lr * v, or with Nesterov p -= lr * (g + momentum * v). As PyTorch's SGD.
class RUTILE_API Momentum final : public Optimizer {
 public:
  Momentum(std::vector<ParameterGroup> groups, MomentumOptions options = {});
  Momentum(std::vector<ParameterPtr> parameters, MomentumOptions options = {});
  std::string type_name() const override { return "Momentum"; }

 private:
  void update(std::span<const Update> updates, const Tensor& lr, const Tensor& step,
              const Tensor& skip) override;
  MomentumOptions options_;
  std::vector<Ref<State>> velocity_;
};

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
};

// Kingma and Ba, "Adam", 2015; weight decay is L2, added to the gradient.
class RUTILE_API Adam : public Optimizer {
 public:
  Adam(std::vector<ParameterGroup> groups, AdamOptions options = {});
  Adam(std::vector<ParameterPtr> parameters, AdamOptions options = {});
  std::string type_name() const override { return "Adam"; }

 protected:
  Adam(std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled);

 private:
  void update(std::span<const Update> updates, const Tensor& lr, const Tensor& step,
              const Tensor& skip) override;
  AdamOptions options_;
  bool decoupled_ = false;
  std::vector<Ref<State>> m_, v_;
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.01;
};
// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019: p *= 1 - lr * weight_decay
// first, then Adam.
class RUTILE_API AdamW final : public Adam {
 public:
  AdamW(std::vector<ParameterGroup> groups, AdamWOptions options = {});
  AdamW(std::vector<ParameterPtr> parameters, AdamWOptions options = {});
  std::string type_name() const override { return "AdamW"; }
};

// Scales the gradients (in place of the vector's entries) so that their global 2-norm is at most
// max_norm; returns the norm before, 0-d. Empty entries are skipped.
RUTILE_API Tensor clip_by_global_norm(std::vector<Tensor>* grads, double max_norm);

}  // namespace rutile::nn::optim
