// SPDX-License-Identifier: Apache-2.0
// Between Python objects and core types.
#pragma once

#include "rutile/ops/attrs.h"
#include "rutile/python/src/py_tensor.h"

namespace rutile::python {

// NumPy's name: "float32".
const char* long_dtype_name(DType t);
// From a string ("float32", "f32"), a NumPy dtype or anything with a `name`; false with an error
// set.
bool dtype_from(PyObject* o, DType* out);
PyObject* tuple_of(const Dims& d);
bool dims_from(PyObject* o, Dims* out);  // int, tuple or list; false with an error set

// A NumPy array over the tensor's memory, which it keeps alive.
PyObject* numpy_of(const Tensor& t);
// x[key]: integers, slices, Ellipsis, None and tuples of them.
PyObject* subscript(const Tensor& x, PyObject* key);
// An attribute value; false with an error set.
bool attr_from(PyObject* o, AttrValue* out);

}  // namespace rutile::python
