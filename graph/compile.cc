// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/compile.h"

#include <chrono>
#include <cmath>
#include <list>
#include <mutex>

#include "rutile/core/device_settings.h"
#include "rutile/core/log.h"
#include "rutile/core/thread.h"
#include "rutile/graph/dump.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/communicator.h"
#include "rutile/ops/transfer.h"

namespace rutile::graph {

namespace {

// Microseconds are enough for a log.
double shown(double ms) { return std::round(ms * 1000) / 1000; }

double ms_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - t).count();
}

struct Key {
  std::vector<TensorMeta> inputs;
  bool amp = false;
  DType low = DType::kBF16;
  AmpPolicyPtr policy;
  bool reference = false;
  Device device;  // in force
  DeviceSettings settings;
  int threads = 1;
  uint64_t groups = 0;  // communicator_edition()
  uint64_t version = 0;
  Variant variant;
};

bool same_policy(const AmpPolicyPtr& a, const AmpPolicyPtr& b) {
  static const AmpPolicy usual;
  return a == b || (a ? *a : usual) == (b ? *b : usual);
}

// Empty if equal, otherwise what differs, in words.
std::string difference(const Key& a, const Key& b) {
  if (a.inputs.size() != b.inputs.size()) {
    return cat(a.inputs.size(), " inputs became ", b.inputs.size());
  }
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    if (!(a.inputs[i] == b.inputs[i])) {
      return cat("input ", i, " was ", a.inputs[i], " and is ", b.inputs[i]);
    }
  }
  if (a.amp != b.amp || (a.amp && (a.low != b.low || !same_policy(a.policy, b.policy)))) {
    return "mixed precision changed";
  }
  if (!(a.device == b.device)) return cat("was for ", a.device, " and is for ", b.device);
  if (a.threads != b.threads) return cat("threads were ", a.threads, " and are ", b.threads);
  if (!(a.settings == b.settings)) return "the settings of devices changed";
  if (a.groups != b.groups) return "groups of processes were made or ended";
  if (a.reference != b.reference) return "reference kernels were switched";
  if (a.version != b.version) return "the network or its parameters were changed";
  if (a.variant.id != b.variant.id) {
    return cat("other arguments: ", a.variant.text, " became ", b.variant.text);
  }
  return "";
}

std::string text_of(const Key& k) {
  std::string text;
  for (const TensorMeta& m : k.inputs) text += cat(text.empty() ? "" : ", ", m);
  return cat("(", text, ")");
}

// A compiled trace and the sessions that run it.
struct Entry {
  Key key;
  std::shared_ptr<const Program> program;
  std::shared_ptr<ArenaPool> arenas;
  std::unique_ptr<Session> session;            // the first one
  std::vector<std::unique_ptr<Session>> idle;  // further ones, for calls at the same time
  bool busy = false;                           // the first one runs
  CompileReport report;
  bool writes = false;  // States
  std::mutex mutex;     // of idle and busy

  // A session that nobody uses. Only one writes States at a time.
  Session* take() {
    std::lock_guard lock(mutex);
    if (!busy || writes) {
      busy = true;
      return session.get();
    }
    if (idle.empty()) return new Session(program, arenas);
    Session* s = idle.back().release();
    idle.pop_back();
    return s;
  }
  void give(Session* s) {
    std::lock_guard lock(mutex);
    if (s == session.get()) {
      busy = false;
    } else {
      idle.emplace_back(s);
    }
  }
};
using EntryPtr = std::shared_ptr<Entry>;

// For the length of a call.
class TakenSession {
 public:
  explicit TakenSession(Entry& e) : entry_(e), session_(e.take()) {}
  ~TakenSession() { entry_.give(session_); }
  TakenSession(const TakenSession&) = delete;
  TakenSession& operator=(const TakenSession&) = delete;
  Session* operator->() const { return session_; }

 private:
  Entry& entry_;
  Session* session_;
};

}  // namespace

struct Compiled::State {
  Function fn;
  CompileOptions options;
  Remat remat;  // as options say
  std::function<uint64_t()> version;
  const std::shared_ptr<ArenaPool> arenas = std::make_shared<ArenaPool>();  // of all plans
  std::list<EntryPtr> entries;                                              // latest used first
  int compilations = 0;
  std::recursive_mutex mutex;  // of the two; fn may come back to prepare() while it is traced
  std::mutex writing;          // held by calls that write States

  // Without the variant's text, which a key is kept with, not compared by.
  Key key_for(std::vector<TensorMeta> metas, const Variant& variant) const {
    const CallModes& m = call_modes();
    Key k;
    k.inputs = std::move(metas);
    k.amp = m.amp.on;
    k.low = m.amp.low;
    k.policy = amp_policy();
    k.reference = m.reference_kernels;
    k.device = m.device;
    k.settings = device_settings();
    k.threads = num_threads();
    k.groups = communicator_edition();
    k.version = version ? version() : 0;
    k.variant.id = variant.id;
    return k;
  }

