// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rutile/debug/verify.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/explain.h"
#include "rutile/python/src/around.h"
#include "rutile/python/src/jit_calls.h"
#include "rutile/python/src/tree.h"

namespace rutile::python {

// Whether a function that cannot be traced is an error even where it could run as it is written.
void set_strict_syntax(bool on);

// How often a function may be traced that changes what it reads: code that is compiled anew in each
// call costs more than it saves.
class TraceAllowance {
 public:
  // `once`: no later call can use what was compiled.
  void trace_changed(bool once) { changes_ += once ? kOnce : 1; }
  void ran_compiled() {
    if (changes_ == 0 || ++replays_ < kReplaysForgive) return;
    replays_ = 0;
    --changes_;
  }
  bool may_trace() {
    if (changes_ < kMaxChanges) return true;
    if (++calls_as_written_ < retry_after_) return false;
    calls_as_written_ = 0;
    retry_after_ *= 2;
    changes_ = kMaxChanges - 1;
    return true;
  }

 private:
  static constexpr int kMaxChanges = 8, kOnce = 3;
  static constexpr int kReplaysForgive = 16;   // runs of compiled code that make up for one change
  static constexpr int kFirstRetryAfter = 64;  // calls as written before it is traced again
  int changes_ = 0, replays_ = 0, calls_as_written_ = 0, retry_after_ = kFirstRetryAfter;
};

// A traced and compiled Python function. Where it reads a value while it is traced, its text is
// rewritten (rutile/_syntax) and traced again; what is refused then, too, runs as it is written,
// with one warning. `rewritten` and `as_written`: where those are not fn's own. jit_function.cc has
// the calls, jit_trace.cc the traces.
class JitFunction {
 public:
  JitFunction(pybind11::function fn, const std::string& passes_off, const std::string& remat,
              bool fullgraph, const pybind11::object& rewritten,
              const pybind11::object& as_written);

  pybind11::object operator()(const pybind11::args& args, const pybind11::kwargs& kwargs);
  // Compiles for such arguments alone.
  void prepare(const pybind11::args& args, const pybind11::kwargs& kwargs);
  // Runs the compiled graph a few times; states stay as they are.
  graph::Explanation explain(const pybind11::args& args, const pybind11::kwargs& kwargs);
  // Every node against eager execution; states stay as they are.
  debug::VerifyReport verify(const pybind11::args& args, const pybind11::kwargs& kwargs);
  std::string graph_text();
  pybind11::bytes graph_def();
  // "relu app.py:12 net.fc1" for every node of the latest graph.
  std::vector<std::string> origins();
  int kernels() const { return compiled_->report().kernels; }
  int compilations() const { return compiled_->compilations(); }
  int searches() const { return calls_.searches(); }
  pybind11::function function() const { return fn_; }

 private:
  // What a run gives back, and what it does besides; kept with its graph.
  struct Results {
    Tree tree;
    Tree values;                  // that the effects take
    pybind11::object effects;     // null: none
    std::vector<size_t> rebound;  // tensors among the arguments that x[i] = v gave other values
  };

  pybind11::object run(const pybind11::args& args, const pybind11::kwargs& kwargs,
                       bool only_prepare);
  void rebind(const pybind11::args& args, const pybind11::kwargs& kwargs,
              const std::vector<size_t>& which, const Tensor* values);
  std::shared_ptr<const Results> run_again(const std::vector<Tensor>& in,
                                           const graph::Variant& variant, std::vector<Tensor>* out);
  std::shared_ptr<const Results> prepare_and_run(const std::vector<Tensor>& in,
                                                 const graph::Variant& variant,
                                                 std::vector<Tensor>* out);
  graph::Session& compile_for(const std::vector<Tensor>& in, const graph::Variant& variant);
  bool try_rewritten(const std::vector<Tensor>& in, const graph::Variant& variant,
                     std::string* reason);
  void give_up(const graph::Variant& variant, const std::string& reason, bool for_values);

  std::vector<Tensor> run_python(const std::vector<Tensor>& in);
  void end_trace(TraceWatch* watch, const Tree& tree, const std::vector<Tensor>& in,
                 const Around* before, Results* results, std::vector<Tensor>* out);
  void take_effects(const TraceWatch::Done& done, const std::vector<Tensor>& in, Results* results,
                    std::vector<Tensor>* out);
  void take_rebound(const pybind11::tuple& both, const Tree& tree, const std::vector<Tensor>& in,
                    Results* results, std::vector<Tensor>* out);
  [[noreturn]] void refuse(const std::string& text);

  pybind11::function fn_;
  pybind11::object rewritten_, as_written_;
  std::string name_;
  bool fullgraph_ = false;
  bool warned_clock_ = false, gave_up_ = false;
  TraceAllowance allowance_;
  std::string own_change_;   // why the trace that was made just now cannot stand for later calls
  std::string last_change_;  // what a trace changed of what it reads
  JitCalls calls_;
  std::unique_ptr<graph::Compiled> compiled_;
  std::mutex mutex_;
  // Guarded by the interpreter's lock.
  struct {
    uint64_t variant = 0;
    std::vector<TensorMeta> metas;
  } latest_;  // run of a graph with States
  // Guarded by mutex_.
  uint64_t tracing_ = 0;
  std::shared_ptr<const Results> traced_;
};

}  // namespace rutile::python
