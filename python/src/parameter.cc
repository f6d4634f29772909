// SPDX-License-Identifier: Apache-2.0
#include <new>

#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/interop.h"

namespace rutile::python {

PyTypeObject* parameter_type = nullptr;

namespace {

PyObject* make(PyTypeObject* type, nn::ParameterPtr p) {
  PyObject* o = checked(type->tp_alloc(type, 0));
  ::new (&reinterpret_cast<PyTensor*>(o)->tensor) Tensor();
  ::new (&reinterpret_cast<PyParameter*>(o)->parameter) nn::ParameterPtr(std::move(p));
  reinterpret_cast<PyParameter*>(o)->made_from = nullptr;
  return o;
}

nn::ParameterPtr from_arguments(PyObject* args, PyObject* kwargs) {
  // The last four are MindSpore's, for several devices; they change nothing.
  static const char* kKeywords[] = {
      "default_input",      "name",           "requires_grad", "layerwise_parallel",
      "parallel_optimizer", "storage_format", "device",        nullptr};
  PyObject *value, *name = Py_None, *requires_grad = Py_True, *layerwise = Py_False;
  PyObject *parallel = Py_True, *format = Py_None, *device = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOOOOO:Parameter",
                                   const_cast<char**>(kKeywords), &value, &name, &requires_grad,
                                   &layerwise, &parallel, &format, &device)) {
    throw_builtin_error();
  }
  if (!PyBool_Check(requires_grad) || !PyBool_Check(layerwise) || !PyBool_Check(parallel)) {
    throw_error(ErrorCode::kType,
                "Parameter: requires_grad, layerwise_parallel and parallel_optimizer are bools");
  }
  if (name != Py_None && !PyUnicode_Check(name)) {
    throw_error(ErrorCode::kValue,
                cat("Parameter: name is a str or None, got ", Py_TYPE(name)->tp_name));
  }
  if (PyBool_Check(value)) {
    throw_error(ErrorCode::kValue, "Parameter: the value is a Tensor or a number, got a bool");
  }
  Tensor t = is_tensor(value) ? unshared(value) : tensor_from(value);
  if (PyLong_CheckExact(value)) {  // MindSpore's: a Tensor of the same number is int64
    const Tensor narrow = ops::cast(t, DType::kI32);
    if (narrow.item() == t.item()) t = narrow;
  }
  return std::make_shared<nn::Parameter>(name == Py_None ? "" : text_from(name), t,
                                         requires_grad == Py_False);
}

PyObject* parameter_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&] {
    PyObject* o = make(type, from_arguments(args, kwargs));
    reinterpret_cast<PyParameter*>(o)->made_from = args;
    return o;
  });
}

// Classes and scripts may replace __init__ and call this one with arguments of their own. A class
// that has its own __new__ alone has chosen them there.
int parameter_init(PyObject* self, PyObject* args, PyObject* kwargs) {
  auto* p = reinterpret_cast<PyParameter*>(self);
  const PyTypeObject* type = Py_TYPE(self);
  const bool made = p->made_from == args;
  p->made_from = nullptr;
  if (made || (type->tp_new != parameter_new && type->tp_init == parameter_init)) return 0;
  PyObject* done = guarded([&] {
    p->parameter = from_arguments(args, kwargs);
    return Py_NewRef(Py_None);
  });
  Py_XDECREF(done);
  return done ? 0 : -1;
}

void parameter_dealloc(PyObject* self) {
  forget_weak(self);
  reinterpret_cast<PyParameter*>(self)->parameter.~shared_ptr();
  reinterpret_cast<PyTensor*>(self)->tensor.~Tensor();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* parameter_repr(PyObject* self) {
  return guarded([&] {
    const nn::Parameter& p = *as_parameter(self);
    std::string shape;
    for (const int64_t d : p.meta().shape) shape += cat(shape.empty() ? "" : ", ", d);
    if (p.meta().rank() == 1) shape += ",";
    PyObject* dtype = checked(dtype_object(p.meta().dtype));
    PyObject* dtype_text = PyObject_Str(dtype);
    const std::string type = dtype_text ? text_from(dtype_text) : "";
    Py_XDECREF(dtype_text);
    Py_DECREF(dtype);
    return PyUnicode_FromString(cat("Parameter (name=", p.name(), ", shape=(", shape,
                                    "), dtype=", type,
                                    ", requires_grad=", p.requires_grad() ? "True" : "False", ")")
                                    .c_str());
  });
}

PyObject* value(PyObject* self, PyObject*) {
  return guarded([&] { return wrap(as_tensor(self)); });
}

// MindSpore's gradients: an assignment is no part of them, what is read afterwards counts for the
// parameter as what was read before.
Tensor assigned(const Tensor& before, const Tensor& value) {
  const Tensor t = ops::stop_gradient(value);
  if (!is_floating(t.dtype()) || !call_modes().tape->tracked(before)) return t;
  const Tensor zero = ops::sub(before, ops::stop_gradient(before));
  return ops::add(t, ops::where(ops::equal(zero, zero), zero, 0.0));
}

// A value of another shape or dtype; compiled functions that read it are compiled anew.
void replace_value(nn::Parameter& p, const Tensor& t) {
  if (call_modes().trace) {
    throw_error(ErrorCode::kRuntime, cat("parameter ", p.name(),
                                         " gets another shape or dtype outside of compiled "
                                         "functions only"));
  }
  p.state()->set_concrete(t);
}

PyObject* set_to(PyObject* self, PyObject* data, bool any_shape = false) {
  return guarded([&] {
    const nn::ParameterPtr& p = as_parameter(self);
    const DType dtype = p->meta().dtype;
    Tensor t = is_tensor(data) ? unshared(data) : tensor_from(data);
    if (t.dtype() != dtype) t = ops::cast(t, dtype);
    if (any_shape && !(t.shape() == p->meta().shape)) {
      replace_value(*p, t);
      return Py_NewRef(self);
    }
    if (call_modes().tape) t = assigned(as_tensor(self), t);
    p->set_value(t);
    return Py_NewRef(self);
  });
}

PyObject* set_data(PyObject* self, PyObject* args, PyObject* kwargs) {
  PyObject* data = nullptr;
  int slice_shape = 0;
  static const char* names[] = {"data", "slice_shape", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:set_data", const_cast<char**>(names), &data,
                                   &slice_shape))
    return nullptr;
  return set_to(self, data, slice_shape != 0);
}

