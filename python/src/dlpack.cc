// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/dlpack.h"

#include <pybind11/pybind11.h>

#include <cstring>
#include <memory>

#include "rutile/core/device_runtime.h"
#include "rutile/core/log.h"
#include "rutile/core/stream_sharing.h"
#include "rutile/ops/call.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/interop.h"

namespace rutile::python {

namespace {

using dlpack::Array;
using dlpack::Managed;
using dlpack::ManagedVersioned;

[[noreturn]] void buffer_error(const std::string& text) {
  PyErr_SetString(PyExc_BufferError, text.c_str());
  throw PythonError();
}

dlpack::DataType type_of(DType t) {
  uint8_t code = dlpack::kInt;
  if (t == DType::kBool) code = dlpack::kBool;
  if (t == DType::kU8 || t == DType::kU16 || t == DType::kU32 || t == DType::kU64) {
    code = dlpack::kUInt;
  }
  if (is_floating(t)) code = t == DType::kBF16 ? dlpack::kBfloat : dlpack::kFloat;
  if (t == DType::kC64 || t == DType::kC128) code = dlpack::kComplex;
  return {code, static_cast<uint8_t>(8 * dtype_size(t)), 1};
}

DType dtype_of_type(dlpack::DataType t) {
  for (int i = 0; i < kNumDTypes; ++i) {
    const dlpack::DataType ours = type_of(static_cast<DType>(i));
    if (ours.code == t.code && ours.bits == t.bits && t.lanes == 1) return static_cast<DType>(i);
  }
  buffer_error(cat("from_dlpack: no dtype for DLPack type ", static_cast<int>(t.code), " of ",
                   static_cast<int>(t.bits), " bits and ", t.lanes, " lanes"));
}

// What an exported capsule owns.
template <class M>
struct Exported {
  M managed{};
  Tensor tensor;
  int64_t shape[kMaxRank] = {}, strides[kMaxRank] = {};
  uintptr_t stream = 0;  // that uses it; 0: none
  // What the other library has queued comes before our next use of the memory.
  ~Exported() {
    if (stream == 0) return;
    const Status s = take_back(tensor.device(), stream);
    if (!s.ok()) log_warning(cat("memory that came back by DLPack: ", s.message()));
  }
};

dlpack::Device device_of(const Tensor& t) {
  const Device d = t.device();
  if (d == kCpu) return {dlpack::kCpu, 0};
  return {d.type == DeviceType::kCuda ? dlpack::kCuda : dlpack::kExtension, d.index};
}

// The cpu for what is neither ours nor memory of the host.
Device device_from(dlpack::Device d) {
  const auto index = static_cast<uint8_t>(d.device_id);
  if (d.device_id < 0 || d.device_id > 255) return kCpu;
  if (d.device_type == dlpack::kCuda) return {DeviceType::kCuda, index};
  if (d.device_type == dlpack::kExtension) return {DeviceType::kFake, index};
  return kCpu;
}

// The stream that a consumer names; 0: none, -1: it takes care itself.
uintptr_t stream_from(PyObject* o) {
  if (o == Py_None) return 0;
  if (!PyLong_Check(o)) {
    throw_error(ErrorCode::kType, cat("__dlpack__: stream is a number, got ", Py_TYPE(o)->tp_name));
  }
  int overflow = 0;
  if (PyLong_AsLongLongAndOverflow(o, &overflow) < 0 && overflow == 0) {
    return static_cast<uintptr_t>(-1);
  }
  const auto number = PyLong_AsUnsignedLongLong(o);
  if (PyErr_Occurred()) throw PythonError();
  if (number == 0) throw_error(ErrorCode::kValue, "__dlpack__: stream 0 could be 1 or 2: name one");
  return number;
}

// Work queued so far is done before the consumer's begins. The stream that stays in use is
// returned.
uintptr_t hand_over(const Tensor& t, uintptr_t stream) {
  if (t.device() == kCpu || stream == static_cast<uintptr_t>(-1)) return 0;
  if (stream == 0) {
    const Device device = t.device();
    pybind11::gil_scoped_release release;
    synchronize(device);
    return 0;
  }
  throw_if_error(rutile::hand_over(t.device(), stream));
  return stream;
}

template <class M>
Exported<M>* export_array(const Tensor& t, uintptr_t stream) {
  auto e = std::make_unique<Exported<M>>();
  e->tensor = t;
  e->stream = stream;
  for (int i = 0; i < t.rank(); ++i) {
    e->shape[i] = t.dim(i);
    e->strides[i] = t.meta().strides[i];
  }
  e->managed.array = {t.impl()->data, device_of(t), t.rank(), type_of(t.dtype()),
                      e->shape,       e->strides,   0};
  e->managed.manager = e.get();
  e->managed.deleter = [](M* m) { delete static_cast<Exported<M>*>(m->manager); };
  return e.release();
}

// A capsule that nobody consumed still owns its array.
template <class M>
void drop_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  if (m && m->deleter) m->deleter(m);
}

constexpr const char* kPlain = "dltensor";
constexpr const char* kVersioned = "dltensor_versioned";

bool wants_version_1(PyObject* max_version) {
  if (max_version == Py_None) return false;
  if (!PyTuple_Check(max_version) || PyTuple_GET_SIZE(max_version) != 2) {
    throw_error(ErrorCode::kType, "__dlpack__: max_version is a pair of integers");
  }
  return int_from(PyTuple_GET_ITEM(max_version, 0)) >= 1;
}

}  // namespace

