// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/py_tensor.h"

#include <structmember.h>

#include <algorithm>
#include <complex>
#include <new>
#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/special.h"
#include "rutile/ops/transfer.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/interop.h"

namespace rutile::python {

PyTypeObject* tensor_type = nullptr;
PyObject* on_rebound = nullptr;

PyMemberDef kTensorMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weak), READONLY, nullptr}, {}};

PyObject* wrap(Tensor t) {
  PyObject* o = tensor_type->tp_alloc(tensor_type, 0);
  if (!o) return nullptr;
  ::new (&reinterpret_cast<PyTensor*>(o)->tensor) Tensor(std::move(t));
  return o;
}

namespace {

PyObject* init_hook = nullptr;  // (init, shape, dtype) -> Tensor
PyObject* text_hook = nullptr;  // (Tensor, repr or str) -> str

// Of Tensor(shape=[None, 32], dtype=...), which only says what set_inputs is to expect: dimensions
// that are not known, and all of an unknown shape, have no elements.
Shape shape_of_placeholder(PyObject* shape) {
  if (shape == Py_None) return Shape{0};
  if (PyLong_Check(shape)) return Shape{std::max<int64_t>(PyLong_AsLongLong(shape), 0)};
  PyObject* list = checked(PySequence_List(shape));
  Shape out;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    PyObject* n = PyList_GET_ITEM(list, i);
    const int64_t v = n == Py_None ? 0 : PyLong_AsLongLong(n);
    if (PyErr_Occurred()) break;
    out.push_back(std::max<int64_t>(v, 0));
  }
  Py_DECREF(list);
  if (PyErr_Occurred()) throw_builtin_error();
  return out;
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* kKeywords[] = {"input_data", "dtype", "shape", "init", nullptr};
  return guarded([&]() -> PyObject* {
    PyObject *data = nullptr, *dtype = Py_None, *shape = Py_None, *init = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOOO:Tensor", const_cast<char**>(kKeywords),
                                     &data, &dtype, &shape, &init)) {
      throw_builtin_error();
    }
    Tensor t;
    if (init != Py_None && init_hook) {
      PyObject* made = checked(PyObject_CallFunction(init_hook, "OOO", init, shape, dtype));
      if (is_tensor(made)) t = as_tensor(made);
      Py_DECREF(made);
    } else if ((!data || data == Py_None) &&
               (shape != Py_None ||
                (dtype != Py_None && kwargs && PyDict_GetItemString(kwargs, "shape")))) {
      t = Tensor::zeros(shape_of_placeholder(shape),
                        dtype == Py_None ? DType::kF32 : dtype_from(dtype));
    } else {
      if (!data || data == Py_None) {
        throw_error(ErrorCode::kType,
                    "Tensor: cannot be made from nothing (None): pass input_data, or shape, dtype "
                    "and init");
      }
      if (shape != Py_None) {
        throw_error(ErrorCode::kValue, "Tensor: shape goes with init, not with input_data");
      }
      // Floats with a dtype are rounded once.
      t = dtype != Py_None ? wide_tensor_from(data) : tensor_from(data);
    }
    if (dtype != Py_None) {
      const DType d = dtype_from(dtype);
      if (d != t.dtype()) t = ops::cast(t, d);
    }
    PyObject* o = checked(type->tp_alloc(type, 0));
    ::new (&reinterpret_cast<PyTensor*>(o)->tensor) Tensor(ops::to_device_in_force(t));
    return o;
  });
}

void tensor_dealloc(PyObject* self) {
  forget_weak(self);
  reinterpret_cast<PyTensor*>(self)->tensor.~Tensor();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// The other operand of a binary operator: a Tensor, or a number that takes the tensor's type.
using BinaryTensor = Tensor (*)(Arg, Arg);
using BinaryRight = Tensor (*)(Arg, Scalar);
using BinaryLeft = Tensor (*)(Scalar, Arg);

// False where Python is to ask the other operand, as for a str.
bool operand_from(PyObject* o, const Tensor& like, Tensor* out) {
  try {
    *out = tensor_from(o, &like);
    return true;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kType) return false;
    throw;
  }
}

