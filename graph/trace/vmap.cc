// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/trace/vmap.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "rutile/graph/ir/body.h"
#include "rutile/graph/trace/replay.h"
#include "rutile/ops/batching.h"
#include "rutile/ops/control.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

VmapCounts& vmap_counts() {
  static thread_local constinit VmapCounts counts;
  return counts;
}

namespace {

// A value of the traced function, of one slice or of all.
struct Lane {
  Tensor t;
  bool batched = false;
  bool drawn = false;  // a key that the function drew, or made of one
};
using Lanes = std::vector<Lane>;

// A function traced for one slice: graph inputs are operands, then what is read from outside.
struct Traced {
  struct StateUse {
    Ref<State> state;
    ValueId in = kNone, out = kNone;
  };
  std::unique_ptr<Graph> owned;  // of an outermost trace
  Ref<Region> body;              // of one inside another
  const Graph* g = nullptr;
  std::vector<Tensor> captured;
  std::vector<StateUse> states;
  size_t results = 0;
};

Traced traced(const Function& fn, const std::vector<TensorMeta>& operands) {
  Traced t;
  CallModes& modes = call_modes();
  if (!modes.trace) {
    t.owned = trace(fn, operands);
    t.g = t.owned.get();
    t.results = t.g->outputs.size();
    for (const StateSlot& s : t.g->states) t.states.push_back({s.state, s.in, s.out});
    return t;
  }
  TracedBody b = modes.trace->trace_body(fn, operands);
  t.body = std::move(b.body);
  t.g = body_graph(*t.body);
  RUTILE_CHECK(t.g, "a traced body is a graph");
  t.captured = std::move(b.captured);
  t.results = t.g->outputs.size();
  for (const auto& use : b.states) t.results -= use.written ? 1 : 0;
  size_t in = operands.size() + t.captured.size(), out = t.results;
  for (const auto& use : b.states) {
    const ValueId v = t.g->inputs[in++];
    t.states.push_back({use.state, v, use.written ? t.g->outputs[out++] : v});
  }
  return t;
}

[[noreturn]] void refuse(const char* why) { throw_error(ErrorCode::kUnsupported, why); }

// The function can run for all slices at once: all that it changes is where its random numbers come
// from.
void check_pure(const Graph& g, const std::vector<Traced::StateUse>& states) {
  for (const NodeId id : g.order) {
    if (g.has_effects(g.nodes[id])) refuse("vmap: an op with effects");
  }
  for (const Traced::StateUse& use : states) {
    for (ValueId v = use.out; v != use.in;) {
      const NodeId producer = g.values[v].producer;
      if (producer == kNone || g.nodes[producer].op != &ops::kNextKey) {
        refuse("vmap: the function writes a State");
      }
      v = g.nodes[producer].inputs[0];
    }
  }
}

class Batcher {
 public:
  explicit Batcher(int64_t n) : n_(n) {}

  Lanes run(const Traced& t, const Lanes& operands);

 private:
  Lanes call(const OpDef& op, const AnyAttrs& attrs, const Lanes& in,
             const std::vector<TensorMeta>& one);
  bool by_rule(const OpDef& op, const AnyAttrs& attrs, const Lanes& in,
               const std::vector<TensorMeta>& one, TensorList* out) const;
  Lanes by_composition(const OpDef& op, const AnyAttrs& attrs, const Lanes& in);
  bool by_bodies(const OpDef& op, const AnyAttrs& attrs, const Lanes& in, Lanes* out);
  std::vector<Tensor> body(const Graph& g, const Lanes& operands);
  std::vector<Tensor> cond(const ops::CondAttrs& a, const Lanes& in);
  std::vector<Tensor> scan(const ops::LoopAttrs& a, const Lanes& in);
  Tensor batched(const Lane& l) const {
    return l.batched ? l.t : ops::broadcast_to(l.t, ops::batched_shape(n_, l.t.shape()));
  }
  Lanes by_loop(const OpDef& op, const AnyAttrs& attrs, const Lanes& in) const;
  TensorMeta slice_of(const Lane& l) const {
    Shape s;
    for (int d = l.batched ? 1 : 0; d < l.t.rank(); ++d) s.push_back(l.t.dim(d));
    return TensorMeta(s, l.t.dtype(), l.t.device());
  }

