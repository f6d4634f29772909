// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/transforms.h"

#include <algorithm>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "rutile/autograd/tape.h"
#include "rutile/core/log.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/explain.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/tree.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

// ---- Differentiation

// What is differentiated of a function's result: the sum of all elements of its tensors, of the
// first entry's alone with auxiliary results beside it.
Tensor objective(py::handle result, bool has_aux, Tensor* dy) {
  py::object main = py::reinterpret_borrow<py::object>(result);
  if (has_aux) {
    if (!py::isinstance<py::tuple>(result) || py::len(result) < 2) {
      throw_error(ErrorCode::kType,
                  "with has_aux the function returns a tuple of the value and what goes beside it");
    }
    main = py::reinterpret_borrow<py::tuple>(result)[0];
  }
  std::vector<Tensor> leaves;
  flatten(main, Leaves::kTensors, "the differentiated function's result", &leaves);
  if (leaves.empty()) {
    throw_error(ErrorCode::kType, cat("the differentiated function must return a Tensor, got ",
                                      Py_TYPE(main.ptr())->tp_name));
  }
  if (leaves.size() == 1) {
    if (leaves[0].numel() != 1) *dy = Tensor::full(leaves[0].shape(), 1, leaves[0].dtype());
    return leaves[0];
  }
  Tensor total = ops::sum(leaves[0]);
  for (size_t i = 1; i < leaves.size(); ++i) total = ops::add(total, ops::sum(leaves[i]));
  return total;
}

// One structure of tensors to differentiate by.
struct Wanted {
  Tree tree;
  size_t first = 0, count = 0;
  py::object gradients(const std::vector<Tensor>& all) const {
    const Tensor* next = all.data() + first;
    return unflatten(tree, &next);
  }
};

class Differentiation {
 public:
  // The arguments to differentiate by are fresh handles: the same tensor may stand in several
  // places, and other threads may differentiate by it at the same time. An enclosing scope sees the
  // op.
  void add_argument(const py::tuple& args, py::list* renewed, py::handle number) {
    const int64_t i = int_from(number.ptr());
    const int64_t n = static_cast<int64_t>(args.size());
    if (i < -n || i >= n) {
      throw_error(ErrorCode::kIndex, cat("there is no argument ", i, " among ", n));
    }
    const size_t at = static_cast<size_t>(i < 0 ? i + n : i);
    const std::string what = cat("argument ", at, ", which is differentiated by,");
    Wanted w;
    w.first = xs_.size();
    w.tree = flatten(args[at], Leaves::kTensors, what, &xs_);
    w.count = xs_.size() - w.first;
    if (w.count == 0) throw_error(ErrorCode::kType, cat("argument ", at, " is not a Tensor"));
    for (size_t k = w.first; k < xs_.size(); ++k) {
      if (!is_floating(xs_[k].dtype())) {
        throw_error(ErrorCode::kType,
                    cat(what, " has a tensor ", xs_[k].meta(), ", which has no gradient"));
      }
      xs_[k] = ops::reshape(xs_[k], xs_[k].shape());
    }
    const Tensor* next = xs_.data() + w.first;
    (*renewed)[at] = unflatten(w.tree, &next);
    wanted_.push_back(std::move(w));
  }
  void add_parameters(py::handle weights) {
    Wanted w;
    w.first = xs_.size();
    w.tree = flatten(weights, Leaves::kTensors, "weights", &xs_);
    w.count = xs_.size() - w.first;
    wanted_.push_back(std::move(w));
  }
  py::object run(const py::function& fn, const py::list& args, const py::dict& kwargs,
                 bool has_aux) {
    ScopedValue<graph::Phase> phase(graph::current_phase(), graph::Phase::kForward);
    GradScope scope;
    for (const Tensor& x : xs_) scope.watch(x);
    py::object result = fn(*py::tuple(args), **kwargs);
    Tensor dy;
    const Tensor y = objective(result, has_aux, &dy);
    graph::current_phase() = graph::Phase::kBackward;
    grads_ = scope.gradient(y, xs_, dy);
    return result;
  }
  py::object gradients(size_t i) const { return wanted_[i].gradients(grads_); }

 private:
  std::vector<Tensor> xs_, grads_;
  std::vector<Wanted> wanted_;
};

