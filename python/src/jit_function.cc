// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/jit_function.h"

#include <optional>
#include <utility>

#include "rutile/core/log.h"
#include "rutile/python/src/convert.h"
#include "rutile/train/graph_def.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

bool strict_syntax = false;

// Its name, where it has one: a callable object need not.
std::string name_of(const py::function& fn) {
  if (!py::hasattr(fn, "__name__")) return {};
  return py::str(fn.attr("__name__"));
}

// Whether the error that is being handled is one.
bool is_interrupt() {
  try {
    throw;
  } catch (py::error_already_set& e) {
    return e.matches(PyExc_KeyboardInterrupt);
  } catch (const Error& e) {
    return e.code() == ErrorCode::kInterrupted;
  } catch (...) {
    return false;
  }
}

// The error that is being handled, with Python's traceback, saying this.
[[noreturn]] void throw_with(const std::string& text) {
  try {
    throw;
  } catch (py::error_already_set& e) {
    if (e.matches(py::module_::import("rutile._rutile").attr("Error"))) {
      e.value().attr("args") = py::make_tuple(text);
    }
    throw;
  } catch (const Error& e) {
    throw_error(e.code(), text);
  }
}

}  // namespace

void set_strict_syntax(bool on) { strict_syntax = on; }

JitFunction::JitFunction(py::function fn, const std::string& passes_off, const std::string& remat,
                         bool fullgraph, const py::object& rewritten, const py::object& as_written)
    : fn_(std::move(fn)),
      rewritten_(rewritten),
      as_written_(as_written.is_none() ? py::object(fn_) : as_written),
      name_(name_of(fn_)),
      fullgraph_(fullgraph),
      calls_(fn_, name_) {
  graph::CompileOptions options;
  options.passes_off = passes_off;
  options.remat = remat;
  options.name = name_;
  compiled_ = std::make_unique<graph::Compiled>(
      [this](const std::vector<Tensor>& in) { return run_python(in); }, options);
}

py::object JitFunction::operator()(const py::args& args, const py::kwargs& kwargs) {
  // Replayed kernels are unknown to a trace and to a tape: there fn runs as it is written.
  if (call_modes().trace || call_modes().tape) return fn_(*args, **kwargs);
  return run(args, kwargs, /*only_prepare=*/false);
}

void JitFunction::prepare(const py::args& args, const py::kwargs& kwargs) {
  run(args, kwargs, /*only_prepare=*/true);
}

graph::Explanation JitFunction::explain(const py::args& args, const py::kwargs& kwargs) {
  if (call_modes().trace || call_modes().tape) {
    throw_error(ErrorCode::kRuntime, "explain() is called outside of traces and gradients");
  }
  std::vector<Tensor> in;
  const auto kept = calls_.find(args, kwargs, &in);
  const graph::Variant& variant = *kept;
  py::gil_scoped_release release;
  std::lock_guard lock(mutex_);
  graph::Session& session = compile_for(in, variant);
  std::optional<py::gil_scoped_acquire> states;
  if (!session.program().graph->states.empty()) states.emplace();
  return graph::explain(*compiled_, in, {}, variant);
}

debug::VerifyReport JitFunction::verify(const py::args& args, const py::kwargs& kwargs) {
  std::vector<Tensor> in;
  const auto kept = calls_.find(args, kwargs, &in);
  const graph::Variant& variant = *kept;
  py::gil_scoped_release release;
  std::lock_guard lock(mutex_);
  compile_for(in, variant);
  py::gil_scoped_acquire states;
  debug::VerifyReport report = debug::verify(*compiled_, in, {}, variant);
  traced_.reset();  // of the second trace
  return report;
}

std::string JitFunction::graph_text() {
  return graph::print(*compiled_->session().program().graph);
}

py::bytes JitFunction::graph_def() {
  return py::bytes(train::graph_def(*compiled_->session().program().graph));
}

std::vector<std::string> JitFunction::origins() {
  const graph::Graph& g = *compiled_->session().program().graph;
  std::vector<std::string> lines;
  for (const graph::NodeId id : g.order) {
    for (const int32_t k : g.nodes[id].origins) {
      const graph::Origin& o = g.origins[k];
      lines.push_back(cat(o.op, " ", o.file, ":", o.line, o.cell.empty() ? "" : " ", o.cell));
    }
  }
  return lines;
}

