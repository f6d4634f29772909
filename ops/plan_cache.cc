// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/plan_cache.h"

#include <algorithm>
#include <unordered_map>

#include "rutile/core/device_settings.h"
#include "rutile/core/thread.h"
#include "rutile/ops/call.h"
#include "rutile/ops/op_runtime.h"
#include "rutile/ops/transfer.h"

namespace rutile {

namespace {

constexpr size_t kMaxEntries = 4096;

struct ThreadCache {
  std::vector<std::shared_ptr<const PlanEntry>> last;  // by op id
  std::unordered_multimap<uint64_t, std::shared_ptr<const PlanEntry>> table;
  PlanCacheStats stats;
};

ThreadCache& cache() {
  thread_local ThreadCache c;
  return c;
}

bool matches(const PlanEntry& e, const void* attrs, std::span<const TensorMeta* const> inputs,
             int threads, bool reference) {
  if (e.inputs.size() != static_cast<int>(inputs.size()) || e.threads != threads ||
      e.reference != reference ||
      e.settings != detail::device_setting_bits.load(std::memory_order_relaxed)) {
    return false;
  }
  if (inputs.empty() && !(e.device == call_modes().device)) return false;
  for (int i = 0; i < e.inputs.size(); ++i) {
    const bool given = i >= 32 || (e.given >> i & 1u);
    if (given != (inputs[i] != nullptr)) return false;
    if (given && !(e.inputs[i] == *inputs[i])) return false;
  }
  const AttrsInfo* info = e.attrs.info();
  return !info || info->equal(e.attrs.get(), attrs);
}

uint64_t hash_call(const OpDef& op, const void* attrs, std::span<const TensorMeta* const> inputs) {
  uint64_t h = reinterpret_cast<uint64_t>(&op);
  for (const TensorMeta* m : inputs) h = detail::mix_hash(h, m ? hash_meta(*m) : 0);
  if (op.attrs) h = detail::mix_hash(h, op.attrs->hash(attrs));
  return h;
}

// The call with the inputs of `copies` made contiguous; holds what its pointers point to.
struct Placed {
  SmallVector<TensorMeta, 4> metas;
  SmallVector<const TensorMeta*, 6> pointers;
  SmallVector<TensorMeta, 1> outputs;
  CallMeta call;

