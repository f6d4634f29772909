// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/interop.h"

#include <cstring>
#include <memory>
#include <typeinfo>

#include "rutile/core/allocator.h"
#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/convert.h"

namespace rutile::python {

namespace {

constexpr const char* kFormats[] = {"?", "B", "H",     "I", "L", "b",  "h", "i",
                                    "l", "e", nullptr, "f", "d", "Zf", "Zd"};

struct ExportedBuffer {
  Tensor tensor;  // keeps the memory
  Py_ssize_t shape[kMaxRank], strides[kMaxRank];
};

// Elements in row-major order without gaps.
Tensor plain(const Tensor& t) {
  if (t.is_symbolic()) t.data();  // it has none: say so before anything is recorded
  return t.meta().layout == kStrided && t.meta().is_contiguous() ? t : ops::contiguous(t);
}

// The elements where NumPy can read them.
Tensor on_host(const Tensor& t) {
  if (t.device() == kCpu) return t;
  Tensor host = Tensor::empty(t.shape(), t.dtype());
  if (t.numel() > 0) t.copy_out(host.mutable_data(), static_cast<size_t>(host.meta().nbytes()));
  return host;
}

}  // namespace

namespace {

// Whether buffers of this thread may be written to: set by asnumpy() alone, which knows what it
// hands out.
thread_local bool writable_buffers = false;

bool is_foreign(const Tensor& t) {
  const RefCounted* owner = t.impl()->owner.get();
  if (owner == nullptr || typeid(*owner) == typeid(TensorImpl)) return false;
  return typeid(*owner) != typeid(Storage) || static_cast<const Storage*>(owner)->foreign();
}

bool has_repeats(const Tensor& t) {
  for (int i = 0; i < t.rank(); ++i) {
    if (t.meta().strides[i] == 0 && t.dim(i) > 1) return true;
  }
  return false;
}

}  // namespace

Tensor unshared(PyObject* o) {
  const Tensor t = as_tensor(o);
  if (is_parameter(o) || t.is_symbolic() || !(t.device() == kCpu) || call_modes().tape ||
      exact_tensor(o).unique()) {
    return t;
  }
  return deep_copy(t);
}

Tensor deep_copy(const Tensor& t) {
  Tensor copy = Tensor::empty(t.shape(), t.dtype());
  if (t.numel() > 0) t.copy_out(copy.mutable_data(), static_cast<size_t>(copy.meta().nbytes()));
  return copy;
}

const char* buffer_format(DType t) { return kFormats[static_cast<int>(t)]; }

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

int tensor_getbuffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  return guarded_int([&] {
    const Tensor t = as_tensor(self);
    const char* format = buffer_format(t.dtype());
    const bool strided_layout = t.meta().layout == kStrided;
    const bool strided = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
    const bool any_order = (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS;
    const bool c_order = (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS;
    const bool f_order = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
    const bool contiguous = strided_layout && t.meta().is_contiguous();
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE || !format || !strided_layout ||
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
    view->readonly = writable_buffers ? 0 : 1;
    view->itemsize = size;
    view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
    view->ndim = t.rank();
    view->shape = flags & PyBUF_ND ? b->shape : nullptr;
    view->strides = strided ? b->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = b.release();
    view->obj = Py_NewRef(self);
    return 0;
  });
}

void tensor_releasebuffer(PyObject*, Py_buffer* view) {
  delete static_cast<ExportedBuffer*>(view->internal);
}

PyObject* writable_numpy_of(PyObject* self) {
  const bool alone = !is_parameter(self) && exact_tensor(self).unique();
  const Tensor tensor = as_tensor(self);
  if (tensor.is_symbolic()) tensor.data();
  const Tensor host = on_host(tensor);
  const bool same = host.impl() == tensor.impl() && host.dtype() != DType::kBF16 &&
                    host.meta().layout == kStrided;
  if (same && is_foreign(host)) return numpy_of(host);  // as its owner has it
  ScopedValue<bool> writable(writable_buffers, true);
  if (same && (!alone || has_repeats(host))) return numpy_of(deep_copy(host));
  return numpy_of(host);
}

PyObject* numpy_of(const Tensor& tensor) {
  static PyObject* numpy = nullptr;
  if (!numpy) numpy = checked(PyImport_ImportModule("numpy"));
  if (tensor.is_symbolic()) tensor.data();
  Tensor t = on_host(tensor);
  if (t.dtype() == DType::kBF16) t = ops::cast(t, DType::kF32);
  if (t.meta().layout != kStrided) t = ops::contiguous(t);
  PyObject* holder = wrap(std::move(t));
  PyObject* view = holder ? PyMemoryView_FromObject(holder) : nullptr;
  PyObject* array = view ? PyObject_CallMethod(numpy, "asarray", "O", view) : nullptr;
  Py_XDECREF(view);
  Py_XDECREF(holder);
  return checked(array);
}

namespace {

// ---- From NumPy, sharing the memory

void release_buffer(void* p) {
  auto* view = static_cast<Py_buffer*>(p);
  if (Py_IsInitialized()) {
    const PyGILState_STATE state = PyGILState_Ensure();
    PyBuffer_Release(view);
    PyGILState_Release(state);
  }
  delete view;
}

Tensor shared_memory(void* data, int64_t bytes, const TensorMeta& meta, void (*deleter)(void*),
                     void* arg) {
  Ref<Storage> storage = Storage::borrow(data, static_cast<size_t>(bytes), kCpu, deleter, arg);
  return Tensor::view_of(std::move(storage), data, meta);
}

bool aligned(const void* data, size_t size) {
  return reinterpret_cast<uintptr_t>(data) % size == 0;
}

PyObject* from_numpy(PyObject*, PyObject* array) {
  return guarded([&] {
    auto view = std::make_unique<Py_buffer>();
    if (PyObject_GetBuffer(array, view.get(), PyBUF_STRIDED_RO | PyBUF_FORMAT) != 0) {
      throw_builtin_error();
    }
    TensorMeta meta;
    bool share = dtype_of_format(view->format, view->itemsize, &meta.dtype) &&
                 view->ndim <= kMaxRank && view->len > 0 && aligned(view->buf, view->itemsize);
    for (int i = 0; share && i < view->ndim; ++i) {
      share = view->strides[i] % view->itemsize == 0;
      meta.shape.push_back(view->shape[i]);
      meta.strides.push_back(view->strides[i] / view->itemsize);
    }
    if (!share) {  // nothing to share, or tensor_from says why not
      PyBuffer_Release(view.get());
      return wrap(tensor_from(array));
    }
    void* data = view->buf;
    const int64_t bytes = view->len;
    return wrap(with_whole_bools(shared_memory(data, bytes, meta, release_buffer, view.release())));
  });
}

// ---- Pickling and copies

PyObject* reduce_ex(PyObject* self, PyObject* protocol_object) {
  return guarded([&]() -> PyObject* {
    static PyObject* rebuild = nullptr;
    if (!rebuild) {
      PyObject* module = checked(PyImport_ImportModule("rutile._rutile"));
      rebuild = PyObject_GetAttrString(module, "_rebuild");
      Py_DECREF(module);
      checked(rebuild);
    }
    const Tensor t = on_host(plain(as_tensor(self)));
    const int64_t bytes = t.meta().nbytes();
    PyObject* data = nullptr;
    if (int_from(protocol_object) >= 5 && bytes > 0) {  // may travel outside the pickle's stream
      PyObject* raw = wrap(Tensor::view_of(t.impl()->owner ? t.impl()->owner : t.ref(),
                                           t.impl()->data, TensorMeta(Shape{bytes}, DType::kU8)));
      data = raw ? PyPickleBuffer_FromObject(raw) : nullptr;
      Py_XDECREF(raw);
    } else {
      data = PyBytes_FromStringAndSize(static_cast<const char*>(t.data()), bytes);
    }
    checked(data);
    if (!is_parameter(self)) {
      return Py_BuildValue("O(NNs)", rebuild, data, tuple_of(t.shape()),
                           long_dtype_name(t.dtype()));
    }
    const nn::Parameter& p = *as_parameter(self);
    return Py_BuildValue("O(NNssO)", rebuild, data, tuple_of(t.shape()), long_dtype_name(t.dtype()),
                         p.name().c_str(), p.requires_grad() ? Py_True : Py_False);
  });
}

PyObject* rebuild(PyObject*, PyObject* args) {
  return guarded([&]() -> PyObject* {
    PyObject *data, *shape, *dtype, *trains = Py_True;
    const char* name = nullptr;
    if (!PyArg_ParseTuple(args, "OOO|sO", &data, &shape, &dtype, &name, &trains)) {
      throw_builtin_error();
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) throw_builtin_error();
    struct Release {
      Py_buffer* view;
      ~Release() { PyBuffer_Release(view); }
    } release{&view};
    const Shape dims = dims_from(shape);
    const DType t = dtype_from(dtype);
    int64_t elements = 0;
    throw_if_error(checked_numel(dims, &elements));
    Tensor value = Tensor::from_bytes(view.buf, static_cast<size_t>(view.len), dims, t);
    if (!name) return wrap(std::move(value));
    auto p = std::make_shared<nn::Parameter>(name, std::move(value));
    if (PyObject_IsTrue(trains) != 1) p->set_requires_grad(false);
    return wrap(std::move(p));
  });
}

// Tensors are values: a copy shares the elements unless NumPy may write to them. A parameter's copy
// gets its own.
PyObject* copy(PyObject* self, PyObject*) {
  return guarded([&] {
    const Tensor t = as_tensor(self);
    if (!is_parameter(self)) return wrap(unshared(self));
    const nn::Parameter& p = *as_parameter(self);
    auto twin = std::make_shared<nn::Parameter>(p.name(), t);
    if (!p.requires_grad()) twin->set_requires_grad(false);
    return wrap(std::move(twin));
  });
}

}  // namespace

PyMethodDef kInteropMethods[] = {
    {"__dlpack__", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(tensor_dlpack)),
     METH_VARARGS | METH_KEYWORDS, "A DLPack capsule of the same memory (read-only from 1.0 on)."},
    {"__dlpack_device__", tensor_dlpack_device, METH_NOARGS, "(device type, device number)."},
    {"__reduce_ex__", reduce_ex, METH_O, "For pickle; from protocol 5 the elements out of band."},
    {"__copy__", copy, METH_NOARGS, "A tensor of the same value."},
    {"__deepcopy__", copy, METH_O, "A tensor of the same value."},
    {nullptr, nullptr, 0, nullptr}};

bool add_interop_functions(PyObject* module) {
  static PyMethodDef functions[] = {
      {"from_numpy", from_numpy, METH_O,
       "from_numpy(array)\n--\n\nA Tensor over the array's memory, without a copy where NumPy's "
       "element order allows. Writing to the array afterwards changes the Tensor."},
      {"_rebuild", rebuild, METH_VARARGS, "What pickles call."},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0 && add_dlpack_functions(module);
}

}  // namespace rutile::python
