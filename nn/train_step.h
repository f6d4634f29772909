// SPDX-License-Identifier: Apache-2.0
// A training step and an evaluation step of a network, eager or compiled. The compiled one is the
// same function traced as a whole: forward, loss, gradients, clipping, loss scale, optimizer.
//
//   auto net = nn::make<nn::models::LeNet>();
//   auto opt = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
//   nn::TrainStep step(net, nn::CrossEntropyLoss(), opt, {.mode = nn::Mode::kGraph});
//   for (auto& [x, y] : batches) std::cout << step(x, y).loss.item() << "\n";
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "rutile/dist/reducer.h"
#include "rutile/graph/explain.h"
#include "rutile/nn/cell.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/optim/gradients.h"
#include "rutile/nn/optim/loss_scaler.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/attrs.h"

namespace rutile::nn {

enum class Mode : uint8_t { kEager, kGraph };

struct StepOptions {
  Mode mode = Mode::kGraph;
  OptionalDType amp = {};       // bf16 or f16: mixed precision; unset: full precision
  double clip_norm = 0;         // > 0: gradients are scaled down to this global norm
  bool outputs = false;         // also return the network's outputs
  std::string passes_off = {};  // see graph::CompileOptions
  std::string remat = "off";    // see graph::CompileOptions; Cell::recompute() is per Cell
  std::shared_ptr<optim::LossScaler> loss_scaler = {};  // for f16; none: the loss is not scaled
  // Which ops run in `amp`, and by name those that do in any case or in none.
  AmpLevel amp_level = AmpLevel::kO1;
  std::vector<std::string> amp_low = {}, amp_high = {};
  // The mean gradient of so many batches makes one update; calls in between add only. The loss
  // scale, the schedule and the averages move with the updates.
  int64_t accumulate = 1;
  bool centralize = false;               // optim::centralize
  std::shared_ptr<optim::EMA> ema = {};  // updated after the optimizer
  // Data parallelism: every rank of the group (dist/group.h) has batches of its own and takes the
  // mean gradient of all. The first step starts from rank 0's states.
  std::optional<dist::ReducerOptions> data_parallel = {};
};

struct StepResult {
  Tensor loss;     // 0-d; f32 (f64 for an f64 network)
  Tensor outputs;  // the network's, if StepOptions::outputs
};

class RUTILE_API TrainStep {
 public:
  // The loss gets (outputs, y) and gives one element.
  TrainStep(CellPtr net, LossFn loss, std::shared_ptr<optim::Optimizer> optimizer,
            StepOptions options = {});
  ~TrainStep();
  TrainStep(TrainStep&&) noexcept;

  // One step on a batch. Writes the schedule's learning rate first. Error{kValue} if a parameter of
  // the network was replaced after the optimizer was made.
  StepResult operator()(const Tensor& x, const Tensor& y);
  // Graph mode: traces and compiles for such a batch without running.
  void prepare(const TensorMeta& x, const TensorMeta& y);
  // Graph mode: what the compiler made of the step on such a batch, and where its time goes. Trains
  // nothing: all states stay as they are. Error{kRuntime} in eager mode.
  graph::Explanation explain(const Tensor& x, const Tensor& y,
                             const graph::ExplainOptions& options = {});

  Cell& net();
  optim::Optimizer& optimizer();
  const StepOptions& options() const;
  // Everything that training changes: the network's states under their own names, the optimizer's
  // as "optimizer.*", the loss scale as "loss_scaler.*", averages as "averages.*", gradients that
  // were added up as "accumulated.*", the default generator as "generator.*".
  std::vector<NamedState> named_states() const;
  // Those of which this rank has a shard only (ReducerOptions::shard_optimizer).
  std::vector<optim::ShardedState> sharded_states() const;
  // Loads them. Values of sharded states are the whole ones; each rank takes its shard.
  LoadReport load_states(const StateDict& values, bool strict = true);
  // Null in eager mode and before the first step.
  const graph::CompileReport* report() const;
  // Null in eager mode.
  graph::Compiled* compiled();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Forward in evaluation mode, without gradients: returns the network's outputs. In graph mode
// weights are folded and packed once, and again after training went on or values were loaded. A
// network that is in evaluation mode may be called from several threads (graph/compile.h).
class RUTILE_API EvalStep {
 public:
  explicit EvalStep(CellPtr net, StepOptions options = {});
  ~EvalStep();
  EvalStep(EvalStep&&) noexcept;
  Tensor operator()(const Tensor& x);
  // As TrainStep's.
  graph::Explanation explain(const Tensor& x, const graph::ExplainOptions& options = {});
  const graph::CompileReport* report() const;
  graph::Compiled* compiled();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rutile::nn
