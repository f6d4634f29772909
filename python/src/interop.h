// SPDX-License-Identifier: Apache-2.0
// Memory shared with NumPy, with the buffer protocol and with DLPack, and pickling.
#pragma once

#include "rutile/python/src/py_tensor.h"

namespace rutile::python {

// The buffer protocol's format characters of a dtype; null for bfloat16, which has none.
const char* buffer_format(DType t);
// False for a format that is no dtype.
bool dtype_of_format(const char* format, Py_ssize_t itemsize, DType* out);

// The buffer protocol: the elements, read-only, without a copy.
int tensor_getbuffer(PyObject* self, Py_buffer* view, int flags);
void tensor_releasebuffer(PyObject* self, Py_buffer* view);

// A read-only NumPy array over the tensor's memory, which it keeps alive.
PyObject* numpy_of(const Tensor& t);
// One that can be written to: over the memory of a Tensor that is the only one there, which then
// sees what is written, else of a copy. Arrays that from_numpy() took stay as they are: read-only.
PyObject* writable_numpy_of(PyObject* self);
// The value of a Tensor or Parameter in memory that no NumPy array writes to.
Tensor unshared(PyObject* o);
Tensor deep_copy(const Tensor& t);

// The DLPack protocol (dlpack.cc).
PyObject* tensor_dlpack(PyObject* self, PyObject* args, PyObject* kwargs);
PyObject* tensor_dlpack_device(PyObject* self, PyObject*);
bool add_dlpack_functions(PyObject* module);

// Methods of Tensor: DLPack, pickling, copies.
extern PyMethodDef kInteropMethods[];
// Functions of the module: from_dlpack, from_numpy, what pickles call.
bool add_interop_functions(PyObject* module);

}  // namespace rutile::python
