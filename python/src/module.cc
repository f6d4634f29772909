// SPDX-License-Identifier: Apache-2.0
// The extension module rutile._rutile. Tensor and op functions are made by hand; pybind11 serves
// what is not called per op: differentiation, compilation, settings.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "rutile/core/cpu_allocator.h"
#include "rutile/core/error_topics.h"
#include "rutile/core/log.h"
#include "rutile/core/thread.h"
#include "rutile/ops/custom.h"
#include "rutile/ops/random.h"
#include "rutile/python/src/cell.h"
#include "rutile/python/src/control.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/device.h"
#include "rutile/python/src/dist.h"
#include "rutile/python/src/files.h"
#include "rutile/python/src/interop.h"
#include "rutile/python/src/jit.h"
#include "rutile/python/src/op_functions.h"
#include "rutile/python/src/op_table.h"
#include "rutile/python/src/random.h"
#include "rutile/python/src/tools.h"
#include "rutile/python/src/transforms.h"

namespace py = pybind11;

namespace rutile::python {
PYBIND11_MODULE(_rutile, m) {
  if (!add_error_types(m.ptr()) || !add_tensor_type(m.ptr()) || !add_parameter_type(m.ptr()) ||
      !add_interop_functions(m.ptr())) {
    throw py::error_already_set();
  }
  py::register_exception_translator([](std::exception_ptr p) {
    if (!p) return;
    try {
      std::rethrow_exception(p);
    } catch (const Error&) {
      set_error_from_exception();
    } catch (const PythonError&) {
      // It is set.
    }
  });
  py::module_ ops = m.def_submodule("ops", "The ops of the table as functions.");
  py::module_ updates = m.def_submodule("updates", "The ops that write Parameters in place.");
  if (!add_op_functions(ops.ptr(), updates.ptr()) || !add_cell_functions(m.ptr())) {
    throw py::error_already_set();
  }
  m.def(
      "load_op_library",
      [ops, updates](const std::string& path) {
        std::vector<std::string> names;
        for (const OpDef* op : load_op_library(path)) {
          names.emplace_back(op->name);
          if (PyObject_HasAttrString(ops.ptr(), op->name)) continue;
          if (!add_op_function(*op, ops.ptr(), updates.ptr())) throw py::error_already_set();
        }
        return names;
      },
      py::arg("path"));
  watch_signals();
  add_transforms(m);
  add_jit(m);
  add_control(m);
  add_files(m);
  add_tools(m);
  add_dist(m);
  add_device(m);
  add_op_table(m);
  add_random(m);
  m.attr("__version__") = RUTILE_VERSION;
  m.def(
      "set_num_threads",
      [](py::object n) {
        set_num_threads(static_cast<int>(std::clamp<int64_t>(int_from(n.ptr()), -1, 1 << 20)));
      },
      py::arg("n"));
  m.def(
      "set_log_topics", [](const std::string& topics) { set_log_topics(topics); },
      py::arg("topics"));
  m.def("num_threads", &num_threads);
  m.def(
      "explain_error", [](const std::string& code) { return explain_error(code); },
      py::arg("code"));
  m.def("error_topics", [] {
    std::vector<std::pair<std::string, std::string>> all;
    for (const ErrorTopic& t : error_topics()) all.emplace_back(t.code, t.title);
    return all;
  });
  m.def(
      "set_seed",
      [](py::object seed) {
        {
          const int64_t s = int_from(seed.ptr());
          if (s < 0)
            throw_error(ErrorCode::kValue, cat("set_seed: the seed is not negative, got ", s));
          set_seed(static_cast<uint64_t>(s));
        }
      },
      py::arg("seed"));
  m.def("_set_dtypes", [](const py::dict& objects) {
    for (auto [name, o] : objects) set_dtype_object(dtype_from(name.ptr()), o.ptr());
  });
  m.def("_set_hooks",
        [](py::object init, py::object text) { set_tensor_hooks(init.ptr(), text.ptr()); });
  m.def("_set_package_folder", &provide_user_location, py::arg("folder"));
}

}  // namespace rutile::python
