// SPDX-License-Identifier: Apache-2.0
// compile(): a function of tensors, traced once per set of input metas, optimised and replayed.
//
//   auto f = graph::compile([](const std::vector<Tensor>& x) {
//     return std::vector<Tensor>{ops::relu(x[0] + x[1])};
//   });
//   Tensor y = f({a, b})[0];
//
// A trace is used again while the metas of the inputs and of all States it touches, mixed
// precision, the number of threads and the version (set_version) are those it was made for;
// otherwise the function is traced anew. Concrete tensors that fn captures are constants of the
// trace: what is to change between calls is an input or a State.
//
// A Compiled may be called from several threads. Calls that write no State run at the same time,
// each in a session with memory of its own; the program, and the weights folded and packed for it,
// are there once. Calls that write States wait for each other. Kernels use num_threads() of the
// calling thread (ThreadCountScope): two threads with one each are two calls in parallel.
//
// A trace that writes no State and has no gradients gets the inference pipeline: batch norms are
// folded into weights, weights are cast and packed beforehand. That is done again in the first call
// after one of those States was written, by whomever: a training step, load_states, set_value. No
// switch is needed; `passes_off = "freeze"` keeps it in every call.
//
// Inside another trace, a gradient scope or a recompute body, fn runs as it is written, so that the
// outer trace and the gradient see its ops; an endless recursion is an error.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rutile/graph/exec/session.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/remat.h"
#include "rutile/graph/trace/tracer.h"

namespace rutile::graph {

struct CompileOptions {
  std::string passes_off = {};    // comma-separated names, or "all" for every optional pass
  std::string name = "function";  // for messages
  std::string dump = {};          // folder for the IR after each pass; empty: that of RUTILE_DUMP
  // Memory for time: "off" keeps what backward reads; "cheap" computes again what costs little to
  // rebuild (norms, activations, dropout masks, casts); a size ("900MB", "1.5GB") rebuilds,
  // cheapest first, until the arena fits it. Results are the same bits.
  std::string remat = "off";
  int max_plans = 16;  // sets of input metas remembered; the least recently used goes
};

struct CompileReport {
  int kernels = 0;  // steps per call
  MemoryPlan memory;
  RematReport remat;
  int64_t output_bytes = 0;
  int64_t frozen_bytes = 0;  // weights folded and packed beforehand
  double trace_ms = 0, pass_ms = 0, lower_ms = 0;
  std::vector<PassReport> passes;
};

// Compilations that differ in what is no tensor (a Python function's other arguments): a number
// that tells them apart, and words for the log.
struct Variant {
  uint64_t id = 0;
  std::string text;
};

class RUTILE_API Compiled {
 public:
  Compiled(Function fn, CompileOptions options);
  ~Compiled();
  Compiled(Compiled&&) noexcept;

  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs, const Variant& variant = {});
  // Traces and compiles for these metas without running.
  void prepare(const std::vector<TensorMeta>& inputs, const Variant& variant = {});
  // A session of its own for one set of metas, which shares all that does not change: for a thread
  // that calls often. It follows the values of States, not changes of what is traced (set_version,
  // mixed precision): ask for another one then. Do not run sessions that write States at the same
  // time.
  std::unique_ptr<Session> new_session(const std::vector<TensorMeta>& inputs,
                                       const Variant& variant = {});
  // What a call with these metas traces, before any pass; nothing is compiled.
  std::unique_ptr<Graph> traced(const std::vector<TensorMeta>& inputs);
  // A number that changes whenever the traced code may have changed (the tree version of a Cell).
  void set_version(std::function<uint64_t()> version);
  // Of the latest compilation.
  const CompileReport& report() const;
  // The latest compilation's first session: graph, program, observed runs.
  Session& session();
  // Memory of all its plans: they share it where they do not run at the same time. The first run
  // takes it.
  int64_t arena_bytes() const;
  int compilations() const;
  const std::string& name() const;
  const CompileOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline Compiled compile(Function fn, CompileOptions options = {}) {
  return Compiled(std::move(fn), std::move(options));
}

}  // namespace rutile::graph
