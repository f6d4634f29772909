// SPDX-License-Identifier: Apache-2.0
#include "rutile/profile/profiler.h"

#include <thread>

#include "rutile/core/error.h"
#include "rutile/graph/exec/observers.h"
#include "rutile/graph/ir/text.h"
#include "rutile/graph/trace/tracer.h"
#include "rutile/io/file.h"
#include "rutile/ops/call.h"

namespace rutile::profile {

namespace {

using Clock = std::chrono::steady_clock;

std::string short_meta(const TensorMeta& m) { return cat(dtype_name(m.dtype), m.shape); }

constexpr size_t kEnough = 300;  // characters of operands

std::string operands_of(std::span<const Tensor> in, std::span<const Tensor> out) {
  std::string text;
  for (const Tensor& t : in) {
    if (t.defined() && text.size() < kEnough) {
      text += cat(text.empty() ? "" : " ", short_meta(t.meta()));
    }
  }
  text += " ->";
  for (const Tensor& t : out) {
    if (t.defined() && text.size() < 2 * kEnough) text += cat(" ", short_meta(t.meta()));
  }
  return text;
}

std::string operands_of(const graph::Graph& g, const graph::Node& n) {
  std::string text;
  for (const graph::ValueId v : n.inputs) {
    if (v != graph::kNone && text.size() < kEnough) {
      text += cat(text.empty() ? "" : " ", short_meta(g.meta(v)));
    }
  }
  text += " ->";
  for (const graph::ValueId v : n.outputs) {
    if (text.size() < 2 * kEnough) text += cat(" ", short_meta(g.meta(v)));
  }
  return text;
}

}  // namespace

class Profiler::Recorder final : public graph::Observer {
 public:
  explicit Recorder(ProfilerOptions o) : options_(o), start_(Clock::now()) {
    if (current()) {
      throw_error(ErrorCode::kRuntime, "a Profiler runs in this thread already");
    }
  }

  static Recorder* current() {
    return static_cast<Recorder*>(graph::find_observer(
        [](const graph::Observer& o) { return dynamic_cast<const Recorder*>(&o) != nullptr; }));
  }

  void stop() {
    if (stopped_) return;
    if (std::this_thread::get_id() != thread_) {
      throw_error(ErrorCode::kRuntime, "a Profiler is stopped in the thread that started it");
    }
    stopped_ = true;
    seconds_ = std::chrono::duration<double>(Clock::now() - start_).count();
    while (!open_.empty()) close();
    graph::end_observer(*this);
  }

  // An event begins inside those that are open; its id, for close_from.
  uint64_t open(EventKind kind, std::string name) {
    open_.push_back({next_id_++, static_cast<int64_t>(events_.size()), now(), 0});
    if (static_cast<int64_t>(events_.size()) >= options_.max_events) {
      open_.back().event = -1;
      ++dropped_;
      return open_.back().id;
    }
    Event& e = events_.emplace_back();
    e.kind = kind;
    e.name = std::move(name);
    e.depth = static_cast<int>(open_.size()) - 1;
    e.start_us = open_.back().start;
    return open_.back().id;
  }
  // The innermost open event ends; null where it was dropped.
  Event* close() {
    const Open o = open_.back();
    open_.pop_back();
    const double us = now() - o.start;
    if (!open_.empty()) open_.back().inside += us;
    if (o.event < 0) return nullptr;
    Event& e = events_[static_cast<size_t>(o.event)];
    e.us = us;
    e.self_us = us - o.inside;
    return &e;
  }
  // Ends the event of this id and what an error left open inside it.
  void close_from(uint64_t id) {
    while (!stopped_ && !open_.empty() && open_.back().id >= id) close();
  }

