// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/control.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "rutile/ops/amp.h"
#include "rutile/ops/integer_gradients.h"
#include "rutile/ops/state.h"

namespace rutile::ops {

namespace {

Status infer_identity(const CallMeta& call, TensorMeta* out) {
  out[0] = call.in(0);
  return Status();
}

Status infer_recompute(const CallMeta& call, TensorMeta* out) {
  const Ref<Region>& body = call.as<RecomputeAttrs>().body;
  std::copy(body->results.begin(), body->results.end(), out);
  return Status();
}

int count_recompute(const CallMeta& call) {
  const Ref<Region>& body = call.as<RecomputeAttrs>().body;
  return body ? static_cast<int>(body->results.size()) : -1;
}

TensorList compose_recompute(const void* attrs, std::span<const Tensor> in) {
  // The body's calls have lines of their own, also when backward runs it again.
  ScopedValue<const CallPlace*> own(call_modes().forward, nullptr);
  const std::vector<Tensor> out = static_cast<const RecomputeAttrs*>(attrs)->body->function(
      std::vector<Tensor>(in.begin(), in.end()));
  return TensorList(std::span<const Tensor>(out));
}

}  // namespace

constinit const OpDef kStopGradient = define({
    .name = "stop_gradient",
    .inputs = {"x"},
    .infer = infer_identity,
    .alias_of = {"x"},
    .view_offset = [](const CallMeta&, int) -> int64_t { return 0; },
    .no_grad = "stopping the gradient is its purpose",
    .doc = "x itself; no gradient flows through it.",
});

constinit const OpDef kRecompute = define({
    .name = "recompute",
    .inputs = {"xs*"},
    .outputs = {"ys*"},
    .attrs = attrs_of<RecomputeAttrs>(),
    .infer = infer_recompute,
    .count_outputs = count_recompute,
    .compose = compose_recompute,
    .doc = "Runs a body; backward runs it again instead of keeping its intermediate results.",
});

bool& integer_gradients() {
  static thread_local bool on = false;
  return on;
}

Tensor stop_gradient(Arg x) { return call1(kStopGradient, nullptr, {x.tensor}, x.where); }

namespace {

using StateValues = std::unordered_map<State*, Tensor>;

// Direct access that remembers what each State was when the body first touched it.
class Remembering final : public StateHook {
 public:
  Remembering(StateHook* outer, StateValues& first) : outer_(outer), first_(first) {}
  Tensor read_state(State& s) override {
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    Tensor value = s.read();
    first_.emplace(&s, value);
    return value;
  }
  void write_state(State& s, const Tensor& value) override {
    read_state(s);
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    s.write(value);
  }

 private:
  StateHook* outer_;
  StateValues& first_;
};

// The second run: States are what they were; writes stay inside.
class Replaying final : public StateHook {
 public:
  explicit Replaying(StateValues values) : values_(std::move(values)) {}
  Tensor read_state(State& s) override {
    auto it = values_.find(&s);
    if (it == values_.end()) {
      throw_error(ErrorCode::kRuntime, cat("the body of recompute() reads state ", s.name(),
                                           " in its second run but not in its first"));
    }
    return it->second;
  }
  void write_state(State& s, const Tensor& value) override { values_[&s] = value; }

 private:
  StateValues values_;
};

// Notes which tensors from outside, tracked by the real tape, the body uses.
class CapturingTape final : public TapeHook {
 public:
  explicit CapturingTape(TapeHook& outer) : outer_(outer) {}
  bool tracked(const Tensor& t) const override { return outer_.tracked(t); }
  Tensor own_handle(const Tensor& value) override { return outer_.own_handle(value); }
  void record(const OpDef&, const void*, std::span<const Tensor> in, std::span<const Tensor>,
              std::source_location) override {
    for (const Tensor& t : in) {
      const bool known = std::any_of(captured.begin(), captured.end(),
                                     [&](const Tensor& c) { return c.impl() == t.impl(); });
      if (t.defined() && outer_.tracked(t) && !known) captured.push_back(t);
    }
  }
  std::vector<Tensor> captured;

 private:
  TapeHook& outer_;
};

std::atomic<int32_t> next_clone_group{1};

}  // namespace

std::vector<Tensor> recompute(
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& fn,
    const std::vector<Tensor>& inputs) {
  CallModes& modes = call_modes();
  TapeHook* tape = modes.tape;
  if (!tape) return fn(inputs);
  auto first = std::make_shared<StateValues>();
  Remembering remembering(modes.states, *first);
  CapturingTape capturing(*tape);
  capturing.captured = inputs;
  const AmpState amp = modes.amp;
  const AmpPolicyPtr policy = amp_policy();
  std::vector<Tensor> results;
  {
    ScopedValue<StateHook*> states(modes.states, &remembering);
    ScopedValue<TapeHook*> capture(modes.tape, &capturing);
    results = fn(inputs);
  }
  // Results that are inputs handed through would get a second identity on the tape.
  for (Tensor& r : results) {
    if (tape->tracked(r)) r = stop_gradient(r);
  }
  const size_t n = inputs.size();
  RecomputeAttrs attrs;
  attrs.body = make_ref<Region>([fn, first, amp, policy, n](const std::vector<Tensor>& operands) {
    Replaying replaying(*first);
    CallModes& m = call_modes();
    ScopedValue<StateHook*> states(m.states, &replaying);
    ScopedValue<AmpState> same_amp(m.amp, amp);
    ScopedValue<AmpPolicyPtr> same_policy(amp_policy(), policy);
    ScopedValue<int32_t> group(m.clone_group, next_clone_group.fetch_add(1));
    return fn(std::vector<Tensor>(operands.begin(), operands.begin() + static_cast<int64_t>(n)));
  });
  for (const Tensor& r : results) attrs.body->results.push_back(r.meta());
  tape->record(kRecompute, &attrs, capturing.captured, results, std::source_location::current());
  return results;
}

}  // namespace rutile::ops