  EntryPtr find_or_compile(std::vector<TensorMeta> metas, const Variant& variant) {
    Key key = key_for(std::move(metas), variant);
    for (auto it = entries.begin(); it != entries.end(); ++it) {
      const Entry& e = **it;
      if (e.key.variant.id != variant.id || !difference(e.key, key).empty()) continue;
      e.session->bring_states();
      if (!e.session->changed_state().empty()) continue;
      entries.splice(entries.begin(), entries, it);
      return entries.front();
    }
    key.variant = variant;
    report_recompilation(key);
    EntryPtr e;
    try {
      e = compile(std::move(key));
    } catch (...) {
      --compilations;
      throw;
    }
    while (!entries.empty() && static_cast<int>(entries.size()) >= options.max_plans) {
      if (log_enabled(LogTopic::kRecompiles)) {
        log_line(LogTopic::kRecompiles,
                 cat(options.name, ": more than ", options.max_plans,
                     " plans, the one used longest ago goes: ", text_of(entries.back()->key)));
      }
      entries.pop_back();
    }
    entries.push_front(e);
    return e;
  }

  void report_recompilation(const Key& key) {
    const bool ninth = ++compilations == 9;
    if (entries.empty() || !(ninth || log_enabled(LogTopic::kRecompiles))) return;
    std::string reason = difference(entries.front()->key, key);
    if (reason.empty()) reason = entries.front()->session->changed_state();
    if (log_enabled(LogTopic::kRecompiles)) {
      log_line(LogTopic::kRecompiles, cat(options.name, ": compiled again: ", reason));
    }
    if (ninth) {
      log_warning(cat(options.name, " was compiled 9 times; the latest reason: ", reason,
                      ". RUTILE_LOG=recompiles shows each"));
    }
  }

  // Passes and lowering, on a copy of the traced graph.
  Status optimize_and_lower(const Graph& traced, std::string_view passes_off, CompileReport* report,
                            Program* program) {
    auto t = std::chrono::steady_clock::now();
    auto g = std::make_shared<Graph>(traced);
    report->passes.clear();
    report->remat = RematReport();
    Dump dump(options.dump, options.name);
    PipelineHooks hooks{.name = options.name, .after = {}};
    if (dump.on()) {
      dump.write("traced", *g);
      hooks.after = [&dump](const PassReport& r, const Graph& now) { dump.write(r.name, now); };
    }
    RUTILE_RETURN_IF_ERROR(run_pipeline(*g, passes_off, &report->passes, hooks));
    report->pass_ms = ms_since(t);
    t = std::chrono::steady_clock::now();
    RUTILE_RETURN_IF_ERROR(lower_within(std::move(g), report, program));
    report->lower_ms = ms_since(t);
    if (dump.on() && report->remat.rebuilt > 0) dump.write("remat", *program->graph);
    return Status();
  }

  // Lowers after rematerialisation. It counts bytes before offsets and workspaces are known: where
  // the arena is larger than asked for, the next attempt aims lower.
  Status lower_within(std::shared_ptr<Graph> g, CompileReport* report, Program* program) {
    Remat how = remat;
    for (int attempts_left = how.kind == Remat::Kind::kOff ? 0 : 3; attempts_left > 0;) {
      // On a copy: the next attempt starts anew.
      auto attempt = std::make_shared<Graph>(*g);
      Status s = rematerialize(*attempt, how, &report->remat);
      if (s.ok()) s = verify(*attempt);
      if (s.ok()) s = lower(std::move(attempt), program);
      if (!s.ok()) {
        log_warning(cat(options.name, " runs without remat (please report it): ", s.message()));
        report->remat = RematReport();
        report->remat.dropped = s.message();
        break;
      }
      const int64_t excess = program->memory.peak - remat.bytes;
      if (how.kind != Remat::Kind::kBudget || excess <= 0) return Status();
      if (--attempts_left > 0 && how.bytes > excess) {
        how.bytes -= excess;
        continue;
      }
      if (program->memory.peak < 1 << 20) return Status();  // too little to care
      log_warning(cat(options.name, ": remat ", options.remat, " was asked for, ",
                      program->memory.peak >> 20, " MiB is what it takes"));
      return Status();
    }
    return lower(std::move(g), program);
  }

