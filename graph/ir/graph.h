// SPDX-License-Identifier: Apache-2.0
// The one IR: a static single-assignment graph in flat arrays. Nodes are ops of the op table,
// values carry metas. States (parameters, statistics, ...) enter as values and leave as values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/state.h"

namespace rutile::graph {

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t kNone = -1;

enum class ValueKind : uint8_t { kInput, kState, kConstant, kNode };
// kFrozen: reads States and constants alone and runs when they changed, not in every call.
enum class Phase : uint8_t { kForward, kBackward, kOptimizer, kFrozen };
RUTILE_API const char* phase_name(Phase p);

struct Value {
  TensorMeta meta;
  ValueKind kind = ValueKind::kNode;
  NodeId producer = kNone;
  int output_index = 0;
  std::string name;  // of inputs and states
  Tensor constant;   // of constants
};

// Where a node comes from: what the user wrote. Passes merge origins, never drop them.
struct Origin {
  std::string op, file, cell;
  int line = 0;
  bool operator==(const Origin&) const = default;
};

struct Node {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  std::vector<ValueId> inputs;  // kNone for an absent optional input
  std::vector<ValueId> outputs;
  std::vector<int32_t> origins;  // indices into Graph::origins, ascending
  Phase phase = Phase::kForward;
  int32_t clone_group = 0;  // nodes of different groups are never merged (recompute)
};

struct StateSlot {
  Ref<State> state;  // null in a graph parsed from text
  std::string name;
  ValueId in = kNone;
  ValueId out = kNone;  // == in while nothing writes it
  // Of a State that keeps the value of another one in another precision: the slot of that one, and
  // the version that was copied. The program that owns it writes both; before a run the executor
  // copies anew what somebody else has written.
  int copy_of = kNone;
  std::shared_ptr<uint64_t> copied = nullptr;
};

class RUTILE_API Graph {
 public:
  std::vector<Value> values;
  std::vector<Node> nodes;    // by id; only those in `order` are alive
  std::vector<NodeId> order;  // execution order
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<StateSlot> states;
  std::vector<Origin> origins;

  ValueId add_input(const TensorMeta& meta, std::string name);
  ValueId add_constant(Tensor value);
  ValueId add_state(Ref<State> state, const TensorMeta& meta, std::string name);
  // Adds a node that is not yet in `order`.
  NodeId add_node(const OpDef& op, AnyAttrs attrs, std::vector<ValueId> inputs,
                  std::span<const TensorMeta> outputs, std::vector<int32_t> origins = {},
                  Phase phase = Phase::kForward);
  int32_t add_origin(Origin origin);

  const TensorMeta& meta(ValueId v) const { return values[v].meta; }
  // Every use of `from` (nodes in order, outputs, state outs) becomes `to`.
  void replace_uses(ValueId from, ValueId to);
  // Replaces several at once: map[v] == v for the others; chains are followed.
  void replace_uses(const std::vector<ValueId>& map);
  // Number of uses by value: nodes in order, outputs, and state outs that differ from their in.
  std::vector<int> count_uses() const;
  // Position in `order` of each node, -1 for dead ones.
  std::vector<int> positions() const;
  // Input metas of a node, null where absent.
  SmallVector<const TensorMeta*, 6> input_metas(const Node& n) const;
  // The node as kernels see it; `in` and `out` hold the memory of the spans.
  CallMeta call_meta(const Node& n, SmallVector<const TensorMeta*, 6>* in,
                     SmallVector<TensorMeta, 2>* out) const;
  bool has_effects(const Node& n) const;  // or one of its bodies has
};

// Arithmetic and memory traffic of a node.
RUTILE_API Cost cost_of(const Graph& g, const Node& n);

// Whether a State leaves with another value than it entered with.
bool writes_states(const Graph& g);

// The inputs that a node writes in place.
std::vector<ValueId> written_inputs(const Node& n);

// Union of two ascending lists of origins.
std::vector<int32_t> merge_origins(const std::vector<int32_t>& a, const std::vector<int32_t>& b);

// Checks every rule of the IR: ids in range, single assignment, uses after definitions, metas equal
// to what infer gives (shape and dtype), views placed as their memory lies, one slot per State,
// states row-major or blocked and leaving with the shape and dtype they entered with, frozen nodes
// reading only States, constants and each other. A value that
// a node writes in place may be read afterwards: lowering then lets the node work on a copy.
RUTILE_API Status verify(const Graph& g);
// True in debug builds and where RUTILE_VERIFY=1: every pass is verified, memory starts out as NaN.
RUTILE_API bool self_checks();

// Text form; parse(print(g)) prints the same. Constants of more than 16 elements print as "{...}"
// and do not parse.
RUTILE_API std::string print(const Graph& g);
RUTILE_API Status parse(std::string_view text, Graph* g);

}  // namespace rutile::graph
