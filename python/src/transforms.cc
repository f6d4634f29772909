// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/transforms.h"

#include <memory>
#include <utility>

#include "rutile/autograd/tape.h"
#include "rutile/core/complex.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/trace/outside.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/forward_record.h"
#include "rutile/ops/integer_gradients.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/dist.h"
#include "rutile/python/src/tree.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

// ---- Differentiation

// What is differentiated of a function's result: the sum of all elements of its tensors, of the
// first entry's alone with auxiliary results beside it. Numbers and texts among them stay as they
// are.
Tensor objective(py::handle result, bool has_aux, Tensor* dy) {
  py::object main = py::reinterpret_borrow<py::object>(result);
  if (has_aux) {
    if (!py::isinstance<py::tuple>(result) || py::len(result) < 2) {
      throw_error(ErrorCode::kType,
                  "with has_aux the function returns a tuple of the value and what goes beside it");
    }
    main = py::reinterpret_borrow<py::tuple>(result)[0];
  }
  std::vector<Tensor> leaves;
  flatten(main, Leaves::kPlain, "the differentiated function's result", &leaves);
  if (leaves.empty()) {
    throw_error(ErrorCode::kType, cat("the differentiated function must return a Tensor, got ",
                                      Py_TYPE(main.ptr())->tp_name));
  }
  if (leaves.size() == 1) {
    if (leaves[0].numel() != 1) *dy = Tensor::full(leaves[0].shape(), 1, leaves[0].dtype());
    return leaves[0];
  }
  Tensor total = ops::sum(leaves[0]);
  for (size_t i = 1; i < leaves.size(); ++i) total = ops::add(total, ops::sum(leaves[i]));
  return total;
}

// One structure of tensors to differentiate by.
struct Wanted {
  Tree tree;
  size_t first = 0, count = 0;
  py::object parameters;  // read under the scope, whose handles they then are; null: arguments
  py::object gradients(const std::vector<Tensor>& all) const {
    const Tensor* next = all.data() + first;
    return unflatten(tree, &next);
  }
};

class Differentiation {
 public:
  // The arguments to differentiate by are fresh handles: the same tensor may stand in several
  // places, and other threads may differentiate by it at the same time. An enclosing scope sees the
  // op.
  void add_argument(const py::tuple& args, py::list* renewed, py::handle number) {
    const int64_t i = int_from(number.ptr());
    const int64_t n = static_cast<int64_t>(args.size());
    if (i < -n || i >= n) {
      throw_error(ErrorCode::kIndex, cat("there is no argument ", i, " among ", n));
    }
    const size_t at = static_cast<size_t>(i < 0 ? i + n : i);
    const std::string what = cat("argument ", at, ", which is differentiated by,");
    Wanted w;
    w.first = xs_.size();
    w.tree = flatten(args[at], Leaves::kTensors, what, &xs_);
    w.count = xs_.size() - w.first;
    if (w.count == 0) throw_error(ErrorCode::kType, cat("argument ", at, " is not a Tensor"));
    for (size_t k = w.first; k < xs_.size(); ++k) {
      xs_[k] = ops::reshape(xs_[k], xs_[k].shape());
    }
    const Tensor* next = xs_.data() + w.first;
    (*renewed)[at] = unflatten(w.tree, &next);
    wanted_.push_back(std::move(w));
  }
  void add_parameters(py::handle weights) {
    Wanted w;
    w.parameters = py::reinterpret_borrow<py::object>(weights);
    wanted_.push_back(std::move(w));
  }
  // `reducer`: a dist.Reducer of the parameters, or None.
  py::object run(const py::function& fn, const py::list& args, const py::dict& kwargs, bool has_aux,
                 const py::object& reducer) {
    ScopedValue<graph::Phase> phase(graph::current_phase(), graph::Phase::kForward);
    // Of every scope, not only where an integer is asked for: a cast hands gradients on, as
    // MindSpore's does, and the gradient by x is one and the same whatever else is asked for.
    ScopedValue<bool> integers(ops::integer_gradients(), true);
    GradScope scope;
    for (Wanted& w : wanted_) {
      if (!w.parameters) continue;
      w.first = xs_.size();
      w.tree = flatten(w.parameters, Leaves::kTensors, "weights", &xs_);
      w.count = xs_.size() - w.first;
    }
    for (const Tensor& x : xs_) scope.watch(x);
    py::object result = fn(*py::tuple(args), **kwargs);
    Tensor dy;
    const Tensor y = objective(result, has_aux, &dy);
    graph::current_phase() = graph::Phase::kBackward;
    attach_reducer(reducer, scope, std::span<const Tensor>(xs_).subspan(wanted_.back().first));
    grads_ = scope.gradient(y, xs_, dy);
    return result;
  }
  py::object gradients(size_t i) const { return wanted_[i].gradients(grads_); }