template <BinaryTensor kTT, BinaryRight kTS, BinaryLeft kST>
PyObject* binary(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    Scalar s;
    if (is_exact_tensor(a)) {
      if (is_exact_tensor(b)) return wrap(kTT(exact_tensor(a), exact_tensor(b)));
      if (scalar_from(b, &s)) return wrap(kTS(exact_tensor(a), s));
    }
    if (is_tensor(a)) {
      const Tensor x = as_tensor(a);
      if (scalar_from(b, &s)) return wrap(kTS(x, s));
      Tensor y;
      if (!operand_from(b, x, &y)) Py_RETURN_NOTIMPLEMENTED;
      return wrap(kTT(x, y));
    }
    const Tensor y = as_tensor(b);
    if (scalar_from(a, &s)) return wrap(kST(s, y));
    Tensor x;
    if (!operand_from(a, y, &x)) Py_RETURN_NOTIMPLEMENTED;
    return wrap(kTT(x, y));
  });
}

#define RUTILE_BINARY(function)                                                             \
  binary<static_cast<BinaryTensor>(ops::function), static_cast<BinaryRight>(ops::function), \
         static_cast<BinaryLeft>(ops::function)>

PyObject* tensor_power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return RUTILE_BINARY(pow)(a, b);
}

PyObject* tensor_matmul(PyObject* a, PyObject* b) {
  if (!is_tensor(a) || !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded([&] { return wrap(ops::matmul(as_tensor(a), as_tensor(b))); });
}

PyObject* tensor_negative(PyObject* a) {
  return guarded([&] { return wrap(ops::neg(as_tensor(a))); });
}
PyObject* tensor_invert(PyObject* a) {
  return guarded([&] { return wrap(ops::bitwise_not(as_tensor(a))); });
}
PyObject* tensor_positive(PyObject* a) {
  return guarded([&] { return wrap(as_tensor(a)); });
}
PyObject* tensor_absolute(PyObject* a) {
  return guarded([&] { return wrap(ops::abs(as_tensor(a))); });
}

int tensor_bool(PyObject* a) {
  return guarded_int([&] {
    const Tensor& t = as_tensor(a);
    if (t.numel() != 1) {
      throw_error(ErrorCode::kValue, cat("the truth of a tensor of shape ", t.shape(),
                                         " is ambiguous: bool() needs exactly one element, as "
                                         "x.all() and x.any() give"));
    }
    return t.item<std::complex<double>>() != 0.0;
  });
}

PyObject* item_object(const Tensor& t) {
  if (is_complex(t.dtype())) {
    const auto z = t.item<std::complex<double>>();
    return PyComplex_FromDoubles(z.real(), z.imag());
  }
  if (is_floating(t.dtype())) return PyFloat_FromDouble(t.item());
  if (t.dtype() == DType::kBool) return PyBool_FromLong(t.item() != 0);
  // Integers beyond 2^53 must not pass through a double.
  if (t.numel() == 1 && t.dtype() == DType::kI64) {
    return PyLong_FromLongLong(t.to_vector<int64_t>()[0]);
  }
  if (t.numel() == 1 && t.dtype() == DType::kU64) {
    return PyLong_FromUnsignedLongLong(t.to_vector<uint64_t>()[0]);
  }
  return PyLong_FromLongLong(static_cast<long long>(t.item()));
}

PyObject* tensor_item(PyObject* a, PyObject*) {
  return guarded([&] { return item_object(as_tensor(a)); });
}
PyObject* tensor_complex(PyObject* a, PyObject*) {
  return guarded([&] {
    const auto z = as_tensor(a).item<std::complex<double>>();
    return PyComplex_FromDoubles(z.real(), z.imag());
  });
}
PyObject* tensor_float(PyObject* a) {
  return guarded([&] { return PyFloat_FromDouble(as_tensor(a).item()); });
}
PyObject* tensor_int(PyObject* a) {
  return guarded([&]() -> PyObject* {
    const Tensor t = as_tensor(a);
    if (is_floating(t.dtype())) return PyLong_FromDouble(t.item());
    PyObject* number = item_object(t);
    PyObject* whole = number ? PyNumber_Long(number) : nullptr;
    Py_XDECREF(number);
    return whole;
  });
}

PyObject* tensor_compare(PyObject* a, PyObject* b, int op) {
  switch (op) {
    case Py_EQ:
      return RUTILE_BINARY(equal)(a, b);
    case Py_NE:
      return RUTILE_BINARY(not_equal)(a, b);
    case Py_LT:
      return RUTILE_BINARY(less)(a, b);
    case Py_LE:
      return RUTILE_BINARY(less_equal)(a, b);
    case Py_GT:
      return RUTILE_BINARY(greater)(a, b);
    default:
      return RUTILE_BINARY(greater_equal)(a, b);
  }
}

// Comparison is by element, so identity is the hash, as for NumPy's and PyTorch's containers of
// parameters.
Py_hash_t tensor_hash(PyObject* a) {
  return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(a) >> 4);
}

