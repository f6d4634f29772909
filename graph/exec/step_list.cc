// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/step_list.h"

#include <algorithm>

#include "rutile/ops/plan_cache.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

Place StepList::new_buffer(BufferKind kind, int index, int64_t bytes) {
  Buffer b;
  b.kind = kind;
  b.index = index;
  b.bytes = std::max<int64_t>(bytes, 1);
  b.first = b.last = step();
  b.node = node_;
  buffers_.push_back(b);
  return {num_buffers() - 1, 0};
}

void StepList::touch(Place p) {
  if (p.buffer == kNone) return;
  Buffer& b = buffer(p);
  b.last = std::max(b.last, step());
}

void StepList::add(std::shared_ptr<const Plan> plan, const std::vector<Place>& in,
                   const std::vector<Place>& out, NodeId node) {
  Step s;
  s.plan = plan.get();
  s.node = node;
  s.first_in = static_cast<int>(slot_places_.size());
  for (Place p : in) {
    touch(p);
    slot_places_.push_back(p);
  }
  s.first_out = static_cast<int>(slot_places_.size());
  for (Place p : out) {
    touch(p);
    slot_places_.push_back(p);
    const bool state = p.buffer != kNone && buffers_[p.buffer].kind == BufferKind::kState;
    if (state) p_.first_state_write = std::min(p_.first_state_write, step());
  }
  if (plan->workspace_bytes) {
    s.workspace = static_cast<int>(slot_places_.size());
    slot_places_.push_back(new_arena_buffer(static_cast<int64_t>(plan->workspace_bytes)));
  }
  p_.plans.push_back(std::move(plan));
  p_.steps.push_back(s);
}

Status StepList::copy_into(Place from, const TensorMeta& meta, Place to, NodeId node) {
  const TensorMeta* in = &meta;
  PlanEntry entry;
  RUTILE_RETURN_IF_ERROR(plan_call(ops::kContiguous, nullptr, {&in, 1}, false, &entry));
  add(entry.plan, {from}, {to}, node);
  p_.steps.back().copied = 2 * entry.outputs[0].nbytes();
  return Status();
}

Status StepList::reorder_into(Place from, const TensorMeta& meta, Place to,
                              const TensorMeta& to_meta, NodeId node) {
  const ops::ReorderAttrs attrs{{to_meta.layout, to_meta.is_channels_last()}};
  const TensorMeta* in = &meta;
  PlanEntry entry;
  RUTILE_RETURN_IF_ERROR(plan_call(ops::kReorder, &attrs, {&in, 1}, false, &entry));
  if (!same_placement(entry.outputs[0], to_meta)) {
    return Status(ErrorCode::kUnsupported,
                  cat("no kernel writes ", to_meta, " here; it would write ", meta));
  }
  add(entry.plan, {from}, {to}, node);
  p_.steps.back().copied = meta.nbytes() + to_meta.nbytes();
  return Status();
}

Status StepList::copy_to_arena(Place from, const TensorMeta& meta, NodeId node, Place* to) {
  const TensorMeta plain(meta.shape, meta.dtype, meta.device);
  *to = new_arena_buffer(plain.nbytes());
  return copy_into(from, meta, *to, node);
}

Status StepList::store(Place from, const TensorMeta& meta, Place to, const TensorMeta& to_meta,
                       NodeId node) {
  if (meta.layout == kStrided && to_meta.is_contiguous()) return copy_into(from, meta, to, node);
  return reorder_into(from, meta, to, to_meta, node);
}

Status StepList::clone_to_arena(Place from, const TensorMeta& meta, NodeId node, Place* to) {
  if (meta.layout == kStrided) return copy_to_arena(from, meta, node, to);
  *to = new_arena_buffer(meta.nbytes());
  return reorder_into(from, meta, *to, meta, node);
}

Pointer StepList::pointer(Place p, const std::vector<int>& interval_of) const {
  Pointer out;
  out.index = kNone;
  if (p.buffer == kNone) return out;
  const Buffer& b = buffer(p);
  out.kind = b.kind;
  out.index = b.index;
  out.offset = p.offset;
  if (b.kind == BufferKind::kArena) out.offset += p_.memory.offsets[interval_of[p.buffer]];
  return out;
}

void StepList::assign_memory(const std::vector<Place>& place, const std::vector<NodeId>& order) {
  std::vector<Interval> intervals;
  std::vector<int> interval_of(buffers_.size(), kNone);
  for (size_t b = 0; b < buffers_.size(); ++b) {
    if (buffers_[b].kind != BufferKind::kArena) continue;
    interval_of[b] = static_cast<int>(intervals.size());
    intervals.push_back({buffers_[b].bytes, buffers_[b].first, buffers_[b].last});
  }
  p_.memory = plan_memory(intervals);
  for (size_t b = 0; b < buffers_.size(); ++b) {
    if (interval_of[b] == kNone) continue;
    const Buffer& from = buffers_[b];
    p_.arena.push_back(
        {p_.memory.offsets[interval_of[b]], from.bytes, from.first, from.last, kNone, from.node});
  }
  for (const NodeId id : order) {
    if (g_.nodes[id].op->view_offset) continue;
    for (const ValueId v : g_.nodes[id].outputs) {
      const int interval = interval_of[place[v].buffer];
      if (interval != kNone && p_.arena[interval].value == kNone) p_.arena[interval].value = v;
    }
  }
  for (Place p : slot_places_) p_.slots.push_back(pointer(p, interval_of));
}

}  // namespace rutile::graph