PyObject* tensor_dlpack_device(PyObject* self, PyObject*) {
  return guarded([&] {
    const dlpack::Device d = device_of(as_tensor(self));
    return Py_BuildValue("(ii)", d.device_type, d.device_id);
  });
}

PyObject* tensor_dlpack(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* kKeywords[] = {"stream", "max_version", "dl_device", "copy", nullptr};
  return guarded([&] {
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__",
                                     const_cast<char**>(kKeywords), &stream, &version, &device,
                                     &copy)) {
      throw_builtin_error();
    }
    const bool versioned = wants_version_1(version);
    const uintptr_t consumer = stream_from(stream);
    Tensor t = as_tensor(self);
    if (t.is_symbolic()) t.data();  // throws
    if (device != Py_None) {
      int type = 0, number = 0;
      if (!PyTuple_Check(device) || !PyArg_ParseTuple(device, "ii", &type, &number)) {
        PyErr_Clear();
        throw_error(ErrorCode::kType, "__dlpack__: dl_device is a pair of integers");
      }
      if (type == dlpack::kCpu && !(t.device() == kCpu)) {
        if (copy == Py_False) buffer_error("__dlpack__: a copy to the cpu is needed");
        t = t.to(kCpu);
      }
      if (const dlpack::Device d = device_of(t);
          type != d.device_type || (type != dlpack::kCpu && number != d.device_id)) {
        buffer_error(cat("__dlpack__: this tensor is on ", to_string(t.device())));
      }
    }
    const int copy_wanted = copy == Py_None ? -1 : PyObject_IsTrue(copy);
    Tensor out = t;
    if (t.meta().layout != kStrided) {
      if (copy_wanted == 0) buffer_error("__dlpack__: this tensor's layout needs a copy");
      out = ops::contiguous(t);
    } else if (copy_wanted == 1) {
      ScopedValue<CallModes> direct(call_modes(), CallModes());  // no tape sees the copy
      out = call1(ops::kContiguous, nullptr, {t});
    }
    const uintptr_t user = hand_over(out, consumer);
    const bool copied = copy_wanted == 1 || t.meta().layout != kStrided;
    if (!versioned) {
      auto* e = export_array<Managed>(out, user);
      return checked(PyCapsule_New(&e->managed, kPlain,
                                   [](PyObject* c) { drop_capsule<Managed>(c, kPlain); }));
    }
    auto* e = export_array<ManagedVersioned>(out, user);
    e->managed.version = {1, 0};
    e->managed.flags = copied ? dlpack::kIsCopied : dlpack::kReadOnly;
    return checked(PyCapsule_New(&e->managed, kVersioned, [](PyObject* c) {
      drop_capsule<ManagedVersioned>(c, kVersioned);
    }));
  });
}