PyObject* text_of(PyObject* a, bool whole) {
  return guarded([&] {
    const Tensor t = as_tensor(a);
    if (!text_hook || t.is_symbolic()) return PyUnicode_FromString(t.repr().c_str());
    PyObject* value = checked(wrap(t));
    PyObject* text = PyObject_CallFunction(text_hook, "OO", value, whole ? Py_True : Py_False);
    Py_DECREF(value);
    return checked(text);
  });
}
PyObject* tensor_repr(PyObject* a) { return text_of(a, true); }
PyObject* tensor_str(PyObject* a) { return text_of(a, false); }

Py_ssize_t tensor_length(PyObject* a) {
  Py_ssize_t n = -1;
  guarded_int([&] {
    const Tensor t = as_tensor(a);
    if (t.rank() == 0) throw_error(ErrorCode::kType, "a tensor without dimensions has no length");
    n = t.dim(0);
    return 0;
  });
  return n;
}

PyObject* get_shape(PyObject* a, void*) {
  return guarded([&] { return tuple_of(as_tensor(a).shape()); });
}
PyObject* get_dtype(PyObject* a, void*) {
  return guarded([&] { return dtype_object(as_tensor(a).dtype()); });
}
PyObject* get_ndim(PyObject* a, void*) {
  return guarded([&] { return PyLong_FromLong(as_tensor(a).rank()); });
}
PyObject* get_size(PyObject* a, void*) {
  return guarded([&] { return PyLong_FromLongLong(as_tensor(a).numel()); });
}
PyObject* get_strides(PyObject* a, void*) {
  return guarded([&] {
    const Tensor t = as_tensor(a);
    Dims bytes =
        t.meta().layout == kStrided ? t.meta().strides : TensorMeta(t.shape(), t.dtype()).strides;
    for (int i = 0; i < bytes.rank(); ++i) bytes[i] *= static_cast<int64_t>(dtype_size(t.dtype()));
    return tuple_of(bytes);
  });
}
PyObject* get_transposed(PyObject* a, void*) {
  return guarded([&] { return wrap(ops::transpose(as_tensor(a))); });
}

PyObject* tensor_asnumpy(PyObject* a, PyObject*) {
  return guarded([&] { return writable_numpy_of(a); });
}
PyObject* tensor_array(PyObject* a, PyObject* args, PyObject* kwargs) {
  PyObject* array = guarded([&] { return numpy_of(as_tensor(a)); });
  if (!array || (PyTuple_GET_SIZE(args) == 0 && !kwargs)) return array;
  PyObject* dtype = PyTuple_GET_SIZE(args) ? PyTuple_GET_ITEM(args, 0) : nullptr;
  if (!dtype && kwargs) dtype = PyDict_GetItemString(kwargs, "dtype");
  if (!dtype || dtype == Py_None) return array;
  PyObject* cast = PyObject_CallMethod(array, "astype", "O", dtype);
  Py_DECREF(array);
  return cast;
}

PyObject* tensor_subscript(PyObject* a, PyObject* key) {
  return guarded([&] { return wrap(subscript(as_tensor(a), key)); });
}

