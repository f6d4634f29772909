// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/forward_record.h"

#include <utility>

#include "rutile/ops/call.h"

namespace rutile::ops {

class Noting final : public StateHook {
 public:
  Noting(StateHook* outer, ForwardRecord& record) : outer_(outer), record_(record) {}
  Tensor read_state(State& s) override {
    const Tensor value = direct_read(s);
    ForwardRecord::Touched& t = touched(s);
    if (!t.seen.defined() && value.is_symbolic()) t.seen = value;
    return value;
  }
  void write_state(State& s, const Tensor& value) override {
    ForwardRecord::Touched& t = touched(s);
    if (!std::exchange(t.written, true)) t.before = direct_read(s);
    record_.wrote_ = true;
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    s.write(value);
  }

 private:
  Tensor direct_read(State& s) const {
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    return s.read();
  }
  ForwardRecord::Touched& touched(State& s) const {
    ForwardRecord::Touched& t = record_.states_[&s];
    if (!t.state) t.state = Ref<State>(&s);
    return t;
  }

  StateHook* outer_;
  ForwardRecord& record_;
};

namespace {

class Again final : public StateHook {
 public:
  Again(StateHook* outer, std::unordered_map<State*, Tensor> values)
      : outer_(outer), values_(std::move(values)) {}
  Tensor read_state(State& s) override {
    if (const auto it = values_.find(&s); it != values_.end()) return it->second;
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    return s.read();
  }
  void write_state(State& s, const Tensor& value) override {
    if (const auto it = values_.find(&s); it != values_.end()) {
      it->second = value;
      return;
    }
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    s.write(value);
  }

 private:
  StateHook* outer_;
  std::unordered_map<State*, Tensor> values_;
};

}  // namespace

void ForwardRecord::run(const std::function<void()>& fn) {
  CallModes& modes = call_modes();
  {
    Noting noting(modes.states, *this);
    ScopedValue<StateHook*> states(modes.states, &noting);
    fn();
  }
  for (auto& [state, t] : states_) {
    if (t.written) t.after = state->read();
  }
  writes_ = modes.trace ? 0 : State::writes();
}

bool ForwardRecord::current() const {
  if (writes_ != 0) return State::writes() == writes_;
  for (const auto& [state, t] : states_) {
    const Tensor& left = t.written ? t.after : t.seen;
    if (left.defined() && state->read().impl() != left.impl()) return false;
  }
  return true;
}

void ForwardRecord::replay(const std::function<void()>& fn) const {
  std::unordered_map<State*, Tensor> values;
  for (const auto& [state, t] : states_) {
    if (t.written) values.emplace(state, t.before);
  }
  CallModes& modes = call_modes();
  Again again(modes.states, std::move(values));
  ScopedValue<StateHook*> states(modes.states, &again);
  fn();
}

}  // namespace rutile::ops
