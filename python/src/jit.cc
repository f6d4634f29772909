// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/jit.h"

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "rutile/core/log.h"
#include "rutile/debug/verify.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/explain.h"
#include "rutile/python/src/around.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/tree.h"
#include "rutile/train/graph_def.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

// What holds Python objects; dropped from any thread.
template <class T>
std::shared_ptr<const T> share(T value) {
  return {new T(std::move(value)), [](const T* t) {
            if (!Py_IsInitialized()) return;  // the process ends
            py::gil_scoped_acquire gil;
            delete t;
          }};
}

// Whether a function that cannot be traced is an error even where it could run as it is written.
bool strict_syntax = false;

// A traced and compiled Python function. Where it reads a value while it is traced, its text is
// rewritten (rutile/_syntax) and traced again; what is refused then, too, runs as it is written,
// with one warning. `rewritten` and `as_written`: where those are not fn's own.
class JitFunction {
 public:
  JitFunction(py::function fn, const std::string& passes_off, const std::string& remat,
              bool fullgraph, const py::object& rewritten, const py::object& as_written)
      : fn_(std::move(fn)), rewritten_(rewritten), as_written_(as_written), fullgraph_(fullgraph) {
    if (as_written_.is_none()) as_written_ = fn_;
    graph::CompileOptions options;
    options.passes_off = passes_off;
    options.remat = remat;
    if (py::hasattr(fn_, "__name__")) options.name = py::str(fn_.attr("__name__"));
    name_ = options.name;
    compiled_ = std::make_unique<graph::Compiled>(
        [this](const std::vector<Tensor>& in) { return run_python(in); }, options);
  }

