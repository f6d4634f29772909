// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/tree.h"

#include <structmember.h>

#include <cstring>
#include <utility>

#include "rutile/graph/trace/tracer.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/errors.h"

namespace py = pybind11;

namespace rutile::python {

namespace {

PyObject* cell_type = nullptr;
py::handle key_type, make_trace;
Py_ssize_t around_offset = 0;  // of a slot of key_type

constexpr int kMaxDepth = 64;  // a list may hold itself

bool is_dtype(PyObject* o) {
  const auto f32 = py::reinterpret_steal<py::object>(dtype_object(DType::kF32));
  return Py_TYPE(o) == Py_TYPE(f32.ptr());
}

bool plain(PyObject* o) {
  return o == Py_None || PyBool_Check(o) || PyLong_Check(o) || PyFloat_Check(o) ||
         PyUnicode_Check(o) || o == Py_Ellipsis || is_dtype(o);
}

// A NumPy array (or one like it); a NumPy number stays a static value.
bool array(PyObject* o) {
  return !PyType_Check(o) && PyObject_HasAttrString(o, "__array_interface__") &&
         PySequence_Check(o);
}

bool numpy_number(PyObject* o) {
  return !PyType_Check(o) && !is_tensor(o) && PyObject_HasAttrString(o, "__array_interface__") &&
         !PySequence_Check(o);
}

// The parts of an object that is put together from Tensors and plain values: its type has the names
// of the parts (_tree_fields), which it takes in that order. Null for anything else.
py::object parts(PyObject* o) {
  PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(o));
  if (PyType_Check(o) || !PyObject_HasAttrString(type, "_tree_fields")) return {};
  py::list made;
  for (py::handle name : py::object(py::handle(type).attr("_tree_fields"))) {
    made.append(py::handle(o).attr(name));
  }
  return py::tuple(made);
}

bool same_static(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b) || is_tensor(a)) return false;
  if (PyFloat_CheckExact(a)) {  // by bits: nan is itself, 0 is not -0
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof(x)) == 0;
  }
  const int same = PyObject_RichCompareBool(a, b, Py_EQ);
  if (same < 0) throw py::error_already_set();
  return same == 1;
}

Tree flatten_at(PyObject* o, Leaves allowed, const std::string& what, std::vector<Tensor>* leaves,
                std::vector<PyObject*>* objects, int depth) {
  Tree t;
  if (depth > kMaxDepth) throw_error(ErrorCode::kValue, cat(what, " is nested too deep"));
  // A parameter is a State of the program, not a value that is handed in.
  if (is_tensor(o) && (allowed != Leaves::kAny || !is_parameter(o))) {
    leaves->push_back(as_tensor(o));
    if (objects) objects->push_back(o);
    return t;
  }
  if (PyTuple_Check(o) || PyList_Check(o)) {
    t.kind = PyTuple_Check(o) ? Tree::Kind::kTuple : Tree::Kind::kList;
    if (PyTuple_Check(o)) t.value = py::reinterpret_borrow<py::object>((PyObject*)Py_TYPE(o));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
      t.children.push_back(
          flatten_at(PySequence_Fast_GET_ITEM(o, i), allowed, what, leaves, objects, depth + 1));
    }
    return t;
  }
  if (PyDict_Check(o)) {
    t.kind = Tree::Kind::kDict;
    const py::list keys = py::reinterpret_steal<py::list>(PyDict_Keys(o));
    t.value = py::tuple(keys);
    for (py::handle key : keys) {
      PyObject* child = PyDict_GetItemWithError(o, key.ptr());
      if (!child) throw_error(ErrorCode::kValue, cat(what, ": a dict changed meanwhile"));
      t.children.push_back(flatten_at(child, allowed, what, leaves, objects, depth + 1));
    }
    return t;
  }
  if (!plain(o)) {
    if (const py::object of = parts(o)) {
      const Leaves inside = allowed == Leaves::kTensors ? Leaves::kPlain : allowed;
      t = flatten_at(of.ptr(), inside, what, leaves, objects, depth + 1);
      t.value = py::reinterpret_borrow<py::object>((PyObject*)Py_TYPE(o));
      return t;
    }
  }
  if (allowed != Leaves::kPlain && !plain(o) && array(o)) {
    leaves->push_back(tensor_from(o));
    if (objects) objects->push_back(o);
    return t;
  }
  t.kind = Tree::Kind::kStatic;
  t.value = py::reinterpret_borrow<py::object>(o);
  if (allowed == Leaves::kAny) t.version = cell_version(o);
  bool fine = plain(o);
  if (allowed == Leaves::kTensors) fine = o == Py_None;
  if (allowed == Leaves::kPlain && !fine) fine = numpy_number(o);
  if (allowed == Leaves::kAny && !fine) {
    fine = PyObject_Hash(o) != -1;
    if (!fine) forget_error();
  }
  if (!fine) {
    throw_error(
        ErrorCode::kType,
        cat(what, " holds ", Py_TYPE(o)->tp_name, ", which is neither a Tensor nor ",
            allowed == Leaves::kAny       ? "a value that can be hashed"
            : allowed == Leaves::kTensors ? "None"
                                          : "None, bool, int, float, str or a dtype",
            " (in tuples, lists and dicts)", allowed == Leaves::kTensors ? "" : " (RUTILE-E0108)"));
  }
  return t;
}

}  // namespace

