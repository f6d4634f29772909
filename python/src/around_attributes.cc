// SPDX-License-Identifier: Apache-2.0
// Of objects and classes, the attributes that functions may read: those that they name, and methods
// that run without being named.
#include <cstring>
#include <string_view>

#include "rutile/ops/call.h"
#include "rutile/python/src/around.h"
#include "rutile/python/src/around_kinds.h"
#include "rutile/python/src/py_tensor.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

// Methods that run without being named: operators, calls, conversions, what makes an object.
constexpr std::string_view kImplicit =
    " __call__ __init__ __new__ __post_init__ __getattr__ __getattribute__ __getitem__ __len__ "
    "__iter__ __next__ __reversed__ __contains__ __missing__ __get__ __bool__ __int__ __float__ "
    "__index__ __complex__ __str__ __format__ __enter__ __exit__ __array__ __hash__ __eq__ "
    "__ne__ __lt__ __le__ __gt__ __ge__ __neg__ __pos__ __abs__ __invert__ __round__ __floor__ "
    "__ceil__ __trunc__ __add__ __sub__ __mul__ __matmul__ __truediv__ __floordiv__ __mod__ "
    "__divmod__ __pow__ __lshift__ __rshift__ __and__ __or__ __xor__ __radd__ __rsub__ __rmul__ "
    "__rmatmul__ "
    "__rtruediv__ __rfloordiv__ __rmod__ __rdivmod__ __rpow__ __rlshift__ __rrshift__ __rand__ "
    "__ror__ __rxor__ __iadd__ __isub__ __imul__ __imatmul__ __itruediv__ __ifloordiv__ __imod__ "
    "__ipow__ __iand__ __ior__ __ixor__ ";
// Both never freed, and made when the module is: garbage is collected while a set grows, which may
// give up the interpreter's lock, and no initialiser of a static in a function may do that.
PyObject* implicit_names = nullptr;
PyObject* wrapped_name = nullptr;

bool is_implicit(PyObject* name) { return PySet_Contains(implicit_names, name) == 1; }

// As dataclasses write them: they read every field.
bool is_generated(PyObject* f) {
  const py::object code = py::reinterpret_borrow<py::object>(PyFunction_GetCode(f));
  return py::str(code.attr("co_filename")).equal(py::str("<string>"));
}

bool is_dunder(PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (!text) PyErr_Clear();
  return !text || std::strncmp(text, "__", 2) == 0;
}

bool is_library_type(PyTypeObject* type) {
  if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || !type->tp_dict) return true;
  return is_library(type->tp_dict, "__module__");
}

}  // namespace

void begin_attributes() {
  wrapped_name = PyUnicode_InternFromString("__wrapped__");
  implicit_names = py::set(py::str(kImplicit).attr("split")()).release().ptr();
}

bool is_chosen(const NamesRead& read, Chosen how, PyObject* name, PyObject* value) {
  switch (how) {
    case Chosen::kAll:
      return true;
    case Chosen::kUsed:
      return name == wrapped_name || read.uses(name);
    default:
      break;
  }
  if (is_implicit(name)) return PyFunction_Check(value) && !is_generated(value);
  return how == Chosen::kMembersUsed ? read.uses(name) : !is_dunder(name);
}

Guards::Entries AroundFinder::choose(PyObject* dict, Chosen how) {
  Guards::Entries chosen;
  PyObject *name, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);) {
    if (!is_chosen(read_, how, name, value)) continue;
    chosen.emplace_back(py::reinterpret_borrow<py::object>(name),
                        py::reinterpret_borrow<py::object>(value));
  }
  if (guards_) guards_->entries(dict, how, chosen);
  if (guards_ && (how == Chosen::kMembersUsed || how == Chosen::kMembersNamed)) {
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);) {
      if (is_implicit(name) && PyFunction_Check(value)) guards_->code_of(value);  // or generated
    }
  }
  return chosen;
}

