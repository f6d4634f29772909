// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/cell.h"

#include <atomic>
#include <functional>
#include <unordered_set>

#include "rutile/autograd/tape.h"
#include "rutile/nn/cell_observer.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/transfer.h"

namespace rutile::nn {

namespace {

uint64_t next_edition() {
  static std::atomic<uint64_t> counter{1};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

std::string join(const std::string& path, const std::string& name) {
  if (path.empty() || name.empty()) return path + name;
  return cat(path, ".", name);
}

}  // namespace

Cell::Cell() : edition_(next_edition()) {}
Cell::~Cell() = default;

// ---- Calls
// ----------------------------------------------------------------------------------------

std::vector<Tensor> Cell::call(const std::vector<Tensor>& inputs) {
  CallModes& modes = call_modes();
  const std::string type = name_.empty() ? type_name() : std::string();
  const CellScope scope{name_.empty() ? type : name_, modes.cell};
  ScopedValue<const CellScope*> inside(modes.cell, &scope);
  ScopedValue<AmpState> amp(modes.amp, full_precision_ ? AmpState{} : modes.amp);
  CellObserver* observer = cell_observer();
  if (observer) observer->enter(*this);
  std::vector<Tensor> out =
      hooks_.empty() ? construct_or_recompute(inputs) : call_with_hooks(inputs);
  if (observer) observer->leave(*this, out);
  return out;
}

CellObserver*& cell_observer() {
  thread_local CellObserver* observer = nullptr;
  return observer;
}

std::vector<Tensor> Cell::call_with_hooks(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> in = inputs;
  const std::vector<Hook> hooks = hooks_;  // a hook may remove itself
  for (const Hook& h : hooks) {
    if (!h.pre) continue;
    if (std::vector<Tensor> replaced = h.pre(*this, in); !replaced.empty()) in = replaced;
  }
  std::vector<Tensor> out = construct_or_recompute(in);
  for (const Hook& h : hooks) {
    if (!h.post) continue;
    if (std::vector<Tensor> replaced = h.post(*this, in, out); !replaced.empty()) out = replaced;
  }
  for (const Hook& h : hooks) {
    if (!h.backward) continue;
    for (int i = 0; i < static_cast<int>(out.size()); ++i) {
      GradScope::add_hook_if_tracked(
          out[static_cast<size_t>(i)],
          [this, i, hook = h.backward, path = cell_path(call_modes().cell)](const Tensor& grad) {
            Tensor g = hook(*this, i, grad);
            if (g.defined() && (!(g.shape() == grad.shape()) || g.dtype() != grad.dtype())) {
              throw_error(ErrorCode::kValue,
                          cat("a backward hook returned ", g.meta(), " for the gradient ",
                              grad.meta(), " of output ", i, " | in Cell ", path));
            }
            return g;
          });
    }
  }
  return out;
}

// Hooks stay outside: they run once. The second run is in the modes of the first.
std::vector<Tensor> Cell::construct_or_recompute(const std::vector<Tensor>& inputs) {
  if (!recompute_ || !call_modes().tape) return construct_many(inputs);
  bool again = false;
  const std::string path = cell_path(call_modes().cell);
  std::vector<std::pair<CellPtr, bool>> modes;
  add_modes(&modes);
  return ops::recompute(
      [this, again, path, modes, own = training_](const std::vector<Tensor>& in) mutable {
        if (!again) {
          again = true;
          return construct_many(in);
        }
        const CellScope scope{path, nullptr};  // backward is in no Cell
        ScopedValue<const CellScope*> inside(call_modes().cell, &scope);
        ScopedValue<bool> mode(training_, own);
        std::vector<std::unique_ptr<ScopedValue<bool>>> below;
        for (const auto& [cell, training] : modes) {
          below.push_back(std::make_unique<ScopedValue<bool>>(cell->training_, training));
        }
        return construct_many(in);
      },
      inputs);
}

void Cell::add_modes(std::vector<std::pair<CellPtr, bool>>* modes) const {
  for (const auto& [name, cell] : children_) {
    modes->emplace_back(cell, cell->training_);
    cell->add_modes(modes);
  }
}

Tensor Cell::operator()(Arg x) {
  std::vector<Tensor> out = call({x.tensor});
  if (out.size() != 1) {
    throw_error(ErrorCode::kValue,
                cat(type_name(), " gives ", out.size(), " outputs; use call() for them"));
  }
  return out[0];
}

Tensor Cell::operator()(Arg x, Arg y) {
  std::vector<Tensor> out = call({x.tensor, y.tensor});
  if (out.size() != 1) {
    throw_error(ErrorCode::kValue,
                cat(type_name(), " gives ", out.size(), " outputs; use call() for them"));
  }
  return out[0];
}

std::vector<Tensor> Cell::construct_many(const std::vector<Tensor>& inputs) {
  if (inputs.size() == 1) return {construct(inputs[0])};
  if (inputs.size() == 2) return {construct_pair(inputs[0], inputs[1])};
  throw_error(ErrorCode::kValue, cat("[", type_name(), "] cannot be called with ", inputs.size(),
                                     " inputs | in Cell ", cell_path(call_modes().cell)));
}

Tensor Cell::construct(const Tensor&) {
  throw_error(ErrorCode::kValue, cat("[", type_name(), "] cannot be called with 1 input | in Cell ",
                                     cell_path(call_modes().cell)));
}

Tensor Cell::construct_pair(const Tensor&, const Tensor&) {
  throw_error(ErrorCode::kValue,
              cat("[", type_name(), "] cannot be called with 2 inputs | in Cell ",
                  cell_path(call_modes().cell)));
}

// ---- Contents
// -------------------------------------------------------------------------------------

void Cell::walk(const std::string& path,
                const std::function<void(const std::string&, const Cell&)>& fn) const {
  fn(path, *this);
  for (const auto& [name, cell] : children_) cell->walk(join(path, name), fn);
}

std::vector<NamedParameter> Cell::named_parameters() const {
  std::vector<NamedParameter> all;
  std::unordered_set<const Parameter*> seen;
  walk("", [&](const std::string& path, const Cell& c) {
    for (const ParameterSlot& p : c.parameters_) {
      if (seen.insert(p.slot->get()).second) all.emplace_back(join(path, p.name), *p.slot);
    }
  });
  return all;
}

std::vector<ParameterPtr> Cell::parameters() const {
  std::vector<ParameterPtr> all;
  for (auto& [name, p] : named_parameters()) all.push_back(p);
  return all;
}

std::vector<ParameterPtr> Cell::trainable_parameters() const {
  std::vector<ParameterPtr> all;
  for (auto& [name, p] : named_parameters()) {
    if (p->requires_grad()) all.push_back(p);
  }
  return all;
}

std::vector<NamedState> Cell::named_buffers() const {
  std::vector<NamedState> all;
  std::unordered_set<const State*> seen;
  walk("", [&](const std::string& path, const Cell& c) {
    for (const auto& [name, state] : c.buffers_) {
      if (seen.insert(state.get()).second) all.emplace_back(join(path, name), state);
    }
  });
  return all;
}

std::vector<NamedState> Cell::named_states() const {
  std::vector<NamedState> all;
  std::unordered_set<const State*> seen;
  walk("", [&](const std::string& path, const Cell& c) {
    for (const ParameterSlot& p : c.parameters_) {
      const Ref<State>& state = (*p.slot)->state();
      if (seen.insert(state.get()).second) all.emplace_back(join(path, p.name), state);
    }
    for (const auto& [name, state] : c.buffers_) {
      if (seen.insert(state.get()).second) all.emplace_back(join(path, name), state);
    }
  });
  return all;
}

std::vector<std::pair<std::string, CellPtr>> Cell::children() const { return children_; }

Cell* Cell::find(const std::string& path) {
  if (path.empty()) return this;
  const size_t dot = path.find('.');
  for (const auto& [name, cell] : children_) {
    if (path.compare(0, dot, name) != 0) continue;
    return dot == std::string::npos ? cell.get() : cell->find(path.substr(dot + 1));
  }
  return nullptr;
}

StateDict Cell::state_dict() const {
  StateDict values;
  for (const auto& [name, state] : named_states()) values[name] = state->concrete();
  return values;
}

// ---- Registration
// -----------------------------------------------------------------------------------

void Cell::check_new_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    throw_error(ErrorCode::kValue, cat("\"", name,
                                       "\" cannot be a name in a Cell: names are not "
                                       "empty and have no dots"));
  }
  bool taken = false;
  for (const auto& [n, c] : children_) taken = taken || n == name;
  for (const auto& [n, s] : buffers_) taken = taken || n == name;
  for (const ParameterSlot& p : parameters_) taken = taken || p.name == name;
  if (taken) throw_error(ErrorCode::kValue, cat(type_name(), " has a \"", name, "\" already"));
}

