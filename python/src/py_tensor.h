// SPDX-License-Identifier: Apache-2.0
// The Python type rutile.Tensor: a hand-written heap type, so that an op costs no binding layer.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string>
#include <vector>

#include "rutile/core/tensor.h"

namespace rutile::python {

struct PyTensor {
  PyObject_HEAD Tensor tensor;
};

extern PyTypeObject* tensor_type;

// Adds Tensor to the module; false with a Python error set on failure.
bool add_tensor_type(PyObject* module);

inline bool is_tensor(PyObject* o) { return Py_TYPE(o) == tensor_type; }
inline const Tensor& as_tensor(PyObject* o) { return reinterpret_cast<PyTensor*>(o)->tensor; }
// New reference; null with an error set when out of memory.
PyObject* wrap(Tensor t);

// Python bool, int or float as a Scalar; false (no error set) for anything else.
bool scalar_from(PyObject* o, Scalar* out);
// A Tensor from a Tensor, number, nested list or array (through the buffer protocol). `like` gives
// the dtype of plain numbers where it has one. False with an error set.
bool tensor_from(PyObject* o, const Tensor* like, Tensor* out);

// The buffer protocol: the elements, read-only, without a copy.
int tensor_getbuffer(PyObject* self, Py_buffer* view, int flags);
void tensor_releasebuffer(PyObject* self, Py_buffer* view);

// Sets the Python error of the exception being handled: call inside catch (...).
void set_error_from_exception();
bool add_error_types(PyObject* module);

}  // namespace rutile::python
