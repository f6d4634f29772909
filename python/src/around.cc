// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/around.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "rutile/ops/call.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/errors.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

constexpr size_t kMaxFunctions = 64, kMaxValues = 1000, kMaxItems = 256, kMaxVisits = 4000;
constexpr int kMaxDepth = 4;
constexpr Py_ssize_t kMaxArrayBytes = 64 << 10;

bool same(PyObject* a, PyObject* b) {
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) {  // 0.0 and -0.0 are two values, NaN is one
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof(x)) == 0;
  }
  const int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  if (equal < 0) PyErr_Clear();
  return equal > 0;
}

bool is_plain(PyObject* o) {
  return o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) ||
         PyUnicode_CheckExact(o) || PyBytes_CheckExact(o);
}

bool is_array(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_CheckExact(o); }

// "__doc__" and the like; a call runs "__call__".
bool is_dunder(PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (!text) PyErr_Clear();
  return !text || (std::strncmp(text, "__", 2) == 0 && std::strcmp(text, "__call__") != 0);
}

std::string_view text_of(PyObject* dict, const char* key) {
  PyObject* text = PyDict_GetItemString(dict, key);
  const char* utf8 = text && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : nullptr;
  if (!utf8) PyErr_Clear();
  return utf8 ? utf8 : "";
}

// Never freed. Found when the module is made: an import gives up the interpreter's lock, which no
// initialiser of a static in a function may do.
const std::string* standard_library = nullptr;

// Ours, NumPy's or Python's own, by the globals of the module: what it reads does not change.
bool is_library(PyObject* globals) {
  const std::string_view name = text_of(globals, "__name__");
  const std::string_view top = name.substr(0, name.find('.'));
  if (top == "rutile" || top == "numpy" || top == "builtins") return true;
  const std::string_view file = text_of(globals, "__file__");
  return file.starts_with(*standard_library) && file.find("-packages/") == std::string_view::npos;
}

}  // namespace

void find_standard_library() {
  standard_library = new std::string(
      py::str(py::module_::import("sysconfig").attr("get_path")("stdlib")).cast<std::string>());
}

bool Around::operator==(const Around& o) const {
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

std::string Around::difference(const Around& before) const {
  const auto text = [](const py::object& o) {
    constexpr size_t kLongest = 60;
    std::string whole = Py_TYPE(o.ptr())->tp_name;
    try {
      whole = py::repr(o).cast<std::string>();
    } catch (py::error_already_set&) {  // a user's own may fail
    }
    return whole.size() <= kLongest ? whole : whole.substr(0, kLongest) + "...";
  };
  for (size_t i = 0; i < std::min(cells.size(), before.cells.size()); ++i) {
    if (!cells[i].is(before.cells[i]))
      return is_cell_version(cells[i]) ? text(cells[i]) : "another Parameter around";
  }
  if (values.size() == before.values.size()) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].is(before.values[i]) || same(values[i].ptr(), before.values[i].ptr())) continue;
      return cat("a value around, ", text(before.values[i]), " before, ", text(values[i]), " now");
    }
  }
  return tensors.size() == before.tensors.size() && cells.size() == before.cells.size()
             ? "another tensor or value around"
             : "other tensors, Cells or values around";
}

void Containers::add(PyObject* o) {
  objects.push_back(py::reinterpret_borrow<py::object>(o));
  contents.push_back(py::reinterpret_steal<py::object>(PyDict_CheckExact(o) ? PyDict_Copy(o)
                                                                            : PySequence_List(o)));
}

bool Containers::has(PyObject* o) const {
  return std::any_of(objects.begin(), objects.end(),
                     [&](const py::object& c) { return c.ptr() == o; });
}

bool Containers::changed(size_t i) const {
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

Around AroundFinder::find(PyObject* fn, const Tree& arguments, bool keep) {
  keep_ = keep;
  visit(fn);
  visit_cells(arguments);
  return std::move(found_);
}

void AroundFinder::visit(PyObject* o, int depth) {
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
    visit_function(PyMethod_GET_FUNCTION(o), PyMethod_GET_SELF(o), depth);
  } else if (PyFunction_Check(o)) {
    visit_function(o, nullptr, depth);
  } else if (PyList_CheckExact(o) || PyTuple_CheckExact(o) || PyDict_CheckExact(o)) {
    visit_items(o, depth);
  } else if (PyAnySet_Check(o)) {
    visit_set(o);
  } else if (is_array(o)) {
    visit_array(o);
  } else if (py::object version = cell_version(o)) {
    visit_cell(version);
  } else if (PyModule_Check(o)) {
    visit_module(o, depth);
  } else if (PyType_Check(o)) {
    visit_class(reinterpret_cast<PyTypeObject*>(o), depth);
  } else if (std::strcmp(Py_TYPE(o)->tp_name, "functools.partial") == 0) {
    for (const char* part : {"func", "args", "keywords"}) {
      visit(py::handle(o).attr(part).cast<py::object>().ptr(), depth);
    }
  } else {
    visit_object(o, depth);
  }
}

