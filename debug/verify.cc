// SPDX-License-Identifier: Apache-2.0
#include "rutile/debug/verify.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <unordered_map>

#include "rutile/core/device_runtime.h"
#include "rutile/core/thread.h"
#include "rutile/debug/interpret.h"
#include "rutile/graph/exec/frozen.h"
#include "rutile/graph/exec/state_guard.h"
#include "rutile/graph/ir/text.h"

namespace rutile::debug {

namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

double tolerance_of(DType t) {
  switch (t) {
    case DType::kF64:
    case DType::kC128:
      return 1e-9;
    case DType::kF32:
    case DType::kC64:
      return 1e-4;
    case DType::kF16:
      return 1e-2;
    case DType::kBF16:
      return 5e-2;
    default:
      return 0;
  }
}

double tolerance_of(const Graph& g, const Node& n) {
  double t = 0;
  for (const ValueId v : n.inputs) {
    if (v != kNone) t = std::max(t, tolerance_of(g.meta(v).dtype));
  }
  for (const ValueId v : n.outputs) t = std::max(t, tolerance_of(g.meta(v).dtype));
  return t;
}

// Of results. What rounding becomes on its way through a network in f32 proves nothing.
double end_to_end(const Graph& g) {
  double t = 0;
  for (const NodeId id : g.order) t = std::max(t, tolerance_of(g, g.nodes[id]));
  return t <= 1e-9 ? 1e-4 : std::numeric_limits<double>::infinity();
}

std::string operands_of(const Graph& g, const Node& n) {
  std::string text;
  for (const ValueId v : n.inputs) {
    if (v != kNone && text.size() < 120) {
      text += cat(text.empty() ? "" : " ", graph::meta_text(g.meta(v)));
    }
  }
  text += " ->";
  for (const ValueId v : n.outputs) {
    if (text.size() < 200) text += cat(" ", graph::meta_text(g.meta(v)));
  }
  return text;
}

// The plan on fresh memory, as the executor runs it.
std::vector<Tensor> run_plan(const Graph& g, const Node& n, const Plan& plan,
                             const std::vector<Tensor>& in) {
  std::vector<Tensor> out;
  std::vector<void*> in_data, out_data;
  for (const Tensor& t : in) in_data.push_back(t.defined() ? t.impl()->data : nullptr);
  while (static_cast<int>(in_data.size()) < n.op->num_inputs) in_data.push_back(nullptr);
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    const int alias = n.op->alias_input(static_cast<int>(i));
    out.push_back(Tensor::empty(g.meta(n.outputs[i])));
    void* data = out.back().impl()->data;
    out_data.push_back(data);
    if (alias < 0) continue;
    const auto bytes = static_cast<size_t>(g.meta(n.outputs[i]).nbytes());
    const Device at = g.meta(n.outputs[i]).device;
    throw_if_error(copy_bytes(data, at, in_data[static_cast<size_t>(alias)], at, bytes));
    in_data[static_cast<size_t>(alias)] = data;
  }
  Ref<Storage> workspace;
  const Device device = n.outputs.empty() ? kCpu : g.meta(n.outputs.front()).device;
  KernelArgs args{in_data.data(), out_data.data(), nullptr, compute_stream(device)};
  if (plan.workspace_bytes) {
    workspace = Storage::allocate(plan.workspace_bytes, device);
    args.workspace = workspace->data();
  }
  throw_if_error(plan.run(plan, args));
  return out;
}

struct NodePlan {
  const Plan* plan = nullptr;
  bool copies = false;  // operands or results lie otherwise for it than the graph says
};

std::unordered_map<NodeId, NodePlan> plans_of(const graph::Program& p) {
  std::unordered_map<NodeId, NodePlan> plans;
  for (const graph::Step& s : p.steps) {
    if (s.node == kNone) continue;
    if (s.copied > 0) {
      plans[s.node].copies = true;
    } else if (NodePlan& n = plans[s.node]; !n.plan) {
      n.plan = s.plan;
    }
  }
  return plans;
}

class NodeCheck {
 public:
  NodeCheck(const graph::Program& p, const std::vector<Tensor>& inputs,
            const VerifyOptions& options)
      : g_(*p.graph), plans_(plans_of(p)), options_(options), values_(first_values(g_, inputs)) {}

  std::vector<Comparison> run() {
    std::vector<Comparison> list;
    uses_ = g_.count_uses();
    for (const NodeId id : g_.order) {
      const Node& n = g_.nodes[id];
      const auto plan = plans_.find(id);
      list.push_back(step(n, plan == plans_.end() ? NodePlan() : plan->second));
      for (const ValueId v : n.inputs) {
        if (v != kNone && --uses_[v] == 0) values_[v] = Tensor();
      }
    }
    return list;
  }

 private:
  Comparison step(const Node& n, const NodePlan& by) {
    Comparison c;
    c.what = n.op->name;
    c.where = graph::origin_text(g_, n);
    c.operands = operands_of(g_, n);
    c.tolerance = options_.tolerance > 0 ? options_.tolerance : tolerance_of(g_, n);
    std::vector<Tensor> in;
    for (const ValueId v : n.inputs) in.push_back(v == kNone ? Tensor() : values_[v]);
    bool had_reference = true;
    const bool view = n.op->view_offset != nullptr;
    const std::vector<Tensor> want = run_node(n, in, /*reference=*/!view, &had_reference);
    for (size_t i = 0; i < want.size(); ++i) {
      Tensor t = placed(want[i], g_.meta(n.outputs[i]));
      values_[n.outputs[i]] = t.defined() ? t : want[i];
    }
    if (!by.plan) {
      c.note = view ? "a view" : "no kernel of its own";
      return c;
    }
    c.what = cat(n.op->name, " by ", by.plan->kernel);
    for (size_t i = 0; i < in.size(); ++i) {
      if (!in[i].defined() || same_placement(in[i].meta(), g_.meta(n.inputs[i]))) continue;
      c.note = "its inputs cannot be placed as compiled";
      return c;
    }
    if (!had_reference) c.note = "no reference: compared with eager kernels";
    // Eager execution makes the same copies for the same kernel.
    const std::vector<Tensor> got =
        by.copies ? run_node(n, in, /*reference=*/false) : run_plan(g_, n, *by.plan, in);
    for (size_t i = 0; i < got.size(); ++i) {
      double error = relative_error(got[i], want[i]);
      if (error > c.tolerance && std::isfinite(error)) {
        const double less = conditioned_error(n, in, got[i], want, i, c.tolerance);
        if (less <= c.tolerance) c.note = "terms cancel: of what they are";
        error = std::min(error, less);
      }
      c.error = std::max(c.error, error);
    }
    return c;
  }

