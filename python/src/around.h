// SPDX-License-Identifier: Apache-2.0
// What a Python function reads from around it: closures and globals, attributes of objects and
// classes there, also those of the functions and methods that it calls, and of the constructs of
// Cells. Compiled code is made anew where any of it changed.
#pragma once

#include <pybind11/pybind11.h>

#include <unordered_map>
#include <vector>

#include "rutile/core/tensor.h"
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
  // What is another than it was there, in words.
  std::string difference(const Around& before) const;
};

// Lists, dicts and the like that a function changes while it is traced are its results, not its
// arguments.
struct Containers {
  std::vector<pybind11::object> objects, contents;

  void add(PyObject* o);
  bool has(PyObject* o) const;
  bool changed(size_t i) const;  // since it was added
  // Whether a number, text or the like in it has become another since then.
  bool set_plain(size_t i) const;
};

// What the functions seen so far name, with the lambdas and comprehensions in them. An object that
// one of them reads is handed on to others: of each object all these attributes are looked at.
class NamesRead {
 public:
  NamesRead();
  // The names in a code object; `grown` is set where it is a new one.
  pybind11::tuple of(PyObject* code, bool* grown);
  bool has(PyObject* name) const;

 private:
  void collect(const pybind11::object& code, pybind11::set* own);
  std::unordered_map<PyObject*, std::pair<pybind11::object, pybind11::tuple>> codes_;
  pybind11::set attributes_;
};

class AroundFinder {
 public:
  AroundFinder(const Containers& results, NamesRead& read) : results_(results), read_(read) {}
  // The lists and dicts that were looked into, for find() with `keep`.
  Containers looked_into;
  // Something lies deeper, or is larger, than is watched.
  bool limited() const { return limited_; }

  Around find(PyObject* fn, const Tree& arguments, bool keep = false);

 private:
  void visit(PyObject* o, int depth = 0);
  void visit_items(PyObject* o, int depth);
  bool visit_special(PyObject* o, int depth);
  void visit_set(PyObject* o);
  void visit_array(PyObject* o);
  void visit_cell(const pybind11::object& version);
  void visit_arguments(const Tree& t);
  void visit_module(PyObject* module, int depth);
  void visit_class(PyTypeObject* type, int depth);
  void visit_object(PyObject* o, int depth);
  void visit_attributes(PyObject* o, int depth);
  void visit_own(PyObject* o, PyObject* dict, int depth);
  void visit_members(PyObject* o, PyTypeObject* type, int depth);
  void visit_attribute(PyObject* o, PyObject* found, int depth);
  void visit_function(PyObject* f, PyObject* self, int depth);
  bool look_into(PyObject* o);
  bool seen(PyObject* o, int depth);
  void add_value(PyObject* o);
  void add_object(PyObject* o);

  const Containers& results_;
  NamesRead& read_;
  bool keep_ = false, limited_ = false, grown_ = false;
  Around found_;
  std::unordered_map<PyObject*, int> seen_;  // how deep, least first
  PyObject* names_ = nullptr;                // of the function at hand; null: all is looked at
  size_t visits_ = 0, functions_ = 0;
};

// Once, when the module is made.
void begin_around();

}  // namespace rutile::python
