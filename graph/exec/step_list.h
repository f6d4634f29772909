// SPDX-License-Identifier: Apache-2.0
// The steps of a program while it is lowered: buffers with the steps that use them, kernels and
// copies appended in the order of their run, and at the end the arena's offsets.
#pragma once

#include <memory>
#include <vector>

#include "rutile/graph/exec/program.h"

namespace rutile::graph {

struct Buffer {
  BufferKind kind = BufferKind::kArena;
  int index = 0;
  int64_t bytes = 0;
  int first = 0, last = 0;  // steps, for arena buffers
  NodeId node = kNone;      // that was lowered when it was made
};

// Bytes of a buffer from an offset on.
struct Place {
  int buffer = kNone;
  int64_t offset = 0;
};

class StepList {
 public:
  StepList(const Graph& g, Program& p) : g_(g), p_(p) {}

  // The node whose steps follow: what new buffers are made for.
  void begin_node(NodeId node) { node_ = node; }
  Place new_buffer(BufferKind kind, int index, int64_t bytes);
  Place new_arena_buffer(int64_t bytes) { return new_buffer(BufferKind::kArena, 0, bytes); }
  Buffer& buffer(Place p) { return buffers_[p.buffer]; }
  const Buffer& buffer(Place p) const { return buffers_[p.buffer]; }
  int num_buffers() const { return static_cast<int>(buffers_.size()); }

  // Appends a run of `plan` and, where it asks for one, its workspace.
  void add(std::shared_ptr<const Plan> plan, const std::vector<Place>& in,
           const std::vector<Place>& out, NodeId node);
  // Row-major copy.
  Status copy_into(Place from, const TensorMeta& meta, Place to, NodeId node);
  Status copy_to_arena(Place from, const TensorMeta& meta, NodeId node, Place* to);
  // A copy in the placement of `to_meta`; kUnsupported where no kernel makes it.
  Status reorder_into(Place from, const TensorMeta& meta, Place to, const TensorMeta& to_meta,
                      NodeId node);
  // A copy in the placement of the target: a State's, row-major or blocked.
  Status store(Place from, const TensorMeta& meta, Place to, const TensorMeta& to_meta,
               NodeId node);
  // Row-major, or blocked as the original is.
  Status clone_to_arena(Place from, const TensorMeta& meta, NodeId node, Place* to);

  // Plans the arena and writes the program's slots; `place` (by value) and `order` say whose memory
  // a buffer is.
  void assign_memory(const std::vector<Place>& place, const std::vector<NodeId>& order);

 private:
  int step() const { return static_cast<int>(p_.steps.size()); }
  void touch(Place p);
  Pointer pointer(Place p, const std::vector<int>& interval_of) const;

  const Graph& g_;
  Program& p_;
  NodeId node_ = kNone;
  std::vector<Buffer> buffers_;
  std::vector<Place> slot_places_;  // by slot
};

}  // namespace rutile::graph
