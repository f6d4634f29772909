// SPDX-License-Identifier: Apache-2.0
// The calls that eager execution repeats for a composition (ops/composition.h): its graph, with
// those fusions of the compiler that keep every bit, as a list.
#include "rutile/ops/composition.h"

#include <algorithm>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/trace/tracer.h"
#include "rutile/ops/call.h"

namespace rutile::graph {
namespace {

class Calls final : public Composition {
 public:
  explicit Calls(const Graph& g);
  void run(std::span<const Tensor> in, std::span<Tensor> out) const override;
  int size() const { return static_cast<int>(steps_.size()); }

 private:
  struct Step {
    const OpDef* op = nullptr;
    AnyAttrs attrs;
    SmallVector<int, 6> in;  // -1: absent
    int first_out = 0, num_out = 0;
    SmallVector<int, 6> last_used;  // read by no later step
  };
  int num_inputs_ = 0, num_values_ = 0;
  std::vector<Tensor> constants_;  // behind the inputs
  std::vector<Step> steps_;
  std::vector<int> outputs_;
};

Calls::Calls(const Graph& g) {
  std::vector<int> number(g.values.size(), kNone);
  for (ValueId v : g.inputs) number[v] = num_values_++;
  num_inputs_ = num_values_;
  const auto use = [&](ValueId v) {
    if (v != kNone && number[v] == kNone) {  // a constant: all else is made before it is read
      constants_.push_back(g.values[v].constant);
      number[v] = num_values_++;
    }
    return v == kNone ? kNone : number[v];
  };
  for (NodeId id : g.order) {
    for (ValueId v : g.nodes[id].inputs) {
      if (v != kNone && g.values[v].kind == ValueKind::kConstant) use(v);
    }
  }
  for (ValueId v : g.outputs) {
    if (v != kNone && g.values[v].kind == ValueKind::kConstant) use(v);
  }
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    Step s;
    s.op = n.op;
    s.attrs = n.attrs;
    for (ValueId v : n.inputs) s.in.push_back(use(v));
    s.first_out = num_values_;
    s.num_out = static_cast<int>(n.outputs.size());
    for (ValueId v : n.outputs) number[v] = num_values_++;
    steps_.push_back(std::move(s));
  }
  for (ValueId v : g.outputs) outputs_.push_back(use(v));
  std::vector<char> seen(static_cast<size_t>(num_values_), 0);
  for (int v : outputs_) {
    if (v != kNone) seen[static_cast<size_t>(v)] = 1;
  }
  for (size_t k = steps_.size(); k-- > 0;) {
    for (int v : steps_[k].in) {
      if (v == kNone || seen[static_cast<size_t>(v)]) continue;
      seen[static_cast<size_t>(v)] = 1;
      steps_[k].last_used.push_back(v);
    }
  }
}

void Calls::run(std::span<const Tensor> in, std::span<Tensor> out) const {
  SmallVector<Tensor, 24> values;
  values.resize(num_values_);
  for (int i = 0; i < num_inputs_; ++i) values[i] = in[static_cast<size_t>(i)];
  for (size_t i = 0; i < constants_.size(); ++i) {
    values[num_inputs_ + static_cast<int>(i)] = constants_[i];
  }
  SmallVector<Tensor, 6> operands;
  for (const Step& s : steps_) {
    operands.clear();
    for (int v : s.in) operands.push_back(v == kNone ? Tensor() : values[v]);
    call(*s.op, s.attrs.get(), operands,
         {values.data() + s.first_out, static_cast<size_t>(s.num_out)});
    for (int v : s.last_used) values[v] = Tensor();
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    out[i] = outputs_[i] == kNone ? Tensor() : values[outputs_[i]];
  }
}

// What the function calls; null for a graph whose calls are not the same every time.
std::unique_ptr<Graph> traced(const Region::Function& fn, const std::vector<TensorMeta>& operands) {
  auto g = std::make_unique<Graph>();
  Tracer tracer(*g);
  std::vector<Tensor> symbols;
  for (size_t i = 0; i < operands.size(); ++i) {
    symbols.push_back(tracer.input(operands[i], cat("x", i)));
  }
  CallModes modes;
  modes.trace = &tracer;
  modes.states = &tracer;
  modes.forward = call_modes().forward;
  modes.device = call_modes().device;
  ScopedValue<CallModes> tracing(call_modes(), modes);
  ScopedValue<Phase> phase(current_phase(), Phase::kForward);
  for (const Tensor& t : fn(symbols)) g->outputs.push_back(tracer.value_of(t));
  if (!g->states.empty()) return nullptr;
  for (NodeId id : g->order) {
    const Node& n = g->nodes[id];
    if (g->has_effects(n) || n.op->mutate_mask != 0 || n.op->runs_bodies) return nullptr;
  }
  return g;
}

bool on_one_device(const Graph& g) {
  return std::all_of(g.values.begin(), g.values.end(), [&g](const Value& v) {
    return v.meta.device == g.values.front().meta.device;
  });
}

// Undefined results keep their place.
Status fuse(Graph& g) {
  const std::vector<ValueId> outputs = g.outputs;
  std::erase(g.outputs, kNone);
  std::vector<ValueId> defined = g.outputs;
  for (auto pass : {dce, expand_composites, dce, cse, fuse_elementwise_exactly, dce}) {
    RUTILE_RETURN_IF_ERROR(pass(g));
  }
  defined = g.outputs;
  g.outputs = outputs;
  size_t next = 0;
  for (ValueId& v : g.outputs) {
    if (v != kNone) v = defined[next++];
  }
  return Status();
}

std::shared_ptr<const Composition> make(const Region::Function& fn,
                                        const std::vector<TensorMeta>& operands) {
  constexpr size_t kMostCalls = 256;  // else compiling costs more than it saves
  try {
    const std::unique_ptr<Graph> g = traced(fn, operands);
    if (!g || !on_one_device(*g) || g->order.size() > kMostCalls) return nullptr;
    const size_t calls = g->order.size();
    if (!fuse(*g).ok() || g->order.size() >= calls) return nullptr;
    return std::make_shared<Calls>(*g);
  } catch (const Error&) {
    return nullptr;  // it reads values, or is wrong: running it says how
  }
}

[[maybe_unused]] const bool installed = (set_composition_maker(make), true);

}  // namespace
}  // namespace rutile::graph
