// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/trace/tracer.h"

#include <atomic>
#include <fstream>
#include <mutex>
#include <string_view>

#include "rutile/graph/ir/body.h"
#include "rutile/graph/trace/outside.h"
#include "rutile/graph/trace/replay.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

std::atomic<uint64_t> next_trace{1};

// The graph being traced by this thread, for the error text of a symbolic read.
thread_local const Graph* active_graph = nullptr;
thread_local uint64_t active_trace = 0;
thread_local RefusedReads refused;
thread_local bool scope_outside = false;

std::string place(const std::string& file, int line, const std::string& cell) {
  std::string text = file.empty() ? "" : cat(" at ", file, ":", line);
  return cell.empty() ? text : cat(text, " in Cell ", cell);
}

// The user's line as the file has it, for a message; empty where it cannot be read.
std::string source_line(const std::string& file, int line) {
  std::ifstream in(file);
  std::string text;
  for (int i = 0; i < line; ++i) {
    if (!std::getline(in, text)) return "";
  }
  const size_t begin = text.find_first_not_of(" \t");
  constexpr size_t kLongest = 120;
  return begin == std::string::npos ? "" : text.substr(begin, kLongest);
}

// Where the tensor comes from; false where its trace has ended. `sized`: of an op that gives as
// many elements as values say.
bool describe_origin(const TensorImpl& impl, std::string* text, bool* sized) {
  if (!active_graph || impl.trace_id != active_trace) return false;
  const Value& v = active_graph->values[impl.trace_value];
  if (v.producer == kNone) {
    *text += cat("It is ", v.name.empty() ? "an input" : v.name, " of the traced function.");
    return true;
  }
  const Node& n = active_graph->nodes[v.producer];
  for (const char* op : {"nonzero", "unique", "unique_consecutive"}) {
    *sized = *sized || op == std::string_view(n.op->name);
  }
  *text += cat("It comes from ", n.op->name);
  if (!n.origins.empty()) {
    const Origin& o = active_graph->origins[n.origins.back()];
    *text += place(o.file, o.line, o.cell);
  }
  *text += ".";
  return true;
}

[[noreturn]] void symbolic_read(const TensorImpl& impl, const char* what) {
  std::string file;
  int line = 0;
  const bool python = user_location(&file, &line);
  // Its users know nothing of the C++ functions that read elements.
  const std::string_view function = what;
  const bool elements = function == "data()" || function == "copy_out()";
  std::string text =
      cat(elements && python ? "reading elements" : function,
          place(file, line, cell_path(call_modes().cell)), " needs the value of a tensor ",
          impl.meta, ", but this is a trace: it has no value yet");
  if (const std::string code = source_line(file, line); !code.empty()) text += cat("\n    ", code);
  text += "\n  ";
  bool sized = elements && impl.meta.dtype == DType::kBool && impl.meta.rank() > 0;  // x[mask]
  if (describe_origin(impl, &text, &sized)) {
    text += sized ? " The number of elements would depend on values: keep the shape, by where(), "
                    "or do it outside the traced function (RUTILE-E0103)"
                  : " Choose by where() instead of branching on it, or read it outside the traced "
                    "function (RUTILE-E0101)";
  } else {
    text +=
        "It belongs to a trace that has ended: return it from the traced function, or hold it in a "
        "Parameter (RUTILE-E0102)";
  }
  ++refused.count;
  refused.last = text;
  throw_error(ErrorCode::kRuntime, text);
}

}  // namespace

const RefusedReads& refused_reads() { return refused; }

bool differentiated_outside() { return scope_outside; }

void refuse_python_gradient(const Tensor& t) {
  std::string file;
  int line = 0;
  user_location(&file, &line);
  ++refused.count;
  refused.last =
      cat("a gradient by a Python function (bprop, a hook) for ", t.meta(),
          place(file, line, cell_path(call_modes().cell)),
          " inside of a branch, a loop, scan or vmap that is differentiated as a whole is no op "
          "(RUTILE-E0104)");
  throw_error(ErrorCode::kUnsupported, refused.last);
}

void refuse_as_ops(ErrorCode code, const std::string& text) {
  std::string file;
  int line = 0;
  user_location(&file, &line);
  ++refused.count;
  refused.last = cat(text, place(file, line, cell_path(call_modes().cell)));
  throw_error(code, refused.last);
}

Phase& current_phase() {
  static thread_local constinit Phase phase = Phase::kForward;
  return phase;
}

Tracer::Tracer(Graph& g, Tracer* outer)
    : g_(g),
      outer_(outer),
      id_(next_trace.fetch_add(1)),
      outer_graph_(active_graph),
      outer_trace_(active_trace) {
  static std::once_flag once;
  std::call_once(once, [] { set_symbolic_read_handler(symbolic_read); });
  active_graph = &g;
  active_trace = id_;
}

Tracer::~Tracer() {
  active_graph = outer_graph_;
  active_trace = outer_trace_;
}

Tensor Tracer::symbol(ValueId v) {
  Ref<TensorImpl> impl(new TensorImpl);
  impl->meta = g_.meta(v);
  impl->trace_id = id_;
  impl->trace_value = v;
  return Tensor(std::move(impl));
}

Tensor Tracer::input(const TensorMeta& meta, std::string name) {
  return symbol(g_.add_input(meta, std::move(name)));
}