  py::object operator()(const py::args& args, const py::kwargs& kwargs) {
    // Replayed kernels are unknown to a trace and to a tape: there fn runs as it is written.
    if (call_modes().trace || call_modes().tape) return fn_(*args, **kwargs);
    return run(args, kwargs, /*only_prepare=*/false);
  }
  void prepare(const py::args& args, const py::kwargs& kwargs) {
    run(args, kwargs, /*only_prepare=*/true);
  }
  // Runs the compiled graph a few times; states stay as they are.
  graph::Explanation explain(const py::args& args, const py::kwargs& kwargs) {
    if (call_modes().trace || call_modes().tape) {
      throw_error(ErrorCode::kRuntime, "explain() is called outside of traces and gradients");
    }
    std::vector<Tensor> in;
    const auto kept = find_variant(args, kwargs, &in);
    const graph::Variant& variant = *kept;
    py::gil_scoped_release release;
    std::lock_guard lock(mutex_);
    graph::Session& session = compile_for(in, variant);
    std::optional<py::gil_scoped_acquire> states;
    if (!session.program().graph->states.empty()) states.emplace();
    return graph::explain(*compiled_, in, {}, variant);
  }
  // Every node against eager execution; states stay as they are.
  debug::VerifyReport verify(const py::args& args, const py::kwargs& kwargs) {
    std::vector<Tensor> in;
    const auto kept = find_variant(args, kwargs, &in);
    const graph::Variant& variant = *kept;
    py::gil_scoped_release release;
    std::lock_guard lock(mutex_);
    compile_for(in, variant);
    py::gil_scoped_acquire states;
    debug::VerifyReport report = debug::verify(*compiled_, in, {}, variant);
    traced_.reset();  // of the second trace
    return report;
  }
  std::string graph_text() { return graph::print(*compiled_->session().program().graph); }
  py::bytes graph_def() {
    return py::bytes(train::graph_def(*compiled_->session().program().graph));
  }
  // "relu app.py:12 net.fc1" for every node of the latest graph.
  std::vector<std::string> origins() {
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
  int kernels() const { return compiled_->report().kernels; }
  int compilations() const { return compiled_->compilations(); }
  int searches() const { return searches_; }
  py::function function() const { return fn_; }

 private:
  static constexpr size_t kMaxVariants = 64;
  static constexpr size_t kFoundAgain = 4;  // those used last are compared, not searched for
  // Traces that change what they read, and what one counts for that no later call can use.
  static constexpr int kMaxOwnChanges = 8, kOnce = 3;
  static constexpr int kReplaysForgive = 16;   // runs of compiled code that make up for one
  static constexpr int kFirstRetryAfter = 64;  // calls as written before it is traced again
  // A call as it was found, and what says that another one is the same.
  struct Found {
    Tree arguments;
    Around around;
    std::unique_ptr<Guards> guards;
  };
  // One way of calling: all that is no tensor.
  struct Call {
    std::shared_ptr<const graph::Variant> variant;
    std::shared_ptr<const Tree> arguments;  // (args, kwargs)
    std::shared_ptr<const Around> around;
    std::shared_ptr<const Found> found = {};  // null: not since it was compiled
    enum { kTraced, kRewritten, kAsWritten } way = kTraced;
    bool compiled = false;
  };
  // What a run gives back, and what it does besides; kept with its graph.
  struct Results {
    Tree tree;
    Tree values;                  // that the effects take
    py::object effects;           // null: none
    std::vector<size_t> rebound;  // tensors among the arguments that x[i] = v gave other values
  };

  py::object run(const py::args& args, const py::kwargs& kwargs, bool only_prepare) {
    std::vector<Tensor> in, out;
    const auto kept = find_variant(args, kwargs, &in);
    const graph::Variant& variant = *kept;
    Call& call = calls_.front();
    if (call.way == Call::kAsWritten && strict_syntax) call.way = Call::kTraced;
    if (!call.compiled && call.way != Call::kAsWritten && !may_trace()) {
      if (strict_syntax || fullgraph_) throw_error(ErrorCode::kRuntime, last_change_);
      give_up(variant, last_change_, /*for_values=*/false);
    }
    if (call.way == Call::kAsWritten) {
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
    if (own_changes_ > 0) forgive();
    const Tensor* next = out.data();
    py::object result = unflatten(results->tree, &next);
    if (results->effects) results->effects.attr("apply")(unflatten(results->values, &next));
    if (!results->rebound.empty()) rebind(args, kwargs, results->rebound, next);
    return result;
  }

  void rebind(const py::args& args, const py::kwargs& kwargs, const std::vector<size_t>& which,
              const Tensor* values) {
    std::vector<Tensor> in;
    std::vector<PyObject*> objects;
    flatten(py::make_tuple(args, kwargs), Leaves::kAny, name_, &in, &objects);
    for (const size_t i : which) {
      const auto value = py::reinterpret_steal<py::object>(checked(wrap(*values++)));
      if (is_tensor(objects[i])) py::handle(objects[i]).attr("_rebind")(value);
    }
  }

  // Code that is compiled anew in each call costs more than it saves.
  bool may_trace() {
    if (own_changes_ < kMaxOwnChanges) return true;
    if (++as_written_calls_ < retry_after_) return false;
    as_written_calls_ = 0;
    retry_after_ *= 2;
    own_changes_ = kMaxOwnChanges - 1;
    return true;
  }

  void forgive() {
    if (++replays_ < kReplaysForgive) return;
    replays_ = 0;
    --own_changes_;
  }

  // A graph that writes States runs with the interpreter's lock. One that ran for such inputs
  // before need not give it up first; null: it is another one, or somebody waits for it.
  std::shared_ptr<const Results> run_again(const std::vector<Tensor>& in,
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
  std::shared_ptr<const Results> prepare_and_run(const std::vector<Tensor>& in,
                                                 const graph::Variant& variant,
                                                 std::vector<Tensor>* out) {
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

  // Whether the error that is being handled is one.
  static bool is_interrupt() {
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
  [[noreturn]] static void throw_with(const std::string& text) {
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

  // False where that fails, too; `reason` then says both.
  bool try_rewritten(const std::vector<Tensor>& in, const graph::Variant& variant,
                     std::string* reason) {
    Call* call = find_call(variant.id);
    if (!call || call->way != Call::kTraced) return false;
    std::string second;
    try {
      if (rewritten_.is_none()) {
        rewritten_ = py::module_::import("rutile._syntax").attr("traceable")(fn_);
      }
      call->way = Call::kRewritten;
      prepare_and_run(in, variant, nullptr);
      return true;
    } catch (py::error_already_set& e) {
      if (e.matches(PyExc_KeyboardInterrupt)) throw;
      second = py::str(e.value()).cast<std::string>();
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kInterrupted) throw;
      second = e.message();
    }
    if ((call = find_call(variant.id))) call->way = Call::kTraced;
    if (second.find("needs the value of a tensor") == std::string::npos && second != *reason) {
      *reason += cat("\n  as ops (RUTILE-E0104): ", second);
    }
    return false;
  }

  Call* find_call(uint64_t id) {
    for (Call& c : calls_) {
      if (c.variant->id == id) return &c;
    }
    return nullptr;
  }

  void give_up(const graph::Variant& variant, const std::string& reason, bool for_values) {
    if (Call* call = find_call(variant.id)) call->way = Call::kAsWritten;
    if (std::exchange(gave_up_, true)) return;
    log_warning(
        cat(name_, " runs as it is written, not compiled: ", reason, "\n  ",
            for_values ? "cond(), while_loop() and scan() of rutile.ops are compiled; " : "",
            "set_context(jit_syntax_level=STRICT) makes this an error"));
  }

  // Under mutex_, without the interpreter's lock.
  graph::Session& compile_for(const std::vector<Tensor>& in, const graph::Variant& variant) {
    std::vector<TensorMeta> metas;
    for (const Tensor& t : in) metas.push_back(t.meta());
    tracing_ = variant.id;
    compiled_->prepare(metas, variant);
    graph::Session& session = compiled_->session();
    if (!session.note) session.note = std::move(traced_);
    return session;
  }

  // One of the calls used last, where all that it read is as it was then; else null.
  std::shared_ptr<const graph::Variant> find_again(const py::args& args, const py::kwargs& kwargs,
                                                   std::vector<Tensor>* in) {
    std::vector<std::pair<uint64_t, std::shared_ptr<const Found>>> known;
    for (const Call& c : calls_) {
      if (known.size() == kFoundAgain) break;
      if (c.found) known.emplace_back(c.variant->id, c.found);
    }
    for (const auto& [id, found] : known) {  // others may call it meanwhile
      in->clear();
      const std::vector<Tree>& both = found->arguments.children;
      if (!matches(args.ptr(), both[0], in) || !matches(kwargs.ptr(), both[1], in)) continue;
      if (!found->guards->hold()) continue;
      for (auto it = calls_.begin(); it != calls_.end(); ++it) {
        if (it->variant->id != id || it->found != found) continue;
        calls_.splice(calls_.begin(), calls_, it);
        return it->variant;
      }
    }
    in->clear();
    return nullptr;
  }

  std::shared_ptr<const graph::Variant> find_variant(const py::args& args, const py::kwargs& kwargs,
                                                     std::vector<Tensor>* in) {
    if (auto again = find_again(args, kwargs, in)) {
      if (!checks_guards()) return again;
      in->clear();
      const auto searched = search_variant(args, kwargs, in);
      if (searched == again) return again;
      throw_error(ErrorCode::kInternal, cat(name_, ": guards hold for another call, ", again->text,
                                            ", than a search finds: ", searched->text));
    }
    ++searches_;
    return search_variant(args, kwargs, in);
  }

  static bool checks_guards() {
    static const bool checks = graph::self_checks();
    return checks;
  }

  std::shared_ptr<const graph::Variant> search_variant(const py::args& args,
                                                       const py::kwargs& kwargs,
                                                       std::vector<Tensor>* in) {
    Tree tree = flatten(py::make_tuple(args, kwargs), Leaves::kAny,
                        cat("an argument of the traced function ", name_), in);
    AroundFinder finder(names_);
    std::unique_ptr<Guards> guards;
    Around around = finder.find(fn_.ptr(), tree, /*keep=*/false, &guards);
    if (finder.limited() && !std::exchange(warned_, true)) {
      log_warning(cat(name_,
                      " reads more around it than is watched: changes of deeply nested or "
                      "very large objects are not seen; pass them as arguments"));
    }
    for (auto it = calls_.begin(); it != calls_.end(); ++it) {
      if (!(*it->around == around) || !(*it->arguments == tree)) continue;
      calls_.splice(calls_.begin(), calls_, it);
      if (guards->whole()) {
        it->found = share(Found{std::move(tree), std::move(around), std::move(guards)});
      }
      return it->variant;
    }
    std::string reason = tree.children[0].text();
    if (!calls_.empty() && *calls_.front().arguments == tree) {
      reason += cat(" with ", around.difference(*calls_.front().around));
    }
    auto variant = std::make_shared<const graph::Variant>(next_id_++, std::move(reason));
    calls_.push_front({std::move(variant), share(std::move(tree)), share(std::move(around))});
    if (calls_.size() > kMaxVariants) calls_.pop_back();
    return calls_.front().variant;
  }

  std::vector<Tensor> run_python(const std::vector<Tensor>& in) {
    py::gil_scoped_acquire gil;
    std::shared_ptr<const Tree> tree;
    Call* call = find_call(tracing_);
    if (call) tree = call->arguments;
    if (!tree) throw_error(ErrorCode::kRuntime, "too many calls of this function at a time");
    const Tensor* next = in.data();
    const py::tuple both = unflatten(*tree, &next);
    AroundFinder finder(names_);
    const Around before = finder.find(fn_.ptr(), *tree, /*keep=*/true);
    const size_t names = names_.size();
    py::list keys;
    for (const py::object& o : before.cells) {
      if (is_cell_version(o)) keys.append(o);
    }
    TraceWatch watch(keys, finder.holders);
    const py::object& fn = call->way == Call::kRewritten ? rewritten_ : fn_;
    const py::object result = [&] {
      AskedNames asked(names_);
      return fn(*py::tuple(both[0]), **py::dict(both[1]));
    }();
    Results results;
    std::vector<Tensor> out;
    results.tree =
        flatten(result, Leaves::kPlain, cat("the result of the traced function ", name_), &out);
    const bool learnt = watch.learn() || names_.size() != names;
    end_trace(&watch, *tree, in, learnt ? nullptr : &before, &results, &out);
    take_rebound(both, *tree, in, &results, &out);
    traced_ = share(std::move(results));
    return out;
  }

  // What the trace changed becomes effects of each run. `before`: what was around it; null: it read
  // more than was known then.
  void end_trace(TraceWatch* watch, const Tree& tree, const std::vector<Tensor>& in,
                 const Around* before, Results* results, std::vector<Tensor>* out) {
    const auto around = [&] { return AroundFinder(names_).find(fn_.ptr(), tree); };
    const Around after = around();
    const uint64_t id = tracing_;
    const TraceWatch::Done done = watch->finish(names_.codes());
    if (!done.warning.empty() && !std::exchange(warned_clock_, true)) {
      log_warning(cat(name_, " ", done.warning));
    }
    Around now = around();
    const bool once = done.once || (before && !(now == *before));
    now.take_objects(after);
    const bool changed = once || done.changed || !(now == after);
    if (changed) {
      own_changes_ += once ? kOnce : 1;
      last_change_ = done.change.empty()
                         ? "it reads what it changes in each call around it (RUTILE-E0109)"
                         : done.change;
    }
    if (done.refused || after.holds_symbols()) refuse(done.change);
    if (done.effects) take_effects(done, in, results, out);
    Call* call = find_call(id);
    if (!call) return;
    if (once) {
      now.values.push_back(py::reinterpret_steal<py::object>(
          checked(PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type)))));
    }
    call->around = share(std::move(now));
    call->found = nullptr;
    call->compiled = !once;
  }

  void take_effects(const TraceWatch::Done& done, const std::vector<Tensor>& in, Results* results,
                    std::vector<Tensor>* out) {
    std::vector<Tensor> kept;
    try {
      results->values = flatten(done.values, Leaves::kPlain, "what it sets", &kept);
    } catch (const Error& e) {
      refuse(cat(done.change, "\n  ", e.message()));
    }
    // Those of the body of a loop, a branch or recompute() mean nothing outside of it.
    const auto symbolic = [](const Tensor& t) { return t.is_symbolic(); };
    const auto known = std::find_if(in.begin(), in.end(), symbolic);
    for (const Tensor& t : kept) {
      if (!t.is_symbolic() || known == in.end()) continue;
      if (t.impl()->trace_id == known->impl()->trace_id) continue;
      refuse(
          cat("a tensor that the body of a loop, a branch, vmap() or recompute() made is kept "
              "outside of it; ",
              done.change));
    }
    out->insert(out->end(), kept.begin(), kept.end());
    results->effects = done.effects;
  }

  // The caller's own lists and dicts are not there in a trace, but for their contents.
  void take_rebound(const py::tuple& both, const Tree& tree, const std::vector<Tensor>& in,
                    Results* results, std::vector<Tensor>* out) {
    std::vector<Tensor> now;
    if (!(flatten(both, Leaves::kAny, name_, &now) == tree) || now.size() != in.size()) {
      refuse("it changes a list or dict that it is handed: return a new one (RUTILE-E0109)");
    }
    for (size_t i = 0; i < in.size(); ++i) {
      if (now[i].impl() == in[i].impl()) continue;
      results->rebound.push_back(i);
      out->push_back(now[i]);
    }
  }

  [[noreturn]] void refuse(const std::string& text) {
    own_change_ = text.empty() ? "it keeps a tensor where its next call reads it" : text;
    throw_error(ErrorCode::kRuntime, own_change_);
  }

  py::function fn_;
  py::object rewritten_, as_written_;
  std::string name_;
  bool fullgraph_ = false;
  bool warned_ = false, warned_clock_ = false, gave_up_ = false;
  int own_changes_ = 0, searches_ = 0;
  int replays_ = 0, as_written_calls_ = 0, retry_after_ = kFirstRetryAfter;
  std::string own_change_;   // why the trace that was made just now cannot stand for later calls
  std::string last_change_;  // what a trace changed of what it reads
  NamesRead names_;
  std::unique_ptr<graph::Compiled> compiled_;
  std::mutex mutex_;
  // Guarded by the interpreter's lock.
  std::list<Call> calls_;  // latest used first
  uint64_t next_id_ = 1;
  struct {
    uint64_t variant = 0;
    std::vector<TensorMeta> metas;
  } latest_;  // run of a graph with States
  // Guarded by mutex_.
  uint64_t tracing_ = 0;
  std::shared_ptr<const Results> traced_;
};

// Names of a Cell's attributes, and the type of its _jit; never freed.
PyObject *jit_name = nullptr, *key_at_name = nullptr, *key_name = nullptr, *slow_name = nullptr;
PyTypeObject* jit_type = nullptr;

// call_cell(cell, args, kwargs): cell._call_compiled(args, kwargs), at once where the Cell is as it
// was when its version was made.
PyObject* call_cell(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n != 3 || !is_cell(args[0]) || !PyTuple_Check(args[1]) || !PyDict_Check(args[2])) {
      throw_error(ErrorCode::kType, "call_cell(cell, args, kwargs)");
    }
    PyObject** at = _PyObject_GetDictPtr(args[0]);
    const auto attribute = [&](PyObject* name) {
      PyObject* o = at && *at ? PyDict_GetItemWithError(*at, name) : nullptr;
      return py::reinterpret_borrow<py::object>(o);
    };
    const py::object jit = attribute(jit_name), made_at = attribute(key_at_name);
    if (jit && made_at && Py_TYPE(jit.ptr()) == jit_type && PyLong_CheckExact(made_at.ptr()) &&
        PyLong_AsUnsignedLongLong(made_at.ptr()) == cells_edition()) {
      auto* instance = reinterpret_cast<py::detail::instance*>(jit.ptr());
      auto* f = static_cast<JitFunction*>(instance->get_value_and_holder().value_ptr());
      const auto all = py::reinterpret_steal<py::args>(
          PyTuple_Pack(3, attribute(key_name).ptr(), args[1], args[2]));
      return (*f)(all, py::kwargs()).release().ptr();
    }
    return checked(PyObject_CallMethodObjArgs(args[0], slow_name, args[1], args[2], nullptr));
  });
}

}  // namespace