void set_cell_type(py::object type, py::object key, py::object make) {
  cell_type = type.release().ptr();
  const py::object slot = key.attr("around");
  around_offset = reinterpret_cast<PyMemberDescrObject*>(slot.ptr())->d_member->offset;
  key_type = key.release();
  make_trace = make.release();
}

TraceWatch::TraceWatch(const py::list& keys, const py::list& holders)
    : trace_(make_trace()), refused_(graph::refused_reads().count) {
  try {
    trace_.attr("begin")(keys, holders);
  } catch (py::error_already_set&) {
    cancel();
    throw;
  }
}

bool TraceWatch::learn() { return trace_.attr("learn")().cast<bool>(); }

TraceWatch::Done TraceWatch::finish(const py::list& codes) {
  const py::tuple said = trace_.attr("finish")(codes);  // where it is interrupted, cancel() follows
  trace_ = {};
  Done done;
  done.change = said[0].cast<std::string>();
  done.once = said[1].cast<bool>();
  done.changed = said[2].cast<bool>();
  done.refused = said[3].cast<bool>();
  done.warning = said[5].cast<std::string>();
  if (!said[4].is_none()) {
    done.effects = said[4];
    done.values = py::tuple(done.effects.attr("take_values")());
  }
  return done;
}

TraceWatch::~TraceWatch() {
  if (trace_) cancel();
}

void TraceWatch::cancel() {
  py::error_scope scope;  // an error may be set
  constexpr int kTimes = 8;
  int interrupts = 0;
  for (int i = 0; i < kTimes && interrupts == i; ++i) {
    try {
      // A trace that was refused is followed by another way to run.
      trace_.attr("cancel")(graph::refused_reads().count != refused_);
    } catch (py::error_already_set& e) {
      if (e.matches(PyExc_KeyboardInterrupt)) {
        ++interrupts;
      } else {
        e.discard_as_unraisable("the end of a trace");
      }
    }
  }
  if (interrupts > 0) PyErr_SetInterrupt();  // nobody has heard of it so far
}

bool is_cell(py::handle o) {
  return cell_type && PyObject_TypeCheck(o.ptr(), reinterpret_cast<PyTypeObject*>(cell_type));
}

py::object cell_version(py::handle o) {
  if (!is_cell(o)) return {};
  return o.attr("_tree_key")();
}

bool is_cell_version(py::handle o) { return o && key_type && py::type::handle_of(o).is(key_type); }

PyObject** around_of(py::handle version) {
  return reinterpret_cast<PyObject**>(reinterpret_cast<char*>(version.ptr()) + around_offset);
}

bool Tree::operator==(const Tree& o) const {
  if (kind != o.kind || children.size() != o.children.size()) return false;
  if (kind == Kind::kStatic && !same_static(value.ptr(), o.value.ptr())) return false;
  if (version.ptr() != o.version.ptr()) return false;
  if (kind == Kind::kTuple && value.ptr() != o.value.ptr()) return false;
  if (kind == Kind::kDict && !value.equal(o.value)) return false;
  for (size_t i = 0; i < children.size(); ++i) {
    if (!(children[i] == o.children[i])) return false;
  }
  return true;
}