// argnums: an int, a tuple of them or None; weights: a structure of parameters or None. The result
// is (fn's result, gradients); with both kinds the gradients are the pair of them.
py::tuple value_and_grad(const py::function& fn, const py::object& argnums,
                         const py::object& weights, bool has_aux, const py::tuple& args,
                         const py::dict& kwargs) {
  Differentiation d;
  py::list renewed(args);
  const bool several = py::isinstance<py::tuple>(argnums) || py::isinstance<py::list>(argnums);
  size_t arguments = 0;
  if (several) {
    for (py::handle i : argnums) {
      d.add_argument(args, &renewed, i);
      ++arguments;
    }
  } else if (!argnums.is_none()) {
    d.add_argument(args, &renewed, argnums);
    arguments = 1;
  }
  if (!weights.is_none()) d.add_parameters(weights);
  if (arguments == 0 && weights.is_none()) {
    throw_error(ErrorCode::kValue, "there is nothing to differentiate by: no argument, no weights");
  }
  py::object value = d.run(fn, renewed, kwargs, has_aux);
  py::object by_arguments;
  if (several) {
    py::tuple all(arguments);
    for (size_t i = 0; i < arguments; ++i) all[i] = d.gradients(i);
    by_arguments = std::move(all);
  } else if (arguments) {
    by_arguments = d.gradients(0);
  }
  if (weights.is_none()) return py::make_tuple(value, by_arguments);
  py::object by_weights = d.gradients(arguments);
  if (arguments == 0) return py::make_tuple(value, by_weights);
  return py::make_tuple(value, py::make_tuple(by_arguments, by_weights));
}

// ---- Recomputation

// fn(*args, **kwargs), run again in backward instead of keeping what it computes in between.
py::object recompute(const py::function& fn, const py::tuple& args, const py::dict& kwargs) {
  if (!call_modes().tape) return fn(*args, **kwargs);
  std::vector<Tensor> in;
  // fn outlives the call in the tape, which may end on any thread.
  struct Body {
    py::function fn;
    Tree arguments, results;
  };
  std::shared_ptr<Body> body(new Body{fn, {}, {}}, [](Body* b) {
    if (!Py_IsInitialized()) return;  // the process ends
    py::gil_scoped_acquire gil;
    delete b;
  });
  body->arguments =
      flatten(py::make_tuple(args, kwargs), Leaves::kAny, "an argument of recompute", &in);
  const std::vector<Tensor> out = ops::recompute(
      [body](const std::vector<Tensor>& x) {
        py::gil_scoped_acquire gil;
        const Tensor* next = x.data();
        const py::tuple both = unflatten(body->arguments, &next);
        const py::object result = body->fn(*py::tuple(both[0]), **py::dict(both[1]));
        std::vector<Tensor> flat;
        body->results = flatten(result, Leaves::kPlain, "the result of recompute", &flat);
        return flat;
      },
      in);
  const Tensor* next = out.data();
  return unflatten(body->results, &next);
}

// ---- Compilation

// What holds Python objects; dropped from any thread.
template <class T>
std::shared_ptr<const T> share(T value) {
  return {new T(std::move(value)), [](const T* t) {
            if (!Py_IsInitialized()) return;  // the process ends
            py::gil_scoped_acquire gil;
            delete t;
          }};
}

// What a function reads from around it (closures and globals, also of the functions it calls, and
// of the constructs of Cells): tensors, which become constants of the graph, Cells, and plain
// values, also in lists, dicts and attributes of objects there. Other ones ask for another graph.
struct Around {
  std::vector<Tensor> tensors;
  std::vector<py::object> cells;  // their versions, and parameters
  std::vector<py::object> values;

  static bool same(PyObject* a, PyObject* b) {
    if (Py_TYPE(a) != Py_TYPE(b)) return false;
    if (PyFloat_CheckExact(a)) {  // 0.0 and -0.0 are two values, NaN is one
      const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
      return std::memcmp(&x, &y, sizeof(x)) == 0;
    }
    const int equal = PyObject_RichCompareBool(a, b, Py_EQ);
    if (equal < 0) PyErr_Clear();
    return equal > 0;
  }
  bool operator==(const Around& o) const {
    if (tensors.size() != o.tensors.size() || cells.size() != o.cells.size() ||
        values.size() != o.values.size()) {
      return false;
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].impl() != o.tensors[i].impl()) return false;
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      if (!cells[i].is(o.cells[i])) return false;
    }
    for (size_t i = 0; i < values.size(); ++i) {
      if (!values[i].is(o.values[i]) && !same(values[i].ptr(), o.values[i].ptr())) return false;
    }
    return true;
  }
};

