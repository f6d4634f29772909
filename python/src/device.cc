// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/device.h"

#include <string>

#include "rutile/core/device_runtime.h"
#include "rutile/ops/call.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/py_tensor.h"

namespace py = pybind11;

namespace rutile::python {

namespace {

Device device_named(const std::string& name) {
  Device device;
  if (!parse_device(name, &device)) {
    throw_error(ErrorCode::kValue, cat("there is no device '", name, "'"));
  }
  return device;
}

Tensor tensor_of(py::handle o) {
  if (!is_tensor(o.ptr())) {
    throw_error(ErrorCode::kType, cat("expects a Tensor, got ", Py_TYPE(o.ptr())->tp_name));
  }
  return as_tensor(o.ptr());
}

// Opens the device, so that an error comes where it was asked for.
void set_device(const std::string& name) {
  const Device device = device_named(name);
  if (!(device == kCpu)) (void)device_runtime(device);
  call_modes().device = device;
}

py::dict memory_of(const std::string& name) {
  const MemoryStats s = allocator(device_named(name)).stats();
  py::dict d;
  d["live"] = s.live_bytes;
  d["peak"] = s.peak_live_bytes;
  d["cached"] = s.cached_bytes;
  d["allocations"] = s.allocations;
  d["system_allocations"] = s.system_allocations;
  return d;
}

}  // namespace

void add_device(py::module_& m) {
  m.def("_set_device", &set_device, py::arg("name"));
  m.def("_device_in_force", [] { return to_string(call_modes().device); });
  m.def("_device_of", [](py::handle tensor) { return to_string(tensor_of(tensor).device()); });
  m.def("_device_count",
        [](const std::string& name) { return device_count(device_named(name).type); });
  m.def("_device_memory", &memory_of, py::arg("name"));
  m.def("_cuda_unavailable_reason", &cuda::unavailable_reason);
  m.def(
      "_move_to",
      [](py::handle tensor, const std::string& name) {
        return py::reinterpret_steal<py::object>(wrap(tensor_of(tensor).to(device_named(name))));
      },
      py::arg("tensor"), py::arg("name"));
  m.def(
      "_synchronize",
      [](const std::string& name) {
        const Device device = device_named(name);
        py::gil_scoped_release release;
        synchronize(device);
      },
      py::arg("name"));
}

}  // namespace rutile::python
