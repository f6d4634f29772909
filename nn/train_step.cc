// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/train_step.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "rutile/autograd/tape.h"
#include "rutile/dist/replicas.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/random.h"
#include "rutile/ops/transfer.h"

namespace rutile::nn {

namespace {

AmpPolicyPtr policy_of(const StepOptions& o) {
  const bool usual = o.amp_level == AmpLevel::kO1 && o.amp_low.empty() && o.amp_high.empty();
  return usual ? nullptr : make_amp_policy(o.amp_level, o.amp_low, o.amp_high);
}

void enter_amp(std::optional<AmpScope>* scope, const StepOptions& o, const AmpPolicyPtr& policy) {
  if (!o.amp.set) return;
  if (!is_low_precision(o.amp.value)) {
    throw_error(ErrorCode::kType, cat("mixed precision is bf16 or f16, not ", o.amp.value));
  }
  scope->emplace(o.amp.value, policy);
}

// What a network gives at level O2: f32, and mixed precision ends there.
Tensor leave_amp(std::optional<AmpScope>* scope, const StepOptions& o, const Tensor& outputs) {
  if (!scope->has_value() || o.amp_level != AmpLevel::kO2) return outputs;
  scope->reset();
  return is_low_precision(outputs.dtype()) ? ops::cast(outputs, DType::kF32) : outputs;
}

void check_defined(const Tensor& t, const char* what) {
  if (!t.defined()) throw_error(ErrorCode::kValue, cat(what, " is an empty Tensor"));
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

namespace {
enum class Part : uint8_t { kWhole, kFirst, kMiddle, kLast };
}

struct TrainStep::Impl {
  CellPtr net;
  LossFn loss_fn;
  std::shared_ptr<optim::Optimizer> optimizer;
  StepOptions options;
  std::unique_ptr<graph::Compiled> compiled;
  std::optional<uint64_t> checked_ = {};  // the network's version that check_parameters() passed
  AmpPolicyPtr policy = {};
  // With StepOptions::accumulate: how many batches are in the sums, and the sums.
  Ref<State> batches = {};
  std::vector<Ref<State>> sums = {};
  Part part = Part::kWhole;  // of the call that runs or is traced
  std::unique_ptr<dist::GradientReducer> reducer = {};
  bool together = false;  // states have been made rank 0's
  Device settled_ = {};   // where settle() left everything

  void make_sums() {
    batches = make_ref<State>("batches", Tensor::scalar(int64_t{0}, DType::kI64));
    for (const ParameterPtr& p : optimizer->parameters()) {
      const TensorMeta& m = p->meta();
      sums.push_back(make_ref<State>(p->name(), Tensor::zeros(m.shape, m.dtype)));
    }
  }

  void make_reducer() {
    std::vector<TensorMeta> metas;
    for (const ParameterPtr& p : optimizer->parameters()) metas.push_back(p->meta());
    reducer = std::make_unique<dist::GradientReducer>(std::move(metas), *options.data_parallel);
    const dist::ReducerOptions& o = *options.data_parallel;
    if (o.shard_optimizer && !optimizer->sharding()) {
      optimizer->shard({.group = o.group, .threshold_kb = o.shard_threshold_kb});
    }
    // Centered gradients are those of whole parameters.
    const optim::Sharding* const s = optimizer->sharding();
    if (s && o.scatter_gradients && !options.centralize && s->options().group == o.group) {
      const std::vector<bool> cut = s->parts();
      if (std::find(cut.begin(), cut.end(), true) != cut.end()) reducer->scatter(cut);
    }
  }
  void start_together() {
    if (!reducer || together) return;
    dist::NamedStates states = net->named_states();
    std::unordered_set<const State*> own;
    for (const optim::ShardedState& s : optimizer->sharded_states()) own.insert(s.state.get());
    for (const NamedState& s : optimizer->named_states()) {
      if (!own.count(s.second.get())) states.push_back(s);
    }
    dist::broadcast_states(states, 0, options.data_parallel->group);
    together = true;
  }
  void compare_replicas() {
    const int64_t every = reducer ? options.data_parallel->check_every : 0;
    if (every <= 0 || optimizer->steps() % every != 0) return;
    dist::NamedStates states;
    for (const ParameterPtr& p : optimizer->parameters())
      states.emplace_back(p->name(), p->state());
    dist::check_replicas(states, options.data_parallel->group);
  }

  // Where the network's parameters are; all else that a step changes follows them.
  Device settle() {
    const Device device = optimizer->parameters().front()->meta().device;
    if (device == settled_) return device;
    optimizer->move_states();
    auto move = [device](const Ref<State>& s) {
      if (!(s->meta().device == device)) s->set_concrete(s->concrete().to(device));
    };
    for (const Ref<State>& s : sums) move(s);
    if (options.loss_scaler) {
      for (const auto& [name, state] : options.loss_scaler->named_states()) move(state);
    }
    if (options.ema) {
      for (const auto& [name, state] : options.ema->named_states()) move(state);
    }
    settled_ = device;
    return device;
  }

  // Which part of an accumulated step the next call is.
  Part next_part() const {
    if (!batches) return Part::kWhole;
    const auto done = batches->concrete().item<int64_t>();
    return done + 1 >= options.accumulate ? Part::kLast
                                          : (done == 0 ? Part::kFirst : Part::kMiddle);
  }
  graph::Variant variant() const {
    static const char* const kText[] = {"a step", "the first batch", "a further batch",
                                        "the last batch"};
    return {static_cast<uint64_t>(part), kText[static_cast<size_t>(part)]};
  }
  void count_batch() {
    if (!batches) return;
    const auto done = batches->concrete().item<int64_t>();
    batches->set_concrete(Tensor::scalar((done + 1) % options.accumulate, DType::kI64));
  }

  // Adds the gradients to the sums; after the last batch `grads` are the sums.
  void accumulate(std::vector<Tensor>* grads) {
    for (size_t i = 0; i < sums.size(); ++i) {
      Tensor& g = (*grads)[i];
      if (!g.defined()) continue;
      State* states[] = {sums[i].get()};
      if (part == Part::kLast) {
        g = ops::add(sums[i]->read(), g);
      } else {
        State::update(part == Part::kFirst ? ops::kAssign : ops::kAssignAdd, nullptr, states,
                      {&g, 1});
      }
    }
  }

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
      check_depends(total, watched.empty());
      graph::current_phase() = graph::Phase::kBackward;
      if (reducer && part == Part::kWhole) reducer->attach(scope, watched, index);
      std::vector<Tensor> found = scope.gradient(total, watched);
      for (size_t k = 0; k < index.size(); ++k) grads[index[k]] = std::move(found[k]);
    }
    graph::current_phase() = graph::Phase::kOptimizer;
    update(&grads);
    return results;
  }