void bind_in_place(PyObject* a, Tensor value) {
  if (is_parameter(a)) {
    as_parameter(a)->set_value(value);
    return;
  }
  reinterpret_cast<PyTensor*>(a)->tensor = std::move(value);
  if (on_rebound && call_modes().trace) {
    PyObject* done = checked(PyObject_CallOneArg(on_rebound, a));
    Py_DECREF(done);
  }
}

// Tensors are values: the name is bound to another one, views taken before keep theirs.
int tensor_assign(PyObject* a, PyObject* key, PyObject* value) {
  return guarded_int([&] {
    if (!value) throw_error(ErrorCode::kType, "elements of a Tensor cannot be deleted");
    bind_in_place(a, with_assigned(as_tensor(a), key, value));
    return 0;
  });
}

// Iteration: Python stops at the IndexError.
PyObject* tensor_item_at(PyObject* a, Py_ssize_t i) {
  return guarded([&] {
    const Tensor t = as_tensor(a);
    if (t.rank() == 0) {
      throw_error(ErrorCode::kType, "a tensor without dimensions cannot be iterated over");
    }
    if (i < 0 || i >= t.dim(0)) throw_error(ErrorCode::kIndex, "index out of range");
    return wrap(ops::select(t, 0, i));
  });
}
// A parameter's rows are those of its value now.
PyObject* tensor_iter(PyObject* a) {
  return guarded([&]() -> PyObject* {
    if (as_tensor(a).rank() == 0) return tensor_item_at(a, 0);
    PyObject* value = checked(wrap(as_tensor(a)));
    PyObject* rows = PySeqIter_New(value);
    Py_DECREF(value);
    return rows;
  });
}

PyObject* tensor_index(PyObject* a) {
  return guarded([&] {
    const Tensor t = as_tensor(a);
    if (!is_integral(t.dtype())) {
      throw_error(ErrorCode::kType, "only an integer Tensor of one element is an index");
    }
    return item_object(t);
  });
}

// f"{loss:.4f}": a single element formats as its number.
PyObject* tensor_format(PyObject* a, PyObject* spec) {
  return guarded([&]() -> PyObject* {
    if (!PyUnicode_Check(spec)) throw_error(ErrorCode::kType, "a format is a str");
    const Tensor t = as_tensor(a);
    if (t.numel() != 1 || PyUnicode_GET_LENGTH(spec) == 0) return PyObject_Str(a);
    PyObject* number = item_object(t);
    PyObject* text = number ? PyObject_Format(number, spec) : nullptr;
    Py_XDECREF(number);
    return text;
  });
}

// What the methods with a final _ end in: the name is bound to another tensor, as by x[...] =
// value.
PyObject* tensor_rebind(PyObject* a, PyObject* value) {
  return guarded([&] {
    if (!is_tensor(value)) throw_error(ErrorCode::kType, "a Tensor is bound to a Tensor's value");
    bind_in_place(a, as_tensor(value));
    return Py_NewRef(a);
  });
}

