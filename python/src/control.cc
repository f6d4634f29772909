// SPDX-License-Identifier: Apache-2.0
// Control flow over Python functions: carries and results are nested tuples, lists and dicts.
#include "rutile/python/src/control.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rutile/graph/trace/outside.h"
#include "rutile/graph/trace/vmap.h"
#include "rutile/ops/control.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/py_tensor.h"
#include "rutile/python/src/tree.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

using Tensors = std::vector<Tensor>;

// The structure of a carry; every body gets and returns it.
struct Carry {
  const char* op;
  Tree tree;
  py::object value(const Tensors& leaves) const {
    const Tensor* next = leaves.data();
    return unflatten(tree, &next);
  }
  Tensors leaves(py::handle result) const {
    Tensors all;
    const Tree got =
        flatten(result, Leaves::kTensors, cat("what the body of ", op, " returns"), &all);
    if (!(got == tree)) {
      throw_error(ErrorCode::kValue,
                  cat("[", op, "] the carry is ", tree.text(), ", the body returns ", got.text()));
    }
    return all;
  }
};

// Eagerly one branch runs and may give what it likes, as Python's if may; ops take one kind of
// both.
void check_alike(const Tree& yes, const std::vector<TensorMeta>& metas, const Tree& no,
                 const Tensors& others) {
  if (!(yes == no)) {
    graph::refuse_as_ops(ErrorCode::kType,
                         cat("[cond] gives ", yes.text(), " where the predicate holds, ", no.text(),
                             " where it does not (RUTILE-E0106)"));
  }
  for (size_t i = 0; i < others.size(); ++i) {
    const TensorMeta& other = others[i].meta();
    if (metas[i].dtype == other.dtype && metas[i].shape == other.shape) continue;
    const bool kinds = metas[i].dtype != other.dtype;
    graph::refuse_as_ops(kinds ? ErrorCode::kType : ErrorCode::kValue,
                         cat("[cond] result ", i, " is ", metas[i], " where the predicate holds, ",
                             other, " where it does not (RUTILE-E0106)"));
  }
}

py::object cond(const py::object& pred, const py::function& yes, const py::function& no,
                const py::tuple& operands) {
  const Tensor p = tensor_from(pred.ptr());
  Tensors in;
  const Tree arguments = flatten(operands, Leaves::kAny, "an operand of cond", &in);
  std::optional<Tree> results;
  std::vector<TensorMeta> metas;
  const auto body = [&](const py::function& fn) {
    return [&](const Tensors& x) {
      const Tensor* next = x.data();
      const py::object r = fn(*py::tuple(unflatten(arguments, &next)));
      Tensors all;
      Tree tree = flatten(r, Leaves::kTensors, "what a body of cond returns", &all);
      if (results) check_alike(*results, metas, tree, all);
      results = std::move(tree);
      metas.clear();
      for (const Tensor& t : all) metas.push_back(t.meta());
      return all;
    };
  };
  const Tensors out = ops::cond(p, body(yes), body(no), in);
  const Tensor* next = out.data();
  return unflatten(*results, &next);
}

py::object while_loop(const py::function& condition, const py::function& body,
                      const py::object& init, int64_t max_iterations) {
  Tensors in;
  const Carry carry{"while_loop", flatten(init, Leaves::kTensors, "the carry of while_loop", &in)};
  const Tensors out = ops::while_loop(
      [&](const Tensors& c) { return tensor_from(py::object(condition(carry.value(c))).ptr()); },
      [&](const Tensors& c) { return carry.leaves(body(carry.value(c))); }, in,
      {.max_iterations = max_iterations});
  return carry.value(out);
}

py::object fori_loop(int64_t lower, int64_t upper, const py::function& body,
                     const py::object& init) {
  Tensors in;
  const Carry carry{"fori_loop", flatten(init, Leaves::kTensors, "the carry of fori_loop", &in)};
  const Tensors out = ops::fori_loop(
      lower, upper,
      [&](const Tensor& i, const Tensors& c) {
        return carry.leaves(
            body(py::reinterpret_steal<py::object>(checked(wrap(i))), carry.value(c)));
      },
      in);
  return carry.value(out);
}

