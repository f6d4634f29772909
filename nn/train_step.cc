// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/train_step.h"

#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "rutile/autograd/tape.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/random.h"

namespace rutile::nn {

namespace {

void enter_amp(std::optional<AmpScope>* scope, const OptionalDType& low) {
  if (!low.set) return;
  if (!is_low_precision(low.value)) {
    throw_error(ErrorCode::kType, cat("mixed precision is bf16 or f16, not ", low.value));
  }
  scope->emplace(low.value);
}

[[noreturn]] void throw_not_compiled() {
  throw_error(ErrorCode::kRuntime, "explain() shows a compiled step; this one runs eagerly");
}

graph::CompileOptions compile_options(const StepOptions& o, const char* name) {
  return {.passes_off = o.passes_off, .name = name, .remat = o.remat};
}

}  // namespace

// ---- Training
// -------------------------------------------------------------------------------------

struct TrainStep::Impl {
  CellPtr net;
  LossFn loss_fn;
  std::shared_ptr<optim::Optimizer> optimizer;
  StepOptions options;
  std::unique_ptr<graph::Compiled> compiled;
  std::optional<uint64_t> checked_ = {};  // the network's version that check_parameters() passed

  // Loss, and the outputs if wanted. Run directly, or traced.
  std::vector<Tensor> step(const std::vector<Tensor>& batch) {
    const std::vector<ParameterPtr>& parameters = optimizer->parameters();
    std::vector<Tensor> grads(parameters.size()), results;
    ScopedValue<graph::Phase> phase(graph::current_phase(), graph::Phase::kForward);
    // The scope ends before the optimizer runs: it holds the parameters, and what nobody else
    // holds is updated in place.
    {
      GradScope scope;
      std::vector<Tensor> watched;
      std::vector<size_t> index;
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (!parameters[i]->requires_grad()) continue;
        watched.push_back(parameters[i]->read());
        scope.watch(watched.back());
        index.push_back(i);
      }
      const Tensor total = forward(batch[0], batch[1], &results);
      graph::current_phase() = graph::Phase::kBackward;
      std::vector<Tensor> found = scope.gradient(total, watched);
      for (size_t k = 0; k < index.size(); ++k) grads[index[k]] = std::move(found[k]);
    }
    graph::current_phase() = graph::Phase::kOptimizer;
    update(&grads);
    return results;
  }

  // What is differentiated: the loss, scaled if there is a scaler.
  Tensor forward(const Tensor& x, const Tensor& y, std::vector<Tensor>* results) {
    std::optional<AmpScope> amp;
    enter_amp(&amp, options.amp);
    const Tensor outputs = net(x);
    const Tensor loss = loss_fn(outputs, y);
    if (loss.numel() != 1 || !is_floating(loss.dtype())) {
      throw_error(ErrorCode::kValue,
                  cat("a loss is one floating-point number, this one is ", loss.meta()));
    }
    results->push_back(loss);
    if (options.outputs) results->push_back(outputs);
    return options.loss_scaler ? options.loss_scaler->scale(loss) : loss;
  }

  void update(std::vector<Tensor>* grads) {
    ScopedValue<AmpState> no_amp(call_modes().amp, AmpState{});
    const optim::Prepared p = optim::prepare(*grads, options.loss_scaler.get(), options.clip_norm);
    optimizer->step(*grads, p.skip, p.grad_scale);
    if (options.loss_scaler) options.loss_scaler->update(p.skip);
  }

  // An optimizer may hold parameters that the network has not (those of a loss); one that the
  // network has another of under the same name was replaced.
  void check_parameters() {
    const uint64_t version = net->version();
    if (version == checked_) return;
    std::unordered_map<std::string, const Parameter*> of_net;
    for (const auto& [path, p] : net->named_parameters()) {
      of_net.emplace(p->name(), p.get());
      of_net.emplace(path, p.get());  // its replacement may have another name
    }
    std::unordered_set<const Parameter*> trained;
    for (const ParameterPtr& p : optimizer->parameters()) trained.insert(p.get());
    for (const ParameterPtr& p : optimizer->parameters()) {
      const auto it = of_net.find(p->name());
      if (it == of_net.end() || trained.count(it->second)) continue;
      throw_error(ErrorCode::kValue,
                  cat("parameter ", p->name(),
                      " of the network was replaced after the optimizer "
                      "was made, which would go on training the old one; make a new optimizer"));
    }
    checked_ = version;
  }

  uint64_t version() const {
    uint64_t v = net->version();
    for (const ParameterPtr& p : optimizer->parameters()) {
      v = detail::mix_hash(v, p->requires_grad());
    }
    return v;
  }
};