 private:
  std::vector<Tensor> xs_, grads_;
  std::vector<Wanted> wanted_;
};

// argnums: an int, a tuple of them or None; weights: a structure of parameters or None. The result
// is (fn's result, gradients); with both kinds the gradients are the pair of them.
py::tuple value_and_grad(const py::function& fn, const py::object& argnums,
                         const py::object& weights, bool has_aux, const py::tuple& args,
                         const py::dict& kwargs, const py::object& reducer) {
  Differentiation d;
  py::list renewed(args);
  const bool several = py::isinstance<py::tuple>(argnums) || py::isinstance<py::list>(argnums);
  size_t arguments = 0;
  if (several) {
    for (py::handle i : argnums) {
      d.add_argument(args, &renewed, i);
      ++arguments;
    }
  } else if (!argnums.is_none()) {
    d.add_argument(args, &renewed, argnums);
    arguments = 1;
  }
  if (!weights.is_none()) d.add_parameters(weights);
  if (arguments == 0 && weights.is_none()) {
    throw_error(ErrorCode::kValue, "there is nothing to differentiate by: no argument, no weights");
  }
  py::object value = d.run(fn, renewed, kwargs, has_aux, reducer);
  py::object by_arguments;
  if (several) {
    py::tuple all(arguments);
    for (size_t i = 0; i < arguments; ++i) all[i] = d.gradients(i);
    by_arguments = std::move(all);
  } else if (arguments) {
    by_arguments = d.gradients(0);
  }
  if (weights.is_none()) return py::make_tuple(value, by_arguments);
  py::object by_weights = d.gradients(arguments);
  if (arguments == 0) return py::make_tuple(value, by_weights);
  return py::make_tuple(value, py::make_tuple(by_arguments, by_weights));
}

// ---- Recomputation

// fn(*args, **kwargs), run again in backward instead of keeping what it computes in between.
py::object recompute(const py::function& fn, const py::tuple& args, const py::dict& kwargs) {
  if (!call_modes().tape) return fn(*args, **kwargs);
  std::vector<Tensor> in;
  // fn outlives the call in the tape, which may end on any thread.
  struct Body {
    py::function fn;
    Tree arguments, results;
  };
  std::shared_ptr<Body> body(new Body{fn, {}, {}}, [](Body* b) {
    if (!Py_IsInitialized()) return;  // the process ends
    py::gil_scoped_acquire gil;
    delete b;
  });
  body->arguments =
      flatten(py::make_tuple(args, kwargs), Leaves::kAny, "an argument of recompute", &in);
  const std::vector<Tensor> out = ops::recompute(
      [body](const std::vector<Tensor>& x) {
        py::gil_scoped_acquire gil;
        const Tensor* next = x.data();
        const py::tuple both = unflatten(body->arguments, &next);
        const py::object result = body->fn(*py::tuple(both[0]), **py::dict(both[1]));
        std::vector<Tensor> flat;
        body->results = flatten(result, Leaves::kPlain, "the result of recompute", &flat);
        return flat;
      },
      in);
  const Tensor* next = out.data();
  return unflatten(body->results, &next);
}

