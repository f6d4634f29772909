// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/convert.h"

#include <cstring>
#include <memory>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::python {

namespace {

constexpr const char* kLongNames[] = {"bool",     "uint8",   "uint16",  "uint32",    "uint64",
                                      "int8",     "int16",   "int32",   "int64",     "float16",
                                      "bfloat16", "float32", "float64", "complex64", "complex128"};
// Buffer-protocol format characters of the same types; bfloat16 has none.
constexpr const char* kFormats[] = {"?", "B", "H",     "I", "L", "b",  "h", "i",
                                    "l", "e", nullptr, "f", "d", "Zf", "Zd"};

bool dtype_of_format(const char* format, Py_ssize_t itemsize, DType* out) {
  if (!format) format = "B";
  if (*format == '@' || *format == '=' || *format == '<') ++format;
  if (std::strcmp(format, "q") == 0) return *out = DType::kI64, true;
  if (std::strcmp(format, "Q") == 0) return *out = DType::kU64, true;
  for (int i = 0; i < kNumDTypes; ++i) {
    if (!kFormats[i] || std::strcmp(format, kFormats[i]) != 0) continue;
    *out = static_cast<DType>(i);
    return static_cast<size_t>(itemsize) == dtype_size(*out);
  }
  return false;
}

// A copy of any strided buffer in row-major order.
bool tensor_from_buffer(PyObject* o, Tensor* out) {
  Py_buffer view;
  if (PyObject_GetBuffer(o, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT) != 0) return false;
  DType dtype{};
  bool ok = false;
  if (!dtype_of_format(view.format, view.itemsize, &dtype)) {
    PyErr_Format(PyExc_TypeError, "Tensor: elements of format '%s' have no dtype", view.format);
  } else if (view.ndim > kMaxRank) {
    PyErr_SetString(PyExc_ValueError, "Tensor: at most 8 dimensions");
  } else {
    Shape shape;
    for (int i = 0; i < view.ndim; ++i) shape.push_back(view.shape[i]);
    *out = Tensor::empty(shape, dtype);
    ok = out->numel() == 0 || PyBuffer_ToContiguous(out->mutable_data(), &view, view.len, 'C') == 0;
  }
  PyBuffer_Release(&view);
  return ok;
}

bool append_numbers(PyObject* o, int depth, Shape* shape, std::vector<double>* f,
                    std::vector<int64_t>* i, bool* floats, bool* bools) {
  if (PyList_Check(o) || PyTuple_Check(o)) {
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    if (depth == shape->rank()) {
      if (!f->empty() || depth == kMaxRank) {
        PyErr_SetString(PyExc_ValueError, "Tensor: the nested lists have different shapes");
        return false;
      }
      shape->push_back(n);
    } else if ((*shape)[depth] != n) {
      PyErr_SetString(PyExc_ValueError, "Tensor: the nested lists have different lengths");
      return false;
    }
    for (Py_ssize_t k = 0; k < n; ++k) {
      if (!append_numbers(PySequence_Fast_GET_ITEM(o, k), depth + 1, shape, f, i, floats, bools)) {
        return false;
      }
    }
    return true;
  }
  Scalar s;
  if (!scalar_from(o, &s)) {
    PyErr_Format(PyExc_TypeError, "Tensor: cannot be made from %s", Py_TYPE(o)->tp_name);
    return false;
  }
  if (depth != shape->rank()) {
    PyErr_SetString(PyExc_ValueError, "Tensor: the nested lists have different depths");
    return false;
  }
  *floats = *floats || s.kind == Scalar::Kind::kFloat;
  *bools = *bools && s.kind == Scalar::Kind::kBool;
  f->push_back(s.f);
  i->push_back(s.i);
  return true;
}

}  // namespace

const char* long_dtype_name(DType t) { return kLongNames[static_cast<int>(t)]; }

bool dtype_from(PyObject* o, DType* out) {
  PyObject* name = PyUnicode_Check(o) ? Py_NewRef(o) : PyObject_GetAttrString(o, "name");
  if (!name) {
    PyErr_Clear();
    name = PyObject_GetAttrString(o, "__name__");  // np.float32, float, int
  }
  const char* text = name ? PyUnicode_AsUTF8(name) : nullptr;
  bool ok = text != nullptr;
  if (ok && o == reinterpret_cast<PyObject*>(&PyFloat_Type)) {
    *out = DType::kF32;
  } else if (ok && o == reinterpret_cast<PyObject*>(&PyLong_Type)) {
    *out = DType::kI64;
  } else if (ok && !parse_dtype(text, out)) {
    PyErr_Format(PyExc_TypeError, "'%s' is no dtype", text);
    ok = false;
  }
  Py_XDECREF(name);
  return ok;
}

