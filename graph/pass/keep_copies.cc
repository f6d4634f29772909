// SPDX-License-Identifier: Apache-2.0
// Purpose: mixed precision casts every weight in every step. On a GPU the update of a weight writes
// its copy for the next step in the same pass over memory: the copy becomes a State of the program,
// the casts go. Requires: fuse_optimizer has run. Guarantees: a weight that an update leaves in its
// State is cast nowhere to the precision that most of its casts are to. On the cpu nothing changes:
// there casts are part of the packing of weights (docs/decisions.md).
#include <algorithm>
#include <map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/update.h"

namespace rutile::graph {

namespace {

class CopyKeeper {
 public:
  explicit CopyKeeper(Graph& g) : g_(g), readers_(readers_of(g)), slot_of_(g.values.size(), kNone) {
    for (size_t i = 0; i < g.states.size(); ++i) slot_of_[g.states[i].in] = static_cast<int>(i);
  }
  Status run();

 private:
  struct Copied {
    int parameter = 0, slot = kNone;
    std::vector<NodeId> casts;
  };
  std::vector<NodeId> casts_of(ValueId v) const;
  std::vector<Copied> find(const Node& n, const ops::UpdateOperands& u) const;
  NodeId rewrite(NodeId id, const ops::UpdateOperands& u, const std::vector<Copied>& found);
  ValueId add_copy(const Copied& c);

  Graph& g_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<int> slot_of_;  // by value that a State enters as
  Renames renames_;
  std::vector<char> gone_;
};

// Those to the precision that most are to.
std::vector<NodeId> CopyKeeper::casts_of(ValueId v) const {
  std::map<DType, std::vector<NodeId>> by_type;
  for (const NodeId id : readers_[v]) {
    if (id == kNone || g_.nodes[id].op != &ops::kCast) continue;
    const DType t = g_.meta(g_.nodes[id].outputs[0]).dtype;
    if (is_low_precision(t)) by_type[t].push_back(id);
  }
  std::vector<NodeId> most;
  for (auto& [type, casts] : by_type) {
    if (casts.size() > most.size()) most = std::move(casts);
  }
  return most;
}

std::vector<CopyKeeper::Copied> CopyKeeper::find(const Node& n,
                                                 const ops::UpdateOperands& u) const {
  std::vector<Copied> found;
  for (int i = 0; i < u.count; ++i) {
    const ValueId v = n.inputs[u.tensor(0, i)];
    const size_t old = static_cast<size_t>(v);
    if (old >= slot_of_.size() || slot_of_[old] == kNone) continue;
    const StateSlot& s = g_.states[slot_of_[old]];
    if (s.out != n.outputs[u.output(u.tensor(0, i))] || !is_floating(g_.meta(v).dtype)) continue;
    Copied c{i, slot_of_[old], casts_of(v)};
    if (!c.casts.empty()) found.push_back(std::move(c));
  }
  return found;
}

ValueId CopyKeeper::add_copy(const Copied& c) {
  const StateSlot of = g_.states[c.slot];
  const TensorMeta& wide = g_.meta(of.in);
  const TensorMeta meta(wide.shape, g_.meta(g_.nodes[c.casts[0]].outputs[0]).dtype, wide.device);
  Ref<State> state;
  const std::string name = cat(of.name, ".", dtype_name(meta.dtype));
  if (of.state) state = make_ref<State>(name, Tensor::empty(meta));
  const ValueId v = g_.add_state(std::move(state), meta, name);
  g_.states.back().copy_of = c.slot;
  g_.states.back().copied = std::make_shared<uint64_t>(0);  // of no version yet
  return v;
}

// Parameters with copies come first.
NodeId CopyKeeper::rewrite(NodeId id, const ops::UpdateOperands& u,
                           const std::vector<Copied>& found) {
  const Node n = g_.nodes[id];
  std::vector<int> order;
  for (const Copied& c : found) order.push_back(c.parameter);
  for (int i = 0; i < u.count; ++i) {
    const auto with = order.begin() + static_cast<std::ptrdiff_t>(found.size());
    if (std::find(order.begin(), with, i) == with) order.push_back(i);
  }
  std::vector<ValueId> in;
  std::vector<TensorMeta> out;
  for (int k = 0; k < ops::kUpdateScalars; ++k) {
    const size_t at = static_cast<size_t>(u.lr() + k);
    in.push_back(at < n.inputs.size() ? n.inputs[at] : kNone);
  }
  for (int k = 0; k <= u.slots; ++k) {
    for (const int i : order) in.push_back(n.inputs[u.tensor(k, i)]);
  }
  std::vector<ValueId> copies;
  for (const Copied& c : found) copies.push_back(add_copy(c));
  in.insert(in.end(), copies.begin(), copies.end());
  for (size_t k = ops::kUpdateScalars; k < in.size(); ++k) out.push_back(g_.meta(in[k]));
  for (const int i : order) in.push_back(n.inputs[u.grad(i)]);
  std::vector<int32_t> origins = n.origins;
  for (const Copied& c : found) {
    for (const NodeId cast : c.casts) origins = merge_origins(origins, g_.nodes[cast].origins);
  }
  const ops::UpdateFamily& f = *ops::find_update(n.op);
  const NodeId multi =
      g_.add_node(*f.multi, n.attrs, std::move(in), out, std::move(origins), n.phase);
  const std::vector<ValueId>& results = g_.nodes[multi].outputs;
  size_t o = 0;
  for (int k = 0; k <= u.slots; ++k) {
    for (const int i : order) renames_.put(n.outputs[u.output(u.tensor(k, i))], results[o++]);
  }
  for (size_t k = 0; k < found.size(); ++k) {
    StateSlot& slot = g_.states[g_.states.size() - found.size() + k];
    slot.out = results[o++];
    for (const NodeId cast : found[k].casts) {
      renames_.put(g_.nodes[cast].outputs[0], copies[k]);
      gone_[cast] = 1;
    }
    remark_done(g_, {id, found[k].casts[0]}, slot.name);
  }
  return multi;
}

Status CopyKeeper::run() {
  gone_.assign(g_.nodes.size(), 0);
  std::vector<NodeId> order;
  for (const NodeId id : g_.order) {
    NodeId now = id;
    if (ops::find_update(g_.nodes[id].op)) {
      SmallVector<const TensorMeta*, 6> in;
      SmallVector<TensorMeta, 2> out;
      const ops::UpdateOperands u = ops::update_operands(g_.call_meta(g_.nodes[id], &in, &out));
      const bool here = !out.empty() && out[0].device.type != DeviceType::kCpu && u.copies == 0;
      const std::vector<Copied> found = here ? find(g_.nodes[id], u) : std::vector<Copied>();
      if (!found.empty()) now = rewrite(id, u, found);
    }
    order.push_back(now);
  }
  std::erase_if(order, [this](NodeId id) {
    return static_cast<size_t>(id) < gone_.size() && gone_[static_cast<size_t>(id)];
  });
  g_.order = std::move(order);
  g_.replace_uses(renames_.map());
  return Status();
}

}  // namespace

Status keep_copies(Graph& g) { return CopyKeeper(g).run(); }

}  // namespace rutile::graph
