// SPDX-License-Identifier: Apache-2.0
// The extension module rutile._rutile. Tensor and op functions are made by hand; pybind11 serves
// what is not called per op: differentiation, compilation, settings.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/random.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/op_functions.h"
#include "rutile/python/src/py_tensor.h"

namespace py = pybind11;

namespace pybind11::detail {
template <>
struct type_caster<rutile::Tensor> {
  PYBIND11_TYPE_CASTER(rutile::Tensor, const_name("rutile.Tensor"));
  bool load(handle src, bool) {
    if (!rutile::python::is_tensor(src.ptr())) return false;
    value = rutile::python::as_tensor(src.ptr());
    return true;
  }
  static handle cast(const rutile::Tensor& t, return_value_policy, handle) {
    return rutile::python::wrap(t);
  }
};
}  // namespace pybind11::detail

namespace rutile::python {
namespace {

bool user_location(std::string* file, int* line) {
  if (!PyGILState_Check()) return false;  // traced by C++ alone
  PyFrameObject* frame = PyEval_GetFrame();
  if (!frame) return false;
  PyCodeObject* code = PyFrame_GetCode(frame);
  const char* name = PyUnicode_AsUTF8(code->co_filename);
  if (name) *file = name;
  if (!name) PyErr_Clear();
  *line = PyFrame_GetLineNumber(frame);
  Py_DECREF(code);
  return name != nullptr;
}

// fn's single result, which value_and_grad and grad differentiate.
Tensor single(const py::object& result) {
  if (!is_tensor(result.ptr())) {
    throw_error(ErrorCode::kType, cat("the differentiated function must return a Tensor, got ",
                                      Py_TYPE(result.ptr())->tp_name));
  }
  return as_tensor(result.ptr());
}

// The arguments to differentiate by are fresh handles: the same tensor may stand in several places,
// and other threads may differentiate by it at the same time. An enclosing scope sees the op.
py::tuple value_and_grad_call(const py::function& fn, const std::vector<int>& argnums,
                              const py::args& args, const py::kwargs& kwargs) {
  std::vector<Tensor> xs;
  py::list renewed(args);
  for (int i : argnums) {
    if (i < 0 || i >= static_cast<int>(args.size()) || !is_tensor(args[i].ptr())) {
      throw_error(ErrorCode::kType, cat("argument ", i, " is not a Tensor"));
    }
    const Tensor& x = as_tensor(args[i].ptr());
    xs.push_back(ops::reshape(x, x.shape()));
    renewed[i] = xs.back();
  }
  GradScope scope;
  for (const Tensor& x : xs) scope.watch(x);
  const Tensor value = single(fn(*renewed, **kwargs));
  std::vector<Tensor> grads = scope.gradient(value, xs);
  if (grads.size() == 1) return py::make_tuple(value, grads[0]);
  py::tuple g(grads.size());
  for (size_t i = 0; i < grads.size(); ++i) g[i] = grads[i];
  return py::make_tuple(value, g);
}

// A traced and compiled Python function of Tensors.
class JitFunction {
 public:
  JitFunction(py::function fn, const std::string& passes_off) : fn_(std::move(fn)) {
    graph::CompileOptions options;
    options.passes_off = passes_off;
    if (py::hasattr(fn_, "__name__")) options.name = py::str(fn_.attr("__name__"));
    compiled_ = std::make_unique<graph::Compiled>(
        [this](const std::vector<Tensor>& in) {
          py::gil_scoped_acquire gil;
          py::tuple args(in.size());
          for (size_t i = 0; i < in.size(); ++i) args[i] = in[i];
          py::object result = fn_(*args);
          traced_single_ = is_tensor(result.ptr());
          if (traced_single_) return std::vector<Tensor>{as_tensor(result.ptr())};
          if (!py::isinstance<py::tuple>(result) && !py::isinstance<py::list>(result)) {
            throw_error(ErrorCode::kType, cat("a traced function must return a Tensor or a tuple "
                                              "of Tensors, got ",
                                              Py_TYPE(result.ptr())->tp_name));
          }
          std::vector<Tensor> out;
          for (py::handle o : result) {
            if (!is_tensor(o.ptr())) {
              throw_error(ErrorCode::kType, cat("a traced function returned a tuple that holds ",
                                                Py_TYPE(o.ptr())->tp_name, ", not a Tensor"));
            }
            out.push_back(as_tensor(o.ptr()));
          }
          return out;
        },
        options);
  }
  py::object operator()(const py::args& args) {
    // Replayed kernels are unknown to a trace and to a tape: there fn runs as it is written.
    if (call_modes().trace || call_modes().tape) return fn_(*args);
    std::vector<Tensor> in, out;
    for (py::handle a : args) {
      if (!is_tensor(a.ptr())) {
        throw_error(ErrorCode::kType,
                    cat("a traced function takes Tensors, got ", Py_TYPE(a.ptr())->tp_name));
      }
      in.push_back(as_tensor(a.ptr()));
    }
    bool single = false;
    {
      // Nobody waits for the lock while holding the interpreter's: a trace needs that one too.
      py::gil_scoped_release release;
      std::lock_guard lock(mutex_);
      const int before = compiled_->compilations();
      std::vector<TensorMeta> metas;
      for (const Tensor& t : in) metas.push_back(t.meta());
      compiled_->prepare(metas);
      // The generator is shared with eager calls, which hold the interpreter's lock.
      std::optional<py::gil_scoped_acquire> states;
      if (!compiled_->session().program().graph->states.empty()) states.emplace();
      out = (*compiled_)(in);
      const void* session = &compiled_->session();
      if (compiled_->compilations() != before) single_[session] = traced_single_;
      single = single_[session];
    }
    if (single) return py::cast(out[0]);
    py::tuple t(out.size());
    for (size_t i = 0; i < out.size(); ++i) t[i] = out[i];
    return t;
  }
  std::string graph_text() { return graph::print(*compiled_->session().program().graph); }
  int kernels() const { return compiled_->report().kernels; }
  int compilations() const { return compiled_->compilations(); }

 private:
  py::function fn_;
  std::unique_ptr<graph::Compiled> compiled_;
  std::mutex mutex_;
  bool traced_single_ = true;
  std::unordered_map<const void*, bool> single_;  // by session: does fn return a bare Tensor
};

}  // namespace

PYBIND11_MODULE(_rutile, m) {
  if (!add_error_types(m.ptr()) || !add_tensor_type(m.ptr())) throw py::error_already_set();
  py::register_exception_translator([](std::exception_ptr p) {
    if (!p) return;
    try {
      std::rethrow_exception(p);
    } catch (const Error&) {
      set_error_from_exception();
    }
  });
  py::module_ ops = m.def_submodule("ops", "The ops of the table as functions.");
  if (!add_op_functions(ops.ptr())) throw py::error_already_set();
  graph::set_location_provider(user_location);
  m.def("value_and_grad", &value_and_grad_call, py::arg("fn"), py::arg("argnums"));
  py::class_<JitFunction>(m, "JitFunction")
      .def(py::init<py::function, const std::string&>(), py::arg("fn"), py::arg("passes_off") = "")
      .def("__call__", &JitFunction::operator())
      .def_property_readonly("kernels", &JitFunction::kernels)
      .def_property_readonly("compilations", &JitFunction::compilations)
      .def("graph_text", &JitFunction::graph_text);
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("num_threads", &num_threads);
  m.def("set_seed", &set_seed, py::arg("seed"));
}

}  // namespace rutile::python
