// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "rutile/ops/call.h"
#include "rutile/python/src/around.h"
#include "rutile/python/src/around_kinds.h"
#include "rutile/python/src/errors.h"
#include "rutile/python/src/py_tensor.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

constexpr size_t kMaxFunctions = 256, kMaxValues = 4000, kMaxVisits = 10000;
constexpr int kMaxDepth = 6, kMaxRounds = 8;
constexpr Py_ssize_t kMaxArrayBytes = 64 << 10;

// Never freed.
PyObject *environ_object = nullptr, *getenv_function = nullptr;

bool is_environment(PyObject* o) { return o == environ_object || o == getenv_function; }

bool is_array(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_CheckExact(o); }

py::list items_of(PyObject* o) {
  if (PyTuple_Check(o)) return py::reinterpret_steal<py::list>(PySequence_List(o));
  if (PyList_Check(o)) {
    return py::reinterpret_steal<py::list>(PyList_GetSlice(o, 0, PyList_GET_SIZE(o)));
  }
  // The order of an OrderedDict is its own.
  if (PyODict_CheckExact(o)) return py::list(py::handle(o).attr("items")());
  return py::reinterpret_steal<py::list>(PyDict_Check(o) ? PyDict_Items(o) : PySequence_List(o));
}

}  // namespace

void begin_around() {
  begin_names();
  begin_guards();
  begin_attributes();
  const py::module_ os = py::module_::import("os");
  environ_object = os.attr("environ").cast<py::object>().release().ptr();
  getenv_function = os.attr("getenv").cast<py::object>().release().ptr();
}

Around AroundFinder::find(PyObject* fn, const Tree& arguments, bool keep,
                          std::unique_ptr<Guards>* guards) {
  keep_ = keep;
  read_.begin();
  // Again where a function came to light whose names were not looked for so far.
  for (int round = 0; round < kMaxRounds; ++round) {
    found_ = {};
    if (guards) *guards = std::make_unique<Guards>(read_);
    guards_ = guards ? guards->get() : nullptr;
    holders = py::list();
    seen_.clear();
    visits_ = functions_ = 0;
    limited_ = grown_ = false;
    visit(fn);
    visit_arguments(arguments);
    if (keep_) {
      Around found = found_;
      ScopedValue<bool> limited(limited_, limited_);
      for (const py::object& o : found.cells) {
        if (is_cell_version(o)) visit_held(o);
      }
      found_ = std::move(found);
    }
    if (!grown_) break;
  }
  limited_ = limited_ || grown_;
  if (grown_) unknown();
  return std::move(found_);
}

// What is only written is no part of what is read, and may be changed.
void AroundFinder::visit_named(PyObject* name, PyObject* o, int depth) {
  if (!o) return;
  ScopedValue<PyObject*> label(label_, name);
  if (!read_.only_written(name, o)) return visit(o, depth);
  if (keep_ && is_container(o))
    holders.append(py::make_tuple(py::handle(name), py::handle(o), true));
}

void AroundFinder::visit(PyObject* o, int depth) {
  if (!o) return;
  if (keep_ && !is_plain(o)) {
    holders.append(py::make_tuple(py::handle(label_), py::handle(o), false));
  }
  if (depth > kMaxDepth || ++visits_ > kMaxVisits) {
    limited_ = limited_ || !is_plain(o);
    return;
  }
  if (is_environment(o)) {
    unknown();
    visit_environment();
  } else if (is_parameter(o)) {
    const py::object p = py::reinterpret_borrow<py::object>(o);
    if (Py_TYPE(o) != parameter_type) unknown();  // requires_grad may be the user's
    found_.cells.push_back(p);
    add_value(p.attr("requires_grad").ptr());
  } else if (is_tensor(o)) {
    if (guards_) guards_->tensor(o);
    found_.tensors.push_back(exact_tensor(o));
  } else if (is_plain(o)) {
    add_value(o);
  } else if (PyMethod_Check(o)) {
    if (guards_) guards_->method(o);
    visit_function(PyMethod_GET_FUNCTION(o), PyMethod_GET_SELF(o), depth);
  } else if (PyFunction_Check(o)) {
    visit_function(o, nullptr, depth);
  } else if (PyList_Check(o) || PyTuple_Check(o) || PyDict_Check(o)) {
    visit_items(o, depth);
  } else if (PyAnySet_Check(o)) {
    visit_set(o);
  } else if (is_array(o)) {
    visit_array(o, depth);
  } else if (py::object version = cell_version(o)) {
    if (guards_) guards_->cell(o, version.ptr());
    visit_cell(version);
  } else if (PyModule_Check(o)) {
    visit_module(o, depth);
  } else if (PyType_Check(o)) {
    visit_class(reinterpret_cast<PyTypeObject*>(o), depth);
  } else if (!visit_special(o, depth)) {
    visit_object(o, depth);
  }
}

