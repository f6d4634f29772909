// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/core/device_runtime.h"
#include "rutile/core/thread.h"
#include "rutile/graph/exec/control_plan.h"
#include "rutile/graph/exec/frozen.h"
#include "rutile/graph/exec/parts.h"
#include "rutile/graph/exec/program.h"
#include "rutile/graph/exec/step_list.h"
#include "rutile/graph/ir/body.h"
#include "rutile/graph/plan/joins.h"
#include "rutile/ops/call.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/transfer.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

class Lowering {
 public:
  Lowering(const Graph& g, Part part, Program& p)
      : g_(g), p_(p), part_(std::move(part)), place_(g.values.size()), steps_(g, p) {}
  Status run();

 private:
  void schedule();
  void place_sources();
  void find_roots();
  void find_last_uses();
  Place place_inside(const Inside& at);
  Status check_device(const Node& n) const;
  Status lower_node(NodeId id);
  Status lower_kernel(NodeId id);
  Status lower_control(NodeId id);
  void lower_view(const Node& n);
  bool is_joined(const Node& n) const;
  bool read_elsewhere(const Node& n, const std::vector<Place>& in, size_t k) const;
  bool may_take_over(NodeId id, const Plan& plan, const std::vector<Place>& in, size_t k) const;
  Status place_outputs(NodeId id, const Plan& plan, const std::vector<Place>& in);
  Status finish_outputs();
  Status finish_states();

  const Graph& g_;
  Program& p_;
  const Part part_;
  std::vector<NodeId> order_;
  int last_check_ = kNone;      // position of the last node that may fail for the values it reads
  std::vector<Place> place_;    // by value
  std::vector<int> root_last_;  // by value that owns memory: last position that reads it
  std::vector<ValueId> root_;   // by value: the value whose memory it is
  std::vector<Inside> inside_;  // by value
  std::vector<char> pinned_;    // by root: must survive to the end
  StepList steps_;
  int position_ = 0;
};

void Lowering::place_sources() {
  for (size_t i = 0; i < g_.inputs.size(); ++i) {
    place_[g_.inputs[i]] = steps_.new_buffer(BufferKind::kInput, static_cast<int>(i), 0);
  }
  for (size_t i = 0; i < g_.states.size(); ++i) {
    place_[g_.states[i].in] = steps_.new_buffer(BufferKind::kState, static_cast<int>(i), 0);
  }
  for (size_t i = 0; i < part_.frozen.size(); ++i) {
    place_[part_.frozen[i]] = steps_.new_buffer(BufferKind::kFrozen, static_cast<int>(i), 0);
  }
  std::vector<char> used(g_.values.size(), 0);
  for (ValueId v : part_.outputs) used[v] = 1;
  for (NodeId id : order_) {
    for (ValueId v : g_.nodes[id].inputs) {
      if (v != kNone) used[v] = 1;
    }
  }
  for (const StateSlot& s : g_.states) {
    if (part_.main && s.out != s.in) used[s.in] = used[s.out] = 1;
  }
  // One State may leave with what another came with.
  for (const StateSlot& s : g_.states) p_.state_read.push_back(used[s.in]);
  for (size_t v = 0; v < g_.values.size(); ++v) {
    if (g_.values[v].kind != ValueKind::kConstant || !used[v]) continue;
    place_[v] = steps_.new_buffer(BufferKind::kConstant, static_cast<int>(p_.constants.size()), 0);
    p_.constants.push_back(g_.values[v].constant);
  }
}