PyMethodDef kMethods[] = {
    {"_rebind", tensor_rebind, METH_O, "Binds this name to the value of another Tensor."},
    {"__format__", tensor_format, METH_O, "The element by a format, for one element."},
    {"__complex__", tensor_complex, METH_NOARGS, nullptr},
    {"item", tensor_item, METH_NOARGS, "The single element as a Python number."},
    {"asnumpy", tensor_asnumpy, METH_NOARGS,
     "A NumPy array: over the same memory, where no other Tensor or Parameter has it, else of a "
     "copy (bfloat16: a float32 one)."},
    {"numpy", tensor_asnumpy, METH_NOARGS, "As asnumpy()."},
    {"__array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(tensor_array)),
     METH_VARARGS | METH_KEYWORDS, "NumPy's array protocol."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef kProperties[] = {
    {"shape", get_shape, nullptr, "Dimensions as a tuple.", nullptr},
    {"dtype", get_dtype, nullptr,
     "Element type: rutile.float32, rutile.bfloat16, rutile.int64, ...", nullptr},
    {"ndim", get_ndim, nullptr, "Number of dimensions.", nullptr},
    {"size", get_size, nullptr, "Number of elements.", nullptr},
    {"strides", get_strides, nullptr, "Bytes from an element to the next of each dimension.",
     nullptr},
    {"T", get_transposed, nullptr, "The tensor with its dimensions reversed.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <class F>
void* slot(F f) {
  return reinterpret_cast<void*>(f);
}

}  // namespace

void set_tensor_hooks(PyObject* init, PyObject* text) {
  Py_XSETREF(init_hook, Py_NewRef(init));
  Py_XSETREF(text_hook, Py_NewRef(text));
}

bool add_tensor_type(PyObject* module) {
  static PyType_Slot slots[] = {
      {Py_tp_new, slot(tensor_new)},
      {Py_tp_dealloc, slot(tensor_dealloc)},
      {Py_tp_repr, slot(tensor_repr)},
      {Py_tp_str, slot(tensor_str)},
      {Py_tp_hash, slot(tensor_hash)},
      {Py_tp_richcompare, slot(tensor_compare)},
      {Py_tp_methods, kMethods},
      {Py_tp_getset, kProperties},
      {Py_tp_members, kTensorMembers},
      {Py_tp_doc,
       const_cast<char*>(
           "Tensor(input_data=None, dtype=None, shape=None, init=None): an n-dimensional "
           "array; with init and shape what an initializer makes.")},
      {Py_nb_add, slot(RUTILE_BINARY(add))},
      {Py_nb_subtract, slot(RUTILE_BINARY(sub))},
      {Py_nb_multiply, slot(RUTILE_BINARY(mul))},
      {Py_nb_true_divide, slot(RUTILE_BINARY(div))},
      {Py_nb_floor_divide, slot(RUTILE_BINARY(floor_div))},
      {Py_nb_remainder, slot(RUTILE_BINARY(remainder))},
      {Py_nb_power, slot(tensor_power)},
      {Py_nb_matrix_multiply, slot(tensor_matmul)},
      {Py_nb_negative, slot(tensor_negative)},
      {Py_nb_absolute, slot(tensor_absolute)},
      {Py_nb_positive, slot(tensor_positive)},
      {Py_nb_invert, slot(tensor_invert)},
      {Py_nb_and, slot(RUTILE_BINARY(bitwise_and))},
      {Py_nb_or, slot(RUTILE_BINARY(bitwise_or))},
      {Py_nb_xor, slot(RUTILE_BINARY(bitwise_xor))},
      {Py_nb_lshift, slot(RUTILE_BINARY(bitwise_left_shift))},
      {Py_nb_rshift, slot(RUTILE_BINARY(bitwise_right_shift))},
      {Py_nb_bool, slot(tensor_bool)},
      {Py_nb_float, slot(tensor_float)},
      {Py_nb_int, slot(tensor_int)},
      {Py_nb_index, slot(tensor_index)},
      {Py_tp_iter, slot(tensor_iter)},
      {Py_sq_item, slot(tensor_item_at)},
      {Py_bf_getbuffer, slot(tensor_getbuffer)},
      {Py_bf_releasebuffer, slot(tensor_releasebuffer)},
      {Py_mp_length, slot(tensor_length)},
      {Py_mp_subscript, slot(tensor_subscript)},
      {Py_mp_ass_subscript, slot(tensor_assign)},
      {0, nullptr}};
  static PyType_Spec spec = {"rutile.Tensor", sizeof(PyTensor), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  tensor_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  for (PyMethodDef* m = kInteropMethods; tensor_type && m->ml_name; ++m) {
    PyObject* method = PyDescr_NewMethod(tensor_type, m);
    const bool ok = method && PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type),
                                                     m->ml_name, method) == 0;
    Py_XDECREF(method);
    if (!ok) return false;
  }
  // With None, NumPy leaves array + Tensor to Tensor.
  return tensor_type &&
         PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type), "__array_ufunc__",
                                Py_None) == 0 &&
         PyModule_AddObjectRef(module, "Tensor", reinterpret_cast<PyObject*>(tensor_type)) == 0;
}

}  // namespace rutile::python