// What keeps what it reads where no attribute shows it.
bool AroundFinder::visit_special(PyObject* o, int depth) {
  const auto of = [&](std::initializer_list<const char*> parts) {
    if (guards_) guards_->type_of(o);
    for (const char* part : parts) {
      const py::object value = py::handle(o).attr(part);
      if (guards_) guards_->attribute(o, part, value.ptr());
      visit(value.ptr(), depth);
    }
  };
  const std::string_view type = Py_TYPE(o)->tp_name;
  if (type == "functools.partial") {
    of({"func", "args", "keywords"});
  } else if (type == "rutile._rutile.JitFunction" || type == "functools._lru_cache_wrapper") {
    of({"__wrapped__"});
    visit_dict_of(o, depth);
  } else if (type == "collections.deque") {
    visit_items(o, depth);
  } else if (type == "dict_keys" || type == "dict_values" || type == "dict_items") {
    visit(py::handle(o).attr("mapping").ptr(), depth);
  } else if (Py_TYPE(o) == &PyDictProxy_Type) {
    unknown();
    visit(py::dict(py::reinterpret_borrow<py::object>(o)).ptr(), depth);
  } else if (PyWeakref_CheckRefExact(o)) {
    if (guards_) guards_->weak(o);
    visit(PyWeakref_GET_OBJECT(o), depth);
  } else if (PyContextVar_CheckExact(o)) {
    unknown();
    PyObject* value = nullptr;
    if (PyContextVar_Get(o, nullptr, &value) != 0) PyErr_Clear();
    visit(py::reinterpret_steal<py::object>(value).ptr(), depth);
  } else if (type == "_thread._local") {
    unknown();
    const py::object own = py::handle(o).attr("__dict__");
    add_object(o);
    visit_own(o, own.ptr(), depth);
  } else if (type == "operator.attrgetter") {
    unknown();
    const py::tuple asked = py::handle(o).attr("__reduce__")().cast<py::tuple>()[1];
    const size_t before = read_.size();
    for (py::handle path : asked) {
      for (py::handle name : path.attr("split")(".")) read_.add(name.ptr());
    }
    grown_ = grown_ || read_.size() != before;
    add_value(asked.ptr());
  } else {
    return false;
  }
  return true;
}

void AroundFinder::visit_function(PyObject* f, PyObject* self, int depth) {
  if (self && !is_tensor(self) && !is_cell(self)) visit(self, depth);
  if (!seen_.try_emplace(f, 0).second) return;
  limited_ = limited_ || functions_ == kMaxFunctions;
  if (functions_++ >= kMaxFunctions) return;
  PyObject *code = PyFunction_GetCode(f), *globals = PyFunction_GetGlobals(f);
  add_value(code);
  if (guards_) guards_->alive(f);
  if (guards_) guards_->code_of(f);
  PyObject* closure = PyFunction_GetClosure(f);
  const auto in_closure = [&](Py_ssize_t i, PyObject* name) {
    PyObject* const* at = &reinterpret_cast<PyCellObject*>(PyTuple_GET_ITEM(closure, i))->ob_ref;
    if (guards_ && !(name && read_.ignores(name))) guards_->slot(at, *at);
    return *at;
  };
  const Py_ssize_t cells = closure ? PyTuple_GET_SIZE(closure) : 0;
  if (is_library(globals)) {  // it may call a user's function: grad(fn)
    for (Py_ssize_t i = 0; i < cells; ++i) {
      PyObject* held = in_closure(i, nullptr);
      if (held && PyCallable_Check(held) && !PyType_Check(held)) visit(held);
    }
    // The functions of a functools.singledispatch.
    PyObject* own = reinterpret_cast<PyFunctionObject*>(f)->func_dict;
    PyObject* registry = own ? PyDict_GetItemString(own, "registry") : nullptr;
    if (registry && Py_TYPE(registry) == &PyDictProxy_Type) visit(registry, depth);
    return;
  }
  if (keep_) holders.append(py::make_tuple(py::handle(label_), py::handle(f), false));
  const NamesRead::Of& names = read_.of(code, &grown_);
  ScopedValue<PyObject*> named(names_, names.used.ptr());
  for (Py_ssize_t i = 0; i < cells; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names.free.ptr(), i);
    visit_named(name, in_closure(i, name));
  }
  const auto part = [&](PyObject*& at) {
    if (guards_) guards_->slot(&at, at);
    return at;
  };
  auto* of = reinterpret_cast<PyFunctionObject*>(f);
  visit(part(of->func_defaults));
  visit(part(of->func_kwdefaults));
  if (PyObject* own = part(of->func_dict)) visit_own(f, own, depth);
  for (py::handle name : names.globals) {
    PyObject* value = PyDict_GetItemWithError(globals, name.ptr());
    if (guards_) guards_->key(globals, name.ptr(), value);
    visit_named(name.ptr(), value);
  }
  if (names.imports) visit_imports(names.code, globals, depth);
}