std::string Tree::text() const {
  const auto repr = [](py::handle o) {
    PyObject* r = PyObject_Repr(o.ptr());
    const char* utf8 = r ? PyUnicode_AsUTF8(r) : nullptr;
    std::string s = utf8 ? utf8 : "?";
    if (!utf8) forget_error();
    Py_XDECREF(r);
    return s.size() > 60 ? s.substr(0, 57) + "..." : s;
  };
  if (kind == Kind::kTensor) return "x";
  if (kind == Kind::kStatic) return repr(value);
  std::string s = kind == Kind::kTuple ? "(" : kind == Kind::kList ? "[" : "{";
  for (size_t i = 0; i < children.size(); ++i) {
    if (i) s += ", ";
    if (kind == Kind::kDict) s += repr(py::tuple(value)[i]) + ": ";
    s += children[i].text();
  }
  return s + (kind == Kind::kTuple ? ")" : kind == Kind::kList ? "]" : "}");
}

Tree flatten(py::handle o, Leaves allowed, const std::string& what, std::vector<Tensor>* leaves,
             std::vector<PyObject*>* objects) {
  return flatten_at(o.ptr(), allowed, what, leaves, objects, 0);
}

namespace {

bool keys_match(PyObject* dict, PyObject* keys) {
  if (PyDict_GET_SIZE(dict) != PyTuple_GET_SIZE(keys)) return false;
  Py_ssize_t i = 0;
  PyObject *key, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value); ++i) {
    PyObject* known = PyTuple_GET_ITEM(keys, i);
    if (key == known) continue;
    if (!PyUnicode_CheckExact(key) || !PyUnicode_CheckExact(known)) return false;
    if (PyUnicode_Compare(key, known) != 0) return false;
  }
  return true;
}

bool static_matches(PyObject* o, const Tree& t) {
  PyObject* known = t.value.ptr();
  if (t.version) return o == known && is_cell(o) && cell_version(o).is(t.version);
  if (o == known) return true;
  const bool plain =
      PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) || PyUnicode_CheckExact(o);
  return plain && same_static(o, known);
}

}  // namespace

bool matches(PyObject* o, const Tree& t, std::vector<Tensor>* leaves) {
  switch (t.kind) {
    case Tree::Kind::kTensor:
      if (!is_tensor(o) || is_parameter(o)) return false;
      leaves->push_back(exact_tensor(o));
      return true;
    case Tree::Kind::kStatic:
      return static_matches(o, t);
    case Tree::Kind::kDict: {
      if (!PyDict_CheckExact(o) || !keys_match(o, t.value.ptr())) return false;
      PyObject *key, *value;
      size_t i = 0;
      for (Py_ssize_t at = 0; PyDict_Next(o, &at, &key, &value); ++i) {
        if (i == t.children.size() || !matches(value, t.children[i], leaves)) return false;
      }
      return i == t.children.size();
    }
    case Tree::Kind::kTuple:
    case Tree::Kind::kList:
      break;
  }
  const bool tuple = t.kind == Tree::Kind::kTuple;
  if (tuple ? !PyTuple_Check(o) || !t.value.is(py::type::handle_of(o)) : !PyList_Check(o)) {
    return false;
  }
  const size_t n = t.children.size();
  for (size_t i = 0; i < n; ++i) {
    // Again each time: asking a Cell for its version runs Python code.
    if (static_cast<size_t>(PySequence_Fast_GET_SIZE(o)) != n) return false;
    if (!matches(PySequence_Fast_GET_ITEM(o, i), t.children[i], leaves)) return false;
  }
  return static_cast<size_t>(PySequence_Fast_GET_SIZE(o)) == n;
}

py::object unflatten(const Tree& tree, const Tensor** next) {
  const size_t n = tree.children.size();
  switch (tree.kind) {
    case Tree::Kind::kTensor:
      return py::reinterpret_steal<py::object>(checked(wrap(*(*next)++)));
    case Tree::Kind::kStatic:
      return tree.value;
    case Tree::Kind::kList: {
      py::list list(n);
      for (size_t i = 0; i < n; ++i) list[i] = unflatten(tree.children[i], next);
      return list;
    }
    case Tree::Kind::kDict: {
      py::dict dict;
      const py::tuple keys = tree.value;
      for (size_t i = 0; i < n; ++i) dict[keys[i]] = unflatten(tree.children[i], next);
      return dict;
    }
    case Tree::Kind::kTuple:
      break;
  }
  py::tuple tuple(n);
  for (size_t i = 0; i < n; ++i) tuple[i] = unflatten(tree.children[i], next);
  if (tree.value.is(py::type::of(tuple))) return tuple;
  if (py::hasattr(tree.value, "_fields") || py::hasattr(tree.value, "_tree_fields")) {
    return tree.value(*tuple);  // a named tuple, or put together from its parts
  }
  return tree.value(tuple);
}

}  // namespace rutile::python