// States know their full path below the outermost Cell, and Cells know where they stand, so that
// children may be added before and after their parent was.
void Cell::prefix_names(const std::string& prefix) {
  path_ = join(prefix, path_);
  for (const ParameterSlot& p : parameters_) {
    State& s = *(*p.slot)->state();
    s.set_name(join(prefix, s.name()));
  }
  for (const auto& [name, s] : buffers_) s->set_name(join(prefix, s->name()));
  for (const auto& [name, c] : children_) c->prefix_names(prefix);
}

void Cell::adopt(const std::string& name, Cell& cell) {
  cell.walk("", [&](const std::string& path, const Cell& c) {
    if (&c != this) return;
    throw_error(ErrorCode::kValue, cat("Cell \"", name, "\" cannot be a child of ", type_name(),
                                       path.empty() ? ", it is that Cell itself"
                                                    : cat(", which stands inside it as ", path)));
  });
  if (!cell.name_.empty()) return;  // a shared Cell keeps the name it got first
  cell.prefix_names(join(path_, name));
  // A list is not called itself: what it holds is named with it, "blocks.0".
  const std::function<void(Cell&, const Cell&, const std::string&)> give =
      [&](Cell& below, const Cell& above, const std::string& own) {
        const bool listed = dynamic_cast<const CellList*>(&above) != nullptr;
        below.name_ = listed ? join(above.name_, own) : own;
        if (!dynamic_cast<CellList*>(&below)) return;
        for (const auto& [n, c] : below.children_) {
          if (c->name_ == n) give(*c, below, n);
        }
      };
  give(cell, *this, name);
}

