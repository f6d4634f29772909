// SPDX-License-Identifier: Apache-2.0
// One fast-call Python function per op of the table, made by a loop: ops.conv2d(x, weight,
// stride=2).
#include "rutile/python/src/op_functions.h"

#include <bit>
#include <cmath>
#include <deque>

#include "rutile/ops/call.h"
#include "rutile/ops/exponent.h"
#include "rutile/ops/random.h"
#include "rutile/ops/state.h"
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

[[noreturn]] void fail(const OpDef& op, const std::string& what) {
  throw_error(ErrorCode::kType, cat("[", op.name, "] ", what));
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
  if (op.effects & kCollective) return true;  // it waits for other processes
  int64_t elements = 0;
  for (const Tensor& t : in) {
    if (t.defined()) elements += t.numel();
  }
  return elements > (op.elementwise ? 1 << 16 : 1 << 13);
}

// What `convert` throws names the argument.
template <class F>
auto convert(std::string_view argument, F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    throw_error(e.code(), cat(argument, ": ", e.message()));
  }
}

void set_input(const OpDef& op, int i, PyObject* value, Arguments* a) {
  if (op.variadic_in && i == op.num_inputs - 1 && (PyList_Check(value) || PyTuple_Check(value))) {
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(value); ++k) {
      a->inputs.push_back(convert(op.input_name(i),
                                  [&] { return tensor_from(PySequence_Fast_GET_ITEM(value, k)); }));
    }
    return;
  }
  while (a->inputs.size() <= i) a->inputs.push_back(Tensor());
  if (a->inputs[i].defined()) {
    fail(op, cat("got several values for ", op.input_name(i)));
  }
  if (is_tensor(value)) {
    a->inputs[i] = as_tensor(value);
    return;
  }
  if (value == Py_None) return;
  // A number is weak: it takes the dtype of the tensors beside it, wherever they stand.
  const Tensor* like = a->like.defined() ? &a->like : nullptr;
  if (Scalar number; &op == &ops::kPow && i == 1 && like && scalar_from(value, &number)) {
    ops::check_exponent(*like, number);
  }
  a->inputs[i] = convert(op.input_name(i), [&] { return tensor_from(value, like); });
}

void set_attribute(const OpDef& op, int field, PyObject* value, Arguments* a) {
  const std::string_view name = field_name(*op.attrs, field);
  const AttrValue v = convert(name, [&] { return attr_from(value); });
  const Status s = op.attrs->set(a->attrs.get_mutable(), field, v);
  if (!s.ok()) throw_error(s.code(), cat("[", op.name, "] ", name, " ", s.message()));
}

bool named(PyObject* names, const char* name) {
  for (Py_ssize_t k = 0; names && k < PyTuple_GET_SIZE(names); ++k) {
    if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, k), name) == 0) return true;
  }
  return false;
}

// Random ops take their key, u64[1], first or by name; without one the default generator gives it.
int skip_key(const OpDef& op, PyObject* const* args, Py_ssize_t n, PyObject* names, Arguments* a) {
  if (op.num_inputs == 0 || op.input_name(0) != "key") return 0;
  if (n > 0 && is_tensor(args[0]) && as_tensor(args[0]).dtype() == DType::kU64) return 0;
  a->inputs.push_back(named(names, "key") ? Tensor() : default_generator().next_key());
  return 1;
}

// x.reshape(2, 3): several integers for an op whose only attribute is a list of them.
void set_spread_dims(const OpDef& op, PyObject* const* args, Py_ssize_t n, Arguments* a) {
  Dims dims;
  convert(field_name(*op.attrs, 0), [&] {
    if (n > kMaxRank) throw_error(ErrorCode::kValue, cat("at most ", kMaxRank, " dimensions"));
    for (Py_ssize_t i = 0; i < n; ++i) dims.push_back(int_from(args[i]));
  });
  throw_if_error(op.attrs->set(a->attrs.get_mutable(), 0, dims));
}

// MindSpore's and PyTorch's names for what is named otherwise in the table.
int find_argument(const OpDef& op, std::string_view name, bool attribute) {
  static constexpr struct {
    std::string_view theirs, ours;
  } kNames[] = {{"input", "x"},          {"input_x", "x"},
                {"other", "y"},          {"axis", "axes"},
                {"dim", "axes"},         {"dim", "axis"},
                {"dims", "axes"},        {"keep_dims", "keepdims"},
                {"keepdim", "keepdims"}, {"kernel_size", "kernel"},
                {"padding", "pad"},      {"output_padding", "output_pad"},
                {"target", "labels"},    {"exponent", "y"},
                {"values", "y"},         {"value", "y"},
                {"tensor2", "y"},        {"mat2", "y"}};
  const auto find = [&](std::string_view n) {
    if (attribute) return op.attrs ? field_index(*op.attrs, n) : -1;
    int i = 0;
    while (i < op.num_inputs && op.input_name(i) != n) ++i;
    return i == op.num_inputs ? -1 : i;
  };
  int found = find(name);
  for (const auto& n : kNames) {
    if (found < 0 && n.theirs == name) found = find(n.ours);
  }
  return found;
}

