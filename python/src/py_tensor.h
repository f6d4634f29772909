// SPDX-License-Identifier: Apache-2.0
// The Python types rutile.Tensor and rutile.Parameter: hand-written heap types, so that an op costs
// no binding layer.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/nn/parameter.h"
#include "rutile/python/src/errors.h"

namespace rutile::python {

struct PyTensor {
  PyObject_HEAD Tensor tensor;
  PyObject* weak;  // who refers to it weakly
};
// Called with a Tensor that got another value in place while a trace runs; null: nobody asks.
extern PyObject* on_rebound;
// For the members of the type.
extern PyMemberDef kTensorMembers[];
// To be called first when one goes.
inline void forget_weak(PyObject* o) {
  if (reinterpret_cast<PyTensor*>(o)->weak) PyObject_ClearWeakRefs(o);
}

// A Tensor whose value is that of a State: what an op reads is the current one.
struct PyParameter {
  PyTensor base;  // its tensor stays empty
  nn::ParameterPtr parameter;
  PyObject* made_from;  // the arguments of the call that made it, until __init__ gets them, too
};

extern PyTypeObject* tensor_type;
extern PyTypeObject* parameter_type;

// Add the types to the module; false with a Python error set on failure.
bool add_tensor_type(PyObject* module);
// Python's initializers and its way to write values: what Tensor(init=...) and repr() call.
void set_tensor_hooks(PyObject* init, PyObject* text);
bool add_parameter_type(PyObject* module);

inline bool is_exact_tensor(PyObject* o) { return Py_TYPE(o) == tensor_type; }
inline bool is_tensor(PyObject* o) {
  return is_exact_tensor(o) || PyType_IsSubtype(Py_TYPE(o), tensor_type);
}
inline bool is_parameter(PyObject* o) {
  return parameter_type && PyType_IsSubtype(Py_TYPE(o), parameter_type);
}
inline const Tensor& exact_tensor(PyObject* o) { return reinterpret_cast<PyTensor*>(o)->tensor; }
inline const nn::ParameterPtr& as_parameter(PyObject* o) {
  return reinterpret_cast<PyParameter*>(o)->parameter;
}
// The value of a Tensor or Parameter. Nothing may hold a parameter's for longer than it needs: what
// nobody else holds is updated in place.
inline Tensor as_tensor(PyObject* o) {
  if (is_exact_tensor(o) || !is_parameter(o)) return exact_tensor(o);
  return as_parameter(o)->read();
}

// New references; null with an error set when out of memory.
PyObject* wrap(Tensor t);
PyObject* wrap(nn::ParameterPtr p);

// Runs f at an edge to Python: an exception becomes the Python error.
template <class F>
PyObject* guarded(F&& f) {
  try {
    return f();
  } catch (...) {
    set_error_from_exception();
    return nullptr;
  }
}
template <class F>
int guarded_int(F&& f) {
  try {
    return f();
  } catch (...) {
    set_error_from_exception();
    return -1;
  }
}

}  // namespace rutile::python
