// SPDX-License-Identifier: Apache-2.0
#include "rutile/profile/profiler.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <map>
#include <thread>
#include <tuple>

#include "rutile/core/device_activity.h"
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
    try {
      for (const DeviceType type : {DeviceType::kCuda, DeviceType::kFake}) start_device(type);
    } catch (...) {  // of work that failed earlier
      (void)stop_devices(false);
      throw;
    }
  }
  ~Recorder() override { (void)stop_devices(false); }

  static Recorder* current() {
    return static_cast<Recorder*>(graph::find_observer(
        [](const graph::Observer& o) { return dynamic_cast<const Recorder*>(&o) != nullptr; }));
  }

  void stop() {
    if (stopped_) return;
    if (std::this_thread::get_id() != thread_) {
      throw_error(ErrorCode::kRuntime, "a Profiler is stopped in the thread that started it");
    }
    while (!open_.empty()) close();
    graph::end_observer(*this);
    const Status s = stop_devices(true);  // which waits for them
    seconds_ = seconds();
    stopped_ = true;
    throw_if_error(s);
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
    for (size_t i = 0; i < o.pushed; ++i) recorded_[i].second->pop();
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

  void before(const OpDef& op, std::span<const Tensor>) override {
    open(EventKind::kOp, op.name);
    push();
  }
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

  bool wants_steps(const graph::Session& session) override {
    const DeviceType type = session.program().device.type;
    start_device(type);
    return std::none_of(recorded_.begin(), recorded_.end(),
                        [&](const auto& r) { return r.first == type; });
  }
  void started(const graph::Session&) override {
    run_ = open(EventKind::kRun, "compiled step");
    last_ = now();
    push();
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

  uint64_t names_steps() override { return recorded_.empty() ? 0 : number_; }
  // What is queued now is the step's, also whenever a graph that is captured now is launched.
  void queues(const graph::RunningStep& step) override {
    const StepKey key{&step.step, &step.graph, step.step.plan};
    const auto [at, fresh] = named_.emplace(key, named_events_.size());
    if (fresh) describe(step, &named_events_.emplace_back());
    for (const auto& [type, fns] : recorded_) fns->push(kNamed | number_ << 32 | at->second);
  }
  void queued() override {
    for (const auto& [type, fns] : recorded_) fns->pop();
  }

  std::vector<Event> events_;
  int64_t dropped_ = 0;
  std::string devices_;
  double seconds() const {
    return stopped_ ? seconds_ : std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  struct Open {
    uint64_t id = 0;
    int64_t event = -1;  // in events_; -1: dropped
    double start = 0, inside = 0;
    size_t pushed = 0;  // to so many of recorded_
  };
  using StepKey = std::tuple<const void*, const void*, const void*>;  // step, graph, plan
  // Numbers that devices are given: events, counted from 1, or steps by queues().
  static constexpr uint64_t kNamed = uint64_t{1} << 63;
  // What a device's work belongs to; null: nothing that is known.
  const Event* event_of(uint64_t op, int64_t host) const {
    if (op & kNamed) {
      const uint64_t i = op & 0xffffffffu;
      const bool ours = (op & ~kNamed) >> 32 == number_ && i < named_events_.size();
      return ours ? &named_events_[i] : nullptr;
    }
    return op == 0 || static_cast<int64_t>(op) > host ? nullptr : &events_[op - 1];
  }
  static uint64_t next_number() {
    static std::atomic<uint64_t> last{0};
    return ++last & 0x7fffffffu;
  }
  void start_device(DeviceType type);
  Status stop_devices(bool keep);
  void add_activity(DeviceType type, const std::vector<DeviceActivity>& all);
  // What is queued from now on belongs to the innermost event, until it is closed.
  void push() {
    const uint64_t event = static_cast<uint64_t>(open_.back().event + 1);
    for (const auto& [type, fns] : recorded_) fns->push(event);
    open_.back().pushed = recorded_.size();
  }
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
  std::vector<std::pair<DeviceType, const ActivityFns*>> recorded_;
  const uint64_t number_ = next_number();
  std::map<StepKey, uint64_t> named_;
  std::vector<Event> named_events_;
  std::array<bool, kNumDeviceTypes> tried_{};
  const std::thread::id thread_ = std::this_thread::get_id();
};

// Once for each type, as soon as it was opened.
void Profiler::Recorder::start_device(DeviceType type) {
  const ActivityFns* fns = options_.device ? device_activity(type) : nullptr;
  bool& tried = tried_[static_cast<size_t>(type)];
  if (!fns || tried) return;
  const Status s = start_recording(*fns);
  tried = true;
  if (s.ok()) {
    recorded_.emplace_back(type, fns);
  } else {
    devices_ +=
        cat("the host waits for each kernel of ", device_type_name(type), ": ", s.message(), "\n");
  }
}

Status Profiler::Recorder::stop_devices(bool keep) {
  Status first;
  for (const auto& [type, fns] : recorded_) {
    std::vector<DeviceActivity> all;
    int64_t lost = 0;
    Status s = stop_recording(*fns, &all, &lost);
    if (first.ok()) first = std::move(s);
    if (keep) add_activity(type, all);
    dropped_ += lost;
  }
  recorded_.clear();
  return first;
}

void Profiler::Recorder::add_activity(DeviceType type, const std::vector<DeviceActivity>& all) {
  const auto origin =
      std::chrono::duration_cast<std::chrono::nanoseconds>(start_.time_since_epoch()).count();
  const auto host = static_cast<int64_t>(events_.size());
  const auto runs = std::count_if(events_.begin(), events_.end(),
                                  [](const Event& e) { return e.kind == EventKind::kRun; });
  int most = -1;
  for (const DeviceActivity& a : all) {
    most = std::max(most, a.device);
    if (static_cast<int64_t>(events_.size()) >= options_.max_events) {
      ++dropped_;
      continue;
    }
    Event& e = events_.emplace_back();
    e.kind = EventKind::kDevice;
    e.name = a.name;
    e.start_us = 1e-3 * static_cast<double>(a.start_ns - origin);
    e.us = e.self_us = 1e-3 * static_cast<double>(a.end_ns - a.start_ns);
    e.device = cat(Device{type, static_cast<uint8_t>(a.device)});
    e.stream = a.stream;
    e.bytes = a.bytes;
    if (options_.shapes) e.operands = a.detail;
    const Event* const op = event_of(a.op, host);
    if (!op) continue;
    e.kernel = op->name;
    e.cell = op->cell;
    e.place = op->place;
    e.phase = op->phase;
  }
  for (int i = 0; i <= most; ++i) {
    const ActivitySummary s = summarize(all, i);
    if (s.kernels + s.copies + s.fills == 0) continue;
    devices_ += cat(Device{type, static_cast<uint8_t>(i)}, ": ", to_string(s), "\n");
    if (runs > 0) {
      const auto each = [&](int64_t n) {
        return std::round(10 * static_cast<double>(n) / static_cast<double>(runs)) / 10;
      };
      devices_ +=
          cat("  of ", runs, runs == 1 ? " compiled step: " : " compiled steps: ", each(s.launches),
              " launches, ", each(s.kernels), " kernels, ", each(s.copies), " copies each\n");
    }
  }
  std::stable_sort(events_.begin(), events_.end(),
                   [](const Event& a, const Event& b) { return a.start_us < b.start_us; });
}

Profiler::Profiler(ProfilerOptions options) : recorder_(std::make_shared<Recorder>(options)) {
  graph::start_observer(recorder_);
}
Profiler::~Profiler() { graph::end_observer(*recorder_); }
void Profiler::stop() { recorder_->stop(); }
const std::vector<Event>& Profiler::events() const { return recorder_->events_; }
int64_t Profiler::dropped() const { return recorder_->dropped_; }
std::string Profiler::devices() const { return recorder_->devices_; }
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