void AroundFinder::visit_items(PyObject* o, int depth) {
  if (!PyTuple_CheckExact(o) && !look_into(o)) return;
  const size_t size = static_cast<size_t>(PyObject_Size(o));
  add_value(py::int_(size).ptr());
  limited_ = limited_ || size > kMaxItems;
  if (size > kMaxItems) return;
  const py::list items =
      py::reinterpret_steal<py::list>(PyDict_CheckExact(o) ? PyDict_Items(o) : PySequence_List(o));
  for (py::handle item : items) visit(item.ptr(), depth + 1);
}

// A copy: the set itself would always be equal to itself.
void AroundFinder::visit_set(PyObject* o) {
  limited_ = limited_ || static_cast<size_t>(PySet_GET_SIZE(o)) > kMaxItems;
  if (static_cast<size_t>(PySet_GET_SIZE(o)) > kMaxItems) return;
  add_value(py::reinterpret_steal<py::object>(checked(PyFrozenSet_New(o))).ptr());
}

// NumPy's arrays and the like, by content.
void AroundFinder::visit_array(PyObject* o) {
  Py_buffer view;
  if (PyObject_GetBuffer(o, &view, PyBUF_FORMAT | PyBUF_ND | PyBUF_STRIDES) != 0) {
    PyErr_Clear();
    limited_ = true;
    return;
  }
  limited_ = limited_ || view.len > kMaxArrayBytes;
  if (view.len <= kMaxArrayBytes) {
    const py::object bytes =
        py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, view.len));
    if (bytes && PyBuffer_ToContiguous(PyBytes_AS_STRING(bytes.ptr()), &view, view.len, 'C') == 0) {
      add_value(bytes.ptr());
      add_value(py::str(view.format ? view.format : "B").ptr());
      for (int i = 0; i < view.ndim; ++i) add_value(py::int_(view.shape[i]).ptr());
    } else {
      PyErr_Clear();
      limited_ = true;
    }
  }
  PyBuffer_Release(&view);
}

bool AroundFinder::look_into(PyObject* o) {
  if (results_.has(o)) return false;
  if (keep_ && !looked_into.has(o)) looked_into.add(o);
  return true;
}

void AroundFinder::add_value(PyObject* o) {
  limited_ = limited_ || found_.values.size() >= kMaxValues;
  if (found_.values.size() < kMaxValues) {
    found_.values.push_back(py::reinterpret_borrow<py::object>(o));
  }
}

// The Cell itself by its version; what its methods read, and what it holds that may change without
// the Cell's knowledge.
void AroundFinder::visit_cell(const py::object& version) {
  found_.cells.push_back(version);
  ScopedValue<PyObject*> all(names_, nullptr);
  for (py::handle o : py::reinterpret_borrow<py::tuple>(version.attr("around"))) visit(o.ptr());
}

void AroundFinder::visit_cells(const Tree& t) {
  if (t.version) visit_cell(t.version);
  // A Cell's own compiled function gets the version in place of the Cell.
  if (t.kind == Tree::Kind::kStatic && is_cell_version(t.value)) visit_cell(t.value);
  for (const Tree& child : t.children) visit_cells(child);
}

// What the function at hand names of it; of a library, values alone.
void AroundFinder::visit_module(PyObject* module, int depth) {
  if (!names_) return;
  PyObject* dict = PyModule_GetDict(module);
  const bool library = is_library(dict);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names_); ++i) {
    PyObject* item = PyDict_GetItemWithError(dict, PyTuple_GET_ITEM(names_, i));
    if (!item || PyModule_Check(item)) continue;
    if (!library || is_plain(item) || is_tensor(item)) visit(item, depth + 1);
  }
}

// Attributes that the function at hand names; without one, all that stands in the class.
void AroundFinder::visit_class(PyTypeObject* type, int depth) {
  if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || !type->tp_dict) return;
  if (!names_) return visit_members(type, reinterpret_cast<PyObject*>(type), depth);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names_); ++i) {
    PyObject* name = PyTuple_GET_ITEM(names_, i);
    visit_attribute(reinterpret_cast<PyObject*>(type), _PyType_Lookup(type, name), depth + 1);
  }
}

