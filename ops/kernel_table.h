// SPDX-License-Identifier: Apache-2.0
// How kernels are found: rows of an op in order of preference, the reference kernel last. A kernel
// has two phases: prepare (once per set of metas: choose primitives, geometry, workspace) and run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rutile/core/device_plugin.h"
#include "rutile/core/error.h"
#include "rutile/core/meta.h"
#include "rutile/core/placement.h"
#include "rutile/core/small_vector.h"
#include "rutile/ops/op_def.h"

namespace rutile {

struct Plan;

// Pointers of one execution. Absent optional inputs are null. For a mutated input the output that
// aliases it has the same pointer. `workspace` is aligned to 64. A row of a device with streams
// queues its work on `stream` and returns; its pointers are the device's.
struct KernelArgs {
  void* const* in;
  void* const* out;
  void* workspace;
  Stream stream = nullptr;
};
// Does not throw. Fast rows take no memory from the heap either; reference rows may, and give
// kOutOfMemory if there is none.
using RunFn = Status (*)(const Plan&, const KernelArgs&);

// What prepare makes; immutable, shared by threads.
struct Plan {
  RunFn run = nullptr;
  size_t workspace_bytes = 0;
  // Bit i: output 0 may be written over input i's memory (same bytes, same placement).
  uint32_t may_overwrite = 0;
  const char* kernel = "";  // row name, for reports
  virtual ~Plan() = default;
};

// Why a row was refused, for RUTILE_LOG=dispatch.
struct Reason {
  std::string text;
};

// The placements a row would like best.
struct LayoutPrefs {
  SmallVector<Placement, 6> in, out;
};

struct KernelRow {
  const OpDef* op = nullptr;
  DeviceType device = DeviceType::kCpu;
  const char* name = "";
  // Decides on metas alone (outputs included). Null: takes every call that infer accepted with all
  // tensors strided (any strides).
  bool (*supports)(const CallMeta&, Reason*) = nullptr;
  Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>* plan) = nullptr;
  // Preferred placements for the layout pass; null: no preference.
  Status (*prefer)(const CallMeta&, LayoutPrefs*) = nullptr;
  bool reference = false;
};

// Behind the rows that are there. May be called while other threads run ops: they see the new row
// in plans they make afterwards.
RUTILE_API void register_kernel(const KernelRow& row);
RUTILE_API std::span<const KernelRow> kernel_rows(const OpDef& op, DeviceType device);

enum class Rows : uint8_t { kAll, kFast, kReference };
// The first row that supports the call, its plan prepared; a row whose prepare() gives kUnsupported
// refuses as well. Error kUnsupported names each row's reason.
RUTILE_API Status make_plan(const CallMeta& call, DeviceType device,
                            std::shared_ptr<const Plan>* plan, Rows rows = Rows::kAll);
// The first of these rows that supports the call as placed; null if none does.
RUTILE_API const KernelRow* first_row(const CallMeta& call, DeviceType device, Rows rows);
inline bool has_kernel(const CallMeta& call, DeviceType device, Rows rows) {
  return first_row(call, device, rows) != nullptr;
}
inline bool has_fast_kernel(const CallMeta& call, DeviceType device) {
  return has_kernel(call, device, Rows::kFast);
}

}  // namespace rutile