// What import statements in a function give, if they have run so far.
void AroundFinder::visit_imports(const py::object& code, PyObject* globals, int depth) {
  unknown();
  const py::list modules =
      py::module_::import("rutile.nn._effects").attr("imported")(code, py::handle(globals));
  for (py::handle m : modules) visit(m.ptr(), depth);
}

void AroundFinder::visit_arguments(const Tree& t) {
  static PyObject* const none = PyTuple_New(0);
  if (t.version) {
    visit_cell(t.version);
  } else if (t.kind == Tree::Kind::kStatic) {
    // A Cell's own compiled function gets the version in place of the Cell.
    if (is_cell_version(t.value)) {
      visit_cell(t.value);
    } else if (!is_plain(t.value.ptr())) {
      ScopedValue<PyObject*> named(names_, none);
      visit(t.value.ptr());
    }
  }
  for (const Tree& child : t.children) visit_arguments(child);
}

// The Cell itself by its version; what its methods read, and what it holds that may change without
// the Cell's knowledge.
void AroundFinder::visit_cell(const py::object& version) {
  found_.cells.push_back(version);
  if (guards_) guards_->tuple_in(around_of(version));
  ScopedValue<PyObject*> all(names_, nullptr);
  PyObject* name = nullptr;  // stands before an attribute
  for (py::handle o : py::reinterpret_borrow<py::tuple>(version.attr("around"))) {
    if (PyUnicode_CheckExact(o.ptr())) {
      name = o.ptr();
    } else if (!name) {
      visit(o.ptr());
    } else if (PyUnicode_READ_CHAR(name, 0) != '_' || read_.uses(name)) {
      // It was read, if by code of which no names are known.
      read_.uses(name) ? visit_named(name, o.ptr()) : visit(o.ptr());
    }
  }
}

// What its Cells hold, whether it was read so far or not.
void AroundFinder::visit_held(const py::object& version) {
  ScopedValue<PyObject*> all(names_, nullptr);
  const py::tuple held = version.attr("held")();
  for (size_t i = 0; i + 1 < held.size(); i += 2) visit_named(held[i].ptr(), held[i + 1].ptr());
}

// What the function at hand names of it; of a library, values alone.
void AroundFinder::visit_module(PyObject* module, int depth) {
  if (!names_) return;
  PyObject* dict = PyModule_GetDict(module);
  if (guards_) guards_->alive(module);
  if (guards_) guards_->name_of(dict);
  const bool library = is_library(dict);
  const auto visit_item = [&](PyObject* name) {
    PyObject* item = PyDict_GetItemWithError(dict, name);
    if (guards_) guards_->key(dict, name, item, /*keep=*/library);
    if (!item || (library && PyModule_Check(item))) return;
    const bool value = is_plain(item) || is_tensor(item) || is_environment(item);
    if (!library || value) visit_named(name, item, depth + 1);
  };
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names_); ++i) visit_item(PyTuple_GET_ITEM(names_, i));
  if (read_.asked().empty()) return;  // without a copy in each call
  for (py::handle name : py::list(read_.asked())) visit_item(name.ptr());
}

// Of the environment the variables that functions name.
void AroundFinder::visit_environment() {
  const py::dict now(py::reinterpret_borrow<py::object>(environ_object));
  for (auto [name, value] : now) {
    if (!read_.uses(name.ptr())) continue;
    add_value(name.ptr());
    add_value(value.ptr());
  }
}

