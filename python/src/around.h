// SPDX-License-Identifier: Apache-2.0
// What a Python function reads from around it: closures and globals, attributes of objects and
// classes there, also those of the functions and methods that it calls, and of the constructs of
// Cells. Compiled code is made anew where any of it changed.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/python/src/tree.h"

namespace rutile::python {

// Tensors, which are constants of the graph, Cells (their versions, and parameters), and plain
// values, also in containers, slots and arrays.
struct Around {
  std::vector<Tensor> tensors;
  std::vector<pybind11::object> cells;
  std::vector<pybind11::object> values;

  bool operator==(const Around& o) const;
  // What is another than it was there, in words.
  std::string difference(const Around& before) const;
};

// Lists and dicts that a function changes while it is traced are its results, not its arguments.
struct Containers {
  std::vector<pybind11::object> objects, contents;

  void add(PyObject* o);
  bool has(PyObject* o) const;
  bool changed(size_t i) const;  // since it was added
};

class AroundFinder {
 public:
  explicit AroundFinder(const Containers& results) : results_(results) {}
  // The lists and dicts that were looked into, for find() with `keep`.
  Containers looked_into;
  // Something lies deeper, or is larger, than is watched.
  bool limited() const { return limited_; }

  Around find(PyObject* fn, const Tree& arguments, bool keep = false);

 private:
  void visit(PyObject* o, int depth = 0);
  void visit_items(PyObject* o, int depth);
  void visit_set(PyObject* o);
  void visit_array(PyObject* o);
  void visit_cell(const pybind11::object& version);
  void visit_cells(const Tree& t);
  void visit_module(PyObject* module, int depth);
  void visit_class(PyTypeObject* type, int depth);
  void visit_object(PyObject* o, int depth);
  void visit_members(PyTypeObject* type, PyObject* o, int depth);
  void visit_attribute(PyObject* o, PyObject* found, int depth);
  void visit_function(PyObject* f, PyObject* self, int depth);
  bool look_into(PyObject* o);
  void add_value(PyObject* o);

  const Containers& results_;
  bool keep_ = false, limited_ = false;
  Around found_;
  std::vector<std::pair<PyObject*, PyObject*>> seen_;  // functions, with the objects they are of
  PyObject* names_ = nullptr;                          // of the function at hand
  size_t visits_ = 0;
};

// Once, when the module is made.
void find_standard_library();

}  // namespace rutile::python