TrainStep::TrainStep(CellPtr net, LossFn loss, std::shared_ptr<optim::Optimizer> optimizer,
                     StepOptions options)
    : impl_(std::make_unique<Impl>()) {
  if (!net || !loss || !optimizer) {
    throw_error(ErrorCode::kValue, "a TrainStep needs a network, a loss and an optimizer");
  }
  *impl_ = {std::move(net), std::move(loss), std::move(optimizer), std::move(options), nullptr, {}};
  if (impl_->options.mode == Mode::kGraph) {
    Impl* p = impl_.get();
    impl_->compiled = std::make_unique<graph::Compiled>(
        [p](const std::vector<Tensor>& batch) { return p->step(batch); },
        compile_options(p->options, "training step"));
    impl_->compiled->set_version([p] { return p->version(); });
  }
}
TrainStep::~TrainStep() = default;
TrainStep::TrainStep(TrainStep&&) noexcept = default;

StepResult TrainStep::operator()(const Tensor& x, const Tensor& y) {
  impl_->check_parameters();
  impl_->optimizer->before_step();
  const std::vector<Tensor> batch{x, y};
  std::vector<Tensor> r = impl_->compiled ? (*impl_->compiled)(batch) : impl_->step(batch);
  return {r[0], r.size() > 1 ? r[1] : Tensor()};
}

void TrainStep::prepare(const TensorMeta& x, const TensorMeta& y) {
  if (impl_->compiled) impl_->compiled->prepare({x, y});
}

graph::Explanation TrainStep::explain(const Tensor& x, const Tensor& y,
                                      const graph::ExplainOptions& options) {
  if (!impl_->compiled) throw_not_compiled();
  impl_->check_parameters();
  return graph::explain(*impl_->compiled, {x, y}, options);
}

Cell& TrainStep::net() { return *impl_->net; }
optim::Optimizer& TrainStep::optimizer() { return *impl_->optimizer; }
const StepOptions& TrainStep::options() const { return impl_->options; }

std::vector<NamedState> TrainStep::named_states() const {
  std::vector<NamedState> all = impl_->net->named_states();
  auto add = [&all](const char* prefix, const std::vector<NamedState>& states) {
    for (const auto& [name, state] : states) all.emplace_back(cat(prefix, ".", name), state);
  };
  add("optimizer", impl_->optimizer->named_states());
  if (impl_->options.loss_scaler) add("loss_scaler", impl_->options.loss_scaler->named_states());
  all.emplace_back("generator.state", default_generator().state_ref());
  return all;
}

LoadReport TrainStep::load_states(const StateDict& values, bool strict) {
  return nn::load_states(named_states(), values, strict);
}

graph::Compiled* TrainStep::compiled() { return impl_->compiled.get(); }
const graph::CompileReport* TrainStep::report() const {
  const auto& c = impl_->compiled;
  return c && c->compilations() > 0 ? &c->report() : nullptr;
}

// ---- Evaluation
// -----------------------------------------------------------------------------------

struct EvalStep::Impl {
  CellPtr net;
  StepOptions options;
  std::unique_ptr<graph::Compiled> compiled;

  std::vector<Tensor> forward(const std::vector<Tensor>& inputs) {
    NoGradScope no_grad;
    std::optional<AmpScope> amp;
    enter_amp(&amp, options.amp);
    return {net(inputs[0])};
  }
};

EvalStep::EvalStep(CellPtr net, StepOptions options) : impl_(std::make_unique<Impl>()) {
  if (!net) throw_error(ErrorCode::kValue, "an EvalStep needs a network");
  *impl_ = {std::move(net), std::move(options), nullptr};
  if (impl_->options.mode == Mode::kGraph) {
    Impl* p = impl_.get();
    impl_->compiled = std::make_unique<graph::Compiled>(
        [p](const std::vector<Tensor>& inputs) { return p->forward(inputs); },
        compile_options(p->options, "evaluation step"));
    impl_->compiled->set_version([p] { return p->net->version(); });
  }
}
EvalStep::~EvalStep() = default;
EvalStep::EvalStep(EvalStep&&) noexcept = default;

Tensor EvalStep::operator()(const Tensor& x) {
  EvalModeScope eval(*impl_->net);
  if (impl_->compiled) return (*impl_->compiled)({x})[0];
  return impl_->forward({x})[0];
}

graph::Explanation EvalStep::explain(const Tensor& x, const graph::ExplainOptions& options) {
  if (!impl_->compiled) throw_not_compiled();
  EvalModeScope eval(*impl_->net);
  return graph::explain(*impl_->compiled, {x}, options);
}

graph::Compiled* EvalStep::compiled() { return impl_->compiled.get(); }
const graph::CompileReport* EvalStep::report() const {
  const auto& c = impl_->compiled;
  return c && c->compilations() > 0 ? &c->report() : nullptr;
}

}  // namespace rutile::nn