  EntryPtr compile(Key key) {
    auto entry = std::make_shared<Entry>();
    Entry& e = *entry;
    const auto t = std::chrono::steady_clock::now();
    const std::unique_ptr<Graph> traced = trace(fn, key.inputs);
    e.report.trace_ms = ms_since(t);
    auto program = std::make_shared<Program>();
    Status s = optimize_and_lower(*traced, options.passes_off, &e.report, program.get());
    if (!s.ok() && options.passes_off != "all") {
      log_warning(
          cat(options.name, " runs without optional passes (please report it): ", s.message()));
      s = optimize_and_lower(*traced, "all", &e.report, program.get());
    }
    throw_if_error(s);
    e.report.kernels = static_cast<int>(program->steps.size());
    e.report.memory = program->memory;
    for (const TensorMeta& m : program->outputs) e.report.output_bytes += m.nbytes();
    if (program->frozen) e.report.frozen_bytes = program->frozen->nbytes();
    log_compilation(key, e.report, *program);
    e.writes = writes_states(*program->graph);
    e.program = program;
    e.arenas = arenas;
    e.session = std::make_unique<Session>(std::move(program), arenas);
    e.key = std::move(key);
    return entry;
  }

  void log_compilation(const Key& key, const CompileReport& r, const Program& program) const {
    if (log_enabled(LogTopic::kRecompiles)) {
      log_line(LogTopic::kRecompiles,
               cat(options.name, ": compiled for ", text_of(key), " into ", r.kernels,
                   " kernels; trace ", shown(r.trace_ms), " ms, passes ", shown(r.pass_ms),
                   " ms, lowering ", shown(r.lower_ms), " ms"));
    }
    if (log_enabled(LogTopic::kMemory)) {
      log_line(LogTopic::kMemory, cat(options.name, ": ", memory_report(program)));
    }
  }

  std::vector<Tensor> run_as_written(const std::vector<Tensor>& inputs) {
    constexpr int kMaxDepth = 200;
    static thread_local int depth = 0;
    if (depth >= kMaxDepth) {
      throw_error(ErrorCode::kRuntime, cat(options.name, " calls itself without end"));
    }
    ScopedValue<int> deeper(depth, depth + 1);
    return fn(inputs);
  }
};

Compiled::Compiled(Function fn, CompileOptions options) : state_(std::make_unique<State>()) {
  throw_if_error(check_pass_names(options.passes_off));
  throw_if_error(parse_remat(options.remat, &state_->remat));
  state_->fn = std::move(fn);
  state_->options = std::move(options);
}
Compiled::~Compiled() = default;
Compiled::Compiled(Compiled&&) noexcept = default;

std::vector<Tensor> Compiled::operator()(const std::vector<Tensor>& inputs,
                                         const Variant& variant) {
  const CallModes& modes = call_modes();
  if (modes.trace || modes.tape || modes.states) return state_->run_as_written(inputs);
  if (!(modes.device == kCpu)) {
    std::vector<Tensor> there;
    bool moved = false;
    for (const Tensor& t : inputs) {
      there.push_back(ops::upload(t, modes.device));
      moved = moved || there.back().impl() != t.impl();
    }
    if (moved) return (*this)(there, variant);
  }
  std::vector<TensorMeta> metas;
  for (const Tensor& t : inputs) metas.push_back(t.meta());
  EntryPtr entry;
  {
    std::lock_guard lock(state_->mutex);
    entry = state_->find_or_compile(std::move(metas), variant);
  }
  std::unique_lock<std::mutex> writing;
  if (entry->writes) writing = std::unique_lock(state_->writing);
  TakenSession session(*entry);
  return session->run(inputs);
}

std::unique_ptr<Session> Compiled::new_session(const std::vector<TensorMeta>& inputs,
                                               const Variant& variant) {
  std::lock_guard lock(state_->mutex);
  return std::make_unique<Session>(state_->find_or_compile(inputs, variant)->program,
                                   state_->arenas);
}

void Compiled::prepare(const std::vector<TensorMeta>& inputs, const Variant& variant) {
  std::lock_guard lock(state_->mutex);
  state_->find_or_compile(inputs, variant);
}

std::unique_ptr<Graph> Compiled::traced(const std::vector<TensorMeta>& inputs) {
  std::lock_guard lock(state_->mutex);
  return trace(state_->fn, inputs);
}

void Compiled::set_version(std::function<uint64_t()> version) {
  state_->version = std::move(version);
}

const CompileReport& Compiled::report() const {
  if (state_->entries.empty()) throw_error(ErrorCode::kRuntime, "nothing was compiled yet");
  return state_->entries.front()->report;
}

Session& Compiled::session() {
  if (state_->entries.empty()) throw_error(ErrorCode::kRuntime, "nothing was compiled yet");
  return *state_->entries.front()->session;
}

int64_t Compiled::arena_bytes() const { return state_->arenas->bytes(); }
int Compiled::compilations() const { return state_->compilations; }
const std::string& Compiled::name() const { return state_->options.name; }
const CompileOptions& Compiled::options() const { return state_->options; }

}  // namespace rutile::graph
