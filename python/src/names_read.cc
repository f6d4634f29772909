// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/names_read.h"

#include <cstring>
#include <utility>

namespace py = pybind11;

namespace rutile::python {

namespace {

constexpr size_t kMaxCodes = 10000;

}  // namespace

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
  const py::tuple names = py::module_::import("rutile.nn._effects").attr("names_of")(kept);
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
  Of of{kept, py::tuple(used), py::tuple(kept.attr("co_freevars"))};
  return codes_.emplace(code, std::move(of)).first->second;
}

}  // namespace rutile::python