PyObject* tuple_of(const Dims& d) {
  PyObject* t = PyTuple_New(d.rank());
  for (int i = 0; t && i < d.rank(); ++i) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(d[i]));
  return t;
}

bool dims_from(PyObject* o, Dims* out) {
  *out = Dims();
  if (PyLong_Check(o)) {
    out->push_back(PyLong_AsLongLong(o));
    return !PyErr_Occurred();
  }
  if (!PyList_Check(o) && !PyTuple_Check(o)) {
    PyErr_Format(PyExc_TypeError, "expects integers, got %s", Py_TYPE(o)->tp_name);
    return false;
  }
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  if (n > kMaxRank) {
    PyErr_SetString(PyExc_ValueError, "at most 8 dimensions");
    return false;
  }
  for (Py_ssize_t i = 0; i < n; ++i) {
    const long long v = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(o, i));
    if (v == -1 && PyErr_Occurred()) return false;
    out->push_back(v);
  }
  return true;
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

bool tensor_from(PyObject* o, const Tensor* like, Tensor* out) {
  if (is_tensor(o)) return *out = as_tensor(o), true;
  Scalar s;
  if (scalar_from(o, &s)) {
    DType t = s.kind == Scalar::Kind::kFloat  ? DType::kF32
              : s.kind == Scalar::Kind::kBool ? DType::kBool
                                              : DType::kI64;
    // As for the operators: a number takes the tensor's dtype unless that cannot hold its kind.
    const bool keeps = like && (is_floating(like->dtype()) || s.kind == Scalar::Kind::kBool ||
                                (s.kind == Scalar::Kind::kInt && like->dtype() != DType::kBool));
    *out = Tensor::scalar(s, keeps ? like->dtype() : t);
    return true;
  }
  if (PyObject_CheckBuffer(o)) return tensor_from_buffer(o, out);
  if (PyObject_HasAttrString(o, "__array__")) {
    PyObject* array = PyObject_CallMethod(o, "__array__", nullptr);
    if (!array) return false;
    const bool ok = tensor_from_buffer(array, out);
    Py_DECREF(array);
    return ok;
  }
  Shape shape;
  std::vector<double> f;
  std::vector<int64_t> i;
  bool floats = false, bools = true;
  if (!append_numbers(o, 0, &shape, &f, &i, &floats, &bools)) return false;
  if (floats || i.empty()) {
    *out = ops::cast(Tensor::from<double>(f, shape), DType::kF32);
  } else {
    *out = Tensor::from<int64_t>(i, shape);
    if (bools) *out = ops::cast(*out, DType::kBool);
  }
  return true;
}

namespace {
struct ExportedBuffer {
  Tensor tensor;  // keeps the memory
  Py_ssize_t shape[kMaxRank], strides[kMaxRank];
};
}  // namespace

int tensor_getbuffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  try {
    const Tensor& t = as_tensor(self);
    const char* format = kFormats[static_cast<int>(t.dtype())];
    const bool plain = t.meta().layout == kStrided;
    const bool strided = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
    const bool any_order = (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS;
    const bool c_order = (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS;
    const bool f_order = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
    const bool contiguous = plain && t.meta().is_contiguous();
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE || !format || !plain ||
        (!contiguous && (!strided || any_order || c_order)) || (f_order && t.rank() > 1)) {
      PyErr_SetString(PyExc_BufferError, "this Tensor has no such buffer; asnumpy() makes one");
      return -1;
    }
    static char empty = 0;
    const void* data = t.data();  // refuses symbolic tensors
    auto b = std::make_unique<ExportedBuffer>();
    b->tensor = t;
    const Py_ssize_t size = static_cast<Py_ssize_t>(dtype_size(t.dtype()));
    for (int i = 0; i < t.rank(); ++i) {
      b->shape[i] = t.dim(i);
      b->strides[i] = t.meta().strides[i] * size;
    }
    view->buf = data ? const_cast<void*>(data) : &empty;
    view->len = t.numel() * size;
    view->readonly = 1;
    view->itemsize = size;
    view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
    view->ndim = t.rank();
    view->shape = flags & PyBUF_ND ? b->shape : nullptr;
    view->strides = strided ? b->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = b.release();
    view->obj = Py_NewRef(self);
    return 0;
  } catch (...) {
    set_error_from_exception();
    return -1;
  }
}

void tensor_releasebuffer(PyObject*, Py_buffer* view) {
  delete static_cast<ExportedBuffer*>(view->internal);
}

