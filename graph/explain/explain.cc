// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/explain.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include "rutile/core/device_activity.h"
#include "rutile/core/device_runtime.h"
#include "rutile/core/thread.h"
#include "rutile/graph/exec/frozen.h"
#include "rutile/graph/exec/state_guard.h"
#include "rutile/graph/ir/dot.h"
#include "rutile/graph/ir/text.h"
#include "rutile/io/file.h"
#include "rutile/ops/source_plan.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point t) {
  return std::chrono::duration<double, std::milli>(Clock::now() - t).count();
}

// The lower one of two: what disturbs a run only ever makes it slower.
double median(std::vector<double> v) {
  if (v.empty()) return 0;
  const auto middle = v.begin() + static_cast<std::ptrdiff_t>((v.size() - 1) / 2);
  std::nth_element(v.begin(), middle, v.end());
  return *middle;
}

double best(const std::vector<double>& v) {
  return v.empty() ? 0 : *std::min_element(v.begin(), v.end());
}

struct Times {
  std::vector<double> whole;               // of bare runs
  std::vector<std::vector<double>> steps;  // by step of the program
  std::optional<ActivitySummary> device;   // of one bare run; none where the device says nothing
};

// What the device itself says of a run of f; nothing where it says nothing.
std::vector<DeviceActivity> recorded(const ActivityFns* fns, const std::function<void()>& f) {
  std::vector<DeviceActivity> all;
  if (!fns || !start_recording(*fns).ok()) return all;
  int64_t lost = 0;
  try {
    f();
  } catch (...) {
    (void)stop_recording(*fns, &all, &lost);
    throw;
  }
  if (!stop_recording(*fns, &all, &lost).ok() || lost > 0) all.clear();
  return all;
}

// The time of each step on the device, without the host that queues it and waits; and of a run as
// it always is, how much of its time the device has nothing to do.
void measure_device(Session& session, const std::vector<Tensor>& inputs, Times* times) {
  const Device device = session.program().device;
  const ActivityFns* fns = device == kCpu ? nullptr : device_activity(device.type);
  const std::vector<DeviceActivity> bare = recorded(fns, [&] { session.run(inputs); });
  if (bare.empty()) return;
  times->device = summarize(bare, device.index);
  const size_t runs = std::min<size_t>(times->whole.size(), 5), steps = times->steps.size();
  std::vector<std::vector<double>> on_device(steps);
  for (size_t i = 0; i < runs; ++i) {
    std::vector<double> ms(steps, 0);
    uint64_t step = 0;
    const auto next = [&] { fns->push(++step); };
    for (const DeviceActivity& a : recorded(fns, [&] {
           const auto after = [&](const Step&) {
             fns->pop();
             next();
           };
           session.run_observed(inputs, after, next);
           fns->pop();
         })) {
      if (a.op == 0 || a.op > steps || a.device != device.index) continue;
      ms[a.op - 1] += 1e-6 * static_cast<double>(a.end_ns - a.start_ns);
    }
    for (size_t k = 0; k < steps; ++k) on_device[k].push_back(ms[k]);
  }
  times->steps = std::move(on_device);
}

Times measure(Session& session, const std::vector<Tensor>& inputs, const ExplainOptions& o) {
  constexpr int kLeast = 2, kMost = 50;
  const std::vector<Step>& steps = session.program().steps;
  Times times;
  times.steps.resize(steps.size());
  const auto wait = [&] {
    if (session.program().stream) synchronize(session.program().device);
  };
  session.run(inputs);  // States are copied, caches filled
  wait();
  const Clock::time_point start = Clock::now();
  const auto go_on = [&](int done) {
    if (o.runs > 0) return done < o.runs;
    return done < kLeast || (done < kMost && ms_since(start) < 1e3 * o.seconds);
  };
  for (int i = 0; go_on(i); ++i) {
    Clock::time_point t = Clock::now();
    session.run(inputs);
    wait();
    times.whole.push_back(ms_since(t));
    Clock::time_point last;
    const auto after = [&](const Step& s) {
      wait();
      const double ms = ms_since(last);
      times.steps[static_cast<size_t>(&s - steps.data())].push_back(ms);
      last = Clock::now();
    };
    session.run_observed(inputs, after, [&] { last = Clock::now(); });
  }
  measure_device(session, inputs, &times);
  return times;
}

// What the products of a node are computed from.
DType compute_type(const Graph& g, const Node& n) {
  for (const ValueId v : n.inputs) {
    if (v != kNone && is_floating(g.meta(v).dtype)) return g.meta(v).dtype;
  }
  return DType::kF32;
}