void parse(const OpDef& op, PyObject* const* args, Py_ssize_t n, PyObject* names, Arguments* a) {
  a->attrs = AnyAttrs(op.attrs, nullptr);
  for (Py_ssize_t k = 0; k < n && op.promote && !a->like.defined(); ++k) {
    if (is_tensor(args[k])) a->like = as_tensor(args[k]);
  }
  const int fields = op.attrs ? op.attrs->num_fields : 0;
  Py_ssize_t i = 0;
  for (int input = skip_key(op, args, n, names, a); i < n && input < op.num_inputs; ++i, ++input) {
    // Optional inputs end where the first plain attribute begins: layer_norm(x, 2).
    const bool optional = op.optional_mask >> input & 1u;
    if (optional && !is_tensor(args[i]) && args[i] != Py_None) break;
    set_input(op, input, args[i], a);
  }
  const bool spread =
      fields == 1 && n - i > 1 && std::holds_alternative<Dims>(op.attrs->get(a->attrs.get(), 0));
  if (!spread && n - i > fields) {
    fail(op, cat("takes ", op.num_inputs, " inputs and ", fields, " attributes, got ",
                 static_cast<int64_t>(n), " arguments"));
  }
  if (spread) {
    set_spread_dims(op, args + i, n - i, a);
    i = n;
  }
  for (int field = 0; i < n; ++i, ++field) set_attribute(op, field, args[i], a);
  const Py_ssize_t given = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t k = 0; k < given; ++k) {
    const std::string name = text_from(PyTuple_GET_ITEM(names, k));
    const int field = find_argument(op, name, true);
    if (field >= 0) {
      set_attribute(op, field, args[n + k], a);
      continue;
    }
    const int input = find_argument(op, name, false);
    if (input < 0) fail(op, cat("has no argument ", name));
    set_input(op, input, args[n + k], a);
  }
}

// One result as itself, several as a tuple.
PyObject* wrap_all(const Tensor* out, int n, bool bare) {
  if (bare) return wrap(out[0]);
  PyObject* tuple = checked(PyTuple_New(n));
  for (int i = 0; i < n; ++i) {
    PyObject* o = wrap(out[i]);
    if (!o) {
      Py_DECREF(tuple);
      throw PythonError();
    }
    PyTuple_SET_ITEM(tuple, i, o);
  }
  return tuple;
}

PyObject* op_call(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  const OpDef& op = *static_cast<const OpDef*>(PyCapsule_GetPointer(self, nullptr));
  try {
    // The common case: all tensors, no attributes.
    if (!op.attrs && !names && n == op.num_inputs && op.num_outputs == 1 && n <= 2 &&
        is_exact_tensor(args[0]) && is_exact_tensor(args[n - 1])) {
      Tensor out;
      Tensor in[2] = {exact_tensor(args[0]), exact_tensor(args[n - 1])};
      {
        ReleaseGil others(runs_long(op, {in, static_cast<size_t>(n)}));
        call(op, nullptr, {in, static_cast<size_t>(n)}, {&out, 1});
      }
      return wrap(std::move(out));
    }
    Arguments a;
    parse(op, args, n, names, &a);
    TensorList out;
    {
      ReleaseGil others(runs_long(op, a.inputs));
      out = call_n(op, a.attrs.get(), a.inputs);
    }
    return wrap_all(out.begin(), out.size(), op.num_outputs == 1 && !op.variadic_out);
  } catch (...) {
    set_error_from_exception(&op);
    return nullptr;
  }
}

// An op that writes its first inputs in place: those are Parameters. Gives the other outputs.
PyObject* update_call(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  const OpDef& op = *static_cast<const OpDef*>(PyCapsule_GetPointer(self, nullptr));
  try {
    const int written = std::popcount(op.mutate_mask);
    SmallVector<State*, 4> states;
    for (Py_ssize_t i = 0; i < written; ++i) {
      if (i >= n || !is_parameter(args[i])) {
        fail(op, cat(op.input_name(static_cast<int>(i)), " must be a Parameter"));
      }
      states.push_back(as_parameter(args[i])->state().get());
    }
    Arguments a;
    parse(op, args, n, names, &a);
    SmallVector<Tensor, 8> rest;
    for (int i = written; i < a.inputs.size(); ++i) rest.push_back(a.inputs[i]);
    a.inputs = {};  // they hold the elements
    SmallVector<Tensor, 2> extra;
    extra.resize(op.num_outputs - written);
    State::update(op, a.attrs.get(), states, rest, extra);
    if (extra.empty()) Py_RETURN_NONE;
    return wrap_all(extra.begin(), extra.size(), extra.size() == 1);
  } catch (...) {
    set_error_from_exception(&op);
    return nullptr;
  }
}

