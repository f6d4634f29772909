// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/convert.h"

#include <algorithm>
#include <complex>
#include <memory>

#include "rutile/core/complex.h"
#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/interop.h"

namespace rutile::python {

Tensor with_whole_bools(Tensor t) {
  if (t.dtype() != DType::kBool || t.numel() == 0) return t;
  ScopedValue<CallModes> direct(call_modes(), CallModes());
  const Tensor bytes = ops::contiguous(t);
  const auto* in = static_cast<const uint8_t*>(bytes.data());
  const int64_t n = t.numel();
  if (std::all_of(in, in + n, [](uint8_t b) { return b <= 1; })) return t;
  Tensor copy = Tensor::empty(t.shape(), DType::kBool);
  std::transform(in, in + n, static_cast<uint8_t*>(copy.mutable_data()),
                 [](uint8_t b) { return static_cast<uint8_t>(b != 0); });
  return copy;
}

namespace {

constexpr const char* kLongNames[] = {"bool",     "uint8",   "uint16",  "uint32",    "uint64",
                                      "int8",     "int16",   "int32",   "int64",     "float16",
                                      "bfloat16", "float32", "float64", "complex64", "complex128"};

std::string type_name(PyObject* o) { return Py_TYPE(o)->tp_name; }

// Something that gives its elements itself; a class has the attribute too.
bool is_array(PyObject* o) {
  return PyObject_CheckBuffer(o) || (!PyType_Check(o) && PyObject_HasAttrString(o, "__array__"));
}

// A copy of any strided buffer in row-major order.
Tensor tensor_from_buffer(PyObject* o) {
  Py_buffer view;
  if (PyObject_GetBuffer(o, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT) != 0) throw_builtin_error();
  struct Release {
    Py_buffer* view;
    ~Release() { PyBuffer_Release(view); }
  } release{&view};
  DType dtype{};
  const char* format = view.format;
  const bool swapped = format && (*format == '>' || *format == '!');
  if (!dtype_of_format(swapped ? format + 1 : format, view.itemsize, &dtype)) {
    throw_error(ErrorCode::kType, cat("Tensor: elements of format '",
                                      view.format ? view.format : "B", "' have no dtype"));
  }
  if (view.ndim > kMaxRank) {
    throw_error(ErrorCode::kValue,
                cat("Tensor: at most ", kMaxRank, " dimensions, got ", view.ndim));
  }
  Shape shape;
  for (int i = 0; i < view.ndim; ++i) shape.push_back(view.shape[i]);
  Tensor t = Tensor::empty(shape, dtype);
  if (t.numel() > 0 && PyBuffer_ToContiguous(t.mutable_data(), &view, view.len, 'C') != 0) {
    throw_builtin_error();
  }
  if (swapped) {  // from the byte order of other machines
    const bool complex = dtype == DType::kC64 || dtype == DType::kC128;
    const size_t width = dtype_size(dtype) / (complex ? 2 : 1);
    char* p = static_cast<char*>(t.mutable_data());
    for (char* end = p + t.meta().nbytes(); p < end; p += width) std::reverse(p, p + width);
  }
  return with_whole_bools(std::move(t));
}

// The numbers of nested lists, with the shape that their first elements give.
struct Nested {
  Shape shape;
  std::vector<double> f;
  std::vector<int64_t> i;
  std::vector<std::complex<double>> z;
  std::vector<Tensor> tensors;
  bool floats = false, bools = true, complexes = false, arrays = false;

  void append(PyObject* o, int depth) {
    if (for_numpy()) return;
    if (PyList_Check(o) || PyTuple_Check(o)) {
      const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
      if (depth == shape.rank()) {
        if (!empty() || depth == kMaxRank) {
          throw_error(ErrorCode::kValue, "Tensor: the nested lists have different shapes");
        }
        shape.push_back(n);
      } else if (shape[depth] != n) {
        throw_error(ErrorCode::kValue, "Tensor: the nested lists have different lengths");
      }
      for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(o); ++k) {
        append(PySequence_Fast_GET_ITEM(o, k), depth + 1);
      }
      return;
    }
    Scalar s;
    if (is_tensor(o)) {
      tensors.push_back(as_tensor(o));
    } else if (scalar_from(o, &s)) {
      floats = floats || s.kind == Scalar::Kind::kFloat;
      bools = bools && s.kind == Scalar::Kind::kBool;
      f.push_back(s.f);
      i.push_back(s.i);
      z.emplace_back(s.f);
    } else if (PyComplex_CheckExact(o)) {
      complexes = true;
      f.push_back(0);
      z.emplace_back(PyComplex_RealAsDouble(o), PyComplex_ImagAsDouble(o));
    } else if (is_array(o)) {
      arrays = true;
      return;
    } else {
      throw_error(ErrorCode::kType, cat("Tensor: cannot be made from ", type_name(o)));
    }
    if (depth != shape.rank()) {
      throw_error(ErrorCode::kValue, "Tensor: the nested lists have different depths");
    }
  }
  // Arrays or NumPy's numbers are in it, or tensors beside numbers: NumPy joins those.
  bool for_numpy() const { return arrays || (!f.empty() && !tensors.empty()); }
  bool empty() const { return f.empty() && tensors.empty(); }