  int64_t n_;
};

Lanes Batcher::run(const Traced& t, const Lanes& operands) {
  const Graph& g = *t.g;
  check_pure(g, t.states);
  Lanes values(g.values.size());
  size_t next = 0;
  for (const Lane& l : operands) values[g.inputs[next++]] = l;
  for (const Tensor& c : t.captured) values[g.inputs[next++]].t = c;
  for (const Traced::StateUse& use : t.states) values[use.in].t = use.state->read();
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].kind == ValueKind::kConstant) values[v].t = g.values[v].constant;
  }
  CallModes& modes = call_modes();
  ScopedValue<AmpState> as_traced(modes.amp, AmpState{});  // its casts are nodes
  const Origin*& current = replayed_origin();
  for (const NodeId id : g.order) {
    const Node& node = g.nodes[id];
    const Origin* origin = node.origins.empty() ? nullptr : &g.origins[node.origins.front()];
    ScopedValue<const Origin*> place(current, current ? current : origin);
    const CellScope cell{current ? std::string_view(current->cell) : "", nullptr};
    ScopedValue<const CellScope*> path(modes.cell, cell.name.empty() ? modes.cell : &cell);
    Lanes in;
    for (const ValueId v : node.inputs) in.push_back(v == kNone ? Lane() : values[v]);
    std::vector<TensorMeta> one;
    for (const ValueId v : node.outputs) one.push_back(g.meta(v));
    Lanes out = call(*node.op, node.attrs, in, one);
    for (size_t i = 0; i < out.size(); ++i) values[node.outputs[i]] = std::move(out[i]);
  }
  for (const Traced::StateUse& use : t.states) {
    if (use.out != use.in) use.state->write(values[use.out].t);
  }
  Lanes results;
  for (size_t i = 0; i < t.results; ++i) results.push_back(values[g.outputs[i]]);
  return results;
}

std::vector<Tensor> tensors_of(const Lanes& lanes) {
  std::vector<Tensor> all;
  for (const Lane& l : lanes) all.push_back(l.t);
  return all;
}

Lanes lanes_of(std::span<const Tensor> tensors, bool batched, bool drawn) {
  Lanes all;
  for (const Tensor& t : tensors) all.push_back({t, batched, drawn});
  return all;
}

Lanes Batcher::call(const OpDef& op, const AnyAttrs& attrs, const Lanes& in,
                    const std::vector<TensorMeta>& one) {
  const bool batched = std::any_of(in.begin(), in.end(), [](const Lane& l) { return l.batched; });
  const bool key = std::any_of(in.begin(), in.end(), [](const Lane& l) { return l.drawn; });
  const bool random = op.num_inputs > 0 && op.input_name(0) == "key";
  const bool draws = random && in[0].drawn;
  if (!batched && !draws) {
    return lanes_of(call_n(op, attrs.get(), tensors_of(in)), false, key || &op == &ops::kNextKey);
  }
  TensorList out;
  Lanes out_lanes;
  // A key from outside draws the same for all slices.
  if ((draws || !random) && by_rule(op, attrs, in, one, &out)) {
    ++vmap_counts().rules;
    return lanes_of(out, true, key && !draws);
  }
  if (op.compose && !op.runs_bodies && !op.dynamic) {
    try {
      return by_composition(op, attrs, in);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kInterrupted) throw;  // else it reads values: a loop can
    }
  }
  if (op.runs_bodies && by_bodies(op, attrs, in, &out_lanes)) {
    ++vmap_counts().rules;
    return out_lanes;
  }
  if (draws) refuse("vmap: a random op without a rule");
  ++vmap_counts().loops;
  return by_loop(op, attrs, in);
}