// As Python writes it, for __text_signature__: "'mean'", "(1, 1)", "None".
std::string python_text(const AttrValue& v) {
  const auto number = [](double d) -> std::string {
    if (std::isinf(d)) return d < 0 ? "-1e999" : "1e999";
    return std::isnan(d) ? "None" : to_string(AttrValue(d));
  };
  if (std::holds_alternative<std::monostate>(v)) return "None";
  if (const auto* b = std::get_if<bool>(&v)) return *b ? "True" : "False";
  if (const auto* t = std::get_if<DType>(&v)) return cat("'", long_dtype_name(*t), "'");
  if (const auto* text = std::get_if<std::string>(&v)) return cat("'", *text, "'");
  if (const auto* d = std::get_if<double>(&v)) return number(*d);
  if (const auto* x = std::get_if<Scalar>(&v); x && x->kind == Scalar::Kind::kFloat) {
    return number(x->f);
  }
  if (const auto* x = std::get_if<Scalar>(&v); x && x->kind == Scalar::Kind::kBool) {
    return x->i ? "True" : "False";
  }
  if (const auto* d = std::get_if<Dims>(&v)) {
    std::string text = "(";
    for (int i = 0; i < d->rank(); ++i) text += cat(i ? ", " : "", (*d)[i]);
    return text + (d->rank() == 1 ? ",)" : ")");
  }
  return to_string(v);
}

std::string signature(const OpDef& op) {
  std::string s = cat(op.name, "(");
  bool first = true;
  const auto add = [&](const std::string& text) {
    s += (first ? "" : ", ") + text;
    first = false;
  };
  const bool key = op.num_inputs > 0 && op.input_name(0) == "key";
  for (int i = key; i < op.num_inputs; ++i) {
    add(cat(op.input_name(i), op.optional_mask >> i & 1u ? "=None" : ""));
  }
  const AnyAttrs defaults(op.attrs, nullptr);
  for (int i = 0; op.attrs && i < op.attrs->num_fields; ++i) {
    add(cat(field_name(*op.attrs, i), "=", python_text(op.attrs->get(defaults.get(), i))));
  }
  if (key) add("*, key=None");
  return s + ")";
}

// Functions over regions need a body, which is C++.
bool takes_region(const OpDef& op) {
  if (!op.attrs) return false;
  const AnyAttrs defaults(op.attrs, nullptr);
  for (int i = 0; i < op.attrs->num_fields; ++i) {
    if (std::holds_alternative<Ref<Region>>(op.attrs->get(defaults.get(), i))) return true;
  }
  return false;
}

// x.relu() for ops.relu(x).
bool add_method(const OpDef& op, PyObject* function) {
  const std::string_view name = op.name;
  PyObject* type = reinterpret_cast<PyObject*>(tensor_type);
  if (op.num_inputs == 0 || op.input_name(0) != "x" || name.ends_with("_grad") ||
      PyObject_HasAttrString(type, op.name)) {
    return true;
  }
  PyObject* method = PyInstanceMethod_New(function);
  if (!method) return false;
  const int rc = PyObject_SetAttrString(type, op.name, method);
  Py_DECREF(method);
  return rc == 0;
}

}  // namespace

bool add_op_function(const OpDef& op, PyObject* module, PyObject* updates) {
  static std::deque<OpFunction>* functions = new std::deque<OpFunction>;  // Python keeps pointers
  if (takes_region(op) || (op.mutate_mask && op.variadic_in)) return true;
  OpFunction& f = functions->emplace_back();
  auto* entry = op.mutate_mask ? update_call : op_call;
  f.op = &op;
  f.doc = cat(signature(op), "\n--\n\n", op.doc);
  f.method.ml_name = op.name;
  f.method.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(entry));
  f.method.ml_flags = METH_FASTCALL | METH_KEYWORDS;
  f.method.ml_doc = f.doc.c_str();
  PyObject* self = PyCapsule_New(const_cast<OpDef*>(&op), nullptr, nullptr);
  PyObject* function = self ? PyCFunction_New(&f.method, self) : nullptr;
  Py_XDECREF(self);
  if (!function) return false;
  const bool ok =
      PyModule_AddObjectRef(op.mutate_mask ? updates : module, op.name, function) == 0 &&
      (op.mutate_mask || add_method(op, function));
  Py_DECREF(function);
  return ok;
}

bool add_op_functions(PyObject* module, PyObject* updates) {
  for (const OpDef* op : all_ops()) {
    if (!add_op_function(*op, module, updates)) return false;
  }
  return true;
}

}  // namespace rutile::python
