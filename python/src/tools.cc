// SPDX-License-Identifier: Apache-2.0
// Scopes for debugging and profiling, as context managers.
#include "rutile/python/src/tools.h"

#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <thread>

#include "rutile/autograd/tape.h"
#include "rutile/core/error.h"
#include "rutile/core/system_info.h"
#include "rutile/debug/anomaly.h"
#include "rutile/debug/verify.h"
#include "rutile/kernels/info.h"
#include "rutile/profile/profiler.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

class AnomalyContext {
 public:
  AnomalyContext(bool nan, bool inf) : options_{nan, inf} {}
  void enter() {
    if (scope_) {
      throw_error(ErrorCode::kRuntime, "this detect_anomaly is open already: nest another one");
    }
    scope_ = std::make_unique<debug::DetectAnomaly>(options_);
    thread_ = std::this_thread::get_id();
  }
  void exit() {
    if (scope_ && std::this_thread::get_id() != thread_) {
      throw_error(ErrorCode::kRuntime, "detect_anomaly is left in the thread that entered it");
    }
    scope_.reset();
  }

 private:
  debug::AnomalyOptions options_;
  std::unique_ptr<debug::DetectAnomaly> scope_;
  std::thread::id thread_;
};

// Stops recording from its making to close().
class NoGradContext {
 public:
  void close() {
    if (std::this_thread::get_id() != thread_) {
      throw_error(ErrorCode::kRuntime, "no_grad is left in the thread that entered it");
    }
    scope_.reset();
  }

 private:
  std::optional<NoGradScope> scope_{std::in_place};
  std::thread::id thread_ = std::this_thread::get_id();
};

class ProfilerContext {
 public:
  ProfilerContext(bool shapes, int64_t max_events, bool device)
      : options_{shapes, max_events, device} {}
  void start() { profiler_ = std::make_unique<profile::Profiler>(options_); }
  void stop() {
    if (profiler_) profiler_->stop();
  }
  const profile::Profiler& get() const {
    if (!profiler_) throw_error(ErrorCode::kRuntime, "this Profiler was not started");
    return *profiler_;
  }
  py::list events() const {
    py::list list;
    for (const profile::Event& e : get().events()) {
      static constexpr const char* kKinds[] = {"op", "kernel", "compiled", "span", "device"};
      py::dict d;
      d["kind"] = kKinds[static_cast<int>(e.kind)];
      d["name"] = e.name;
      d["kernel"] = e.kernel;
      d["cell"] = e.cell;
      d["place"] = e.place;
      d["operands"] = e.operands;
      d["phase"] = e.phase;
      d["start_us"] = e.start_us;
      d["us"] = e.us;
      d["self_us"] = e.self_us;
      d["depth"] = e.depth;
      d["device"] = e.device;
      d["stream"] = e.stream;
      d["bytes"] = e.bytes;
      list.append(std::move(d));
    }
    return list;
  }

 private:
  profile::ProfilerOptions options_;
  std::unique_ptr<profile::Profiler> profiler_;
};

class SpanContext {
 public:
  explicit SpanContext(std::string name) : name_(std::move(name)) {}
  void enter() { span_.emplace(name_); }
  void exit() { span_.reset(); }

 private:
  std::string name_;
  std::optional<profile::Span> span_;
};

}  // namespace

void add_tools(py::module_& m) {
  py::class_<NoGradContext>(m, "_NoGrad").def(py::init<>()).def("close", &NoGradContext::close);
  using debug::Comparison;
  using debug::VerifyReport;
  py::class_<Comparison>(m, "Comparison")
      .def_readonly("what", &Comparison::what)
      .def_readonly("where", &Comparison::where)
      .def_readonly("operands", &Comparison::operands)
      .def_readonly("error", &Comparison::error)
      .def_readonly("tolerance", &Comparison::tolerance)
      .def_readonly("note", &Comparison::note)
      .def_property_readonly("ok", &Comparison::ok);
  py::class_<VerifyReport>(m, "VerifyReport")
      .def_readonly("nodes", &VerifyReport::nodes)
      .def_readonly("passes", &VerifyReport::passes)
      .def_readonly("results", &VerifyReport::results)
      .def_property_readonly("ok", &VerifyReport::ok)
      .def("text", &VerifyReport::text, py::arg("rows") = 10)
      .def("__str__", [](const VerifyReport& r) { return r.text(); });
  py::class_<AnomalyContext>(m, "DetectAnomaly")
      .def(py::init<bool, bool>(), py::arg("nan") = true, py::arg("inf") = true)
      .def("__enter__",
           [](py::object self) {
             self.cast<AnomalyContext&>().enter();
             return self;
           })
      .def("__exit__", [](AnomalyContext& c, const py::args&) { c.exit(); });
  py::class_<ProfilerContext>(m, "Profiler", "Records what runs inside `with Profiler() as p`.")
      .def(py::init<bool, int64_t, bool>(), py::arg("shapes") = true,
           py::arg("max_events") = 1000000, py::arg("device") = true)
      .def("__enter__",
           [](py::object self) {
             self.cast<ProfilerContext&>().start();
             return self;
           })
      .def("__exit__", [](ProfilerContext& c, const py::args&) { c.stop(); })
      .def("start", &ProfilerContext::start, "Starts to record, from nothing.")
      .def("stop", &ProfilerContext::stop)
      .def(
          "table", [](const ProfilerContext& c, int rows) { return c.get().table(rows); },
          py::arg("rows") = 25, "Time by op and by Cell, as text.")
      .def("events", &ProfilerContext::events, "What was recorded, a dict for each event.")
      .def(
          "devices", [](const ProfilerContext& c) { return c.get().devices(); },
          "Launches a step and gaps of each device, as text.")
      .def("to_json", [](const ProfilerContext& c) { return c.get().to_json(); })
      .def(
          "write", [](const ProfilerContext& c, const std::string& path) { c.get().write(path); },
          py::arg("path"), "Writes the trace for Chrome and Perfetto.");
  py::class_<SpanContext>(m, "Span", "Names what runs inside `with Span(name)` in the profile.")
      .def(py::init<std::string>(), py::arg("name"))
      .def("__enter__",
           [](py::object self) {
             self.cast<SpanContext&>().enter();
             return self;
           })
      .def("__exit__", [](SpanContext& c, const py::args&) { c.exit(); });
  m.def(
      "system_info",
      [] {
        const KernelInfo kernels = kernel_info();
        const SystemMemory memory = system_memory();
        py::dict d;
        d["isa"] = kernels.isa;
        d["cpu_features"] = kernels.features;
        d["onednn"] = kernels.onednn;
        d["openmp"] = kernels.openmp;
        d["compiler"] = __VERSION__;
        d["cores"] = affinity_cores();
        d["cpu_quota"] = cgroup_cpu_quota();
        d["memory_total"] = memory.total;
        d["memory_available"] = memory.available;
        d["memory_limit"] = memory.cgroup_limit;
        return d;
      },
      "What the process runs on, a dict.");
}

}  // namespace rutile::python
