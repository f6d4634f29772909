// SPDX-License-Identifier: Apache-2.0
// Errors between C++ and Python, and the user's line.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
#include <string>

#include "rutile/core/error.h"
#include "rutile/ops/op_def.h"

namespace rutile::python {

// Thrown where the interpreter's error is set already (a callback of the user failed).
struct PythonError : std::exception {
  const char* what() const noexcept override { return "a Python exception"; }
};
// Null and -1 from the C API mean that an error is set.
inline PyObject* checked(PyObject* o) {
  if (!o) throw PythonError();
  return o;
}
// Throws the rutile::Error that says what the built-in error now set says (of argument parsing and
// number conversion, never of user code).
[[noreturn]] void throw_builtin_error();

// Sets the Python error of the exception being handled: call inside catch (...). Adds the op, where
// the message does not name one, and the user's line.
void set_error_from_exception(const OpDef* op = nullptr);
// Adds rutile.Error and the module rutile._rutile.errors of its children.
bool add_error_types(PyObject* module);

// Loops in C++ ask Python for signals: what a handler raises (KeyboardInterrupt) ends them.
void watch_signals();

// Forgets the error that is set, of a user's method whose failure does not matter here; an
// interrupt comes again.
void forget_error();

// Lets user_location() find the innermost Python frame outside the package's folder.
void provide_user_location(std::string package_folder);

}  // namespace rutile::python
