// SPDX-License-Identifier: Apache-2.0
// The one call path. Every op, eager or traced, from C++, Python, gradients or optimizers, comes
// through call(): AMP, shape inference, trace or run, tape.
#pragma once

#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/ops/op_def.h"

namespace rutile {

// A tensor argument together with the caller's source line. Taken by value by the op functions.
struct Arg {
  const Tensor& tensor;
  std::source_location where;
  Arg(const Tensor& t, std::source_location w = std::source_location::current())
      : tensor(t), where(w) {}
};

// Runs or records `op`. `out` has as many entries as the op has outputs.
RUTILE_API void call(const OpDef& op, const void* attrs, std::span<const Tensor> in,
                     std::span<Tensor> out,
                     std::source_location where = std::source_location::current());

// For ops with one output.
RUTILE_API Tensor call1(const OpDef& op, const void* attrs, std::initializer_list<Tensor> in,
                        std::source_location where = std::source_location::current());
// For any number of outputs.
RUTILE_API TensorList call_n(const OpDef& op, const void* attrs, std::span<const Tensor> in,
                             std::source_location where = std::source_location::current());

class State;

// Where a call stands in the user's code.
struct CallPlace {
  const OpDef* op = nullptr;
  std::source_location where;
  std::string file;  // the user's line where it is not the C++ caller's; empty: `where` it is
  int line = 0;
};

// Stands between the code that runs and the States it touches: a trace, or a region's body.
class StateHook {
 public:
  virtual ~StateHook() = default;
  virtual Tensor read_state(State& state) = 0;
  virtual void write_state(State& state, const Tensor& value) = 0;
};

// A function as a trace finds it: its body takes the operands asked for, then what it read from
// outside, then the States; it gives the function's results, then the new values of written States.
struct TracedBody {
  struct StateUse {
    Ref<State> state;
    bool written = false;
  };
  Ref<Region> body;
  std::vector<Tensor> captured;
  std::vector<StateUse> states;
};

// Receives every op while a trace runs (graph/trace).
class TraceHook {
 public:
  virtual ~TraceHook() = default;
  virtual void append(const CallMeta& call, std::span<const Tensor> in,
                      std::span<const TensorMeta> out_metas, std::span<Tensor> out,
                      std::source_location where) = 0;
  // Traces a function on symbols of its own, for an op that runs it as a body.
  virtual TracedBody trace_body(const Region::Function& fn,
                                std::span<const TensorMeta> operands) = 0;
};

// Receives every op with a tracked input while a gradient scope is open (autograd).
class TapeHook {
 public:
  virtual ~TapeHook() = default;
  virtual bool tracked(const Tensor& t) const = 0;
  // What this thread reads a State's value through: other threads may differentiate by it, too.
  virtual Tensor own_handle(const Tensor& value) = 0;
  virtual void record(const OpDef& op, const void* attrs, std::span<const Tensor> in,
                      std::span<const Tensor> out, std::source_location where) = 0;
};

// Sees every op that runs eagerly on its thread (profiler, anomaly detection); ops that run as
// their composition are seen around it. What it throws ends the call.
class RunHook {
 public:
  virtual ~RunHook() = default;
  virtual void before(const OpDef& op, std::span<const Tensor> in) = 0;
  virtual void after(const OpDef& op, const void* attrs, std::span<const Tensor> in,
                     std::span<const Tensor> out, std::source_location where) = 0;
};

// Mixed precision in force: pushed by AmpScope (ops/amp.h).
struct AmpState {
  bool on = false;
  DType low = DType::kBF16;
};

// A step of the path of Cells being called ("resnet" / "layer1" / "0"); lives on the stack.
struct CellScope {
  std::string_view name;
  const CellScope* parent = nullptr;
};
RUTILE_API std::string cell_path(const CellScope* scope);  // "resnet.layer1.0"

// What a call must look at; one per thread.
struct CallModes {
  TraceHook* trace = nullptr;
  StateHook* states = nullptr;  // null: States are read and written directly
  TapeHook* tape = nullptr;     // null: no gradient scope
  RunHook* run = nullptr;
  AmpState amp;
  const CellScope* cell = nullptr;
  const CallPlace* forward = nullptr;  // while a gradient rule runs: the call it belongs to
  bool reference_kernels = false;      // tests: run the oracle
  Device device;                       // of ops without inputs; set by DeviceScope
  int32_t clone_group = 0;  // != 0 while recompute() repeats a body: keeps its clones apart
};
RUTILE_API CallModes& call_modes();

// Sets a value for the life of the scope.
template <class T>
class ScopedValue {
 public:
  ScopedValue(T& slot, T value) : slot_(slot), saved_(slot) { slot_ = value; }
  ~ScopedValue() { slot_ = saved_; }
  ScopedValue(const ScopedValue&) = delete;
  ScopedValue& operator=(const ScopedValue&) = delete;

 private:
  T& slot_;
  T saved_;
};

// Ops without inputs (creation) make their results on this device; other ops run where their
// inputs are. Per thread. Opens the device.
class RUTILE_API DeviceScope {
 public:
  explicit DeviceScope(Device device);
  ~DeviceScope() { call_modes().device = saved_; }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  Device saved_;
};

// The user's line where it is not the C++ caller's: Python names its own. Asked for in a trace and
// on the way to an error only.
using LocationProvider = bool (*)(std::string* file, int* line);
RUTILE_API void set_location_provider(LocationProvider provider);
// False without a provider or where it knows nothing.
RUTILE_API bool user_location(std::string* file, int* line);
// The user's line of a call: inside a gradient rule that of the call it belongs to.
RUTILE_API void call_location(std::source_location where, std::string* file, int* line);

// Counts of the calling thread, for tests and the profiler.
struct CallStats {
  int64_t calls = 0;            // ops run eagerly
  int64_t inserted_copies = 0;  // reorders and copies that call() had to insert
};
RUTILE_API CallStats& call_stats();

}  // namespace rutile