void Cell::register_cell(std::string name, CellPtr cell) {
  check_new_name(name);
  if (!cell) throw_error(ErrorCode::kValue, cat("Cell \"", name, "\" is null"));
  adopt(name, *cell);
  children_.emplace_back(std::move(name), std::move(cell));
  changed();
}

void Cell::replace_cell(const std::string& name, CellPtr cell) {
  if (!cell) throw_error(ErrorCode::kValue, cat("Cell \"", name, "\" is null"));
  for (auto& [n, c] : children_) {
    if (n != name) continue;
    adopt(name, *cell);
    c = std::move(cell);
    changed();
    return;
  }
  throw_error(ErrorCode::kValue, cat(type_name(), " has no Cell \"", name, "\" to replace"));
}

void Cell::register_parameter(std::string name, Tensor value, ParameterPtr* slot) {
  check_new_name(name);
  *slot = std::make_shared<Parameter>(join(path_, name), std::move(value));
  parameters_.push_back({std::move(name), slot});
  changed();
}

Ref<State> Cell::register_buffer(std::string name, Tensor value) {
  check_new_name(name);
  Ref<State> state = make_ref<State>(join(path_, name), ops::to_device_in_force(value));
  buffers_.emplace_back(std::move(name), state);
  changed();
  return state;
}

void Cell::replace_parameter(const std::string& path, ParameterPtr parameter) {
  const size_t dot = path.rfind('.');
  Cell* owner = dot == std::string::npos ? this : find(path.substr(0, dot));
  const std::string last = dot == std::string::npos ? path : path.substr(dot + 1);
  if (owner && parameter) {
    for (ParameterSlot& p : owner->parameters_) {
      if (p.name != last) continue;
      if (!((*p.slot)->meta().shape == parameter->meta().shape)) {
        throw_error(ErrorCode::kValue, cat("parameter ", path, " is ", (*p.slot)->meta(),
                                           ", its replacement is ", parameter->meta()));
      }
      *p.slot = std::move(parameter);
      owner->changed();
      return;
    }
  }
  throw_error(ErrorCode::kValue, cat(type_name(), " has no parameter \"", path, "\" to replace"));
}