void AroundFinder::visit_items(PyObject* o, int depth) {
  const bool exact = PyList_CheckExact(o) || PyTuple_CheckExact(o) || PyDict_CheckExact(o);
  if (!PyTuple_Check(o) && seen(o, depth)) return;
  {
    const Py_ssize_t size = PyDict_Check(o) ? PyDict_Size(o) : PySequence_Size(o);
    add_value(py::int_(size).ptr());
    limited_ = limited_ || static_cast<size_t>(size) > kMaxItems;
    if (static_cast<size_t>(size) > kMaxItems) {
      unknown();
    } else {
      if (guards_) guards_->container(o);
      for (py::handle item : items_of(o)) {
        if (PyDict_Check(o)) {  // a pair
          visit(PyTuple_GET_ITEM(item.ptr(), 0), depth + 2);
          item = PyTuple_GET_ITEM(item.ptr(), 1);
        }
        visit(item.ptr(), depth + 1 + PyDict_Check(o));
      }
    }
  }
  if (exact) return;
  add_value(reinterpret_cast<PyObject*>(Py_TYPE(o)));
  visit_attributes(o, depth);
}

// A copy: the set itself would always be equal to itself.
void AroundFinder::visit_set(PyObject* o) {
  if (static_cast<size_t>(PySet_GET_SIZE(o)) > kMaxItems) {
    limited_ = true;
    return unknown();
  }
  if (guards_) guards_->set(o);
  add_value(py::reinterpret_steal<py::object>(checked(PyFrozenSet_New(o))).ptr());
}

// NumPy's arrays and the like, by content.
void AroundFinder::visit_array(PyObject* o, int depth) {
  Py_buffer view;
  if (PyObject_GetBuffer(o, &view, PyBUF_FORMAT | PyBUF_ND | PyBUF_STRIDES) != 0) {
    PyErr_Clear();
    limited_ = true;
    return unknown();
  }
  const bool objects = view.format && std::strchr(view.format, 'O');
  if (objects && PyObject_HasAttrString(o, "tolist")) {  // the bytes are addresses
    unknown();
    visit(py::handle(o).attr("tolist")().ptr(), depth);
  }
  if (view.len > kMaxArrayBytes) unknown();
  limited_ = limited_ || view.len > kMaxArrayBytes;
  if (view.len <= kMaxArrayBytes) {
    const py::object bytes =
        py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, view.len));
    if (bytes && PyBuffer_ToContiguous(PyBytes_AS_STRING(bytes.ptr()), &view, view.len, 'C') == 0) {
      if (guards_) guards_->buffer(o, view, bytes.ptr());
      add_value(bytes.ptr());
      add_value(py::str(view.format ? view.format : "B").ptr());
      for (int i = 0; i < view.ndim; ++i) add_value(py::int_(view.shape[i]).ptr());
    } else {
      PyErr_Clear();
      limited_ = true;
      unknown();
    }
  }
  PyBuffer_Release(&view);
}

// Whether it was visited before, from no deeper and no less thoroughly.
bool AroundFinder::seen(PyObject* o, int depth) {
  const int rank = depth + (names_ ? kMaxDepth + 1 : 0);
  const auto [at, added] = seen_.try_emplace(o, rank);
  if (!added && at->second <= rank) return true;
  at->second = rank;
  return false;
}

void AroundFinder::add_value(PyObject* o) {
  if (found_.values.size() >= kMaxValues) {
    limited_ = true;
    return unknown();
  }
  found_.values.push_back(py::reinterpret_borrow<py::object>(o));
}

// The object itself; one that is a value (a dtype, a slice, a Fraction, a C function) by equality.
void AroundFinder::add_object(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  if (PyType_SUPPORTS_WEAKREFS(type)) {
    if (guards_) guards_->alive(o);
    if (PyObject* ref = PyWeakref_NewRef(o, nullptr)) {  // one and the same while it is kept
      found_.objects.push_back(py::reinterpret_steal<py::object>(ref));
      return;
    }
    PyErr_Clear();
  }
  const bool value = type == &PySlice_Type ||
                     (type->tp_hash != PyObject_HashNotImplemented && !_PyObject_GetDictPtr(o));
  if (value) return add_value(o);
  found_.objects.push_back(py::reinterpret_borrow<py::object>(o));
}

}  // namespace rutile::python