// A step that fails must leave the States as they were. So States are written behind the last node
// that may fail: here, those updates whose results no other node reads move behind it. What cannot
// move works on a copy that is stored at the end (place_outputs).
void Lowering::schedule() {
  auto checks = [&](NodeId id) { return checks_values(g_.nodes[id]); };
  const std::vector<NodeId>& all = part_.order;
  auto last = std::find_if(all.rbegin(), all.rend(), checks);
  const size_t before = static_cast<size_t>(all.rend() - last);
  std::vector<char> read(g_.values.size(), 0);
  std::vector<NodeId> kept, moved;
  for (size_t i = all.size(); i-- > 0;) {
    const NodeId id = all[i];
    const Node& n = g_.nodes[id];
    const bool free =
        std::none_of(n.outputs.begin(), n.outputs.end(), [&](ValueId v) { return read[v] != 0; });
    if (i < before && free && !written_inputs(n).empty()) {
      moved.push_back(id);
      continue;
    }
    if (i < before) {
      for (ValueId v : n.inputs) {
        if (v != kNone) read[v] = 1;
      }
    }
    kept.push_back(id);
  }
  // Both were collected from the back.
  const size_t behind = all.size() - before;
  order_.assign(kept.rbegin(), kept.rend() - static_cast<std::ptrdiff_t>(behind));
  last_check_ = static_cast<int>(order_.size()) - 1;
  order_.insert(order_.end(), moved.rbegin(), moved.rend());
  order_.insert(order_.end(), kept.rend() - static_cast<std::ptrdiff_t>(behind), kept.rend());
}

void Lowering::find_roots() {
  root_.resize(g_.values.size());
  for (size_t v = 0; v < root_.size(); ++v) root_[v] = static_cast<ValueId>(v);
  for (const NodeId id : order_) {
    const Node& n = g_.nodes[id];
    for (size_t i = 0; n.op->view_offset && i < n.outputs.size(); ++i) {
      root_[n.outputs[i]] = root_[n.inputs[n.op->alias_input(static_cast<int>(i))]];
    }
  }
  pinned_.assign(g_.values.size(), 0);
  auto pin = [&](ValueId v) { pinned_[root_[v]] = 1; };
  for (ValueId v : part_.outputs) pin(v);
  for (const StateSlot& s : g_.states) pin(s.out);
  inside_ = find_joins(g_, order_, root_, pinned_);
  for (ValueId& r : root_) r = inside_[r].whole == kNone ? r : inside_[r].whole;
}

void Lowering::find_last_uses() {
  find_roots();
  root_last_.assign(g_.values.size(), -1);
  for (size_t pos = 0; pos < order_.size(); ++pos) {
    for (ValueId v : g_.nodes[order_[pos]].inputs) {
      if (v != kNone) root_last_[root_[v]] = static_cast<int>(pos);
    }
  }
}

// Where a kernel writes what is part of a concatenation: the first part brings the memory of all.
Place Lowering::place_inside(const Inside& at) {
  Place& whole = place_[at.whole];
  if (whole.buffer == kNone) whole = steps_.new_arena_buffer(g_.meta(at.whole).nbytes());
  return {whole.buffer, at.offset};
}

void Lowering::lower_view(const Node& n) {
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  const CallMeta call = g_.call_meta(n, &in, &out);
  for (int i = 0; i < out.size(); ++i) {
    Place p = place_[n.inputs[n.op->alias_input(i)]];
    p.offset += n.op->view_offset(call, i) * static_cast<int64_t>(dtype_size(out[i].dtype));
    place_[n.outputs[i]] = p;
  }
}

// A concatenation whose parts were written into its memory.
bool Lowering::is_joined(const Node& n) const {
  return !n.inputs.empty() && n.inputs[0] != kNone && n.outputs.size() == 1 &&
         n.op == &ops::kConcat && root_[n.inputs[0]] == n.outputs[0];
}