  Status set(const OpDef& op, const void* attrs, std::span<const TensorMeta* const> inputs,
             uint32_t copies) {
    metas.clear();
    pointers.clear();
    for (const TensorMeta* m : inputs) metas.push_back(m ? *m : TensorMeta());
    for (int i = 0; i < metas.size(); ++i) {
      const bool copied = i < 32 && (copies >> i & 1u);
      if (copied) metas[i] = TensorMeta(metas[i].shape, metas[i].dtype, metas[i].device);
      pointers.push_back(inputs[i] ? &metas[i] : nullptr);
    }
    call = CallMeta{&op, attrs, pointers, {}};
    RUTILE_RETURN_IF_ERROR(infer_call(call, &outputs));
    call.outputs = outputs;
    return Status();
  }
};

// The inputs that a copy would make contiguous.
uint32_t uneven_inputs(const OpDef& op, std::span<const TensorMeta* const> inputs) {
  uint32_t mask = 0;
  for (size_t i = 0; i < inputs.size() && i < 32; ++i) {
    if (!inputs[i] || inputs[i]->is_contiguous()) continue;
    // What an op writes in place keeps its strides.
    const int named = std::min(static_cast<int>(i), op.num_inputs - 1);
    const bool mutated = named >= 0 && (op.mutate_mask >> named & 1u);
    if (!mutated || inputs[i]->layout != kStrided) mask |= 1u << i;
  }
  return mask;
}

struct Choice {
  Rows rows;
  uint32_t copies;
};
// What is tried in turn: a fast row as placed, copies that let a fast row in, any row as placed.
SmallVector<Choice, 4> choices(uint32_t uneven, bool reference_only) {
  SmallVector<Choice, 4> list;
  if (!reference_only) list.push_back({Rows::kFast, 0});
  if (!reference_only && uneven) list.push_back({Rows::kFast, uneven});
  const Rows rows = reference_only ? Rows::kReference : Rows::kAll;
  list.push_back({rows, 0});
  if (uneven) list.push_back({rows, uneven});
  return list;
}

}  // namespace

Status check_inputs(const CallMeta& call) {
  const OpDef& op = *call.op;
  const int n = call.num_inputs();
  if (n < op.min_inputs || (n > op.num_inputs && !op.variadic_in)) {
    const char* at_least = op.variadic_in || op.optional_mask ? "at least " : "";
    return value_error(cat("expects ", at_least, op.min_inputs, " inputs, got ", n));
  }
  const TensorMeta* first = nullptr;
  for (int i = 0; i < n; ++i) {
    const bool optional = i < 32 && i < op.num_inputs && (op.optional_mask >> i & 1u);
    const TensorMeta* m = call.inputs[i];
    if (!m && !optional) return value_error(cat("input ", op.input_name(i), " is missing"));
    if (!m) continue;
    if (!first) first = m;
    if (!(m->device == first->device)) {
      return value_error(
          cat("inputs are on different devices: ", first->device, " and ", m->device));
    }
  }
  return Status();
}

Device call_device(std::span<const TensorMeta* const> inputs) {
  for (const TensorMeta* m : inputs) {
    if (m) return m->device;
  }
  return call_modes().device;
}

Status infer_call(const CallMeta& call, SmallVector<TensorMeta, 1>* outputs) {
  RUTILE_RETURN_IF_ERROR(check_inputs(call));
  int n = call.op->num_outputs;
  if (call.op->count_outputs) {
    n = call.op->count_outputs(call);
    if (n < 0) return value_error("has attributes that give no valid number of outputs");
  }
  outputs->resize(n);
  RUTILE_RETURN_IF_ERROR(call.op->infer(call, outputs->data()));
  const bool moves = call.op == &ops::kToDevice;
  const Device device = call_device(call.inputs);
  for (TensorMeta& m : *outputs) {
    int64_t numel = 0;
    RUTILE_RETURN_IF_ERROR(checked_numel(m.shape, &numel));
    if (!moves) m.device = device;
  }
  return Status();
}

Status plan_call(const OpDef& op, const void* attrs, std::span<const TensorMeta* const> inputs,
                 bool reference_only, PlanEntry* entry) {
  entry->device = call_device(inputs);
  const DeviceType device = entry->device.type;
  entry->attrs = AnyAttrs(op.attrs, attrs);
  entry->threads = num_threads();
  entry->reference = reference_only;
  entry->settings = detail::device_setting_bits.load(std::memory_order_relaxed);
  for (size_t i = 0; i < inputs.size(); ++i) {
    entry->inputs.push_back(inputs[i] ? *inputs[i] : TensorMeta());
    if (inputs[i] && i < 32) entry->given |= 1u << i;
  }
  if (op.view_offset || kernel_rows(op, device).empty()) {
    CallMeta call{&op, attrs, inputs, {}};
    RUTILE_RETURN_IF_ERROR(infer_call(call, &entry->outputs));
    if (op.view_offset || op.compose) return Status();
    return Status(ErrorCode::kUnsupported, cat("has no kernel on ", to_string(Device{device, 0})));
  }
  Status s;
  for (const Choice& c : choices(uneven_inputs(op, inputs), reference_only)) {
    Placed placed;
    s = placed.set(op, attrs, inputs, c.copies);
    if (s.ok()) s = make_plan(placed.call, device, &entry->plan, c.rows);
    if (s.ok()) {
      entry->outputs = placed.outputs;
      entry->copy_mask = c.copies;
      return s;
    }
    if (s.code() != ErrorCode::kUnsupported) return s;
  }
  if (!op.compose) return s;
  // No row takes the call: the composition defines it.
  return infer_call(CallMeta{&op, attrs, inputs, {}}, &entry->outputs);
}

Status infer_placed(const OpDef& op, const void* attrs, std::span<const TensorMeta* const> inputs,
                    bool reference_only, SmallVector<TensorMeta, 1>* outputs) {
  const DeviceType device = call_device(inputs).type;
  const uint32_t uneven = uneven_inputs(op, inputs);
  if (!uneven || op.view_offset || kernel_rows(op, device).empty()) {
    return infer_call(CallMeta{&op, attrs, inputs, {}}, outputs);
  }
  for (const Choice& c : choices(uneven, reference_only)) {
    Placed placed;
    RUTILE_RETURN_IF_ERROR(placed.set(op, attrs, inputs, c.copies));
    if (!has_kernel(placed.call, device, c.rows)) continue;
    *outputs = placed.outputs;
    return Status();
  }
  return infer_call(CallMeta{&op, attrs, inputs, {}}, outputs);
}

const PlanEntry* find_entry(const OpDef& op, const void* attrs,
                            std::span<const TensorMeta* const> inputs, int threads,
                            bool reference) {
  ThreadCache& c = cache();
  const size_t id = static_cast<size_t>(op_runtime(op).id);
  if (id < c.last.size() && c.last[id] && matches(*c.last[id], attrs, inputs, threads, reference)) {
    ++c.stats.last_hits;
    return c.last[id].get();
  }
  auto [begin, end] = c.table.equal_range(hash_call(op, attrs, inputs));
  for (auto it = begin; it != end; ++it) {
    if (matches(*it->second, attrs, inputs, threads, reference)) {
      ++c.stats.hash_hits;
      if (id >= c.last.size()) c.last.resize(id + 1);
      c.last[id] = it->second;
      return it->second.get();
    }
  }
  ++c.stats.misses;
  return nullptr;
}

const PlanEntry* remember_entry(const OpDef& op, PlanEntry entry) {
  ThreadCache& c = cache();
  if (c.table.size() >= kMaxEntries) c.table.clear();
  SmallVector<const TensorMeta*, 6> inputs;
  for (int i = 0; i < entry.inputs.size(); ++i) {
    const bool given = i >= 32 || (entry.given >> i & 1u);
    inputs.push_back(given ? &entry.inputs[i] : nullptr);
  }
  const uint64_t h = hash_call(op, entry.attrs.get(), inputs);
  auto shared = std::make_shared<const PlanEntry>(std::move(entry));
  c.table.emplace(h, shared);
  const size_t id = static_cast<size_t>(op_runtime(op).id);
  if (id >= c.last.size()) c.last.resize(id + 1);
  c.last[id] = shared;
  return shared.get();
}

void clear_plan_cache() {
  cache().last.clear();
  cache().table.clear();
}

PlanCacheStats plan_cache_stats() { return cache().stats; }

}  // namespace rutile
