// SPDX-License-Identifier: Apache-2.0
// Between Python objects and core types. What cannot be converted throws rutile::Error (kType or
// kValue), a failing callback of the user's PythonError.
#pragma once

#include "rutile/ops/attrs.h"
#include "rutile/python/src/py_tensor.h"

namespace rutile::python {

// NumPy's name: "float32".
const char* long_dtype_name(DType t);
// From a string ("float32", "f32"), a NumPy dtype, float, int, bool or anything with a `name`.
DType dtype_from(PyObject* o);
// The Python object of a dtype (what Tensor.dtype gives): its name until set_dtype_object.
PyObject* dtype_object(DType t);
void set_dtype_object(DType t, PyObject* o);
PyObject* tuple_of(const Dims& d);
Dims dims_from(PyObject* o);  // int, tuple or list
int64_t int_from(PyObject* o);
std::string text_from(PyObject* o);

// Python bool, int or float as a Scalar; false for anything else.
bool scalar_from(PyObject* o, Scalar* out);
// A Tensor from a Tensor, number, nested list or array (through the buffer protocol). `like` gives
// the dtype of plain numbers where it has one.
Tensor tensor_from(PyObject* o, const Tensor* like = nullptr);
// The tensor, or a copy where a bool's byte is neither 0 nor 1: masks of 255 are common elsewhere,
// kernels count the bytes. Memory of others comes through here.
Tensor with_whole_bools(Tensor t);
// The same as tensor_from with Python's floats in f64 and its complex numbers in c128: to be cast
// to a dtype, once.
Tensor wide_tensor_from(PyObject* o);

// x[key] as NumPy has it (indexing.cc): integers, slices, Ellipsis, None, arrays of integers and
// bools, and tuples of them. Basic keys give views.
Tensor subscript(const Tensor& x, PyObject* key);
// What x becomes by x[key] = value; of several values for one place the last one stays.
Tensor with_assigned(const Tensor& x, PyObject* key, PyObject* value);
AttrValue attr_from(PyObject* o);

}  // namespace rutile::python