PyObject* set_dtype(PyObject* self, PyObject* dtype) {
  return guarded([&] {
    nn::Parameter& p = *as_parameter(self);
    replace_value(p, ops::cast(p.value(), dtype_from(dtype)));
    return Py_NewRef(self);
  });
}

PyObject* get_name(PyObject* self, void*) {
  return guarded([&] { return PyUnicode_FromString(as_parameter(self)->name().c_str()); });
}
int set_name(PyObject* self, PyObject* name, void*) {
  return guarded_int([&] {
    if (!name) throw_error(ErrorCode::kType, "a parameter keeps its name");
    as_parameter(self)->state()->set_name(text_from(name));
    return 0;
  });
}
PyObject* get_requires_grad(PyObject* self, void*) {
  return PyBool_FromLong(as_parameter(self)->requires_grad());
}
int set_requires_grad(PyObject* self, PyObject* on, void*) {
  return guarded_int([&] {
    const int flag = on ? PyObject_IsTrue(on) : -1;
    if (flag < 0) throw_error(ErrorCode::kType, "requires_grad is a bool");
    as_parameter(self)->set_requires_grad(flag);
    return 0;
  });
}
int set_data_attribute(PyObject* self, PyObject* data, void*) {
  PyObject* same = data ? set_to(self, data) : nullptr;
  Py_XDECREF(same);
  return same ? 0 : -1;
}
PyObject* get_data_attribute(PyObject* self, void*) { return value(self, nullptr); }

PyMethodDef kMethods[] = {
    {"value", value, METH_NOARGS, "The value now, as a Tensor."},
    {"set_data", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(set_data)),
     METH_VARARGS | METH_KEYWORDS,
     "set_data($self, data, slice_shape=False)\n--\n\nReplaces the value; the "
     "shape must stay unless slice_shape. Returns the parameter."},
    {"set_dtype", set_dtype, METH_O,
     "set_dtype($self, dtype)\n--\n\nGives the value another dtype. Returns the parameter."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef kProperties[] = {
    {"name", get_name, set_name, "The name, a path below the outermost Cell.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad, "False: optimizers leave it alone.",
     nullptr},
    {"data", get_data_attribute, set_data_attribute, "The value now, as a Tensor.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <class F>
void* slot(F f) {
  return reinterpret_cast<void*>(f);
}

}  // namespace

PyObject* wrap(nn::ParameterPtr p) {
  return guarded([&] { return make(parameter_type, std::move(p)); });
}

bool add_parameter_type(PyObject* module) {
  static PyType_Slot slots[] = {
      {Py_tp_base, tensor_type},
      {Py_tp_new, slot(parameter_new)},
      {Py_tp_init, slot(parameter_init)},
      {Py_tp_dealloc, slot(parameter_dealloc)},
      {Py_tp_repr, slot(parameter_repr)},
      {Py_tp_str, slot(parameter_repr)},
      {Py_tp_methods, kMethods},
      {Py_tp_getset, kProperties},
      {Py_tp_doc,
       const_cast<char*>("Parameter(default_input, name=None, requires_grad=True): a Tensor whose "
                         "value can be replaced, trained by optimizers and written by compiled "
                         "functions in place.")},
      {0, nullptr}};
  static PyType_Spec spec = {"rutile.Parameter", sizeof(PyParameter), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  parameter_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return parameter_type && PyModule_AddObjectRef(module, "Parameter",
                                                 reinterpret_cast<PyObject*>(parameter_type)) == 0;
}

}  // namespace rutile::python