// Lists and dicts that a function changes while it is traced are its results, not its arguments.
struct Containers {
  std::vector<py::object> objects, contents;

  void add(PyObject* o) {
    objects.push_back(py::reinterpret_borrow<py::object>(o));
    contents.push_back(py::reinterpret_steal<py::object>(
        PyDict_CheckExact(o) ? PyDict_Copy(o) : PySequence_List(o)));
  }
  bool has(PyObject* o) const {
    return std::any_of(objects.begin(), objects.end(),
                       [&](const py::object& c) { return c.ptr() == o; });
  }
  bool changed(size_t i) const {
    PyObject *now = objects[i].ptr(), *then = contents[i].ptr();
    if (PyObject_Size(now) != PyObject_Size(then)) return true;
    if (PyDict_CheckExact(now)) {
      PyObject *key, *value;
      for (Py_ssize_t at = 0; PyDict_Next(now, &at, &key, &value);) {
        if (PyDict_GetItemWithError(then, key) != value) return true;
      }
      return false;
    }
    for (Py_ssize_t k = 0; k < PyList_GET_SIZE(now); ++k) {
      if (PyList_GET_ITEM(now, k) != PyList_GET_ITEM(then, k)) return true;
    }
    return false;
  }
};

class AroundFinder {
 public:
  explicit AroundFinder(const Containers& results) : results_(results) {}
  // The lists and dicts that were looked into, for find() with `keep`.
  Containers looked_into;
  // Something lies deeper, or is larger, than is watched.
  bool limited() const { return limited_; }

  Around find(PyObject* fn, const Tree& arguments, bool keep = false) {
    keep_ = keep;
    visit(fn);
    visit_cells(arguments);
    return std::move(found_);
  }

 private:
  static constexpr size_t kMaxFunctions = 32, kMaxValues = 1000, kMaxItems = 256, kMaxVisits = 4000;
  static constexpr int kMaxDepth = 4;

  static bool is_plain(PyObject* o) {
    return o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) ||
           PyUnicode_CheckExact(o) || PyBytes_CheckExact(o);
  }
  void visit(PyObject* o, int depth = 0) {
    if (!o) return;
    if (depth > kMaxDepth || ++visits_ > kMaxVisits) {
      limited_ = limited_ || !is_plain(o);
      return;
    }
    if (is_parameter(o)) {
      const py::object p = py::reinterpret_borrow<py::object>(o);
      found_.cells.push_back(p);
      add_value(p.attr("requires_grad").ptr());
    } else if (is_tensor(o)) {
      found_.tensors.push_back(exact_tensor(o));
    } else if (is_plain(o)) {
      add_value(o);
    } else if (PyMethod_Check(o)) {
      visit(PyMethod_GET_SELF(o), depth);
      visit(PyMethod_GET_FUNCTION(o), depth);
    } else if (PyFunction_Check(o)) {
      visit_function(o);
    } else if (PyList_CheckExact(o) || PyTuple_CheckExact(o)) {
      if (PyList_CheckExact(o) && !look_into(o)) return;
      const py::tuple items = py::reinterpret_steal<py::tuple>(PySequence_Tuple(o));
      add_value(py::int_(items.size()).ptr());
      limited_ = limited_ || items.size() > kMaxItems;
      if (items.size() > kMaxItems) return;
      for (py::handle item : items) visit(item.ptr(), depth + 1);
    } else if (PyDict_CheckExact(o)) {
      if (!look_into(o)) return;
      limited_ = limited_ || static_cast<size_t>(PyDict_Size(o)) > kMaxItems;
      if (static_cast<size_t>(PyDict_Size(o)) > kMaxItems) return;
      const py::list items = py::reinterpret_steal<py::list>(PyDict_Items(o));
      for (py::handle item : items) visit(item.ptr(), depth + 1);
    } else if (py::object version = cell_version(o)) {
      visit_cell(version);
    } else {
      visit_attributes(o, depth);
    }
  }
  bool look_into(PyObject* o) {
    if (results_.has(o)) return false;
    if (keep_ && !looked_into.has(o)) looked_into.add(o);
    return true;
  }
  void add_value(PyObject* o) {
    if (found_.values.size() < kMaxValues) {
      found_.values.push_back(py::reinterpret_borrow<py::object>(o));
    }
  }
  // The Cell itself by its version; what its constructs read, and what it holds that may change
  // without the Cell's knowledge.
  void visit_cell(const py::object& version) {
    found_.cells.push_back(version);
    for (py::handle o : py::reinterpret_borrow<py::tuple>(version.attr("around"))) visit(o.ptr());
  }
  void visit_cells(const Tree& t) {
    if (t.version) visit_cell(t.version);
    // A Cell's own compiled function gets the version in place of the Cell.
    if (t.kind == Tree::Kind::kStatic && is_cell_version(t.value)) visit_cell(t.value);
    for (const Tree& child : t.children) visit_cells(child);
  }
  // Of a plain object or module, the attributes that the function names; of one that a Cell holds,
  // all.
  void visit_attributes(PyObject* o, int depth) {
    if (PyType_Check(o)) return;
    PyObject** dict = _PyObject_GetDictPtr(o);
    if (!dict || !*dict) return;
    const bool module = PyModule_Check(o);
    if (!names_) {
      if (!module) visit(*dict, depth + 1);
      return;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names_); ++i) {
      PyObject* item = PyDict_GetItemWithError(*dict, PyTuple_GET_ITEM(names_, i));
      if (item && (!module || is_plain(item) || is_tensor(item))) visit(item, depth + 1);
    }
  }
  void visit_function(PyObject* f) {
    for (PyObject* g : seen_) {
      if (f == g) return;
    }
    limited_ = limited_ || seen_.size() == kMaxFunctions;
    if (seen_.size() == kMaxFunctions) return;
    seen_.push_back(f);
    PyObject* names = reinterpret_cast<PyCodeObject*>(PyFunction_GetCode(f))->co_names;
    ScopedValue<PyObject*> named(names_, names);
    if (PyObject* closure = PyFunction_GetClosure(f)) {
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(closure); ++i) {
        visit(PyCell_GET(PyTuple_GET_ITEM(closure, i)));
      }
    }
    PyObject* globals = PyFunction_GetGlobals(f);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); ++i) {
      visit(PyDict_GetItemWithError(globals, PyTuple_GET_ITEM(names, i)));
    }
  }
  const Containers& results_;
  bool keep_ = false, limited_ = false;
  Around found_;
  std::vector<PyObject*> seen_;
  PyObject* names_ = nullptr;  // of the function at hand
  size_t visits_ = 0;
};