py::object JitFunction::run(const py::args& args, const py::kwargs& kwargs, bool only_prepare) {
  std::vector<Tensor> in, out;
  const auto kept = calls_.find(args, kwargs, &in);
  const graph::Variant& variant = *kept;
  JitCall& call = calls_.latest();
  if (call.way == JitCall::kAsWritten && strict_syntax) call.way = JitCall::kTraced;
  if (!call.compiled && call.way != JitCall::kAsWritten && !allowance_.may_trace()) {
    if (strict_syntax || fullgraph_) throw_error(ErrorCode::kRuntime, last_change_);
    give_up(variant, last_change_, /*for_values=*/false);
  }
  if (call.way == JitCall::kAsWritten) {
    return only_prepare ? py::none() : as_written_(*args, **kwargs);
  }
  const uint64_t refused = graph::refused_reads().count;
  own_change_.clear();
  std::shared_ptr<const Results> results;
  try {
    results = prepare_and_run(in, variant, only_prepare ? nullptr : &out);
  } catch (...) {
    if (is_interrupt()) throw;
    // Errors of a run, which reads no symbol, are the user's.
    if (graph::refused_reads().count == refused && own_change_.empty()) throw;
    std::string reason = graph::refused_reads().last;
    if (!own_change_.empty()) reason = own_change_;
    if (!own_change_.empty() || !try_rewritten(in, variant, &reason)) {
      if (strict_syntax || fullgraph_) throw_with(reason);
      give_up(variant, reason, own_change_.empty());
      return only_prepare ? py::none() : as_written_(*args, **kwargs);
    }
  }
  if (only_prepare) return py::none();
  if (!results) results = prepare_and_run(in, variant, &out);  // rewritten just now
  allowance_.ran_compiled();
  const Tensor* next = out.data();
  py::object result = unflatten(results->tree, &next);
  if (results->effects) results->effects.attr("apply")(unflatten(results->values, &next));
  if (!results->rebound.empty()) rebind(args, kwargs, results->rebound, next);
  return result;
}

void JitFunction::rebind(const py::args& args, const py::kwargs& kwargs,
                         const std::vector<size_t>& which, const Tensor* values) {
  std::vector<Tensor> in;
  std::vector<PyObject*> objects;
  flatten(py::make_tuple(args, kwargs), Leaves::kAny, name_, &in, &objects);
  for (const size_t i : which) {
    const auto value = py::reinterpret_steal<py::object>(checked(wrap(*values++)));
    if (is_tensor(objects[i])) py::handle(objects[i]).attr("_rebind")(value);
  }
}

// A graph that writes States runs with the interpreter's lock. One that ran for such inputs
// before need not give it up first; null: it is another one, or somebody waits for it.
std::shared_ptr<const JitFunction::Results> JitFunction::run_again(const std::vector<Tensor>& in,
                                                                   const graph::Variant& variant,
                                                                   std::vector<Tensor>* out) {
  if (latest_.variant != variant.id || latest_.metas.size() != in.size()) return nullptr;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!(latest_.metas[i] == in[i].meta())) return nullptr;
  }
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return nullptr;
  // Compiles where settings have changed since.
  auto results = std::static_pointer_cast<const Results>(compile_for(in, variant).note);
  *out = (*compiled_)(in, variant);
  return results;
}

// The structure of the results. out null: compiles alone.
std::shared_ptr<const JitFunction::Results> JitFunction::prepare_and_run(
    const std::vector<Tensor>& in, const graph::Variant& variant, std::vector<Tensor>* out) {
  if (auto results = out ? run_again(in, variant, out) : nullptr) return results;
  // Nobody waits for the lock while holding the interpreter's: a trace needs that one too.
  py::gil_scoped_release release;
  std::lock_guard lock(mutex_);
  graph::Session& session = compile_for(in, variant);
  auto results = std::static_pointer_cast<const Results>(session.note);
  if (!out) return results;
  // States are shared with eager calls, which hold the interpreter's lock.
  std::optional<py::gil_scoped_acquire> states;
  if (!session.program().graph->states.empty()) states.emplace();
  *out = (*compiled_)(in, variant);
  if (!states) return results;
  latest_ = {variant.id, {}};
  for (const Tensor& t : in) latest_.metas.push_back(t.meta());
  return results;
}

// Under mutex_, without the interpreter's lock.
graph::Session& JitFunction::compile_for(const std::vector<Tensor>& in,
                                         const graph::Variant& variant) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : in) metas.push_back(t.meta());
  tracing_ = variant.id;
  compiled_->prepare(metas, variant);
  graph::Session& session = compiled_->session();
  if (!session.note) session.note = std::move(traced_);
  return session;
}

// False where that fails, too; `reason` then says both.
bool JitFunction::try_rewritten(const std::vector<Tensor>& in, const graph::Variant& variant,
                                std::string* reason) {
  JitCall* call = calls_.by_id(variant.id);
  if (!call || call->way != JitCall::kTraced) return false;
  std::string second;
  try {
    if (rewritten_.is_none()) {
      rewritten_ = py::module_::import("rutile._syntax").attr("traceable")(fn_);
    }
    call->way = JitCall::kRewritten;
    prepare_and_run(in, variant, nullptr);
    return true;
  } catch (py::error_already_set& e) {
    if (e.matches(PyExc_KeyboardInterrupt)) throw;
    second = py::str(e.value()).cast<std::string>();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInterrupted) throw;
    second = e.message();
  }
  if ((call = calls_.by_id(variant.id))) call->way = JitCall::kTraced;
  if (second.find("needs the value of a tensor") == std::string::npos && second != *reason) {
    *reason += cat("\n  as ops (RUTILE-E0104): ", second);
  }
  return false;
}

void JitFunction::give_up(const graph::Variant& variant, const std::string& reason,
                          bool for_values) {
  if (JitCall* call = calls_.by_id(variant.id)) call->way = JitCall::kAsWritten;
  if (std::exchange(gave_up_, true)) return;
  log_warning(cat(name_, " runs as it is written, not compiled: ", reason, "\n  ",
                  for_values ? "cond(), while_loop() and scan() of rutile.ops are compiled; " : "",
                  "set_context(jit_syntax_level=STRICT) makes this an error"));
}

}  // namespace rutile::python