// The class itself, and attributes that functions name.
void AroundFinder::visit_class(PyTypeObject* type, int depth) {
  PyObject* o = reinterpret_cast<PyObject*>(type);
  if (seen(o, depth)) return;
  add_object(o);
  if (guards_) guards_->type_of(o);
  visit_members(o, type, depth);
  if (Py_TYPE(o) != &PyType_Type) visit_members(o, Py_TYPE(o), depth);
}

// The object itself, and of what it and its class have what functions name; of one that a Cell
// holds all.
void AroundFinder::visit_object(PyObject* o, int depth) {
  if (seen(o, depth)) return;
  add_object(o);
  if (guards_) guards_->type_of(o);
  visit_attributes(o, depth);
}

void AroundFinder::visit_attributes(PyObject* o, int depth) {
  visit_dict_of(o, depth);
  visit_members(o, Py_TYPE(o), depth);
}

void AroundFinder::visit_dict_of(PyObject* o, int depth) {
  PyObject** at = _PyObject_GetDictPtr(o);
  if (!at) return;
  if (guards_) guards_->slot(at, *at);
  if (*at) visit_own(o, *at, depth);
}

// Of an instance's own attributes those that functions name.
void AroundFinder::visit_own(PyObject* o, PyObject* dict, int depth) {
  // Ours, and Python's containers, hold values and functions that no user's code names.
  const std::string_view module = text_of(Py_TYPE(o)->tp_dict, "__module__");
  const bool all = !names_ || read_.unnamed() || module.starts_with("rutile.") ||
                   module == "collections" || module == "weakref" || module == "configparser";
  if (guards_) guards_->module_of(Py_TYPE(o));
  const Guards::Entries chosen = choose(dict, all ? Chosen::kAll : Chosen::kUsed);
  limited_ = limited_ || (all && chosen.size() > kMaxItems);
  if (all && chosen.size() > kMaxItems) return unknown();
  for (const auto& [n, v] : chosen) {
    if (all && !read_.only_written(n.ptr(), v.ptr())) add_value(n.ptr());
    visit_named(n.ptr(), v.ptr(), depth + 1);
  }
}

// What classes have for `o`: attributes that functions name and what runs without being named; all
// of it where no function is at hand.
void AroundFinder::visit_members(PyObject* o, PyTypeObject* type, int depth) {
  PyObject* bases = type->tp_mro;
  const Chosen how = names_ ? Chosen::kMembersUsed : Chosen::kMembersNamed;
  if (guards_) guards_->bases(type);
  for (Py_ssize_t i = 0; bases && i < PyTuple_GET_SIZE(bases); ++i) {
    auto* base = reinterpret_cast<PyTypeObject*>(PyTuple_GET_ITEM(bases, i));
    if (guards_) guards_->module_of(base);
    if (is_library_type(base)) continue;
    for (const auto& [n, v] : choose(base->tp_dict, how)) {
      ScopedValue<PyObject*> label(label_, n.ptr());
      visit_attribute(o, n.ptr(), v.ptr(), depth + 1);
    }
  }
}

// What a class gives for an attribute of `o`, without running any of the user's code.
void AroundFinder::visit_attribute(PyObject* o, PyObject* name, PyObject* found, int depth) {
  const auto of = [&](const char* part) {
    py::object f = py::reinterpret_steal<py::object>(PyObject_GetAttrString(found, part));
    if (!f) PyErr_Clear();
    if (guards_) guards_->type_of(found);
    if (guards_) guards_->attribute(found, part, f.ptr());
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
    if (guards_) guards_->member(o, found);
    const py::object value = py::reinterpret_steal<py::object>(
        Py_TYPE(found)->tp_descr_get(found, o, reinterpret_cast<PyObject*>(Py_TYPE(o))));
    if (!value) PyErr_Clear();
    visit_named(name, value.ptr(), depth);
  } else if (std::strcmp(Py_TYPE(found)->tp_name, "cached_property") == 0) {
    if (!is_library_type(Py_TYPE(found))) unknown();  // where `func` may be anything
    of("func");
  } else if (!Py_TYPE(found)->tp_descr_get || (Py_TYPE(found)->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
    visit_named(name, found, depth);  // a user's descriptor is an object like others
  }
}

}  // namespace rutile::python