// fn sees the finished gradient of t in whichever scope of this thread tracks it, and may return
// another in its place; false if none does.
bool add_hook(py::handle t, const py::function& fn) {
  if (!is_tensor(t.ptr())) throw_error(ErrorCode::kType, "a hook belongs to a Tensor");
  // The hook may be dropped on any thread, when the tape ends.
  std::shared_ptr<py::function> kept(new py::function(fn), [](py::function* f) {
    if (!Py_IsInitialized()) return;
    py::gil_scoped_acquire gil;
    delete f;
  });
  const Tensor x = as_tensor(t.ptr());
  if (x.is_symbolic() && graph::differentiated_outside()) graph::refuse_python_gradient(x);
  return GradScope::add_hook_if_tracked(x, [kept](const Tensor& g) {
    py::gil_scoped_acquire gil;
    const py::object dy = py::reinterpret_steal<py::object>(checked(wrap(g)));
    const py::object replaced = (*kept)(dy);
    if (replaced.is_none()) return Tensor();
    if (!is_tensor(replaced.ptr())) {
      throw_error(ErrorCode::kType,
                  cat("a hook returns a Tensor or None, got ", Py_TYPE(replaced.ptr())->tp_name));
    }
    return as_tensor(replaced.ptr());
  });
}

// A call of a Cell, kept for a gradient of the same call (ops/forward_record.h).
struct ForwardCall {
  ops::ForwardRecord record;
  std::vector<Tensor> arguments;
};

std::vector<Tensor> handles(const py::tuple& args) {
  std::vector<Tensor> all;
  for (const py::handle a : args) {
    all.push_back(is_tensor(a.ptr()) && !is_parameter(a.ptr()) ? exact_tensor(a.ptr()) : Tensor());
  }
  return all;
}

// (fn's result, what a gradient of the same call needs or None). Outside of traces only the
// outermost call counts; one within a gradient scope needs nothing.
py::tuple record_forward(const py::function& fn, const py::tuple& args) {
  static thread_local bool inside = false;
  CallModes& modes = call_modes();
  if (modes.tape || (inside && !modes.trace)) return py::make_tuple(fn(), py::none());
  ScopedValue<bool> outermost(inside, true);
  auto call = std::make_shared<ForwardCall>();
  call->arguments = handles(args);
  py::object result;
  call->record.run([&] { result = fn(); });
  if (!call->record.wrote()) return py::make_tuple(result, py::none());
  return py::make_tuple(result, call);
}

bool is_of(const ForwardCall& call, const py::tuple& args) {
  const std::vector<Tensor> now = handles(args);
  if (now.size() != call.arguments.size()) return false;
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i].impl() != call.arguments[i].impl()) return false;
  }
  return call.record.current();
}

}  // namespace

void add_transforms(py::module_& m) {
  m.def("_set_cell_type", &set_cell_type);
  m.def("record_forward", &record_forward, "record_forward(fn, args)");
  py::class_<ForwardCall, std::shared_ptr<ForwardCall>>(m, "ForwardCall", "A call, to be repeated.")
      .def("is_of", &is_of, "Whether it had these arguments, and no State has changed since.")
      .def(
          "replay",
          [](const ForwardCall& call, const py::function& fn) {
            py::object result;
            call.record.replay([&] { result = fn(); });
            return result;
          },
          "fn() with the States as that call found them.");
  m.def(
      "tracked",
      [](py::handle t) {
        return call_modes().tape && call_modes().tape->tracked(as_tensor(t.ptr()));
      },
      "Whether a gradient scope of this thread can differentiate a Tensor.");
  m.def("add_hook", &add_hook, "add_hook(tensor, fn): fn sees and may replace its gradient");
  m.def("recompute", &recompute, "recompute(fn, args, kwargs)");
  m.def("value_and_grad", &value_and_grad,
        "value_and_grad(fn, argnums, weights, has_aux, args, kwargs, reducer)", py::arg("fn"),
        py::arg("argnums"), py::arg("weights"), py::arg("has_aux"), py::arg("args"),
        py::arg("kwargs"), py::arg("reducer") = py::none());
}

}  // namespace rutile::python
