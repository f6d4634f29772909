// SPDX-License-Identifier: Apache-2.0
// What a graph is lowered to: a flat list of steps over pointer slots. Replay patches the pointers
// of inputs, outputs and states and loops over the steps; no maps, no reference counts, no shapes.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "rutile/graph/ir/graph.h"
#include "rutile/graph/plan/planner.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::graph {

enum class BufferKind : uint8_t { kArena, kInput, kOutput, kState, kConstant, kFrozen };

// A pointer as base plus offset; the base of an arena pointer is the arena.
struct Pointer {
  BufferKind kind = BufferKind::kArena;
  int index = 0;       // which input, output, state, constant or frozen value
  int64_t offset = 0;  // bytes
};

struct Step {
  const Plan* plan = nullptr;
  int first_in = 0, first_out = 0, workspace = kNone;  // slots
  NodeId node = kNone;                                 // kNone: a copy made by lowering
  int64_t copied = 0;  // of a copy made by lowering: bytes read and written
};

// Who lies where in the arena, and when: for reports.
struct ArenaBuffer {
  int64_t offset = 0, bytes = 0;
  int first = 0, last = 0;  // steps, both included
  ValueId value = kNone;    // the first that lies there; kNone: a workspace, or a copy by lowering
  NodeId node = kNone;      // the node it was made for; kNone: what stores outputs and states
};

class Frozen;

struct Program {
  std::shared_ptr<const Graph> graph;
  std::vector<std::shared_ptr<const Plan>> plans;  // owns what the steps point to
  std::vector<Step> steps;
  std::vector<Pointer> slots;
  std::vector<Tensor> constants;
  std::vector<TensorMeta> outputs;
  std::vector<char> state_read, state_written;  // by state slot
  std::shared_ptr<Frozen> frozen;               // what its sessions share; null: nothing
  bool takes_inputs = true;                     // false: computes frozen values
  // The first step that writes into a State; what fails before it leaves all States as they were.
  int first_state_write = std::numeric_limits<int>::max();
  Device device;            // of all its steps
  Stream stream = nullptr;  // that they are queued on; null on the cpu
  MemoryPlan memory;        // of the arena
  std::vector<ArenaBuffer> arena;
  int threads = 1;
};

// States are written behind the last node that may fail for the values it reads. Nodes of phase
// kFrozen become a program of their own, which `frozen` runs.
RUTILE_API Status lower(std::shared_ptr<const Graph> graph, Program* program);

// The device that the graph computes on: the one of its values that is not the cpu, if any.
Device graph_device(const Graph& g);

// The error of a step that failed: its op, the op of the user that it is part of, operands, Cell,
// line.
std::string describe_failure(const Graph& g, const Step& step, const Status& status);

// The plan's peak, lower bound and ratio.
RUTILE_API std::string memory_report(const Program& program);

}  // namespace rutile::graph