Status Lowering::lower_kernel(NodeId id) {
  const Node& n = g_.nodes[id];
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  const CallMeta call = g_.call_meta(n, &in, &out);
  std::vector<Place> in_places;
  struct Moved {
    size_t output;
    TensorMeta written;  // placed otherwise than the graph says
  };
  std::vector<Moved> moved;
  for (ValueId v : n.inputs) in_places.push_back(v == kNone ? Place() : place_[v]);
  std::shared_ptr<const Plan> plan;
  const bool reference = call_modes().reference_kernels;
  ScopedValue<Device> there(call_modes().device, p_.device);
  if (!reference) {
    Status s = make_plan(call, call_device(in).type, &plan, Rows::kFast);
    if (!s.ok() && s.code() != ErrorCode::kUnsupported) return s;
  }
  if (!plan) {
    // The same decision as eager execution: copies let a fast row in, or the reference runs.
    PlanEntry entry;
    RUTILE_RETURN_IF_ERROR(plan_call(*n.op, n.attrs.get(), in, reference, &entry));
    if (!entry.plan) {
      return Status(ErrorCode::kUnsupported, "has no kernel and was not expanded");
    }
    for (int i = 0; i < entry.outputs.size(); ++i) {
      if (same_placement(entry.outputs[i], out[i])) continue;
      if (n.op->alias_input(i) >= 0) {
        return Status(ErrorCode::kUnsupported,
                      cat("no kernel writes ", out[i], " here; it would write ", entry.outputs[i]));
      }
      moved.push_back({static_cast<size_t>(i), entry.outputs[i]});
    }
    for (size_t i = 0; i < in_places.size() && i < 32; ++i) {
      if (!(entry.copy_mask >> i & 1u) || n.inputs[i] == kNone) continue;
      RUTILE_RETURN_IF_ERROR(
          steps_.copy_to_arena(in_places[i], *in[static_cast<int>(i)], id, &in_places[i]));
    }
    plan = entry.plan;
  }
  RUTILE_RETURN_IF_ERROR(place_outputs(id, *plan, in_places));
  std::vector<Place> out_places;
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    out_places.push_back(place_[n.outputs[i]]);
    const int alias = n.op->alias_input(static_cast<int>(i));
    if (alias >= 0) in_places[alias] = out_places.back();
  }
  // Kernels see every named input; optional ones that were left off at the end are null.
  in_places.resize(std::max(in_places.size(), static_cast<size_t>(n.op->num_inputs)));
  const std::vector<Place> wanted = out_places;
  for (const Moved& m : moved) {
    out_places[m.output] = steps_.new_arena_buffer(m.written.nbytes());
  }
  steps_.add(std::move(plan), in_places, out_places, id);
  for (const Moved& m : moved) {
    const TensorMeta& to = out[static_cast<int>(m.output)];
    RUTILE_RETURN_IF_ERROR(
        steps_.reorder_into(out_places[m.output], m.written, wanted[m.output], to, id));
  }
  return Status();
}

// Bodies are made for row-major operands and give row-major results.
Status Lowering::lower_control(NodeId id) {
  const Node& n = g_.nodes[id];
  std::shared_ptr<const Plan> plan;
  RUTILE_RETURN_IF_ERROR(plan_control(g_, n, &plan));
  std::vector<Place> in, out;
  for (ValueId v : n.inputs) {
    in.push_back(place_[v]);
    if (g_.meta(v).is_contiguous()) continue;
    RUTILE_RETURN_IF_ERROR(steps_.copy_to_arena(place_[v], g_.meta(v), id, &in.back()));
  }
  for (ValueId v : n.outputs) {
    if (!g_.meta(v).is_contiguous()) {
      return Status(ErrorCode::kInternal, cat("gives row-major results, not ", g_.meta(v)));
    }
    place_[v] = steps_.new_arena_buffer(g_.meta(v).nbytes());
    out.push_back(place_[v]);
  }
  steps_.add(std::move(plan), in, out, id);
  return Status();
}

// True if another operand of the node lies in the memory of operand k and is not k itself.
bool Lowering::read_elsewhere(const Node& n, const std::vector<Place>& in, size_t k) const {
  for (size_t j = 0; j < n.inputs.size(); ++j) {
    if (j == k || n.inputs[j] == kNone || in[j].buffer != in[k].buffer) continue;
    const bool same = n.op->elementwise && in[j].offset == in[k].offset &&
                      same_placement(g_.meta(n.inputs[j]), g_.meta(n.inputs[k]));
    if (!same) return true;
  }
  return false;
}

// Whether output 0 may be written over operand k.
bool Lowering::may_take_over(NodeId id, const Plan& plan, const std::vector<Place>& in,
                             size_t k) const {
  const Node& n = g_.nodes[id];
  if (k >= 32 || !(plan.may_overwrite >> k & 1u) || n.inputs[k] == kNone) return false;
  const Buffer& b = steps_.buffer(in[k]);
  const int64_t bytes = g_.meta(n.outputs[0]).nbytes();
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (n.op->alias_input(static_cast<int>(i)) == static_cast<int>(k)) return false;
  }
  if (b.kind != BufferKind::kArena || in[k].offset != 0 || b.bytes != bytes) return false;
  const ValueId root = root_[n.inputs[k]];
  const bool copied = place_[n.inputs[k]].buffer != in[k].buffer;  // for this node alone
  const bool dead = copied || (root_last_[root] == position_ && !pinned_[root]);
  return dead && !read_elsewhere(n, in, k);
}

