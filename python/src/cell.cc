// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/cell.h"

#include <string_view>

#include "rutile/graph/trace/tracer.h"
#include "rutile/ops/call.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/guards.h"

namespace rutile::python {

namespace {

std::string_view text_of(PyObject* o) {
  const char* text = o && PyUnicode_Check(o) ? PyUnicode_AsUTF8(o) : nullptr;
  return text ? text : "";
}

// The argument that an error of Python's own is about: an attribute that it has not, or an operand
// that is None or text. n where it is another error.
Py_ssize_t wrong_argument(PyObject* error, PyObject* const* args, Py_ssize_t n) {
  Py_ssize_t i = 0;
  if (Py_IS_TYPE(error, reinterpret_cast<PyTypeObject*>(PyExc_AttributeError))) {
    PyObject* at = PyObject_GetAttrString(error, "obj");
    while (i < n && (args[i] != at || is_tensor(args[i]))) ++i;
    Py_XDECREF(at);
  } else if (Py_IS_TYPE(error, reinterpret_cast<PyTypeObject*>(PyExc_TypeError))) {
    PyObject* text = PyObject_Str(error);
    if (text_of(text).find(" operand type") == std::string_view::npos) i = n;
    while (i < n && args[i] != Py_None && !PyUnicode_Check(args[i])) ++i;
    Py_XDECREF(text);
  } else {
    i = n;
  }
  PyErr_Clear();
  return i;
}

// Whether the code that raised is this package's.
bool is_raised_here(PyObject* trace) {
  if (!trace) return false;
  auto* last = reinterpret_cast<PyTracebackObject*>(trace);
  while (last->tb_next) last = last->tb_next;
  PyObject* globals =
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(last->tb_frame), "f_globals");
  const std::string_view name =
      globals ? text_of(PyDict_GetItemString(globals, "__name__")) : std::string_view();
  const bool ours = name == "rutile" || name.starts_with("rutile.");
  Py_XDECREF(globals);
  PyErr_Clear();
  return ours;
}

// Says of a layer of this package that it got something else than a Tensor, where that is what
// Python's error means. What a user's code raises stays, also inside of such a layer.
void explain_argument(PyObject* fn, PyObject* const* args, Py_ssize_t n) {
  if (!PyMethod_Check(fn)) return;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  PyTypeObject* layer = Py_TYPE(PyMethod_GET_SELF(fn));
  PyObject* module = PyObject_GetAttrString(reinterpret_cast<PyObject*>(layer), "__module__");
  const std::string_view home = text_of(module);
  const bool ours = home.starts_with("rutile.nn") || home.starts_with("rutile.mint.nn");
  Py_XDECREF(module);
  const Py_ssize_t which = ours && is_raised_here(trace) ? wrong_argument(value, args, n) : n;
  if (which == n) {
    PyErr_Restore(type, value, trace);
    return;
  }
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  throw_error(
      ErrorCode::kType,
      cat("[", layer->tp_name, "] takes Tensors, got ", Py_TYPE(args[which])->tp_name,
          " as argument ", which, args[which] == Py_None ? "" : "; rutile.Tensor(value) makes one",
          " | in Cell ", cell_path(call_modes().cell)));
}

// fn(*args, **kwargs) inside the Cell `name`; precision: None leaves mixed precision as it is, a
// low-precision dtype turns it on, another dtype off.
PyObject* in_cell(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  return guarded([&]() -> PyObject* {
    Py_ssize_t size = 0;
    const char* name = n >= 3 ? PyUnicode_AsUTF8AndSize(args[0], &size) : nullptr;
    if (!name) {
      if (PyErr_Occurred()) throw_builtin_error();
      throw_error(ErrorCode::kType, "in_cell(name, precision, fn, ...)");
    }
    CallModes& modes = call_modes();
    AmpState amp = modes.amp;
    if (args[1] != Py_None) {
      const DType t = dtype_from(args[1]);
      amp = is_low_precision(t) ? AmpState{true, t} : AmpState{};
    }
    const CellScope scope{std::string_view(name, size), modes.cell};
    ScopedValue<const CellScope*> inside(modes.cell, &scope);
    ScopedValue<AmpState> precision(modes.amp, amp);
    PyObject* out = PyObject_Vectorcall(args[2], args + 3, n - 3, names);
    if (!out) explain_argument(args[2], args + 3, n - 3);
    return checked(out);
  });
}

PyObject* inside_transform(PyObject*, PyObject*) {
  return PyBool_FromLong(call_modes().trace != nullptr || call_modes().tape != nullptr);
}

PyObject* cells_edition(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLongLong(python::cells_edition());
}

PyObject* change_cells(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLongLong(python::change_cells());
}

PyObject* cell_path_now(PyObject*, PyObject*) {
  return guarded([] { return PyUnicode_FromString(cell_path(call_modes().cell).c_str()); });
}

// fn() as the nodes of an optimizer.
PyObject* in_optimizer(PyObject*, PyObject* fn) {
  return guarded([&] {
    ScopedValue<graph::Phase> phase(graph::current_phase(), graph::Phase::kOptimizer);
    ScopedValue<AmpState> no_amp(call_modes().amp, AmpState{});
    ScopedValue<TapeHook*> no_tape(call_modes().tape, nullptr);
    return checked(PyObject_CallNoArgs(fn));
  });
}

}  // namespace

bool add_cell_functions(PyObject* module) {
  static PyMethodDef functions[] = {
      {"in_cell", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(in_cell)),
       METH_FASTCALL | METH_KEYWORDS, "in_cell(name, precision, fn, *args, **kwargs)"},
      {"in_optimizer", in_optimizer, METH_O,
       "fn() without gradients and mixed precision, as an optimizer's part of a graph."},
      {"inside_transform", inside_transform, METH_NOARGS, "A trace or a gradient is running."},
      {"cells_edition", cells_edition, METH_NOARGS,
       "A number that changes with whatever compiled code of Cells depends on: change_cells(), "
       "requires_grad of any Parameter."},
      {"change_cells", change_cells, METH_NOARGS,
       "Says that a Cell or a hook changed; a number that no other change got."},
      {"cell_path", cell_path_now, METH_NOARGS, "The path of the Cell being called."},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace rutile::python
