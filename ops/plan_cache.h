// SPDX-License-Identifier: Apache-2.0
// What eager execution remembers of a call: output metas, which inputs to copy first, the plan.
#pragma once

#include <memory>
#include <vector>

#include "rutile/ops/composition.h"
#include "rutile/ops/kernel_table.h"

namespace rutile {

struct PlanEntry {
  AnyAttrs attrs;
  SmallVector<TensorMeta, 2> inputs;  // a default meta stands for an absent input
  uint32_t given = 0;                 // which of the first 32 inputs are present
  int threads = 0;
  bool reference = false;
  uint8_t settings = 0;     // device_setting_bits
  Device device;            // that the call runs on
  Stream stream = nullptr;  // its compute stream, of eager calls
  SmallVector<TensorMeta, 1> outputs;
  uint32_t copy_mask = 0;                          // inputs that must be made contiguous before
  std::shared_ptr<const Plan> plan;                // null: view or composition
  std::shared_ptr<const Composition> composition;  // of eager execution; null: run it op by op
};

// The device a call runs on: that of its inputs; without any, the one in force (DeviceScope).
RUTILE_API Device call_device(std::span<const TensorMeta* const> inputs);

// Inference, placement and plan of a call on its device, shared by eager execution and lowering:
// when no fast row takes the inputs as placed, `copy_mask` names those to copy to contiguous
// memory; when no row takes it at all, the plan is null and the op runs as its composition.
RUTILE_API Status plan_call(const OpDef& op, const void* attrs,
                            std::span<const TensorMeta* const> inputs, bool reference_only,
                            PlanEntry* entry);
// The outputs that plan_call would give, without preparing a plan: a trace places its values as
// eager execution does.
RUTILE_API Status infer_placed(const OpDef& op, const void* attrs,
                               std::span<const TensorMeta* const> inputs, bool reference_only,
                               SmallVector<TensorMeta, 1>* outputs);
// The number of inputs, and that required ones are there.
Status check_inputs(const CallMeta& call);
// Runs infer after checking the inputs; the outputs are on the call's device.
RUTILE_API Status infer_call(const CallMeta& call, SmallVector<TensorMeta, 1>* outputs);

// The calling thread's entry for this call, from the last-hit slot of the op or a bounded hash
// table; null on a miss.
const PlanEntry* find_entry(const OpDef& op, const void* attrs,
                            std::span<const TensorMeta* const> inputs, int threads, bool reference);
const PlanEntry* remember_entry(const OpDef& op, PlanEntry entry);
RUTILE_API void clear_plan_cache();  // of the calling thread

struct PlanCacheStats {
  int64_t last_hits = 0, hash_hits = 0, misses = 0;
};
RUTILE_API PlanCacheStats plan_cache_stats();  // of the calling thread

}  // namespace rutile