  // wide: floats as f64, for a dtype that is asked for.
  Tensor result(bool wide) {
    if (!tensors.empty()) {  // a list of tensors: stacked
      Shape full = shape;
      for (const int64_t d : tensors[0].shape()) {
        if (full.rank() == kMaxRank) throw_error(ErrorCode::kValue, "Tensor: too many dimensions");
        full.push_back(d);
      }
      return ops::reshape(ops::stack(tensors, 0), full);
    }
    if (complexes) {
      return Tensor::from<std::complex<double>>(z, shape);
    }
    if (floats || i.empty()) {
      Tensor whole = Tensor::from<double>(f, shape);
      return wide ? whole : ops::cast(whole, DType::kF32);
    }
    Tensor whole = Tensor::from<int64_t>(i, shape);
    return bools ? ops::cast(whole, DType::kBool) : whole;
  }
};

// As NumPy has them, but for its defaults: float64 becomes f32 and int32 i64, as in MindSpore.
Tensor joined_by_numpy(PyObject* lists, bool wide) {
  using Owned = std::unique_ptr<PyObject, decltype(&Py_DecRef)>;
  const Owned numpy(PyImport_ImportModule("numpy"), &Py_DecRef);
  if (!numpy) throw_builtin_error();
  const Owned array(PyObject_CallMethod(numpy.get(), "asarray", "(O)", lists), &Py_DecRef);
  if (!array && PyErr_ExceptionMatches(PyExc_ValueError)) {
    PyErr_Clear();
    throw_error(ErrorCode::kValue, "Tensor: the nested lists have different shapes");
  }
  if (!array) throw_builtin_error();
  Tensor whole = tensor_from(array.get());
  if (wide) return whole;
  const DType t = whole.dtype();
  return t == DType::kF64   ? ops::cast(whole, DType::kF32)
         : t == DType::kI32 ? ops::cast(whole, DType::kI64)
                            : whole;
}

Tensor tensor_of_lists(PyObject* o, bool wide) {
  Nested nested;
  nested.append(o, 0);
  return nested.for_numpy() ? joined_by_numpy(o, wide) : nested.result(wide);
}

}  // namespace

const char* long_dtype_name(DType t) { return kLongNames[static_cast<int>(t)]; }

namespace {
PyObject* dtype_objects[kNumDTypes] = {};
}

PyObject* dtype_object(DType t) {
  PyObject* o = dtype_objects[static_cast<int>(t)];
  return o ? Py_NewRef(o) : PyUnicode_FromString(long_dtype_name(t));
}

void set_dtype_object(DType t, PyObject* o) {
  Py_XSETREF(dtype_objects[static_cast<int>(t)], Py_NewRef(o));
}

DType dtype_from(PyObject* o) {
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::kF32;
  if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::kI64;
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::kBool;
  PyObject* name = PyUnicode_Check(o) ? Py_NewRef(o) : PyObject_GetAttrString(o, "name");
  if (!name) {
    PyErr_Clear();
    name = PyObject_GetAttrString(o, "__name__");  // np.float32
  }
  PyErr_Clear();
  const char* text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  PyErr_Clear();
  const std::string copy = text ? text : "";
  Py_XDECREF(name);
  DType t{};
  if (!copy.empty() && parse_dtype(copy, &t)) return t;
  if (PyUnicode_Check(o))
    throw_error(ErrorCode::kType,
                cat("'", copy,
                    "' is no dtype: they are bool, int8 to int64, uint8 to uint64, float16, "
                    "bfloat16, float32, float64, complex64, complex128"));
  throw_error(ErrorCode::kType, cat("expects a dtype, got ", type_name(o)));
}

PyObject* tuple_of(const Dims& d) {
  PyObject* t = PyTuple_New(d.rank());
  for (int i = 0; t && i < d.rank(); ++i) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(d[i]));
  return t;
}

int64_t int_from(PyObject* o) {
  if (PyFloat_Check(o) || !PyIndex_Check(o)) {
    throw_error(ErrorCode::kType, cat("expects an integer, got ", type_name(o)));
  }
  PyObject* whole = PyNumber_Index(o);
  const long long v = whole ? PyLong_AsLongLong(whole) : -1;
  Py_XDECREF(whole);
  if (v == -1 && PyErr_Occurred()) throw_builtin_error();
  return v;
}

