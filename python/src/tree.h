// SPDX-License-Identifier: Apache-2.0
// Nested tuples, lists and dicts of Tensors and plain values: taken apart into the tensors and the
// rest, and put together again. Needs the interpreter's lock, also to copy and destroy.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"

namespace rutile::python {

struct Tree {
  enum class Kind { kTensor, kStatic, kTuple, kList, kDict };
  Kind kind = Kind::kTensor;
  // kStatic: the value; kTuple: its type (named tuples); kDict: the tuple of its keys.
  pybind11::object value;
  pybind11::object version;  // of a Cell among the static values: what its traces depend on
  std::vector<Tree> children;

  // Same structure, static values of the same types that are equal.
  bool operator==(const Tree& o) const;
  // "(x, {'mode': 'sum', 'lr': 0.1})": x stands for a tensor.
  std::string text() const;
};

// The class of Cells; what a trace of one depends on (its _tree_key()), null for anything else.
void set_cell_type(pybind11::object type, pybind11::object key, pybind11::object begin,
                   pybind11::object end);

// Finds out, as long as it lives, which attributes of Cells are read, and tells it to the versions.
class CellReads {
 public:
  CellReads();
  ~CellReads();
  CellReads(const CellReads&) = delete;
  CellReads& operator=(const CellReads&) = delete;
  // The trace is done. What cannot be compiled is told: attributes that it read and set to another
  // value, tensors or (without `may_change`) any; they are then as they were before it. `changed`:
  // whether it set any.
  std::string finish(bool may_change, bool* changed);
  pybind11::list versions;

 private:
  pybind11::object names_;  // null: finished
  uint64_t refused_;
};

bool is_cell(pybind11::handle o);
pybind11::object cell_version(pybind11::handle o);
// Whether the object is such a version.
bool is_cell_version(pybind11::handle o);

// What leaves that are no tensors may be.
enum class Leaves {
  kAny,     // anything that can be hashed (arguments of a compiled function)
  kPlain,   // None, bool, int, float, str (results)
  kTensors  // Tensors alone, parameters and arrays among them, and None
};
// Appends the tensors of `o` to `leaves`. `what` names it in errors (kType).
Tree flatten(pybind11::handle o, Leaves allowed, const std::string& what,
             std::vector<Tensor>* leaves);
// Takes as many tensors from `next` on as the tree has.
pybind11::object unflatten(const Tree& tree, const Tensor** next);

}  // namespace rutile::python
