// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/jit.h"

#include "rutile/python/src/convert.h"
#include "rutile/python/src/jit_function.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

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
  m.def("set_strict_syntax", set_strict_syntax);
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
