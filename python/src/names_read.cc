// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/names_read.h"

#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "rutile/python/src/errors.h"

namespace py = pybind11;

namespace rutile::python {

namespace {

constexpr size_t kMaxCodes = 10000, kMaxModules = 10000;

// Never freed. Found when the module is made: an import gives up the interpreter's lock, which no
// initialiser of a static in a function may do.
const std::string* standard_library = nullptr;

// getattr and hasattr as Python has them.
PyObject *builtins = nullptr, *own_getattr = nullptr, *own_hasattr = nullptr;
PyObject *asked_getattr = nullptr, *asked_hasattr = nullptr;
int asking = 0;  // how many AskedNames there are
thread_local NamesRead* asked = nullptr;

// Rewritten functions have ours call them.
bool called_by_library() {
  PyObject* globals = PyEval_GetGlobals();
  PyObject* name = globals ? PyDict_GetItemString(globals, "__name__") : nullptr;
  if (!name || !PyUnicode_Check(name)) return true;
  const char* text = PyUnicode_AsUTF8(name);
  if (!text) PyErr_Clear();
  return is_library_module(name) &&
         !std::string_view(text ? text : "").starts_with("rutile._syntax");
}

PyObject* ask(PyObject* function, PyObject* const* args, Py_ssize_t n) {
  if (asked && n > 1 && PyUnicode_CheckExact(args[1]) && !called_by_library()) asked->add(args[1]);
  return PyObject_Vectorcall(function, args, static_cast<size_t>(n), nullptr);
}

PyObject* ask_getattr(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return ask(own_getattr, args, n);
}

PyObject* ask_hasattr(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return ask(own_hasattr, args, n);
}

void replace(const char* name, PyObject* now, PyObject* before) {
  // Somebody else's stays.
  if (PyDict_GetItemString(builtins, name) != before) return;
  if (PyDict_SetItemString(builtins, name, now) != 0) PyErr_Clear();
}

}  // namespace

std::string_view text_of(PyObject* dict, const char* key) {
  PyObject* text = PyDict_GetItemString(dict, key);
  const char* utf8 = text && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : nullptr;
  if (!utf8) PyErr_Clear();
  return utf8 ? utf8 : "";
}

bool is_library_module(PyObject* name) {
  static auto* const known = new std::unordered_map<PyObject*, bool>;  // the names are kept
  if (const auto at = known->find(name); at != known->end()) return at->second;
  const char* utf8 = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  if (!utf8) PyErr_Clear();
  const std::string_view text = utf8 ? utf8 : "", top = text.substr(0, text.find('.'));
  bool library = top == "rutile" || top == "numpy" || top == "builtins";
  PyObject* module = PyDict_GetItemWithError(PyImport_GetModuleDict(), name);
  if (!library && module && PyModule_Check(module)) {
    const std::string_view file = text_of(PyModule_GetDict(module), "__file__");
    library = file.starts_with(*standard_library) && file.find("-packages/") == file.npos;
  }
  if (known->size() > kMaxModules) return library;
  Py_INCREF(name);
  return (*known)[name] = library;
}

void begin_names() {
  standard_library = new std::string(
      py::str(py::module_::import("sysconfig").attr("get_path")("stdlib")).cast<std::string>());
  const py::module_ module = py::module_::import("builtins");
  builtins = module.attr("__dict__").cast<py::object>().release().ptr();
  own_getattr = module.attr("getattr").cast<py::object>().release().ptr();
  own_hasattr = module.attr("hasattr").cast<py::object>().release().ptr();
  static PyMethodDef methods[] = {
      {"getattr", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(ask_getattr)),
       METH_FASTCALL, PyDoc_STR("getattr(object, name[, default])")},
      {"hasattr", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(ask_hasattr)),
       METH_FASTCALL, PyDoc_STR("hasattr(object, name)")}};
  const py::str name("builtins");
  asked_getattr = checked(PyCFunction_NewEx(&methods[0], module.ptr(), name.ptr()));
  asked_hasattr = checked(PyCFunction_NewEx(&methods[1], module.ptr(), name.ptr()));
}

AskedNames::AskedNames(NamesRead& read) : outer_(std::exchange(asked, &read)) {
  if (asking++ > 0) return;
  replace("getattr", asked_getattr, own_getattr);
  replace("hasattr", asked_hasattr, own_hasattr);
}

AskedNames::~AskedNames() {
  asked = outer_;
  if (--asking > 0) return;
  py::error_scope scope;  // an error may be set
  replace("getattr", own_getattr, asked_getattr);
  replace("hasattr", own_hasattr, asked_hasattr);
}

void NamesRead::add(PyObject* name) {
  loaded_.add(py::handle(name));
  asked_.add(py::handle(name));
}

bool is_container(PyObject* o) {
  return PyList_CheckExact(o) || PyDict_CheckExact(o) || PySet_CheckExact(o) ||
         std::strcmp(Py_TYPE(o)->tp_name, "collections.deque") == 0;
}

bool NamesRead::only_written(PyObject* name, PyObject* value) const {
  if (has(name)) return false;
  if (PySet_Contains(filled_.ptr(), name) == 1) return value && is_container(value);
  return PySet_Contains(stored_.ptr(), name) == 1;
}

py::list NamesRead::codes() const {
  py::list all;
  for (const auto& [code, names] : codes_) all.append(names.code);
  return all;
}

void NamesRead::begin() {
  if (codes_.size() > kMaxCodes) codes_.clear();  // made anew in each call
}

const NamesRead::Of& NamesRead::of(PyObject* code, bool* grown) {
  const auto at = codes_.find(code);
  if (at != codes_.end()) return at->second;
  const auto kept = py::reinterpret_borrow<py::object>(code);
  const py::module_ effects = py::module_::import("rutile.nn._effects");
  const py::tuple names = effects.attr("names_of")(kept);
  py::set used;
  py::set* const all[] = {&loaded_, &filled_, &stored_};
  for (int i = 0; i < 3; ++i) {
    const size_t before = all[i]->size();
    for (py::handle name : py::object(names[i])) {
      all[i]->add(name);
      if (i < 2) used.add(name);
    }
    *grown = *grown || all[i]->size() != before;
  }
  if (py::object(names[3]).cast<bool>() && !std::exchange(unnamed_, true)) *grown = true;
  const bool imports = py::len(effects.attr("imports_of")(kept)) > 0;
  Of of{kept, py::tuple(used), py::tuple(effects.attr("globals_of")(kept)),
        py::tuple(kept.attr("co_freevars")), imports};
  return codes_.emplace(code, std::move(of)).first->second;
}

}  // namespace rutile::python
