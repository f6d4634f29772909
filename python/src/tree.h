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

// The class of Cells; what a trace of one depends on (its _tree_key()), null for anything else;
// what follows a trace (rutile.nn._traces.Trace).
void set_cell_type(pybind11::object type, pybind11::object key, pybind11::object begin);

// Finds out, as long as it lives, which attributes of Cells a trace reads, and what it changes.
class TraceWatch {
 public:
  // keys: versions of the Cells that it may read; holders: see AroundFinder.
  TraceWatch(const pybind11::list& keys, const pybind11::list& holders);
  ~TraceWatch();  // it failed
  TraceWatch(const TraceWatch&) = delete;
  TraceWatch& operator=(const TraceWatch&) = delete;

  // The trace is done: the versions learn what it read. Whether that is more than they knew.
  bool learn();
  struct Done {
    std::string change;        // what it changed, and what helps; empty: nothing that is known
    std::string warning;       // may be empty
    bool once = false;         // not even another call with the same values around may use it
    bool changed = false;      // it set what it reads of Cells,
    bool refused = false;      // ... to tensors
    pybind11::object effects;  // of each run: apply(values); null: none
    pybind11::tuple values;    // of the graph, which the effects take
  };
  // All is again as it was before the trace.
  Done finish(const pybind11::list& codes);

 private:
  void cancel();
  pybind11::object trace_;  // null: finished
  uint64_t refused_;
};

bool is_cell(pybind11::handle o);
pybind11::object cell_version(pybind11::handle o);
// Whether the object is such a version.
bool is_cell_version(pybind11::handle o);
// Where a version keeps what traces read besides Cells (its `around`).
PyObject** around_of(pybind11::handle version);

// What leaves that are no tensors may be.
enum class Leaves {
  kAny,     // anything that can be hashed (arguments of a compiled function)
  kPlain,   // None, bool, int, float, str (results)
  kTensors  // Tensors alone, parameters and arrays among them, and None
};
// Appends the tensors of `o` to `leaves`, and what they were made of to `objects`. `what` names it
// in errors (kType).
Tree flatten(pybind11::handle o, Leaves allowed, const std::string& what,
             std::vector<Tensor>* leaves, std::vector<PyObject*>* objects = nullptr);
// Whether flatten(o, Leaves::kAny) gives this tree, with the very objects among its static values
// that are no plain ones; appends the tensors. False also where only flatten() could tell.
bool matches(PyObject* o, const Tree& tree, std::vector<Tensor>* leaves);
// Takes as many tensors from `next` on as the tree has.
pybind11::object unflatten(const Tree& tree, const Tensor** next);

}  // namespace rutile::python