bool Batcher::by_rule(const OpDef& op, const AnyAttrs& attrs, const Lanes& in,
                      const std::vector<TensorMeta>& one, TensorList* out) const {
  const ops::BatchRule rule = ops::batch_rule(op);
  if (!rule) return false;
  const std::vector<Tensor> tensors = tensors_of(in);
  SmallVector<bool, 8> batched;
  for (const Lane& l : in) batched.push_back(l.batched);
  try {
    *out = rule({op, attrs, n_, tensors, {batched.begin(), batched.end()}, one});
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInterrupted) throw;
    ++vmap_counts().failures;  // the loop tells what is wrong with which slice
    return false;
  }
  if (out->size() == 0) return false;
  for (int i = 0; i < out->size(); ++i) {
    const TensorMeta& want = one[static_cast<size_t>(i)];
    if ((*out)[i].shape() == ops::batched_shape(n_, want.shape) && (*out)[i].dtype() == want.dtype)
      continue;
    ++vmap_counts().failures;
    return false;
  }
  return true;
}

Lanes Batcher::by_composition(const OpDef& op, const AnyAttrs& attrs, const Lanes& in) {
  Lanes present;
  std::vector<TensorMeta> metas;
  for (const Lane& l : in) {
    if (!l.t.defined()) continue;
    present.push_back(l);
    metas.push_back(slice_of(l));
  }
  const Traced t = traced(
      [&](const std::vector<Tensor>& given) {
        std::vector<Tensor> all;
        size_t next = 0;
        for (const Lane& l : in) all.push_back(l.t.defined() ? given[next++] : Tensor());
        ScopedValue<AmpState> off(call_modes().amp, AmpState{});
        const TensorList out = op.compose(attrs.get(), all);
        return std::vector<Tensor>(out.begin(), out.end());
      },
      metas);
  for (const NodeId id : t.g->order) {
    if (t.g->nodes[id].op == &op) refuse("vmap: an op composed of itself");
  }
  return run(t, present);
}

// A body for all slices at once: all its results are of all slices.
std::vector<Tensor> Batcher::body(const Graph& g, const Lanes& operands) {
  Traced t;
  t.g = &g;
  t.results = g.outputs.size();
  if (g.inputs.size() != operands.size()) refuse("vmap: a body of other operands");
  for (const NodeId id : g.order) {
    if (g.nodes[id].op == &ops::kNextKey) refuse("vmap: a body that draws");
  }
  std::vector<Tensor> results;
  for (const Lane& l : run(t, operands)) results.push_back(batched(l));
  return results;
}

// One branch for all slices: the predicate is the same for them.
std::vector<Tensor> Batcher::cond(const ops::CondAttrs& a, const Lanes& in) {
  const Lanes operands(in.begin() + 1, in.end());
  const auto branch = [&](const Ref<Region>& region) {
    return [&, g = body_graph(*region)](const std::vector<Tensor>& given) {
      Lanes lanes = operands;
      for (size_t i = 0; i < lanes.size(); ++i) lanes[i].t = given[i];
      return body(*g, lanes);
    };
  };
  return ops::cond(in[0].t, branch(a.then_body), branch(a.else_body), tensors_of(operands));
}

// One loop whose carries are those of all slices; the carries that it keeps are further ys here.
std::vector<Tensor> Batcher::scan(const ops::LoopAttrs& a, const Lanes& in) {
  const size_t carries = static_cast<size_t>(a.carries), scanned = static_cast<size_t>(a.scanned);
  const auto swapped = [](const Tensor& t) { return ops::swapaxes(t, 0, 1); };
  std::vector<Tensor> init, xs;
  for (size_t i = 0; i < carries; ++i) init.push_back(batched(in[i]));
  for (size_t i = carries; i < carries + scanned; ++i) {
    xs.push_back(in[i].batched ? swapped(in[i].t) : in[i].t);
  }
  const Graph& g = *body_graph(*a.body);
  const auto step = [&](const std::vector<Tensor>& carry, const std::vector<Tensor>& x) {
    Lanes lanes = in;
    for (size_t i = 0; i < carries; ++i) lanes[i] = {carry[i], true};
    for (size_t i = 0; i < scanned; ++i) lanes[carries + i].t = x[i];
    const std::vector<Tensor> results = body(g, lanes);
    const auto last = results.begin() + static_cast<int64_t>(carries);
    return ops::ScanStep{{results.begin(), last}, {last, results.end()}};
  };
  ops::ScanStep done = ops::scan(step, init, xs, {.length = a.length, .reverse = a.reverse});
  std::vector<Tensor> results = std::move(done.carry);
  for (const Tensor& y : done.ys) results.push_back(swapped(y));
  return results;
}