// A traced and compiled Python function.
class JitFunction {
 public:
  JitFunction(py::function fn, const std::string& passes_off, const std::string& remat)
      : fn_(std::move(fn)) {
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
    const graph::Variant variant = find_variant(args, kwargs, &in);
    py::gil_scoped_release release;
    std::lock_guard lock(mutex_);
    graph::Session& session = compile_for(in, variant);
    std::optional<py::gil_scoped_acquire> states;
    if (!session.program().graph->states.empty()) states.emplace();
    return graph::explain(*compiled_, in, {}, variant);
  }
  std::string graph_text() { return graph::print(*compiled_->session().program().graph); }
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
  py::function function() const { return fn_; }

 private:
  static constexpr size_t kMaxVariants = 64;
  // One way of calling: all that is no tensor.
  struct Call {
    graph::Variant variant;
    std::shared_ptr<const Tree> arguments;  // (args, kwargs)
    std::shared_ptr<const Around> around;
  };

  py::object run(const py::args& args, const py::kwargs& kwargs, bool only_prepare) {
    std::vector<Tensor> in, out;
    const graph::Variant variant = find_variant(args, kwargs, &in);
    std::shared_ptr<const Tree> results;
    {
      // Nobody waits for the lock while holding the interpreter's: a trace needs that one too.
      py::gil_scoped_release release;
      std::lock_guard lock(mutex_);
      graph::Session& session = compile_for(in, variant);
      results = std::static_pointer_cast<const Tree>(session.note);
      // States are shared with eager calls, which hold the interpreter's lock.
      std::optional<py::gil_scoped_acquire> states;
      if (!session.program().graph->states.empty()) states.emplace();
      if (!only_prepare) out = (*compiled_)(in, variant);
    }
    const Tensor* next = out.data();
    if (only_prepare) return py::none();
    return unflatten(*results, &next);
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

  graph::Variant find_variant(const py::args& args, const py::kwargs& kwargs,
                              std::vector<Tensor>* in) {
    Tree tree = flatten(py::make_tuple(args, kwargs), Leaves::kAny,
                        cat("an argument of the traced function ", name_), in);
    AroundFinder finder(results_);
    Around around = finder.find(fn_.ptr(), tree);
    if (finder.limited() && !std::exchange(warned_, true)) {
      log_warning(cat(name_,
                      " reads more around it than is watched: changes of deeply nested or "
                      "very large objects are not seen; pass them as arguments"));
    }
    for (auto it = calls_.begin(); it != calls_.end(); ++it) {
      if (!(*it->around == around) || !(*it->arguments == tree)) continue;
      calls_.splice(calls_.begin(), calls_, it);
      return it->variant;
    }
    std::string reason = tree.children[0].text();
    if (!calls_.empty() && *calls_.front().arguments == tree)
      reason += " with other tensors, Cells or values around";
    calls_.push_front(
        {{next_id_++, std::move(reason)}, share(std::move(tree)), share(std::move(around))});
    if (calls_.size() > kMaxVariants) calls_.pop_back();
    return calls_.front().variant;
  }

  std::vector<Tensor> run_python(const std::vector<Tensor>& in) {
    py::gil_scoped_acquire gil;
    std::shared_ptr<const Tree> tree;
    Call* call = nullptr;
    for (Call& c : calls_) {
      if (c.variant.id == tracing_) call = &c;
    }
    if (call) tree = call->arguments;
    if (!tree) throw_error(ErrorCode::kRuntime, "too many calls of this function at a time");
    const Tensor* next = in.data();
    const py::tuple both = unflatten(*tree, &next);
    AroundFinder before(results_);
    before.find(fn_.ptr(), *tree, /*keep=*/true);
    py::object result = fn_(*py::tuple(both[0]), **py::dict(both[1]));
    std::vector<Tensor> out;
    Tree results =
        flatten(result, Leaves::kPlain, cat("the result of the traced function ", name_), &out);
    forget_results(before.looked_into, *tree);
    traced_ = share(std::move(results));
    return out;
  }

  // What the function itself changed is no part of its key.
  void forget_results(const Containers& before, const Tree& tree) {
    bool any = false;
    for (size_t i = 0; i < before.objects.size(); ++i) {
      if (!before.changed(i)) continue;
      results_.add(before.objects[i].ptr());
      any = true;
    }
    if (!any) return;
    for (Call& c : calls_) {
      if (c.variant.id == tracing_) c.around = share(AroundFinder(results_).find(fn_.ptr(), tree));
    }
  }

  py::function fn_;
  std::string name_;
  bool warned_ = false;
  Containers results_;
  std::unique_ptr<graph::Compiled> compiled_;
  std::mutex mutex_;
  // Guarded by the interpreter's lock.
  std::list<Call> calls_;  // latest used first
  uint64_t next_id_ = 1;
  // Guarded by mutex_.
  uint64_t tracing_ = 0;
  std::shared_ptr<const Tree> traced_;
};

}  // namespace