PyObject* numpy_of(const Tensor& tensor) {
  static PyObject* numpy = nullptr;
  if (!numpy) numpy = PyImport_ImportModule("numpy");
  if (!numpy) return nullptr;
  tensor.data();  // a symbolic tensor has none: say so before anything is recorded
  Tensor t = tensor.dtype() == DType::kBF16 ? ops::cast(tensor, DType::kF32) : tensor;
  if (t.meta().layout != kStrided) t = ops::contiguous(t);
  PyObject* holder = wrap(std::move(t));
  PyObject* view = holder ? PyMemoryView_FromObject(holder) : nullptr;
  PyObject* array = view ? PyObject_CallMethod(numpy, "asarray", "O", view) : nullptr;
  Py_XDECREF(view);
  Py_XDECREF(holder);
  return array;
}

namespace {

// Applies one index to dimension `*axis` and moves on; false with an error set.
bool apply_index(Tensor* x, int* axis, PyObject* index) {
  if (index == Py_None) {
    *x = ops::expand_dims(*x, (*axis)++);
    return true;
  }
  if (*axis >= x->rank()) {
    PyErr_Format(PyExc_IndexError, "too many indices for a tensor of %d dimensions", x->rank());
    return false;
  }
  const int64_t n = x->dim(*axis);
  if (PySlice_Check(index)) {
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(index, &start, &stop, &step) < 0) return false;
    PySlice_AdjustIndices(n, &start, &stop, step);
    // stop may be -1 for a negative step that runs past the front, which slice() would wrap.
    if (step < 0 && stop < 0) stop = -n - 1;
    *x = ops::slice_axis(*x, *axis, start, stop, step);
    ++*axis;
    return true;
  }
  if (!PyLong_Check(index) || PyBool_Check(index)) {
    PyErr_Format(PyExc_TypeError, "a tensor is indexed by int, slice, None or ..., got %s",
                 Py_TYPE(index)->tp_name);
    return false;
  }
  const long long i = PyLong_AsLongLong(index);
  if (i < -n || i >= n) {
    if (!PyErr_Occurred()) {
      PyErr_Format(PyExc_IndexError, "index %lld is out of range for dimension %d of size %lld", i,
                   *axis, static_cast<long long>(n));
    }
    return false;
  }
  *x = ops::select(*x, *axis, i < 0 ? i + n : i);
  return true;
}

}  // namespace

PyObject* subscript(const Tensor& tensor, PyObject* key) {
  Tensor x = tensor;
  int axis = 0;
  if (!PyTuple_Check(key)) {
    if (key == Py_Ellipsis) return wrap(x);
    return apply_index(&x, &axis, key) ? wrap(x) : nullptr;
  }
  const Py_ssize_t n = PyTuple_GET_SIZE(key);
  int consumed = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* k = PyTuple_GET_ITEM(key, i);
    consumed += k != Py_None && k != Py_Ellipsis;
  }
  bool ellipsis = false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* k = PyTuple_GET_ITEM(key, i);
    if (k == Py_Ellipsis) {
      if (ellipsis) {
        PyErr_SetString(PyExc_IndexError, "an index has at most one ellipsis");
        return nullptr;
      }
      ellipsis = true;
      axis += std::max(0, tensor.rank() - consumed);
    } else if (!apply_index(&x, &axis, k)) {
      return nullptr;
    }
  }
  return wrap(x);
}

bool attr_from(PyObject* o, AttrValue* out) {
  Scalar s;
  if (o == Py_None) return *out = std::monostate(), true;
  if (PyUnicode_Check(o)) {
    const char* text = PyUnicode_AsUTF8(o);
    if (text) *out = std::string(text);
    return text != nullptr;
  }
  if (scalar_from(o, &s)) {
    if (s.kind == Scalar::Kind::kBool) *out = s.i != 0;
    if (s.kind == Scalar::Kind::kInt) *out = s.i;
    if (s.kind == Scalar::Kind::kFloat) *out = s.f;
    return true;
  }
  if (PyIndex_Check(o)) {
    const long long v = PyNumber_AsSsize_t(o, PyExc_ValueError);
    if (v == -1 && PyErr_Occurred()) return false;
    return *out = static_cast<int64_t>(v), true;
  }
  if (PyList_Check(o) || PyTuple_Check(o)) {
    Dims d;
    if (!dims_from(o, &d)) return false;
    *out = d;
    return true;
  }
  DType t{};
  if (!dtype_from(o, &t)) return false;
  *out = t;
  return true;
}

}  // namespace rutile::python