// cond() by a predicate that is the same for all slices and scan(), their bodies for all slices at
// once. Branches that differ from slice to slice are left to the loop: each runs only one of them.
bool Batcher::by_bodies(const OpDef& op, const AnyAttrs& attrs, const Lanes& in, Lanes* out) {
  for (const Lane& l : in) {
    if (!l.t.defined() || l.drawn) return false;
  }
  const bool branches = &op == &ops::kCond && !in[0].batched;
  const auto* loop = &op == &ops::kScan ? static_cast<const ops::LoopAttrs*>(attrs.get()) : nullptr;
  const bool loops = loop && !loop->counted;
  if (!branches && !loops) return false;
  try {
    *out = lanes_of(
        branches ? cond(*static_cast<const ops::CondAttrs*>(attrs.get()), in) : scan(*loop, in),
        true, false);
    return true;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInterrupted) throw;
    ++vmap_counts().failures;
    return false;
  }
}

Lanes Batcher::by_loop(const OpDef& op, const AnyAttrs& attrs, const Lanes& in) const {
  std::vector<Tensor> xs;
  for (const Lane& l : in) {
    if (l.batched) xs.push_back(l.t);
  }
  const auto step = [&](const std::vector<Tensor>&, const std::vector<Tensor>& slices) {
    std::vector<Tensor> operands;
    size_t next = 0;
    for (const Lane& l : in) operands.push_back(l.batched ? slices[next++] : l.t);
    const TensorList out = call_n(op, attrs.get(), operands);
    return ops::ScanStep{{}, {out.begin(), out.end()}};
  };
  return lanes_of(ops::scan(step, {}, xs).ys, true, false);
}

std::vector<Tensor> slice_by_slice(const Function& fn, const std::vector<Tensor>& xs) {
  ++vmap_counts().slices;
  const auto step = [&](const std::vector<Tensor>&, const std::vector<Tensor>& slices) {
    return ops::ScanStep{{}, fn(slices)};
  };
  return ops::scan(step, {}, xs).ys;
}

int64_t number_of_slices(const std::vector<Tensor>& xs) {
  int64_t n = -1;
  for (const Tensor& x : xs) {
    if (x.rank() == 0 || (n >= 0 && x.dim(0) != n)) {
      throw_error(ErrorCode::kValue,
                  cat("[vmap] runs along the first dimension of all arguments, got ", x.meta(),
                      n < 0 ? std::string() : cat(" beside ", n, " slices")));
    }
    n = x.dim(0);
  }
  if (n < 1) throw_error(ErrorCode::kValue, "[vmap] has no slices to run over");
  return n;
}

}  // namespace

std::vector<Tensor> vmap(const Function& fn, const std::vector<Tensor>& xs) {
  const int64_t n = number_of_slices(xs);
  try {
    std::vector<TensorMeta> metas;
    for (const Tensor& x : xs) {
      Shape s;
      for (int d = 1; d < x.rank(); ++d) s.push_back(x.dim(d));
      metas.emplace_back(s, x.dtype(), x.device());
    }
    const Traced t = traced(fn, metas);
    std::vector<Tensor> results;
    for (const Lane& l : Batcher(n).run(t, lanes_of(xs, true, false))) {
      results.push_back(l.batched ? l.t
                                  : ops::broadcast_to(l.t, ops::batched_shape(n, l.t.shape())));
    }
    return results;
  } catch (const Error& e) {
    // What cannot be traced, or goes wrong for all at once, is told or done by the slices.
    if (e.code() == ErrorCode::kInterrupted || e.code() == ErrorCode::kInternal) throw;
  }
  return slice_by_slice(fn, xs);
}

}  // namespace rutile::graph
