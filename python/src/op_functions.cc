// SPDX-License-Identifier: Apache-2.0
// One fast-call Python function per op of the table, made by a loop: ops.conv2d(x, weight,
// stride=2).
#include "rutile/python/src/op_functions.h"

#include <deque>

#include "rutile/ops/call.h"
#include "rutile/python/src/convert.h"

namespace rutile::python {

namespace {

struct OpFunction {
  const OpDef* op = nullptr;
  PyMethodDef method{};
  std::string doc;
};

// Inputs and attributes of one call, as they come in.
struct Arguments {
  SmallVector<Tensor, 6> inputs;
  AnyAttrs attrs;
  Tensor like;  // the first input that is a tensor
};

bool fail(const OpDef& op, const std::string& what) {
  PyErr_Format(PyExc_TypeError, "[%s] %s", op.name, what.c_str());
  return false;
}

// Lets other Python threads run while it lives, if `when`.
class ReleaseGil {
 public:
  explicit ReleaseGil(bool when) : state_(when ? PyEval_SaveThread() : nullptr) {}
  ~ReleaseGil() {
    if (state_) PyEval_RestoreThread(state_);
  }
  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;

 private:
  PyThreadState* state_;
};

// Over about 20 us, by the number of elements. A trace asks Python for the user's line and keeps
// the lock; a view only makes a handle.
bool runs_long(const OpDef& op, std::span<const Tensor> in) {
  if (op.view_offset || call_modes().trace) return false;
  int64_t elements = 0;
  for (const Tensor& t : in) {
    if (t.defined()) elements += t.numel();
  }
  return elements > (op.elementwise ? 1 << 16 : 1 << 13);
}

bool set_input(const OpDef& op, int i, PyObject* value, Arguments* a) {
  if (op.variadic_in && i == op.num_inputs - 1 && (PyList_Check(value) || PyTuple_Check(value))) {
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(value); ++k) {
      Tensor t;
      if (!tensor_from(PySequence_Fast_GET_ITEM(value, k), nullptr, &t)) return false;
      a->inputs.push_back(std::move(t));
    }
    return true;
  }
  while (a->inputs.size() <= i) a->inputs.push_back(Tensor());
  if (a->inputs[i].defined()) {
    return fail(op, cat("got several values for ", op.input_name(i)));
  }
  if (is_tensor(value)) {
    a->inputs[i] = as_tensor(value);
    return true;
  }
  if (value == Py_None) return true;
  // A number is weak: it takes the dtype of the tensors beside it, wherever they stand.
  const Tensor* like = a->like.defined() ? &a->like : nullptr;
  return tensor_from(value, like, &a->inputs[i]);
}

bool set_attribute(const OpDef& op, int field, PyObject* value, Arguments* a) {
  AttrValue v;
  if (!attr_from(value, &v)) return false;
  const Status s = op.attrs->set(a->attrs.get_mutable(), field, v);
  if (s.ok()) return true;
  return fail(op, cat(field_name(*op.attrs, field), " ", s.message()));
}

bool parse(const OpDef& op, PyObject* const* args, Py_ssize_t n, PyObject* names, Arguments* a) {
  a->attrs = AnyAttrs(op.attrs, nullptr);
  for (Py_ssize_t k = 0; k < n && op.promote && !a->like.defined(); ++k) {
    if (is_tensor(args[k])) a->like = as_tensor(args[k]);
  }
  const int fields = op.attrs ? op.attrs->num_fields : 0;
  Py_ssize_t i = 0;
  for (; i < n && i < op.num_inputs; ++i) {
    // Optional inputs end where the first plain attribute begins: softmax(x, -1).
    const bool optional = op.optional_mask >> i & 1u;
    if (optional && !is_tensor(args[i]) && args[i] != Py_None) break;
    if (!set_input(op, static_cast<int>(i), args[i], a)) return false;
  }
  for (int field = 0; i < n; ++i, ++field) {
    if (field >= fields) {
      return fail(op, cat("takes ", op.num_inputs, " inputs and ", fields, " attributes, got ",
                          static_cast<int64_t>(n), " arguments"));
    }
    if (!set_attribute(op, field, args[i], a)) return false;
  }
  const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t k = 0; k < named; ++k) {
    const std::string_view name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, k));
    const int field = op.attrs ? field_index(*op.attrs, name) : -1;
    if (field >= 0) {
      if (!set_attribute(op, field, args[n + k], a)) return false;
      continue;
    }
    int input = 0;
    while (input < op.num_inputs && op.input_name(input) != name) ++input;
    if (input == op.num_inputs) return fail(op, cat("has no argument ", name));
    if (!set_input(op, input, args[n + k], a)) return false;
  }
  return true;
}