std::string operands_of(const Graph& g, const Node& n) {
  constexpr size_t kEnough = 200;
  std::string text;
  for (const ValueId v : n.inputs) {
    if (v == kNone || text.size() > kEnough) continue;
    text += cat(text.empty() ? "" : " ", meta_text(g.meta(v)));
  }
  text += " ->";
  for (const ValueId v : n.outputs) {
    if (text.size() <= 2 * kEnough) text += cat(" ", meta_text(g.meta(v)));
  }
  return text;
}

KernelTime describe(const Graph& g, const Step& s, const MachinePeaks& peaks) {
  KernelTime k;
  k.kernel = s.plan->kernel;
  k.op = "store";
  if (s.node != kNone) {
    const Node& n = g.nodes[s.node];
    k.op = n.op->name;
    k.where = origin_text(g, n);
    k.operands = operands_of(g, n);
    k.phase = n.phase;
    k.cost = cost_of(g, n);
    k.type = compute_type(g, n);
  } else {
    k.phase = Phase::kOptimizer;
  }
  if (s.copied > 0) {
    k.cost = {0, static_cast<double>(s.copied)};
    k.operands = cat("copy of ", s.copied / 2, " bytes");
    if (s.node != kNone) k.op = cat("copy for ", k.op);
  }
  k.limit_ms = 1e3 * peaks.seconds(k.cost, k.type);
  k.by_arithmetic =
      k.cost.flops / peaks.flops(k.type) > k.cost.bytes / peaks.bandwidth(k.cost.bytes);
  return k;
}

// "f32[64,3,7,7] of conv1.weight", or of the op that gives it.
std::string value_text(const Graph& g, ValueId v) {
  const Value& value = g.values[v];
  const std::string meta = cat(dtype_name(value.meta.dtype), value.meta.shape);
  if (value.producer == kNone) {
    return value.name.empty() ? cat(meta, " constant") : cat(meta, " of ", value.name);
  }
  return cat(meta, " of ", g.nodes[value.producer].op->name);
}

std::string source_text(const Graph& g, ValueId v) {
  const Value& value = g.values[v];
  if (value.producer != kNone) return g.nodes[value.producer].op->name;
  return value.kind == ValueKind::kState ? "a state" : "an input or a constant";
}

// Who reads each value first, in words.
std::vector<std::string> first_readers(const Graph& g) {
  std::vector<std::string> names(g.values.size());
  for (const NodeId id : g.order) {
    const Node& n = g.nodes[id];
    for (const ValueId v : n.inputs) {
      if (v == kNone || !names[v].empty()) continue;
      const std::string where = origin_text(g, n);
      names[v] = where.empty() ? n.op->name : cat(n.op->name, " in ", where);
    }
  }
  for (const StateSlot& s : g.states) {
    if (names[s.out].empty()) names[s.out] = cat("state ", s.name);
  }
  for (const ValueId v : g.outputs) {
    if (names[v].empty()) names[v] = "an output";
  }
  return names;
}

std::vector<Reorder> find_reorders(const Program& p, const std::vector<KernelTime>& kernels) {
  const Graph& g = *p.graph;
  const std::vector<std::string> readers = first_readers(g);
  std::vector<Reorder> found;
  for (size_t i = 0; i < p.steps.size(); ++i) {
    const Step& s = p.steps[i];
    Reorder r;
    r.bytes = kernels[i].cost.bytes;
    r.ms = kernels[i].ms;
    if (s.copied > 0) {
      r.value = cat(s.copied / 2, " bytes");
      r.source = "a copy by lowering";
      r.from = "as it lies";
      r.to = "a copy";
      r.reader = s.node == kNone ? "an output or a state"
                                 : cat(g.nodes[s.node].op->name, " in ", kernels[i].where);
    } else if (s.node != kNone &&
               (g.nodes[s.node].op == &ops::kReorder || g.nodes[s.node].op == &ops::kContiguous)) {
      const Node& n = g.nodes[s.node];
      r.value = value_text(g, n.inputs[0]);
      r.source = source_text(g, n.inputs[0]);
      r.from = to_string(placement_of(g.meta(n.inputs[0])));
      r.to = to_string(placement_of(g.meta(n.outputs[0])));
      if (r.from == r.to) r.from = "strided";
      r.reader = readers[n.outputs[0]];
    } else {
      continue;
    }
    found.push_back(std::move(r));
  }
  return found;
}

std::vector<BufferUse> describe_arena(const Program& p) {
  const Graph& g = *p.graph;
  std::vector<BufferUse> uses;
  for (const ArenaBuffer& a : p.arena) {
    BufferUse u;
    u.place = a;
    u.value = a.value != kNone;
    const Node* n = a.node == kNone ? nullptr : &g.nodes[a.node];
    const std::string op = n ? n->op->name : "outputs and states";
    u.what = u.value ? cat(op, " ", meta_text(g.meta(a.value)))
                     : cat("workspace or copy for ", op, ", ", a.bytes, " bytes");
    if (n) {
      u.where = origin_text(g, *n);
      u.phase = n->phase;
    }
    uses.push_back(std::move(u));
  }
  return uses;
}