void add_transforms(py::module_& m) {
  m.def("_set_cell_type", &set_cell_type);
  m.def("recompute", &recompute, "recompute(fn, args, kwargs)");
  m.def("value_and_grad", &value_and_grad,
        "value_and_grad(fn, argnums, weights, has_aux, args, kwargs)");
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
  py::class_<JitFunction>(m, "JitFunction", py::dynamic_attr())
      .def(py::init<py::function, const std::string&, const std::string&>(), py::arg("fn"),
           py::arg("passes_off") = "", py::arg("remat") = "off")
      .def("__call__", &JitFunction::operator())
      .def("prepare", &JitFunction::prepare, "Compiles for such arguments without running.")
      .def("explain", &JitFunction::explain,
           "What the compiler made of a call with such arguments, and where its time goes: an\n"
           "Explanation. Runs it a few times and leaves parameters and other states as they are.")
      .def("__get__",
           [](py::object self, py::object instance, py::object) -> py::object {
             if (instance.is_none()) return self;
             return py::reinterpret_steal<py::object>(
                 checked(PyMethod_New(self.ptr(), instance.ptr())));
           })
      .def_property_readonly("kernels", &JitFunction::kernels, "Steps of the graph that ran last.")
      .def_property_readonly("compilations", &JitFunction::compilations, "Graphs compiled so far.")
      .def_property_readonly("__wrapped__", &JitFunction::function)
      .def("origins", &JitFunction::origins,
           "Op, file:line and Cell of every node of the latest graph.")
      .def("graph_text", &JitFunction::graph_text, "The latest graph.");
}

}  // namespace rutile::python