  // Nothing would be learnt, and nobody told.
  void check_depends(const Tensor& total, bool frozen) const {
    if (frozen) {
      throw_error(ErrorCode::kValue,
                  cat("all parameters of the ", optimizer->type_name(),
                      " are frozen: there is nothing to train; call freeze(false)"));
    }
    if (call_modes().tape->tracked(total)) return;
    throw_error(ErrorCode::kValue,
                "the loss depends on no parameter that is trained: is it made of the network's "
                "outputs, by functions that have a gradient (not argmax, comparisons, integers)?");
  }

  // What is differentiated: the loss, scaled if there is a scaler.
  Tensor forward(const Tensor& x, const Tensor& y, std::vector<Tensor>* results) {
    std::optional<AmpScope> amp;
    enter_amp(&amp, options, policy);
    const Tensor outputs = leave_amp(&amp, options, net(x));
    const Tensor loss = loss_fn(outputs, y);
    check_defined(loss, "what the loss function returned");
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
    if (part != Part::kWhole) accumulate(grads);
    if (part == Part::kFirst || part == Part::kMiddle) return;
    if (reducer) reducer->finish(grads);
    if (options.centralize) optim::centralize(grads);
    const optim::Prepared p = optim::prepare(*grads, options.loss_scaler.get(), options.clip_norm,
                                             options.accumulate, optimizer->sharding());
    optimizer->step(*grads, p.skip, p.grad_scale);
    if (options.loss_scaler) options.loss_scaler->update(p.skip);
    if (options.ema) options.ema->update(p.skip);
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
                      " of the network was replaced after the optimizer was made, or the optimizer "
                      "is that of another network; make one of this network's parameters"));
    }
    check_averages();
    checked_ = version;
  }

  void check_averages() const {
    if (!options.ema) return;
    std::unordered_set<const Parameter*> known;
    for (const auto& list : {net->parameters(), optimizer->parameters()}) {
      for (const ParameterPtr& p : list) known.insert(p.get());
    }
    for (const ParameterPtr& p : options.ema->parameters()) {
      if (known.count(p.get())) continue;
      throw_error(ErrorCode::kValue, cat("the averages are of a parameter ", p->name(),
                                         " that is none of this network's; make them of its own"));
    }
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
  if (options.accumulate < 1) {
    throw_error(ErrorCode::kValue, cat("accumulate expects at least 1, got ", options.accumulate));
  }
  if (!(options.clip_norm >= 0)) {
    throw_error(
        ErrorCode::kValue,
        cat("clip_norm expects a positive norm, or 0 for no clipping, got ", options.clip_norm));
  }
  *impl_ = {std::move(net), std::move(loss), std::move(optimizer), std::move(options), nullptr};
  impl_->policy = policy_of(impl_->options);
  if (impl_->options.accumulate > 1) impl_->make_sums();
  if (impl_->options.data_parallel) impl_->make_reducer();
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
  check_defined(x, "the first input of a TrainStep");
  check_defined(y, "the second input of a TrainStep");
  impl_->check_parameters();
  impl_->start_together();
  impl_->optimizer->before_step();
  impl_->part = impl_->next_part();
  const Device device = impl_->settle();
  ScopedValue<Device> there(call_modes().device, device);
  const std::vector<Tensor> batch{ops::upload(x, device), ops::upload(y, device)};
  std::vector<Tensor> r =
      impl_->compiled ? (*impl_->compiled)(batch, impl_->variant()) : impl_->step(batch);
  const bool updated = impl_->part == Part::kWhole || impl_->part == Part::kLast;
  impl_->count_batch();
  if (updated) impl_->compare_replicas();
  return {r[0], r.size() > 1 ? r[1] : Tensor()};
}

