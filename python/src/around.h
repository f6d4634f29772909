// SPDX-License-Identifier: Apache-2.0
// What a Python function reads from around it: closures and globals, attributes of objects and
// classes there, also those of the functions and methods that it calls, and of the constructs of
// Cells. Compiled code is made anew where any of it changed.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/python/src/guards.h"
#include "rutile/python/src/names_read.h"
#include "rutile/python/src/tree.h"

namespace rutile::python {

// Tensors, which are constants of the graph, Cells (their versions, and parameters), values (also
// in containers, slots and arrays; the code of functions), and objects, which are the same or not,
// by weak references where they can be.
struct Around {
  std::vector<Tensor> tensors;
  std::vector<pybind11::object> cells;
  std::vector<pybind11::object> values;
  std::vector<pybind11::object> objects;

  bool operator==(const Around& o) const;
  // What a trace itself made anew is no part of its key. Classes and Enums are values that it read.
  void take_objects(const Around& after);
  bool holds_symbols() const;
  // What is another than it was there, in words.
  std::string difference(const Around& before) const;
};

class AroundFinder {
 public:
  explicit AroundFinder(NamesRead& read) : read_(read) {}
  // Of find() with `keep`: (name, object, whether it is only filled) of whatever a call may change.
  pybind11::list holders;
  // Something lies deeper, or is larger, than is watched.
  bool limited() const { return limited_; }

  // guards: those under which another search would find the same.
  Around find(PyObject* fn, const Tree& arguments, bool keep = false,
              std::unique_ptr<Guards>* guards = nullptr);

 private:
  void visit(PyObject* o, int depth = 0);
  void visit_named(PyObject* name, PyObject* o, int depth = 0);
  void visit_held(const pybind11::object& version);
  void visit_items(PyObject* o, int depth);
  bool visit_special(PyObject* o, int depth);
  void visit_environment();
  void visit_imports(const pybind11::object& code, PyObject* globals, int depth);
  void visit_set(PyObject* o);
  void visit_array(PyObject* o, int depth);
  void visit_cell(const pybind11::object& version);
  void visit_arguments(const Tree& t);
  void visit_module(PyObject* module, int depth);
  void visit_class(PyTypeObject* type, int depth);
  void visit_object(PyObject* o, int depth);
  void visit_attributes(PyObject* o, int depth);
  void visit_dict_of(PyObject* o, int depth);
  void visit_own(PyObject* o, PyObject* dict, int depth);
  void visit_members(PyObject* o, PyTypeObject* type, int depth);
  void visit_attribute(PyObject* o, PyObject* name, PyObject* found, int depth);
  void visit_function(PyObject* f, PyObject* self, int depth);
  Guards::Entries choose(PyObject* dict, Chosen how);
  bool seen(PyObject* o, int depth);
  void add_value(PyObject* o);
  void add_object(PyObject* o);
  void unknown() {
    if (guards_) guards_->unknown();
  }

  NamesRead& read_;
  bool keep_ = false, limited_ = false, grown_ = false;
  Around found_;
  Guards* guards_ = nullptr;                 // null: none are asked for
  std::unordered_map<PyObject*, int> seen_;  // how deep, least first
  PyObject* names_ = nullptr;                // of the function at hand; null: all is looked at
  PyObject* label_ = Py_None;                // the name that led to what is visited
  size_t visits_ = 0, functions_ = 0;
};

// Once, when the module is made.
void begin_around();

}  // namespace rutile::python