  void before(const OpDef& op, std::span<const Tensor>) override { open(EventKind::kOp, op.name); }
  void after(const OpDef&, const void*, std::span<const Tensor> in, std::span<const Tensor> out,
             std::source_location where) override {
    if (open_.empty()) return;  // the Profiler began inside this op
    if (Event* e = close()) {
      e->cell = cell_path(call_modes().cell);
      std::string file;
      int line = 0;
      call_location(where, &file, &line);
      e->place = cat(file, ":", line);
      const bool backward = call_modes().forward != nullptr;
      e->phase = graph::phase_name(backward ? graph::Phase::kBackward : graph::current_phase());
      if (options_.shapes) e->operands = operands_of(in, out);
    }
  }

  void started(const graph::Session&) override {
    run_ = open(EventKind::kRun, "compiled step");
    last_ = now();
  }
  // A branch or a loop is around what its bodies run; any other step began where the one before it
  // ended.
  void entered(const graph::RunningStep& step) override {
    open_step(step);
    last_ = now();
  }
  void after(const graph::RunningStep& step) override {
    if (open_.empty()) return;  // the Profiler began inside this step
    if (!step.runs_bodies()) open_step(step);
    close();
    last_ = now();
  }
  void finished(const graph::Session&) override { close_from(run_); }

  std::vector<Event> events_;
  int64_t dropped_ = 0;
  double seconds() const {
    return stopped_ ? seconds_ : std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  struct Open {
    uint64_t id = 0;
    int64_t event = -1;  // in events_; -1: dropped
    double start = 0, inside = 0;
  };
  double now() const {
    return std::chrono::duration<double, std::micro>(Clock::now() - start_).count();
  }
  void open_step(const graph::RunningStep& step) {
    open_.push_back({next_id_++, static_cast<int64_t>(events_.size()), last_, 0});
    if (static_cast<int64_t>(events_.size()) >= options_.max_events) {
      open_.back().event = -1;
      ++dropped_;
      return;
    }
    Event& e = events_.emplace_back();
    e.kind = EventKind::kKernel;
    e.depth = static_cast<int>(open_.size()) - 1;
    e.start_us = last_;
    describe(step, &e);
  }
  void describe(const graph::RunningStep& step, Event* e) const {
    e->kernel = step.step.plan->kernel;
    e->name = "store";
    e->phase = graph::phase_name(graph::Phase::kOptimizer);
    if (!step.node()) return;
    const graph::Graph& g = step.graph;
    const graph::Node& n = *step.node();
    e->name = step.step.copied > 0 ? cat("copy for ", n.op->name) : std::string(n.op->name);
    e->phase = graph::phase_name(n.phase);
    for (const int32_t k : n.origins) {
      const graph::Origin& o = g.origins[k];
      if (e->place.empty()) e->place = cat(o.file, ":", o.line);
      if (e->cell.empty()) e->cell = o.cell;
    }
    if (options_.shapes) e->operands = operands_of(g, n);
  }

  ProfilerOptions options_;
  Clock::time_point start_;
  double seconds_ = 0, last_ = 0;
  bool stopped_ = false;
  uint64_t next_id_ = 1, run_ = 0;
  std::vector<Open> open_;
  const std::thread::id thread_ = std::this_thread::get_id();
};

Profiler::Profiler(ProfilerOptions options) : recorder_(std::make_shared<Recorder>(options)) {
  graph::start_observer(recorder_);
}
Profiler::~Profiler() { graph::end_observer(*recorder_); }
void Profiler::stop() { recorder_->stop(); }
const std::vector<Event>& Profiler::events() const { return recorder_->events_; }
int64_t Profiler::dropped() const { return recorder_->dropped_; }
double Profiler::seconds() const { return recorder_->seconds(); }

void Profiler::write(const std::string& path) const {
  const std::string text = to_json();
  io::atomic_write(path, [&](io::FileWriter& out) { out.write(text); });
}

Span::Span(std::string_view name) {
  if (Profiler::Recorder* r = Profiler::Recorder::current()) {
    recorder_ = r;
    id_ = r->open(EventKind::kSpan, std::string(name));
  }
}

// A Profiler that ended meanwhile has closed it.
Span::~Span() {
  Profiler::Recorder* r = Profiler::Recorder::current();
  if (recorder_ && r == recorder_) r->close_from(id_);
}

}  // namespace rutile::profile