void add_jit(py::module_& m) {
  begin_around();
  jit_name = PyUnicode_InternFromString("_jit");
  key_at_name = PyUnicode_InternFromString("_trace_key_at");
  key_name = PyUnicode_InternFromString("_trace_key");
  slow_name = PyUnicode_InternFromString("_call_compiled");
  static PyMethodDef functions[] = {
      {"call_cell", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call_cell)),
       METH_FASTCALL, "call_cell(cell, args, kwargs)"},
      {nullptr, nullptr, 0, nullptr}};
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw py::error_already_set();
  m.def("set_strict_syntax", [](bool on) { strict_syntax = on; });
  py::class_<graph::Explanation>(
      m, "Explanation",
      "Passes, fusions, reorders, memory, and each kernel beside the least time it can take.")
      .def_readonly("step_ms", &graph::Explanation::step_ms, "Median time of a run.")
      .def_property_readonly("limit_ms", &graph::Explanation::limit_ms,
                             "The sum of what FLOPs and bytes of each kernel take at least.")
      .def_property_readonly("memory_svg", &graph::Explanation::memory_svg,
                             "A picture of the memory plan.")
      .def("to_json", &graph::Explanation::to_json, "All of it, for programs.")
      .def("write", &graph::Explanation::write, py::arg("folder"),
           "Writes explain.txt, explain.json, memory.svg, graph.txt and graph.dot.")
      .def("__str__", &graph::Explanation::text);
  py::class_<JitFunction> jit(m, "JitFunction", py::dynamic_attr());
  jit_type = reinterpret_cast<PyTypeObject*>(jit.ptr());
  jit.def(py::init<py::function, const std::string&, const std::string&, bool, const py::object&,
                   const py::object&>(),
          py::arg("fn"), py::arg("passes_off") = "", py::arg("remat") = "off",
          py::arg("fullgraph") = false, py::arg("rewritten") = py::none(),
          py::arg("as_written") = py::none())
      .def("__call__", &JitFunction::operator())
      .def("prepare", &JitFunction::prepare, "Compiles for such arguments without running.")
      .def("explain", &JitFunction::explain,
           "What the compiler made of a call with such arguments, and where its time goes: an\n"
           "Explanation. Runs it a few times and leaves parameters and other states as they are.")
      .def("verify", &JitFunction::verify,
           "Holds each node of the compiled graph for such arguments against eager execution on "
           "the\n"
           "same inputs: a VerifyReport with ok, nodes, passes, results and a text.")
      .def("__get__",
           [](py::object self, py::object instance, py::object) -> py::object {
             if (instance.is_none()) return self;
             return py::reinterpret_steal<py::object>(
                 checked(PyMethod_New(self.ptr(), instance.ptr())));
           })
      // Copied and pickled as functions are: itself, and by name.
      .def("__copy__", [](py::object self) { return self; })
      .def("__deepcopy__", [](py::object self, const py::object&) { return self; })
      .def("__reduce__",
           [](const JitFunction& self) { return self.function().attr("__qualname__"); })
      .def_property_readonly("kernels", &JitFunction::kernels, "Steps of the graph that ran last.")
      .def_property_readonly("compilations", &JitFunction::compilations, "Graphs compiled so far.")
      .def_property_readonly("searches", &JitFunction::searches,
                             "Calls so far that were not recognised by what an earlier one read.")
      .def_property_readonly("__wrapped__", &JitFunction::function)
      .def("origins", &JitFunction::origins,
           "Op, file:line and Cell of every node of the latest graph.")
      .def("graph_text", &JitFunction::graph_text, "The latest graph.")
      .def("graph_def", &JitFunction::graph_def, "The latest graph, for TensorBoard.");
}

}  // namespace rutile::python
