// SPDX-License-Identifier: Apache-2.0
// Kinds of objects that a search around a function tells apart, and how far it goes.
#pragma once

#include <pybind11/pybind11.h>

#include "rutile/python/src/names_read.h"

namespace rutile::python {

constexpr size_t kMaxItems = 256;  // of a container, or of an object of which all is looked at

inline bool is_plain(PyObject* o) {
  return o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) ||
         PyUnicode_CheckExact(o) || PyBytes_CheckExact(o) || PyComplex_CheckExact(o);
}

inline bool is_library(PyObject* dict, const char* key = "__name__") {
  PyObject* name = PyDict_GetItemString(dict, key);
  return name && is_library_module(name);
}

// Once, by begin_around().
void begin_attributes();

}  // namespace rutile::python