Status Lowering::place_outputs(NodeId id, const Plan& plan, const std::vector<Place>& in) {
  const Node& n = g_.nodes[id];
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    const ValueId v = n.outputs[i];
    const int alias = n.op->alias_input(static_cast<int>(i));
    if (alias >= 0) {
      const ValueId old = n.inputs[alias];
      const BufferKind kind = steps_.buffer(in[alias]).kind;
      const bool read_later = root_last_[root_[old]] > position_ || pinned_[root_[old]] ||
                              read_elsewhere(n, in, static_cast<size_t>(alias));
      const bool ours =
          kind == BufferKind::kArena || (kind == BufferKind::kState && position_ > last_check_);
      if (ours && !read_later) {
        place_[v] = in[alias];
      } else {
        RUTILE_RETURN_IF_ERROR(steps_.clone_to_arena(in[alias], g_.meta(old), id, &place_[v]));
      }
      continue;
    }
    if (inside_[v].whole != kNone) place_[v] = place_inside(inside_[v]);
    for (size_t k = 0; i == 0 && k < n.inputs.size() && place_[v].buffer == kNone; ++k) {
      if (may_take_over(id, plan, in, k)) place_[v] = in[k];
    }
    if (place_[v].buffer == kNone) {
      place_[v] = steps_.new_arena_buffer(g_.meta(v).nbytes());
    }
  }
  return Status();
}

// A program's memory is on one device; what comes from another or goes there is copied once, at its
// beginning or end.
Status Lowering::check_device(const Node& n) const {
  for (ValueId v : n.inputs) {
    if (v == kNone || g_.meta(v).device == p_.device) continue;
    const BufferKind kind = steps_.buffer(place_[v]).kind;
    if (n.op == &ops::kToDevice && kind != BufferKind::kArena) continue;
    return Status(ErrorCode::kUnsupported,
                  cat("runs on ", g_.meta(v).device, ", the compiled function on ", p_.device,
                      "; move what it reads with to()"));
  }
  return Status();
}

Status Lowering::lower_node(NodeId id) {
  const Node& n = g_.nodes[id];
  Status s = check_device(n);
  if (!s.ok()) {
    // said below
  } else if (n.op->view_offset) {
    lower_view(n);
  } else if (is_joined(n)) {
    // its parts are where they belong
  } else if (n.op->runs_bodies) {
    s = lower_control(id);
  } else {
    s = lower_kernel(id);
  }
  if (s.ok()) return s;
  SmallVector<const TensorMeta*, 6> metas = g_.input_metas(n);
  std::string text = cat("[", n.op->name, "] ", s.message());
  for (int i = 0; i < metas.size(); ++i) {
    text +=
        cat(i ? ", " : " | ", n.op->input_name(i), " ", metas[i] ? to_string(*metas[i]) : "none");
  }
  if (!n.origins.empty()) {
    const Origin& o = g_.origins[n.origins.front()];
    text += cat(" | from ", o.op, " at ", o.file, ":", o.line);
    if (!o.cell.empty()) text += cat(" in Cell ", o.cell);
  }
  return Status(s.code(), text);
}

