// SPDX-License-Identifier: Apache-2.0
// Tracing: runs a function on symbolic tensors and records every op into a graph. Gradient scopes
// and optimizers inside the function are recorded like anything else, so a whole training step
// becomes one graph.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rutile/graph/ir/graph.h"
#include "rutile/ops/call.h"

namespace rutile::graph {

using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

// Traces fn over symbolic tensors of the given metas. Concrete tensors that fn captures become
// constants: a variable that gets another tensor later is not seen. Leaves all modes as they were
// when fn throws.
RUTILE_API std::unique_ptr<Graph> trace(const Function& fn, const std::vector<TensorMeta>& inputs);

// Reads of symbolic values that this thread was refused so far, and the text of the last: a
// function that fails in a trace for one of them may still run as it is written.
struct RefusedReads {
  uint64_t count = 0;
  std::string last;
};
RUTILE_API const RefusedReads& refused_reads();

// Set by the gradient engine and optimizers while a trace runs: the phase of the nodes recorded.
RUTILE_API Phase& current_phase();

class Tracer final : public TraceHook, public StateHook {
 public:
  // `outer`: what runs around the body that this one traces.
  explicit Tracer(Graph& g, Tracer* outer = nullptr);
  ~Tracer() override;

  Tensor input(const TensorMeta& meta, std::string name);
  // The value of a tensor in this graph: its own symbolic ones, or a new constant.
  ValueId value_of(const Tensor& t);
  Tensor symbol(ValueId v);

  void append(const CallMeta& call, std::span<const Tensor> in,
              std::span<const TensorMeta> out_metas, std::span<Tensor> out,
              std::source_location where) override;
  TracedBody trace_body(const Region::Function& fn, std::span<const TensorMeta> operands) override;
  Tensor read_state(State& state) override;
  void write_state(State& state, const Tensor& value) override;

 private:
  bool belongs_outside(const TensorImpl& impl) const;

  Graph& g_;
  Tracer* outer_;
  uint64_t id_;
  const Graph* outer_graph_;  // tracers nest: what was active before
  uint64_t outer_trace_;
  std::vector<Tensor> captured_;  // of the traces around, which become operands
  std::vector<ValueId> captured_values_;
  std::vector<std::pair<Ref<State>, ValueId>> body_states_;  // with the operand that stands for it
  std::unordered_map<const TensorImpl*, ValueId> constants_;
  std::vector<Tensor> keep_alive_;  // captured tensors: their addresses are keys
  std::unordered_map<const State*, size_t> slots_;
  std::unordered_map<const State*, Tensor> state_symbols_;
};

}  // namespace rutile::graph