py::tuple scan(const py::function& body, const py::object& init, const py::object& xs,
               int64_t length, bool reverse) {
  Tensors in, scanned;
  const Carry carry{"scan", flatten(init, Leaves::kTensors, "the carry of scan", &in)};
  const Tree slices = flatten(xs, Leaves::kTensors, "xs of scan", &scanned);
  Tree outputs;
  const ops::ScanStep r = ops::scan(
      [&](const Tensors& c, const Tensors& x) {
        const Tensor* next = x.data();
        const py::object result = body(carry.value(c), unflatten(slices, &next));
        if (!py::isinstance<py::tuple>(result) || py::len(result) != 2) {
          throw_error(ErrorCode::kType, "the body of scan returns a carry and an output");
        }
        const py::tuple both(result);
        ops::ScanStep step;
        step.carry = carry.leaves(both[0]);
        outputs = flatten(both[1], Leaves::kTensors, "an output of scan", &step.ys);
        return step;
      },
      in, scanned, {.length = length, .reverse = reverse});
  const Tensor* next = r.ys.data();
  return py::make_tuple(carry.value(r.carry), unflatten(outputs, &next));
}

// What fn gives for each slice of xs, stacked.
py::object vmap(const py::function& fn, const py::object& xs) {
  Tensors in;
  const Tree slices = flatten(xs, Leaves::kTensors, "an argument of vmap", &in);
  Tree outputs;
  bool first = true;  // for all slices at once; a failure there is told by the slices themselves
  const Tensors out = graph::vmap(
      [&](const Tensors& x) {
        const Tensor* next = x.data();
        Tensors ys;
        try {
          outputs =
              flatten(fn(unflatten(slices, &next)), Leaves::kTensors, "a result of vmap", &ys);
        } catch (py::error_already_set& e) {
          if (!std::exchange(first, false) || !e.matches(PyExc_Exception)) throw;
          throw_error(ErrorCode::kRuntime, e.what());
        }
        first = false;
        return ys;
      },
      in);
  const Tensor* next = out.data();
  return unflatten(outputs, &next);
}

// What fn gives in a trace that is thrown away: for the structure and metas of its tensors. States
// stay as they are, and nothing is recorded.
py::object discard_traced(const py::function& fn) {
  CallModes& modes = call_modes();
  if (!modes.trace) throw_error(ErrorCode::kRuntime, "discard_traced() is for traces");
  ScopedValue<TapeHook*> no_tape(modes.tape, nullptr);
  py::object result;
  modes.trace->trace_body(
      [&](const Tensors&) {
        result = fn();
        return Tensors();
      },
      {});
  return result;
}

}  // namespace

void add_control(py::module_& m) {
  m.def("is_traced", [](const py::object& t) { return tensor_from(t.ptr()).is_symbolic(); });
  m.def("discard_traced", &discard_traced);
  m.def("is_same", [](const py::object& a, const py::object& b) {
    return tensor_from(a.ptr()).impl() == tensor_from(b.ptr()).impl();
  });
  m.def("trace_id", [](const py::object& t) { return tensor_from(t.ptr()).impl()->trace_id; });
  m.def("bind", [](const py::object& t, const py::object& value) {
    reinterpret_cast<PyTensor*>(t.ptr())->tensor = tensor_from(value.ptr());
  });
  m.def("set_rebound", [](const py::function& fn) { on_rebound = fn.inc_ref().ptr(); });
  m.def("new_handle", [](const py::object& t) {
    return py::reinterpret_steal<py::object>(checked(wrap(tensor_from(t.ptr()))));
  });
  m.def("cond", &cond, "cond(pred, true_fn, false_fn, operands)");
  m.def("while_loop", &while_loop, "while_loop(condition, body, init, max_iterations)");
  m.def("fori_loop", &fori_loop, "fori_loop(lower, upper, body, init)");
  m.def("vmap", &vmap, "vmap(fn, xs)");
  m.def("scan", &scan, "scan(body, init, xs, length, reverse)");
}

}  // namespace rutile::python
