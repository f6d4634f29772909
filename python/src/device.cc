// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/device.h"

#include <string>

#include "rutile/core/device_runtime.h"
#include "rutile/core/device_settings.h"
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
  d["peak_live"] = s.peak_live_bytes;
  d["cached"] = s.cached_bytes;
  d["largest_cached"] = s.largest_cached;
  d["requests"] = s.allocations;
  d["system_requests"] = s.system_allocations;
  return d;
}

py::dict properties_of(const std::string& name) {
  const Device device = device_named(name);
  py::dict d;
  if (device == kCpu) return d;
  const DeviceInfo& info = device_runtime(device).info();
  d["name"] = info.name;
  d["total_memory"] = info.total_bytes;
  d["major"] = info.compute_major;
  d["minor"] = info.compute_minor;
  d["multi_processor_count"] = info.multiprocessors;
  return d;
}

py::dict settings() {
  const DeviceSettings s = device_settings();
  py::dict d;
  d["tf32_matmul"] = s.tf32_matmul;
  d["tf32_conv"] = s.tf32_conv;
  d["autotune"] = s.autotune;
  return d;
}

void change_settings(const py::dict& changes) {
  DeviceSettings s = device_settings();
  for (const auto& [key, value] : changes) {
    const auto name = key.cast<std::string>();
    bool* const setting = name == "tf32_matmul" ? &s.tf32_matmul
                          : name == "tf32_conv" ? &s.tf32_conv
                          : name == "autotune"  ? &s.autotune
                                                : nullptr;
    if (!setting) throw_error(ErrorCode::kValue, cat("devices have no setting '", name, "'"));
    *setting = value.cast<bool>();
  }
  set_device_settings(s);
}

}  // namespace

void add_device(py::module_& m) {
  m.def("_set_device", &set_device, py::arg("name"));
  m.def("_device_in_force", [] { return to_string(call_modes().device); });
  m.def("_device_of", [](py::handle tensor) { return to_string(tensor_of(tensor).device()); });
  m.def("_device_count",
        [](const std::string& name) { return device_count(device_named(name).type); });
  m.def("_device_memory", &memory_of, py::arg("name"));
  m.def("_device_properties", &properties_of, py::arg("name"));
  m.def("_device_settings", &settings);
  m.def("_change_device_settings", &change_settings, py::arg("changes"));
  m.def("_device_reset_peak",
        [](const std::string& name) { allocator(device_named(name)).reset_peak(); });
  m.def("_device_empty_cache",
        [](const std::string& name) { allocator(device_named(name)).empty_cache(); });
  m.def("_device_memory_limit", [](const std::string& name, int64_t bytes) {
    allocator(device_named(name)).set_limit(bytes);
  });
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