std::string text_from(PyObject* o) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_Check(o) ? PyUnicode_AsUTF8AndSize(o, &size) : nullptr;
  if (text) return std::string(text, size);
  if (PyErr_Occurred()) throw_builtin_error();
  throw_error(ErrorCode::kType, cat("expects a str, got ", type_name(o)));
}

Dims dims_from(PyObject* o) {
  if (PyIndex_Check(o)) return Dims{int_from(o)};
  if (!PyList_Check(o) && !PyTuple_Check(o)) {
    throw_error(ErrorCode::kType, cat("expects integers, got ", type_name(o)));
  }
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  if (n > kMaxRank) throw_error(ErrorCode::kValue, cat("at most ", kMaxRank, " numbers, got ", n));
  Dims d;
  for (Py_ssize_t i = 0; i < n; ++i) d.push_back(int_from(PySequence_Fast_GET_ITEM(o, i)));
  return d;
}

bool scalar_from(PyObject* o, Scalar* out) {
  if (PyFloat_CheckExact(o)) return *out = Scalar(PyFloat_AS_DOUBLE(o)), true;
  if (PyBool_Check(o)) return *out = Scalar(o == Py_True), true;
  if (PyLong_Check(o)) {
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow) return false;
    return *out = Scalar(static_cast<int64_t>(v)), true;
  }
  if (PyFloat_Check(o)) return *out = Scalar(PyFloat_AsDouble(o)), true;
  return false;
}

Tensor tensor_from(PyObject* o, const Tensor* like) {
  if (is_tensor(o)) return as_tensor(o);
  // NumPy's numbers, also those that are ints or floats too, keep their dtype when alone.
  if (!like && !PyFloat_CheckExact(o) && !PyLong_CheckExact(o) && PyObject_CheckBuffer(o) &&
      (PyFloat_Check(o) || PyIndex_Check(o))) {
    return tensor_from_buffer(o);
  }
  Scalar s;
  if (PyComplex_CheckExact(o)) {  // weak like other numbers, but never real
    const DType t = like ? complex_dtype(like->dtype()) : DType::kC128;
    const std::complex<double> z(PyComplex_RealAsDouble(o), PyComplex_ImagAsDouble(o));
    return ops::cast(Tensor::from<std::complex<double>>({z}, {}), t);
  }
  if (scalar_from(o, &s)) {
    DType t = s.kind == Scalar::Kind::kFloat  ? DType::kF32
              : s.kind == Scalar::Kind::kBool ? DType::kBool
                                              : DType::kI64;
    // As for the operators: a number takes the tensor's dtype unless that cannot hold its kind.
    const bool keeps = like && (is_differentiable(like->dtype()) || s.kind == Scalar::Kind::kBool ||
                                (s.kind == Scalar::Kind::kInt && like->dtype() != DType::kBool));
    return Tensor::scalar(s, keeps ? like->dtype() : t);
  }
  if (PyObject_CheckBuffer(o)) return tensor_from_buffer(o);
  if (is_array(o)) {
    PyObject* array = checked(PyObject_CallMethod(o, "__array__", nullptr));
    struct Drop {
      PyObject* o;
      ~Drop() { Py_DECREF(o); }
    } drop{array};
    return tensor_from_buffer(array);
  }
  return tensor_of_lists(o, false);
}

Tensor wide_tensor_from(PyObject* o) {
  if (PyFloat_CheckExact(o)) return Tensor::full({}, PyFloat_AS_DOUBLE(o), DType::kF64);
  if (PyComplex_CheckExact(o)) {
    const std::complex<double> z(PyComplex_RealAsDouble(o), PyComplex_ImagAsDouble(o));
    return Tensor::from<std::complex<double>>({z}, {});
  }
  if (!PyList_Check(o) && !PyTuple_Check(o)) return tensor_from(o);
  return tensor_of_lists(o, true);
}

AttrValue attr_from(PyObject* o) {
  Scalar s;
  if (is_tensor(o) && as_tensor(o).numel() != 1) {
    throw_error(ErrorCode::kType, cat("expects a plain value, got a Tensor ", as_tensor(o).meta()));
  }
  if (o == Py_None) return std::monostate();
  if (PyUnicode_Check(o)) return text_from(o);
  if (scalar_from(o, &s)) {
    if (s.kind == Scalar::Kind::kBool) return s.i != 0;
    if (s.kind == Scalar::Kind::kInt) return s.i;
    return s.f;
  }
  const bool real = is_tensor(o) && is_differentiable(as_tensor(o).dtype());
  if (PyIndex_Check(o) && !real) return int_from(o);
  if (PyFloat_Check(o) || PyNumber_Check(o)) {
    const double d = PyFloat_AsDouble(o);
    if (d == -1 && PyErr_Occurred()) throw_builtin_error();
    return d;
  }
  if (PyList_Check(o) || PyTuple_Check(o)) return dims_from(o);
  return dtype_from(o);
}

}  // namespace rutile::python
