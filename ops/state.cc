// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/state.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "rutile/core/device_runtime.h"
#include "rutile/ops/call.h"
#include "rutile/ops/transfer.h"
#include "rutile/ops/view.h"

namespace rutile {

namespace {

// The value as States hold it. A copy that a trace or a tape must see is made by write() instead.
Tensor row_major(Tensor value) {
  if (!value.defined()) return value;
  if (value.is_symbolic()) value.data();  // throws: a trace's value is none that could be kept
  if (value.meta().is_contiguous()) return value;
  ScopedValue<CallModes> direct(call_modes(), CallModes());
  return ops::contiguous(value);
}

// A handle of the State's own to elements that others hold too: two States made from one Tensor, or
// a State whose Tensor is an input as well, are different variables to a gradient scope.
Tensor own(Tensor value) {
  TensorImpl* impl = value.impl();
  if (impl == nullptr || impl->RefCounted::unique() || call_modes().tape != nullptr) return value;
  return value.alias();
}

Tensor clone(const Tensor& t) {
  Tensor copy = Tensor::empty(t.meta());
  throw_if_error(copy_bytes(copy.impl()->data, t.device(), t.impl()->data, t.device(),
                            static_cast<size_t>(t.meta().nbytes())));
  return copy;
}

bool lies_as(const Tensor& t, const Placement& p) {
  return t.defined() && placement_of(t.meta()) == p;
}

}  // namespace

std::atomic<uint64_t> State::writes_{1};

State::State(std::string name, Tensor value)
    : name_(std::move(name)), value_(own(row_major(std::move(value)))) {
  if (value_.defined()) meta_ = value_.meta();
}

const Tensor& State::unpacked() const {
  if (packed_alone_) {
    value_ = row_major(packed_);
    packed_alone_ = false;
  }
  return value_;
}

Tensor State::concrete() const {
  std::lock_guard lock(mutex_);
  return unpacked();
}

Tensor State::elements(const Placement& p, bool to_write) {
  std::lock_guard lock(mutex_);
  if (p == Placement()) {
    unpacked();
    if (to_write && !value_.unique()) value_ = clone(value_);
    if (to_write) packed_ = Tensor();
    return value_;
  }
  if (!lies_as(packed_, p)) {
    unpacked();
    ScopedValue<CallModes> direct(call_modes(), CallModes());
    packed_ = ops::reorder(value_, p);
  } else if (to_write && !packed_.unique()) {
    packed_ = clone(packed_);
  }
  if (to_write) {
    value_ = Tensor();
    packed_alone_ = true;
  }
  return packed_;
}

void State::wrote(Tensor elements) {
  std::lock_guard lock(mutex_);
  packed_alone_ = elements.meta().layout != kStrided;
  // A value that somebody read meanwhile is half written.
  value_ = packed_alone_ ? Tensor() : elements;
  packed_ = packed_alone_ ? std::move(elements) : Tensor();
  count_version();
}

Tensor State::value() const {
  TapeHook* tape = call_modes().tape;
  return tape ? tape->own_handle(concrete()) : concrete();
}

Tensor State::read() {
  StateHook* hook = call_modes().states;
  return hook ? hook->read_state(*this) : value();
}

void State::write(const Tensor& value) {
  const TensorMeta& old = meta_;
  if (!(value.shape() == old.shape) || value.dtype() != old.dtype) {
    throw_error(ErrorCode::kValue,
                cat("state ", name_, " is ", old, ", its new value is ", value.meta()));
  }
  const Tensor placed = ops::to_device(ops::contiguous(value), old.device);
  if (StateHook* hook = call_modes().states) {
    hook->write_state(*this, placed);
    return;
  }
  set_concrete(placed);
}

void State::set_concrete(Tensor value) {
  Tensor placed = own(row_major(std::move(value)));
  std::lock_guard lock(mutex_);
  value_ = std::move(placed);
  meta_ = value_.defined() ? value_.meta() : TensorMeta();
  packed_ = Tensor();
  packed_alone_ = false;
  count_version();
}

void State::update(const OpDef& op, const void* attrs, std::span<State* const> states,
                   std::span<const Tensor> rest, std::span<Tensor> extra_outputs) {
  const bool hooked = call_modes().states != nullptr;
  std::vector<State*> sorted(states.begin(), states.end());
  std::sort(sorted.begin(), sorted.end(), std::less<State*>());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    throw_error(ErrorCode::kValue, cat("[", op.name, "] state ", (*twice)->name(),
                                       " is given twice; it has one value"));
  }
  SmallVector<Tensor, 8> in;
  // Until the new values are there nobody else finds the States empty.
  std::vector<std::unique_lock<std::recursive_mutex>> locks;
  if (!hooked) {
    for (State* s : sorted) locks.emplace_back(s->mutex_);
    for (State* s : states) s->concrete();
  }
  for (State* s : states) {
    // Moving the handle out lets call() see that nobody else holds the elements.
    in.push_back(hooked ? s->read() : std::move(s->value_));
  }
  for (const Tensor& t : rest) in.push_back(t);
  SmallVector<Tensor, 8> out;
  out.resize(static_cast<int>(states.size() + extra_outputs.size()));
  try {
    call(op, attrs, in, out);
  } catch (...) {
    if (!hooked) {
      for (size_t i = 0; i < states.size(); ++i) states[i]->value_ = in[static_cast<int>(i)];
    }
    throw;
  }
  const int n = static_cast<int>(states.size());
  in.clear();
  for (int i = 0; i < n; ++i) {
    if (hooked) {
      states[i]->write(out[i]);
    } else {
      states[i]->set_concrete(std::move(out[i]));
    }
  }
  for (size_t i = 0; i < extra_outputs.size(); ++i) extra_outputs[i] = out[n + static_cast<int>(i)];
}

}  // namespace rutile
