// SPDX-License-Identifier: Apache-2.0
// rutile.Error and its children, which are also the built-in exceptions a Python user expects.
#include <new>

#include "rutile/core/error.h"
#include "rutile/python/src/py_tensor.h"

namespace rutile::python {

namespace {

PyObject* error_base = nullptr;
PyObject* error_types[static_cast<int>(ErrorCode::kInternal) + 1] = {};

PyObject* builtin_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::kType:
      return PyExc_TypeError;
    case ErrorCode::kValue:
      return PyExc_ValueError;
    case ErrorCode::kIndex:
      return PyExc_IndexError;
    case ErrorCode::kUnsupported:
      return PyExc_NotImplementedError;
    case ErrorCode::kOutOfMemory:
      return PyExc_MemoryError;
    case ErrorCode::kNotFound:
      return PyExc_FileNotFoundError;
    case ErrorCode::kIo:
      return PyExc_OSError;
    case ErrorCode::kInterrupted:
      return PyExc_KeyboardInterrupt;
    default:
      return PyExc_RuntimeError;
  }
}

struct Named {
  ErrorCode code;
  const char* name;
};
constexpr Named kNames[] = {
    {ErrorCode::kType, "rutile.TypeError"},
    {ErrorCode::kValue, "rutile.ValueError"},
    {ErrorCode::kIndex, "rutile.IndexError"},
    {ErrorCode::kRuntime, "rutile.RuntimeError"},
    {ErrorCode::kUnsupported, "rutile.UnsupportedError"},
    {ErrorCode::kOutOfMemory, "rutile.OutOfMemoryError"},
    {ErrorCode::kNotFound, "rutile.NotFoundError"},
    {ErrorCode::kIo, "rutile.IOError"},
    {ErrorCode::kInterrupted, "rutile.Interrupted"},
    {ErrorCode::kInternal, "rutile.InternalError"},
};

}  // namespace

bool add_error_types(PyObject* module) {
  error_base = PyErr_NewExceptionWithDoc("rutile.Error", "Any error that Rutile raises.",
                                         PyExc_Exception, nullptr);
  if (!error_base || PyModule_AddObjectRef(module, "Error", error_base) < 0) return false;
  for (const Named& n : kNames) {
    PyObject* bases = PyTuple_Pack(2, error_base, builtin_for(n.code));
    if (!bases) return false;
    error_types[static_cast<int>(n.code)] = PyErr_NewException(n.name, bases, nullptr);
    Py_DECREF(bases);
    if (!error_types[static_cast<int>(n.code)]) return false;
  }
  return true;
}

void set_error_from_exception() {
  try {
    throw;
  } catch (const Error& e) {
    PyErr_SetString(error_types[static_cast<int>(e.code())], e.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    // An exception that came out of a Python callback is already set.
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

}  // namespace rutile::python