Status Lowering::finish_outputs() {
  std::vector<char> taken(steps_.num_buffers(), 0);
  for (size_t i = 0; i < part_.outputs.size(); ++i) {
    const ValueId v = part_.outputs[i];
    const TensorMeta& meta = g_.meta(v);
    const Place p = place_[v];
    Buffer& b = steps_.buffer(p);
    const bool whole = p.offset == 0 && b.bytes == std::max<int64_t>(meta.nbytes(), 1);
    const bool placed = part_.body                ? meta.is_contiguous()
                        : meta.layout == kStrided ? meta.is_dense()
                                                  : !part_.main;
    if (b.kind == BufferKind::kArena && whole && placed && !taken[p.buffer]) {
      b.kind = BufferKind::kOutput;  // the kernels write straight into the result
      b.index = static_cast<int>(i);
      taken[p.buffer] = 1;
      p_.outputs.push_back(meta);
      continue;
    }
    if (!part_.main) return Status(ErrorCode::kInternal, "a frozen value has no memory of its own");
    if (!(meta.device == p_.device) && b.kind == BufferKind::kArena) {
      return Status(ErrorCode::kUnsupported, cat("result ", i, " is on ", meta.device,
                                                 ", the compiled function on ", p_.device));
    }
    p_.outputs.push_back(TensorMeta(meta.shape, meta.dtype, meta.device));
    const Place to = steps_.new_buffer(BufferKind::kOutput, static_cast<int>(i), 0);
    taken.resize(steps_.num_buffers(), 0);
    RUTILE_RETURN_IF_ERROR(steps_.copy_into(p, meta, to, kNone));
  }
  return Status();
}

Status Lowering::finish_states() {
  p_.state_written.assign(g_.states.size(), 0);
  struct Store {
    Place from, to;
    TensorMeta meta, to_meta;
  };
  std::vector<Store> stores;
  for (size_t i = 0; i < g_.states.size(); ++i) {
    const StateSlot& s = g_.states[i];
    const TensorMeta& meta = g_.meta(s.out);
    if (s.out == s.in || !part_.main) continue;
    p_.state_written[i] = 1;
    Store item{place_[s.out], place_[s.in], meta, g_.meta(s.in)};
    const Buffer& b = steps_.buffer(item.from);
    if (b.kind == BufferKind::kState) {
      if (item.from.buffer == item.to.buffer && item.from.offset == 0 &&
          same_placement(meta, item.to_meta)) {
        continue;  // updated in place
      }
      // Its memory may be overwritten by the stores below: take the value first.
      RUTILE_RETURN_IF_ERROR(steps_.clone_to_arena(item.from, meta, kNone, &item.from));
      if (meta.layout == kStrided) item.meta = TensorMeta(meta.shape, meta.dtype, meta.device);
    }
    stores.push_back(item);
  }
  for (const Store& s : stores) {
    RUTILE_RETURN_IF_ERROR(steps_.store(s.from, s.meta, s.to, s.to_meta, kNone));
  }
  return Status();
}

Status Lowering::run() {
  p_.threads = num_threads();
  p_.device = graph_device(g_);
  p_.stream = compute_stream(p_.device);
  p_.takes_inputs = part_.main;
  for (const StateSlot& s : g_.states) {
    if (g_.meta(s.in).layout != kStrided || g_.meta(s.in).is_contiguous()) continue;
    return Status(ErrorCode::kInternal,
                  cat("state ", s.name, " is neither row-major nor blocked: ", g_.meta(s.in)));
  }
  schedule();
  place_sources();
  find_last_uses();
  for (position_ = 0; position_ < static_cast<int>(order_.size()); ++position_) {
    steps_.begin_node(order_[position_]);
    RUTILE_RETURN_IF_ERROR(lower_node(order_[position_]));
  }
  steps_.begin_node(kNone);
  RUTILE_RETURN_IF_ERROR(finish_outputs());
  RUTILE_RETURN_IF_ERROR(finish_states());
  steps_.assign_memory(place_, order_);
  return Status();
}

}  // namespace

Status lower(std::shared_ptr<const Graph> graph, Program* program) {
  *program = Program();
  program->graph = graph;
  const auto [main, frozen] = split(*graph);
  if (!frozen.order.empty()) {
    auto values = std::make_shared<Program>();
    values->graph = graph;
    RUTILE_RETURN_IF_ERROR(Lowering(*graph, frozen, *values).run());
    program->frozen = std::make_shared<Frozen>(std::move(values));
  }
  return Lowering(*graph, main, *program).run();
}

Status lower_body(std::shared_ptr<const Graph> body, Program* program) {
  *program = Program();
  program->graph = body;
  Part part;
  part.body = true;
  part.outputs = body->outputs;
  part.order = body->order;
  return Lowering(*body, std::move(part), *program).run();
}

}  // namespace rutile::graph