namespace {

// The number of our stream that will use the array, where it lies on a device; else 0.
uintptr_t stream_for(PyObject* o) {
  PyObject* said = PyObject_CallMethod(o, "__dlpack_device__", nullptr);
  dlpack::Device d{dlpack::kCpu, 0};
  const bool known = said && PyArg_ParseTuple(said, "ii", &d.device_type, &d.device_id);
  Py_XDECREF(said);
  if (!known) PyErr_Clear();
  const Device device = device_from(d);
  return device == kCpu ? 0 : stream_number(device);
}

PyObject* capsule_of(PyObject* o) {
  if (PyCapsule_CheckExact(o)) return Py_NewRef(o);
  PyObject* method = PyObject_GetAttrString(o, "__dlpack__");
  if (!method) {
    PyErr_Clear();
    throw_error(ErrorCode::kType, cat("from_dlpack: ", Py_TYPE(o)->tp_name, " has no __dlpack__"));
  }
  PyObject* none = PyTuple_New(0);
  PyObject* keywords = Py_BuildValue("{s(ii)}", "max_version", 1, 0);
  const uintptr_t stream = stream_for(o);
  PyObject* number = stream ? PyLong_FromUnsignedLongLong(stream) : nullptr;
  if (keywords && number) PyDict_SetItemString(keywords, "stream", number);
  PyObject* capsule = none && keywords ? PyObject_Call(method, none, keywords) : nullptr;
  if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {  // a producer of version 0
    PyErr_Clear();
    if (keywords) PyDict_DelItemString(keywords, "max_version");
    capsule = PyObject_Call(method, none, keywords);
  }
  Py_XDECREF(number);
  Py_XDECREF(keywords);
  Py_XDECREF(none);
  Py_DECREF(method);
  return checked(capsule);
}

// Gives another library's array back. It may serve others at once: our work on it is done before.
template <class M>
void give_back(M* m) {
  const Device device = device_from(m->array.device);
  if (!(device == kCpu)) {
    const Status s = device_runtime(device).synchronize();
    if (!s.ok()) log_warning(cat("before memory went back by DLPack: ", s.message()));
  }
  if (m->deleter) m->deleter(m);
}

template <class M>
Tensor take(M* m) {
  struct Owner {
    M* m;
    ~Owner() {
      if (m && m->deleter) m->deleter(m);
    }
  } owner{m};
  const Array& a = m->array;
  const Device device = device_from(a.device);
  if (device == kCpu && a.device.device_type != dlpack::kCpu &&
      a.device.device_type != dlpack::kCudaHost) {
    buffer_error("from_dlpack: the array is not in memory that Rutile can use");
  }
  if (!(device == kCpu)) (void)device_runtime(device);
  if (a.ndim < 0 || a.ndim > kMaxRank) {
    buffer_error(cat("from_dlpack: at most ", kMaxRank, " dimensions, got ", a.ndim));
  }
  Shape shape;
  for (int i = 0; i < a.ndim; ++i) shape.push_back(a.shape[i]);
  int64_t elements = 0;
  throw_if_error(checked_numel(shape, &elements));
  TensorMeta meta(shape, dtype_of_type(a.dtype), device);
  if (elements == 0) return Tensor::empty(meta);
  char* data = static_cast<char*>(a.data) + a.byte_offset;
  for (int i = 0; a.strides && i < a.ndim; ++i) meta.strides[i] = a.strides[i];
  // Kernels read whole elements.
  if (reinterpret_cast<uintptr_t>(data) % dtype_size(meta.dtype) != 0) {
    buffer_error("from_dlpack: the elements are not aligned");
  }
  Ref<Storage> storage = Storage::borrow(
      data, static_cast<size_t>(meta.numel()) * dtype_size(meta.dtype), device,
      [](void* p) { give_back(static_cast<M*>(p)); }, m);
  owner.m = nullptr;
  return with_whole_bools(Tensor::view_of(std::move(storage), data, meta));
}

template <class M>
Tensor consume(PyObject* capsule, const char* name, const char* used) {
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  if (!m || PyCapsule_SetName(capsule, used) != 0) throw PythonError();
  return take(m);
}

PyObject* from_dlpack(PyObject*, PyObject* o) {
  return guarded([&] {
    PyObject* capsule = capsule_of(o);
    struct Drop {
      PyObject* o;
      ~Drop() { Py_DECREF(o); }
    } drop{capsule};
    if (PyCapsule_IsValid(capsule, kVersioned)) {
      auto* m = static_cast<ManagedVersioned*>(PyCapsule_GetPointer(capsule, kVersioned));
      if (m->version.major != 1) buffer_error("from_dlpack: only versions 0 and 1 are known");
      return wrap(consume<ManagedVersioned>(capsule, kVersioned, "used_dltensor_versioned"));
    }
    if (PyCapsule_IsValid(capsule, kPlain)) {
      return wrap(consume<Managed>(capsule, kPlain, "used_dltensor"));
    }
    throw_error(ErrorCode::kValue, "from_dlpack: this capsule holds no array, or was used before");
  });
}

}  // namespace

bool add_dlpack_functions(PyObject* module) {
  static PyMethodDef functions[] = {
      {"from_dlpack", from_dlpack, METH_O,
       "from_dlpack(array)\n--\n\nA Tensor over the memory of any array with __dlpack__ (NumPy, "
       "PyTorch, JAX), without a copy."},
      {nullptr, nullptr, 0, nullptr}};
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace rutile::python