  const Graph& g_;
  std::unordered_map<NodeId, NodePlan> plans_;
  const VerifyOptions& options_;
  std::vector<Tensor> values_;
  std::vector<int> uses_;
};

Comparison compare(std::string what, const Results& got, const Results& want, double tolerance) {
  Comparison c;
  c.what = std::move(what);
  c.tolerance = tolerance;
  if (got.names != want.names) {
    c.note = "other results than before";
    c.error = std::numeric_limits<double>::infinity();
    return c;
  }
  for (size_t i = 0; i < got.tensors.size(); ++i) {
    const double error = relative_error(got.tensors[i], want.tensors[i]);
    if (error > c.error) c.where = got.names[i];
    c.error = std::max(c.error, error);
  }
  return c;
}

// What the compiled function really gives.
Results run_compiled(graph::Session& session, const std::vector<Tensor>& inputs) {
  const graph::Program& p = session.program();
  graph::StateGuard guard(p);
  const std::vector<Tensor> outputs = session.run(inputs);
  std::vector<Tensor> values(p.graph->values.size());
  for (const graph::StateSlot& s : p.graph->states) {
    if (s.out != s.in) values[s.out] = s.state->concrete();
  }
  Results r = results_of(*p.graph, values);
  std::copy(outputs.begin(), outputs.end(), r.tensors.begin());
  return r;
}

std::string number(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.2e", v);
  return buffer;
}

std::string line_of(const Comparison& c) {
  std::string text =
      cat(c.ok() ? "   " : "!! ", c.what, ": ", number(c.error),
          std::isinf(c.tolerance) ? " (not judged)" : cat(" of ", number(c.tolerance)));
  if (!c.where.empty()) text += cat(" | ", c.where);
  if (!c.operands.empty()) text += cat(" | ", c.operands);
  if (!c.note.empty()) text += cat(" (", c.note, ")");
  return text + "\n";
}

bool all_ok(const std::vector<Comparison>& list) {
  return std::all_of(list.begin(), list.end(), [](const Comparison& c) { return c.ok(); });
}

}  // namespace

bool VerifyReport::ok() const { return all_ok(nodes) && all_ok(passes) && all_ok(results); }

std::string VerifyReport::text(int rows) const {
  std::string out = ok() ? "compiled and eager agree" : "compiled and eager DIFFER";
  out += cat("; errors relative to the largest element\n\nresults, end to end\n");
  for (const Comparison& c : results) out += line_of(c);
  if (!passes.empty()) out += "\nafter each pass, run eagerly\n";
  for (const Comparison& c : passes) out += line_of(c);
  std::vector<const Comparison*> order;
  for (const Comparison& c : nodes) order.push_back(&c);
  std::stable_sort(order.begin(), order.end(), [](const Comparison* a, const Comparison* b) {
    if (a->ok() != b->ok()) return !a->ok();
    return a->error > b->error;
  });
  out += cat("\n", nodes.size(), " nodes, each on eager inputs; the largest errors first\n");
  for (size_t i = 0; i < order.size() && static_cast<int>(i) < rows; ++i) out += line_of(*order[i]);
  return out;
}

VerifyReport verify(graph::Compiled& f, const std::vector<Tensor>& inputs,
                    const VerifyOptions& options, const graph::Variant& variant) {
  const CallModes& modes = call_modes();
  if (modes.trace || modes.tape || modes.states) {
    throw_error(ErrorCode::kRuntime,
                "verify() runs a compiled function; call it outside of traces and gradients");
  }
  std::vector<TensorMeta> metas;
  for (const Tensor& t : inputs) metas.push_back(t.meta());
  const std::unique_ptr<Graph> traced = f.traced(metas);
  f.prepare(metas, variant);
  graph::Session& session = f.session();
  const graph::Program& program = session.program();
  ThreadCountScope threads(program.threads);
  VerifyReport report;
  const Results want = interpret(*traced, inputs);
  const double tolerance = options.end_to_end > 0 ? options.end_to_end : end_to_end(*traced);
  if (options.passes) {
    Graph g = *traced;
    graph::PipelineHooks hooks{.name = "verify", .after = {}};
    hooks.after = [&](const graph::PassReport& pass, const Graph& now) {
      report.passes.push_back(compare(pass.name, interpret(now, inputs), want, tolerance));
    };
    throw_if_error(graph::run_pipeline(g, f.options().passes_off, nullptr, hooks));
  }
  report.results.push_back(compare(f.name(), run_compiled(session, inputs), want, tolerance));
  report.nodes = NodeCheck(program, inputs, options).run();
  if (program.frozen) {
    for (Comparison& c : NodeCheck(program.frozen->program(), {}, options).run()) {
      report.nodes.push_back(std::move(c));
    }
  }
  return report;
}

}  // namespace rutile::debug