// ---- Modes
// ------------------------------------------------------------------------------------------

void Cell::train(bool on) {
  apply([on](Cell& c) { c.training_ = on; });
}

void Cell::freeze(bool on) {
  for (const ParameterPtr& p : parameters()) p->set_requires_grad(!on);
}

void Cell::to(DType dtype) {
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    throw_error(ErrorCode::kType, cat("a Cell holds f32 or f64, not ", dtype,
                                      "; for low precision use mixed precision"));
  }
  for (const auto& [name, state] : named_states()) {
    if (is_floating(state->meta().dtype)) {
      state->set_concrete(ops::cast(state->concrete(), dtype));
    }
  }
  apply([](Cell& c) { c.changed(); });
}

void Cell::to(Device device) {
  bool moved = false;
  for (const auto& [name, state] : named_states()) {
    if (!state->meta().numel() || state->meta().device == device) continue;
    state->set_concrete(state->concrete().to(device));
    moved = true;
  }
  if (moved) apply([](Cell& c) { c.changed(); });
}

void Cell::set_full_precision(bool on) { full_precision_ = on; }

void Cell::recompute(bool on) {
  if (recompute_ != on) changed();
  recompute_ = on;
}

void Cell::apply(const std::function<void(Cell&)>& fn) {
  for (const auto& [name, cell] : children_) cell->apply(fn);
  fn(*this);
}

int Cell::add_pre_hook(PreHook hook) {
  hooks_.push_back({next_hook_, std::move(hook), nullptr, nullptr});
  changed();
  return next_hook_++;
}

int Cell::add_post_hook(PostHook hook) {
  hooks_.push_back({next_hook_, nullptr, std::move(hook), nullptr});
  changed();
  return next_hook_++;
}

int Cell::add_backward_hook(BackwardHook hook) {
  hooks_.push_back({next_hook_, nullptr, nullptr, std::move(hook)});
  changed();
  return next_hook_++;
}

void Cell::remove_hook(int id) {
  std::erase_if(hooks_, [id](const Hook& h) { return h.id == id; });
  changed();
}

void Cell::changed() { edition_ = next_edition(); }

uint64_t Cell::version() const {
  uint64_t hash = 0;
  add_version(&hash);
  return hash;
}

// Parameters by address: their slots are open to everybody. A trace holds the States it was made
// with, so that no other gets the address of one of them.
void Cell::add_version(uint64_t* hash) const {
  *hash =
      detail::mix_hash(*hash, edition_ << 2 | uint64_t{full_precision_} << 1 | uint64_t{training_});
  for (const ParameterSlot& p : parameters_) {
    const Parameter* parameter = p.slot->get();
    if (!parameter) continue;
    *hash = detail::mix_hash(*hash, reinterpret_cast<uintptr_t>(parameter->state().get()));
    *hash = detail::mix_hash(*hash, parameter->requires_grad());
  }
  for (const auto& [name, cell] : children_) cell->add_version(hash);
}

EvalModeScope::EvalModeScope(Cell& root) {
  root.apply([this](Cell& c) {
    if (!c.training_) return;  // several threads may evaluate a network that is in this mode
    were_training_.push_back(&c);
    c.training_ = false;
  });
}

EvalModeScope::~EvalModeScope() {
  for (Cell* c : were_training_) c->training_ = true;
}

// ---- Text
// -------------------------------------------------------------------------------------------

void Cell::repr_to(std::string* out, const std::string& indent) const {
  *out += cat(type_name(), "(", extra_repr());
  if (children_.empty()) {
    *out += ")";
    return;
  }
  *out += "\n";
  for (const auto& [name, cell] : children_) {
    *out += cat(indent, "  (", name, "): ");
    cell->repr_to(out, indent + "  ");
    *out += "\n";
  }
  *out += indent + ")";
}

std::string Cell::repr() const {
  std::string out;
  repr_to(&out, "");
  return out;
}

}  // namespace rutile::nn