ValueId Tracer::value_of(const Tensor& t) {
  if (!t.defined()) return kNone;
  const TensorImpl* impl = t.impl();
  if (impl->trace_id == id_) return impl->trace_value;
  if (belongs_outside(*impl)) {
    auto [it, fresh] = constants_.emplace(impl, kNone);
    if (fresh) {
      captured_.push_back(t);
      it->second = g_.add_input(t.meta(), cat("captured", captured_.size() - 1));
      captured_values_.push_back(it->second);
    }
    return it->second;
  }
  if (impl->symbolic()) {
    throw_error(ErrorCode::kRuntime,
                cat("a tensor ", impl->meta,
                    " of an earlier trace is used in this one; it was kept "
                    "in a variable outside the traced function. Return it, or hold it in a State "
                    "(RUTILE-E0102)"));
  }
  auto [it, fresh] = constants_.emplace(impl, kNone);
  if (fresh) {
    keep_alive_.push_back(t);
    it->second = g_.add_constant(t);
  }
  return it->second;
}

bool Tracer::belongs_outside(const TensorImpl& impl) const {
  for (const Tracer* t = outer_; t && impl.symbolic(); t = t->outer_) {
    if (impl.trace_id == t->id_) return true;
  }
  return false;
}

void Tracer::append(const CallMeta& call, std::span<const Tensor> in,
                    std::span<const TensorMeta> out_metas, std::span<Tensor> out,
                    std::source_location where) {
  std::vector<ValueId> inputs;
  for (const Tensor& t : in) inputs.push_back(value_of(t));
  Origin origin;
  origin.op = call.op->name;
  call_location(where, &origin.file, &origin.line);
  origin.cell = cell_path(call_modes().cell);
  if (const Origin* replayed = replayed_origin()) origin = *replayed;
  const NodeId id = g_.add_node(*call.op, AnyAttrs(call.op->attrs, call.attrs), std::move(inputs),
                                out_metas, {g_.add_origin(std::move(origin))}, current_phase());
  g_.nodes[id].clone_group = call_modes().clone_group;
  g_.order.push_back(id);
  for (size_t i = 0; i < out.size(); ++i) out[i] = symbol(g_.nodes[id].outputs[i]);
}

Tensor Tracer::read_state(State& state) {
  auto it = state_symbols_.find(&state);
  if (it != state_symbols_.end()) return it->second;
  if (outer_) {
    const ValueId operand = g_.add_input(state.meta(), state.name());
    body_states_.emplace_back(Ref<State>(&state), operand);
    return state_symbols_[&state] = symbol(operand);
  }
  slots_[&state] = g_.states.size();
  const ValueId v = g_.add_state(Ref<State>(&state), state.meta(), state.name());
  return state_symbols_[&state] = symbol(v);
}

void Tracer::write_state(State& state, const Tensor& value) {
  read_state(state);
  if (outer_) {
    const ValueId v = value_of(value);
    state_symbols_[&state] = value.impl()->trace_id == id_ ? value : symbol(v);
    return;
  }
  StateSlot& slot = g_.states[slots_[&state]];
  slot.out = value_of(value);
  // A constant as new value has no symbol yet.
  state_symbols_[&state] = value.impl()->trace_id == id_ ? value : symbol(slot.out);
}

TracedBody Tracer::trace_body(const Region::Function& fn, std::span<const TensorMeta> operands) {
  TracedBody traced;
  Graph body;
  Tracer inner(body, this);
  std::vector<Tensor> symbols;
  for (size_t i = 0; i < operands.size(); ++i) {
    symbols.push_back(inner.input(operands[i], cat("x", i)));
  }
  std::vector<ValueId> inputs = body.inputs;
  CallModes& modes = call_modes();
  ScopedValue<bool> outside(scope_outside, scope_outside || modes.tape);
  ScopedValue<TraceHook*> tracing(modes.trace, &inner);
  ScopedValue<StateHook*> states(modes.states, &inner);
  ScopedValue<TapeHook*> no_tape(modes.tape, nullptr);
  ScopedValue<Phase> phase(current_phase(), current_phase());
  for (const Tensor& t : fn(symbols)) {
    if (!t.defined()) throw_error(ErrorCode::kValue, "a body returned an empty Tensor");
    const Tensor plain = t.meta().is_contiguous() ? t : ops::contiguous(t);
    body.outputs.push_back(inner.value_of(plain));
  }
  for (const auto& [state, operand] : inner.body_states_) {
    const ValueId now = inner.value_of(inner.state_symbols_[state.get()]);
    traced.states.push_back({state, now != operand});
    if (now != operand) body.outputs.push_back(now);
  }
  inputs.insert(inputs.end(), inner.captured_values_.begin(), inner.captured_values_.end());
  for (const auto& [state, operand] : inner.body_states_) inputs.push_back(operand);
  body.inputs = std::move(inputs);
  traced.captured = std::move(inner.captured_);
  traced.body = make_body(std::move(body));
  return traced;
}

std::unique_ptr<Graph> trace(const Function& fn, const std::vector<TensorMeta>& inputs) {
  CallModes& modes = call_modes();
  if (modes.trace) {
    throw_error(ErrorCode::kRuntime, "a traced function is traced inside another one");
  }
  auto g = std::make_unique<Graph>();
  Tracer tracer(*g);
  std::vector<Tensor> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    symbols.push_back(tracer.input(inputs[i], cat("x", i)));
  }
  ScopedValue<bool> outside(scope_outside, modes.tape != nullptr);
  ScopedValue<TraceHook*> tracing(modes.trace, &tracer);
  ScopedValue<StateHook*> states(modes.states, &tracer);
  ScopedValue<TapeHook*> no_tape(modes.tape, nullptr);
  ScopedValue<Phase> phase(current_phase(), Phase::kForward);
  const std::vector<Tensor> results = fn(symbols);
  for (const Tensor& t : results) {
    if (!t.defined()) {
      throw_error(ErrorCode::kValue, "the traced function returned an empty Tensor");
    }
    g->outputs.push_back(tracer.value_of(t));
  }
  return g;
}

}  // namespace rutile::graph
