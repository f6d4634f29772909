// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/plan_cache.h"

#include <algorithm>
#include <unordered_map>

#include "rutile/core/thread.h"
#include "rutile/ops/op_runtime.h"

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
      e.reference != reference) {
    return false;
  }
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

// A plan for the inputs as placed, or with those of `copies` made contiguous.
Status plan_placed(const OpDef& op, const void* attrs, std::span<const TensorMeta* const> inputs,
                   uint32_t copies, DeviceType device, bool reference_only, bool fast_only,
                   PlanEntry* entry) {
  SmallVector<TensorMeta, 4> placed;
  SmallVector<const TensorMeta*, 6> pointers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    placed.push_back(inputs[i] ? *inputs[i] : TensorMeta());
  }
  for (int i = 0; i < placed.size(); ++i) {
    const uint32_t bit = i < 32 ? 1u << i : 0;
    if (copies & bit) placed[i] = TensorMeta(placed[i].shape, placed[i].dtype, placed[i].device);
    pointers.push_back(inputs[i] ? &placed[i] : nullptr);
  }
  CallMeta call{&op, attrs, pointers, {}};
  SmallVector<TensorMeta, 1> outputs;
  RUTILE_RETURN_IF_ERROR(infer_call(call, &outputs));
  call.outputs = outputs;
  if (fast_only && !has_fast_kernel(call, device)) {
    return Status(ErrorCode::kUnsupported, "no fast kernel");
  }
  RUTILE_RETURN_IF_ERROR(make_plan(call, device, &entry->plan, reference_only));
  entry->outputs = outputs;
  entry->copy_mask = copies;
  return Status();
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

Status infer_call(const CallMeta& call, SmallVector<TensorMeta, 1>* outputs) {
  RUTILE_RETURN_IF_ERROR(check_inputs(call));
  int n = call.op->num_outputs;
  if (call.op->count_outputs) {
    n = call.op->count_outputs(call);
    if (n < 0) return value_error("has attributes that give no valid number of outputs");
  }
  outputs->resize(n);
  RUTILE_RETURN_IF_ERROR(call.op->infer(call, outputs->data()));
  for (TensorMeta& m : *outputs) {
    int64_t numel = 0;
    RUTILE_RETURN_IF_ERROR(checked_numel(m.shape, &numel));
  }
  return Status();
}

Status plan_call(const OpDef& op, const void* attrs, std::span<const TensorMeta* const> inputs,
                 DeviceType device, bool reference_only, PlanEntry* entry) {
  entry->attrs = AnyAttrs(op.attrs, attrs);
  entry->threads = num_threads();
  entry->reference = reference_only;
  uint32_t uneven = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    entry->inputs.push_back(inputs[i] ? *inputs[i] : TensorMeta());
    if (inputs[i] && i < 32) entry->given |= 1u << i;
    if (!inputs[i] || i >= 32 || inputs[i]->is_contiguous()) continue;
    // What an op writes in place keeps its strides.
    const int named = std::min(static_cast<int>(i), op.num_inputs - 1);
    const bool mutated = named >= 0 && (op.mutate_mask >> named & 1u);
    if (!mutated || inputs[i]->layout != kStrided) uneven |= 1u << i;
  }
  if (op.view_offset || kernel_rows(op, device).empty()) {
    CallMeta call{&op, attrs, inputs, {}};
    RUTILE_RETURN_IF_ERROR(infer_call(call, &entry->outputs));
    if (op.view_offset || op.compose) return Status();
    return Status(ErrorCode::kUnsupported, cat("has no kernel on ", to_string(Device{device, 0})));
  }
  // As placed by a fast row; else copies let a fast row in; else the reference row as placed.
  if (!reference_only) {
    Status s = plan_placed(op, attrs, inputs, 0, device, false, true, entry);
    if (s.ok() || s.code() != ErrorCode::kUnsupported) return s;
    if (uneven && plan_placed(op, attrs, inputs, uneven, device, false, true, entry).ok()) {
      return Status();
    }
  }
  Status s = plan_placed(op, attrs, inputs, 0, device, reference_only, false, entry);
  if (s.ok() || s.code() != ErrorCode::kUnsupported) return s;
  if (uneven) {
    s = plan_placed(op, attrs, inputs, uneven, device, reference_only, false, entry);
    if (s.ok() || s.code() != ErrorCode::kUnsupported) return s;
  }
  if (!op.compose) return s;
  // No row takes the call: the composition defines it.
  entry->plan = nullptr;
  entry->copy_mask = 0;
  return infer_call(CallMeta{&op, attrs, inputs, {}}, &entry->outputs);
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