PyObject* op_call(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  const OpDef& op = *static_cast<const OpDef*>(PyCapsule_GetPointer(self, nullptr));
  try {
    // The common case: all tensors, no attributes.
    if (!op.attrs && !names && n == op.num_inputs && op.num_outputs == 1 && n <= 2 &&
        is_tensor(args[0]) && is_tensor(args[n - 1])) {
      Tensor out;
      Tensor in[2] = {as_tensor(args[0]), as_tensor(args[n - 1])};
      {
        ReleaseGil others(runs_long(op, {in, static_cast<size_t>(n)}));
        call(op, nullptr, {in, static_cast<size_t>(n)}, {&out, 1});
      }
      return wrap(std::move(out));
    }
    Arguments a;
    if (!parse(op, args, n, names, &a)) return nullptr;
    TensorList out;
    {
      ReleaseGil others(runs_long(op, a.inputs));
      out = call_n(op, a.attrs.get(), a.inputs);
    }
    if (op.num_outputs == 1 && !op.variadic_out) return wrap(std::move(out[0]));
    PyObject* tuple = PyTuple_New(out.size());
    for (int i = 0; tuple && i < out.size(); ++i) {
      PyObject* o = wrap(out[i]);
      if (!o) {
        Py_DECREF(tuple);
        return nullptr;
      }
      PyTuple_SET_ITEM(tuple, i, o);
    }
    return tuple;
  } catch (...) {
    set_error_from_exception();
    return nullptr;
  }
}

std::string signature(const OpDef& op) {
  std::string s = cat(op.name, "(");
  for (int i = 0; i < op.num_inputs; ++i) {
    const bool optional = op.optional_mask >> i & 1u;
    s += cat(i ? ", " : "", op.input_name(i), optional ? "=None" : "");
  }
  if (op.attrs) {
    const AnyAttrs defaults(op.attrs, nullptr);
    for (int i = 0; i < op.attrs->num_fields; ++i) {
      s += cat(", ", field_name(*op.attrs, i), "=", to_string(op.attrs->get(defaults.get(), i)));
    }
  }
  return s + ")";
}

}  // namespace

bool add_op_functions(PyObject* module) {
  static std::deque<OpFunction>* functions = new std::deque<OpFunction>;  // Python keeps pointers
  for (const OpDef* op : all_ops()) {
    if (op->mutate_mask) continue;  // works on States only
    OpFunction& f = functions->emplace_back();
    f.op = op;
    f.doc = cat(signature(*op), "\n\n", op->doc);
    f.method.ml_name = op->name;
    f.method.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(op_call));
    f.method.ml_flags = METH_FASTCALL | METH_KEYWORDS;
    f.method.ml_doc = f.doc.c_str();
    PyObject* self = PyCapsule_New(const_cast<OpDef*>(op), nullptr, nullptr);
    PyObject* function = self ? PyCFunction_New(&f.method, self) : nullptr;
    Py_XDECREF(self);
    if (!function) return false;
    const int rc = PyModule_AddObjectRef(module, op->name, function);
    Py_DECREF(function);
    if (rc < 0) return false;
  }
  return true;
}

}  // namespace rutile::python
