// SPDX-License-Identifier: Apache-2.0
// What a search of AroundFinder read, flat: while all of it is as it was, another search would find
// the same. The next call of a compiled function compares it instead of searching.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rutile/python/src/names_read.h"

namespace rutile::python {

// Which entries of a dict a search looks at.
enum class Chosen {
  kAll,           // of an instance: all attributes; of those that are only set not the values
  kUsed,          // ... those that functions name
  kMembersUsed,   // of a class: the same, and what runs without being named
  kMembersNamed,  // ... all but special methods, and what runs without being named
};

// Nearly all of it are machine words, most of them pointers, at fixed addresses. They are compared
// in the order in which the search read them: what says that an object is still there comes before
// the words in it. Nobody's code runs meanwhile.
//
// Nothing here keeps an object alive that the search did not keep: a plain value or what cannot be
// referred to weakly is kept by its Around, any other object is referred to weakly (alive()), and
// of lists, tuples and dicts, which neither holds for, another one with the same type and contents
// at the same place is as good.
class Guards {
 public:
  struct Check {  // what is no word
    virtual ~Check() = default;
    virtual bool holds() = 0;
  };
  using Entries = std::vector<std::pair<pybind11::object, pybind11::object>>;

  explicit Guards(const NamesRead& read);
  ~Guards();
  Guards(const Guards&) = delete;
  Guards& operator=(const Guards&) = delete;

  // What the search reads, in its order.
  void word(const void* at, uintptr_t value);
  void slot(PyObject* const* at, PyObject* value) { word(at, reinterpret_cast<uintptr_t>(value)); }
  void type_of(PyObject* o);
  void alive(PyObject* o);
  void tensor(PyObject* o);
  void method(PyObject* o);
  void weak(PyObject* o);  // a weak reference of the user's
  // What a list, tuple or dict holds.
  void container(PyObject* o);
  // What a descriptor of a slot gives.
  void member(PyObject* o, PyObject* descriptor);
  // dict.get(name); null: it is not there. A name that code only sets does not count.
  void key(PyObject* dict, PyObject* name, PyObject* value, bool keep = false);
  // __name__ of a module's namespace.
  void name_of(PyObject* dict);
  void module_of(PyTypeObject* type);  // its __module__
  // The chosen entries of a namespace, in its order.
  void entries(PyObject* dict, Chosen how, const Entries& found);
  void bases(PyTypeObject* type);  // its mro
  void cell(PyObject* o, PyObject* version);
  void tuple_in(PyObject** at);  // a slot of an object that is kept
  void attribute(PyObject* o, const char* name, PyObject* value);  // that no user's code computes
  void code_of(PyObject* function);
  void set(PyObject* o);
  void buffer(PyObject* o, const Py_buffer& view, PyObject* bytes);
  void keep(PyObject* o) { kept_.push_back(pybind11::reinterpret_borrow<pybind11::object>(o)); }
  // Something that is not followed: the next call searches again.
  void unknown() { whole_ = false; }
  bool whole() const { return whole_; }

  // Whether another search would find the same.
  bool hold();

 private:
  struct Word {
    const uintptr_t* at;  // null: value is the number of a check, which is always made
    uintptr_t value;
  };
  struct Keys;
  struct KnownKeys {
    Keys* check = nullptr;
    uint64_t version = 0;
  };
  void items(PyObject* o);
  void all_of(PyObject* dict);
  void key_always(PyObject* dict, PyObject* name, PyObject* value);
  void text(PyObject* dict, PyObject* name);
  void check_behind(std::unique_ptr<Check> check, const uint64_t* version);
  bool same_cells();

  const NamesRead& read_;
  const size_t names_;
  const bool unnamed_;
  bool whole_;
  const uint64_t parameters_;  // nn::Parameter::edition
  uint64_t cells_edition_;
  std::vector<std::pair<pybind11::object, PyObject*>> cells_;  // weak reference, version
  std::vector<Word> words_;
  std::vector<std::pair<size_t, size_t>> instead_;  // (word, check that decides where it differs)
  std::vector<std::unique_ptr<Check>> checks_;
  std::vector<pybind11::object> kept_;
  std::unordered_map<PyObject*, KnownKeys> keys_;  // of dicts
};

// Whether a search looks at this entry of a dict.
bool is_chosen(const NamesRead& read, Chosen how, PyObject* name, PyObject* value);

// A number that changes with whatever versions of Cells depend on.
uint64_t cells_edition();
// Another number for each change.
uint64_t change_cells();

// Once, when the module is made.
void begin_guards();

}  // namespace rutile::python
