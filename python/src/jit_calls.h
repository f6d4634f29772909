// SPDX-License-Identifier: Apache-2.0
// The ways in which a compiled Python function was called: what is no tensor among the arguments,
// and what it read from around it, decide which of its graphs serves a call.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rutile/graph/compile.h"
#include "rutile/python/src/around.h"
#include "rutile/python/src/guards.h"
#include "rutile/python/src/names_read.h"
#include "rutile/python/src/tree.h"

namespace rutile::python {

// What holds Python objects; dropped from any thread.
template <class T>
std::shared_ptr<const T> share(T value) {
  return {new T(std::move(value)), [](const T* t) {
            if (!Py_IsInitialized()) return;  // the process ends
            pybind11::gil_scoped_acquire gil;
            delete t;
          }};
}

// One way of calling: all that is no tensor.
struct JitCall {
  // A call as it was found, and what says that another one is the same.
  struct Found {
    Tree arguments;
    Around around;
    std::unique_ptr<Guards> guards;
  };
  std::shared_ptr<const graph::Variant> variant;
  std::shared_ptr<const Tree> arguments;  // (args, kwargs)
  std::shared_ptr<const Around> around;
  std::shared_ptr<const Found> found = {};  // null: not since it was compiled
  enum { kTraced, kRewritten, kAsWritten } way = kTraced;
  bool compiled = false;
};

// Guarded by the interpreter's lock.
class JitCalls {
 public:
  JitCalls(pybind11::function fn, std::string name) : fn_(std::move(fn)), name_(std::move(name)) {}

  // The variant of such a call, made where it is new; its tensors go to `in`. latest() is its call.
  std::shared_ptr<const graph::Variant> find(const pybind11::args& args,
                                             const pybind11::kwargs& kwargs,
                                             std::vector<Tensor>* in);
  JitCall& latest() { return calls_.front(); }
  JitCall* by_id(uint64_t id);
  NamesRead& names() { return names_; }
  // Calls that were not recognised by what an earlier one read.
  int searches() const { return searches_; }

 private:
  std::shared_ptr<const graph::Variant> find_again(const pybind11::args& args,
                                                   const pybind11::kwargs& kwargs,
                                                   std::vector<Tensor>* in);
  std::shared_ptr<const graph::Variant> search(const pybind11::args& args,
                                               const pybind11::kwargs& kwargs,
                                               std::vector<Tensor>* in);

  pybind11::function fn_;
  std::string name_;
  NamesRead names_;
  std::list<JitCall> calls_;  // latest used first
  uint64_t next_id_ = 1;
  int searches_ = 0;
  bool warned_ = false;
};

}  // namespace rutile::python