// All that one class has for `o`: values, slots, and what its methods read.
void AroundFinder::visit_members(PyTypeObject* type, PyObject* o, int depth) {
  const py::list items = py::reinterpret_steal<py::list>(PyDict_Items(type->tp_dict));
  for (py::handle item : items) {
    PyObject *name = PyTuple_GET_ITEM(item.ptr(), 0), *value = PyTuple_GET_ITEM(item.ptr(), 1);
    if (!is_dunder(name)) visit_attribute(o, value, depth + 1);
  }
}

// Of a plain object the attributes that the function at hand names, its own and its class's; of one
// that a Cell holds all of its own.
void AroundFinder::visit_object(PyObject* o, int depth) {
  PyObject** at = _PyObject_GetDictPtr(o);
  PyObject* dict = at ? *at : nullptr;
  if (!names_) {
    if (dict) visit(dict, depth + 1);
    PyObject* bases = Py_TYPE(o)->tp_mro;
    for (Py_ssize_t i = 0; bases && i < PyTuple_GET_SIZE(bases); ++i) {
      auto* type = reinterpret_cast<PyTypeObject*>(PyTuple_GET_ITEM(bases, i));
      if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) visit_members(type, o, depth);
    }
    return;
  }
  const bool of_user = Py_TYPE(o)->tp_flags & Py_TPFLAGS_HEAPTYPE;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names_); ++i) {
    PyObject* name = PyTuple_GET_ITEM(names_, i);
    PyObject* item = dict ? PyDict_GetItemWithError(dict, name) : nullptr;
    if (item) {
      visit(item, depth + 1);
    } else if (of_user) {
      visit_attribute(o, _PyType_Lookup(Py_TYPE(o), name), depth + 1);
    }
  }
  static PyObject* const call = PyUnicode_InternFromString("__call__");
  if (of_user) visit_attribute(o, _PyType_Lookup(Py_TYPE(o), call), depth + 1);
}

// What a class gives for an attribute of `o`, without running any of the user's code.
void AroundFinder::visit_attribute(PyObject* o, PyObject* found, int depth) {
  if (!found) return;
  const auto of = [&](const char* part) {
    py::object f = py::reinterpret_steal<py::object>(PyObject_GetAttrString(found, part));
    if (!f) PyErr_Clear();
    if (f && PyFunction_Check(f.ptr())) visit_function(f.ptr(), o, depth);
  };
  if (PyFunction_Check(found)) {
    visit_function(found, o, depth);
  } else if (Py_TYPE(found) == &PyProperty_Type) {
    of("fget");
  } else if (Py_TYPE(found) == &PyStaticMethod_Type || Py_TYPE(found) == &PyClassMethod_Type) {
    of("__func__");
  } else if (Py_TYPE(found) == &PyMemberDescr_Type) {
    if (PyType_Check(o)) return;
    const py::object value = py::reinterpret_steal<py::object>(
        Py_TYPE(found)->tp_descr_get(found, o, reinterpret_cast<PyObject*>(Py_TYPE(o))));
    if (!value) PyErr_Clear();
    visit(value.ptr(), depth);
  } else if (!Py_TYPE(found)->tp_descr_get) {
    visit(found, depth);
  }
}

void AroundFinder::visit_function(PyObject* f, PyObject* self, int depth) {
  const std::pair<PyObject*, PyObject*> at{f, self};
  if (std::find(seen_.begin(), seen_.end(), at) != seen_.end()) return;
  PyObject* globals = PyFunction_GetGlobals(f);
  if (is_library(globals)) return;
  limited_ = limited_ || seen_.size() == kMaxFunctions;
  if (seen_.size() == kMaxFunctions) return;
  seen_.push_back(at);
  PyObject* names = reinterpret_cast<PyCodeObject*>(PyFunction_GetCode(f))->co_names;
  ScopedValue<PyObject*> named(names_, names);
  if (PyObject* closure = PyFunction_GetClosure(f)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(closure); ++i) {
      visit(PyCell_GET(PyTuple_GET_ITEM(closure, i)));
    }
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); ++i) {
    visit(PyDict_GetItemWithError(globals, PyTuple_GET_ITEM(names, i)));
  }
  if (self && !is_tensor(self) && !is_cell(self)) visit(self, depth);
}

}  // namespace rutile::python