std::vector<GeneratedSource> find_sources(const Program& p) {
  std::vector<GeneratedSource> found;
  for (const Step& s : p.steps) {
    const auto* plan = dynamic_cast<const SourcePlan*>(s.plan);
    if (!plan) continue;
    const std::string name = plan->name();
    auto at =
        std::find_if(found.begin(), found.end(), [&](const auto& g) { return g.name == name; });
    if (at == found.end()) {
      at = found.insert(found.end(), {name, plan->source(), plan->resources(), 0});
    }
    ++at->steps;
  }
  return found;
}

std::string launches_of(const Session& session) {
  const Program& p = session.program();
  if (!p.stream) return "";
  const Session::Capture c = session.capture();
  if (!c.refused.empty()) return cat(p.steps.size(), ": ", c.refused);
  return cat("1: a graph of ", p.steps.size(), " kernels");
}

}  // namespace

double Explanation::kernel_ms() const {
  double sum = 0;
  for (const KernelTime& k : kernels) sum += k.ms;
  return sum;
}

double Explanation::best_kernel_ms() const {
  double sum = 0;
  for (const KernelTime& k : kernels) sum += k.best_ms;
  return sum;
}

double Explanation::limit_ms() const {
  double sum = 0;
  for (const KernelTime& k : kernels) sum += k.limit_ms;
  return sum;
}

Cost Explanation::cost() const {
  Cost sum;
  for (const KernelTime& k : kernels) {
    sum.flops += k.cost.flops;
    sum.bytes += k.cost.bytes;
  }
  return sum;
}

void Explanation::write(const std::string& folder) const {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    throw_error(ErrorCode::kIo,
                cat("the folder '", folder, "' cannot be made: ", failed.message()));
  }
  const auto save = [&](const char* name, const std::string& text) {
    io::atomic_write(cat(folder, "/", name), [&](io::FileWriter& out) { out.write(text); });
  };
  save("explain.txt", text());
  save("explain.json", to_json());
  save("memory.svg", memory_svg());
  save("graph.txt", print(*graph));
  save("graph.dot", to_dot(*graph, name));
  if (sources.empty()) return;
  std::string all;
  for (const GeneratedSource& g : sources) {
    all += cat("// ", g.name, ", ", g.steps, " of the steps\n/*\n", g.resources, "\n*/\n", g.source,
               "\n");
  }
  save("kernels.cu", all);
}

Explanation explain(Compiled& f, const std::vector<Tensor>& inputs, const ExplainOptions& options,
                    const Variant& variant) {
  const CallModes& modes = call_modes();
  if (modes.trace || modes.tape || modes.states) {
    throw_error(ErrorCode::kRuntime,
                "explain() measures a compiled function; call it outside of traces and gradients");
  }
  std::vector<TensorMeta> metas;
  for (const Tensor& t : inputs) metas.push_back(t.meta());
  f.prepare(metas, variant);
  Session& session = f.session();
  const Program& p = session.program();
  Explanation e;
  e.name = f.name();
  e.report = f.report();
  e.graph = p.graph;
  for (const StateSlot& s : p.graph->states) e.state_bytes += p.graph->meta(s.in).nbytes();
  if (p.frozen) {
    e.frozen_kernels = static_cast<int>(p.frozen->program().steps.size());
    e.frozen_bytes = p.frozen->nbytes();
  }
  if (p.stream) {
    e.peaks = stated_peaks(device_runtime(p.device).info());
  } else {
    ThreadCountScope threads(p.threads);
    e.peaks = machine_peaks();
  }
  Times times;
  {
    StateGuard guard(p);
    times = measure(session, inputs, options);
  }
  e.runs = static_cast<int>(times.whole.size());
  e.step_ms = median(times.whole);
  e.best_ms = best(times.whole);
  for (size_t i = 0; i < p.steps.size(); ++i) {
    e.kernels.push_back(describe(*p.graph, p.steps[i], e.peaks));
    e.kernels.back().ms = median(times.steps[i]);
    e.kernels.back().best_ms = best(times.steps[i]);
  }
  e.reorders = find_reorders(p, e.kernels);
  e.buffers = describe_arena(p);
  e.sources = find_sources(p);
  e.launches = launches_of(session);
  if (times.device) {
    e.device_run = to_string(*times.device);
    e.busy_ms = times.device->busy_ms;
    e.gap_ms = times.device->gap_ms();
    e.longest_gap_ms = times.device->longest_gap_ms;
  }
  return e;
}

}  // namespace rutile::graph
