// SPDX-License-Identifier: Apache-2.0
// The names in the code of Python functions: what they load, fill and set.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>
#include <unordered_map>

namespace rutile::python {

// A list, dict, set or deque, whose methods are known.
bool is_container(PyObject* o);

// What the functions seen so far do with names, with the lambdas and comprehensions in them. An
// object that one of them reads is handed on to others: of each object all these attributes are
// looked at.
class NamesRead {
 public:
  struct Of {
    pybind11::object code;
    pybind11::tuple used;     // names that are loaded or filled
    pybind11::tuple globals;  // those that may be variables of the module
    pybind11::tuple free;     // variables of the closure
    bool imports = false;     // it has import statements
  };
  void begin();  // before a search: references end here
  // Those of a code object; `grown` is set where it has names that none had so far.
  const Of& of(PyObject* code, bool* grown);
  // A name that nothing in the code shows: getattr(o, f"gain{i}") asked for it.
  void add(PyObject* name);
  const pybind11::set& asked() const { return asked_; }
  // Some code looks at attributes that it does not name: vars(o).
  bool unnamed() const { return unnamed_; }
  // Some code loads an attribute or a variable of that name.
  bool has(PyObject* name) const { return PySet_Contains(loaded_.ptr(), name) == 1; }
  // ... or fills what is there.
  bool uses(PyObject* name) const { return has(name) || PySet_Contains(filled_.ptr(), name) == 1; }
  // ... or only sets it, whatever is there.
  bool ignores(PyObject* name) const {
    return !uses(name) && PySet_Contains(stored_.ptr(), name) == 1;
  }
  // What is there is only set, or filled as a list or dict is, and never looked at.
  bool only_written(PyObject* name, PyObject* value) const;
  pybind11::list codes() const;
  // How many names there are of each kind.
  size_t size() const { return loaded_.size() + filled_.size() + stored_.size(); }

 private:
  std::unordered_map<PyObject*, Of> codes_;
  pybind11::set loaded_, filled_, stored_, asked_;
  bool unnamed_ = false;
};

// While it lives, attributes that this thread asks for by getattr() and hasattr(), outside of
// libraries, are names that are read.
class AskedNames {
 public:
  explicit AskedNames(NamesRead& read);
  ~AskedNames();
  AskedNames(const AskedNames&) = delete;
  AskedNames& operator=(const AskedNames&) = delete;

 private:
  NamesRead* outer_;
};

// An entry of a dict that is a text; else empty.
std::string_view text_of(PyObject* dict, const char* key);

// Ours, NumPy's or Python's own, by the name of the module: what it reads does not change.
bool is_library_module(PyObject* name);

// Once, when the module is made.
void begin_names();

}  // namespace rutile::python