void TrainStep::prepare(const TensorMeta& x, const TensorMeta& y) {
  impl_->part = impl_->next_part();
  if (!impl_->compiled) return;
  std::vector<TensorMeta> batch{x, y};
  const Device device = impl_->settle();
  ScopedValue<Device> there(call_modes().device, device);
  for (TensorMeta& m : batch) m.device = device;
  impl_->compiled->prepare(batch, impl_->variant());
}

graph::Explanation TrainStep::explain(const Tensor& x, const Tensor& y,
                                      const graph::ExplainOptions& options) {
  if (!impl_->compiled) throw_not_compiled();
  impl_->check_parameters();
  impl_->part = impl_->batches ? Part::kLast : Part::kWhole;
  const Device device = impl_->settle();
  ScopedValue<Device> there(call_modes().device, device);
  return graph::explain(*impl_->compiled, {ops::upload(x, device), ops::upload(y, device)},
                        options);
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
  if (impl_->options.ema) add("averages", impl_->options.ema->named_states());
  if (impl_->batches) {
    all.emplace_back("accumulated.batches", impl_->batches);
    std::vector<NamedState> sums;
    for (const Ref<State>& s : impl_->sums) sums.emplace_back(s->name(), s);
    add("accumulated", sums);
  }
  all.emplace_back("generator.state", default_generator().state_ref());
  return all;
}

std::vector<optim::ShardedState> TrainStep::sharded_states() const {
  std::vector<optim::ShardedState> found = impl_->optimizer->sharded_states();
  for (optim::ShardedState& s : found) s.name = "optimizer." + s.name;
  return found;
}

LoadReport TrainStep::load_states(const StateDict& values, bool strict) {
  const std::vector<optim::ShardedState> sharded = sharded_states();
  const auto& parallel = impl_->options.data_parallel;
  const int rank = parallel ? communicator(parallel->group)->rank() : 0;
  if (rank == 0 && sharded.empty()) return nn::load_states(named_states(), values, strict);
  StateDict own = values;
  // Every rank draws numbers of its own; all have drawn equally often.
  const auto generator = own.find("generator.state");
  const Tensor now = default_generator().state_ref()->concrete();
  if (rank > 0 && generator != own.end() && generator->second.dtype() == now.dtype() &&
      generator->second.shape() == now.shape()) {
    const uint64_t seed = now.to_vector<uint64_t>()[0];
    generator->second =
        Tensor::from<uint64_t>({seed, generator->second.to_vector<uint64_t>()[1]}, {2});
  }
  for (const optim::ShardedState& s : sharded) {
    const auto it = own.find(s.name);
    if (it == own.end() || !(it->second.shape() == s.shard.shape)) continue;
    it->second = impl_->optimizer->sharding()->own(s.shard, it->second);
  }
  return nn::load_states(named_states(), own, strict);
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
  AmpPolicyPtr policy = {};

  Ref<State> first_state = {};  // it says where the network is

  Device device() const { return first_state ? first_state->meta().device : call_modes().device; }

  std::vector<Tensor> forward(const std::vector<Tensor>& inputs) {
    NoGradScope no_grad;
    std::optional<AmpScope> amp;
    enter_amp(&amp, options, policy);
    return {leave_amp(&amp, options, net(inputs[0]))};
  }
};

EvalStep::EvalStep(CellPtr net, StepOptions options) : impl_(std::make_unique<Impl>()) {
  if (!net) throw_error(ErrorCode::kValue, "an EvalStep needs a network");
  *impl_ = {std::move(net), std::move(options), nullptr};
  impl_->policy = policy_of(impl_->options);
  const std::vector<NamedState> states = impl_->net->named_states();
  if (!states.empty()) impl_->first_state = states.front().second;
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
  check_defined(x, "the input of an EvalStep");
  EvalModeScope eval(*impl_->net);
  const Device device = impl_->device();
  ScopedValue<Device> there(call_modes().device, device);
  const std::vector<Tensor> batch{ops::upload(x, device)};
  return impl_->compiled ? (*impl_->compiled)(batch)[0] : impl_->forward(batch)[0];
}

graph::Explanation EvalStep::explain(const Tensor& x, const graph::ExplainOptions& options) {
  if (!impl_->compiled) throw_not_compiled();
  EvalModeScope eval(*impl_->net);
  const Device device = impl_->device();
  ScopedValue<Device> there(call_modes().device, device);
  return graph::explain(*impl_->compiled, {ops::upload(x, device)}, options);
}

graph::Compiled* EvalStep::compiled() { return impl_->compiled.get(); }
const graph::CompileReport* EvalStep::report() const {
  const auto& c = impl_->compiled;
  return c && c->compilations() > 0 ? &c->report() : nullptr;
}

}  // namespace rutile::nn
