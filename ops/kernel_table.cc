// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/kernel_table.h"

#include <mutex>

#include "rutile/core/log.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/op_runtime.h"

namespace rutile {

namespace {

bool all_strided(const CallMeta& call) {
  for (const TensorMeta* m : call.inputs) {
    if (m && m->layout != kStrided) return false;
  }
  for (const TensorMeta& m : call.outputs) {
    if (m.layout != kStrided) return false;
  }
  return true;
}

bool takes_part(const KernelRow& row, Rows rows) {
  return rows == Rows::kAll || row.reference == (rows == Rows::kReference);
}

bool accepts(const KernelRow& row, const CallMeta& call, Reason* reason) {
  if (row.supports) return row.supports(call, reason);
  if (all_strided(call)) return true;
  reason->text = "takes strided tensors only";
  return false;
}

}  // namespace

void register_kernel(const KernelRow& row) {
  RUTILE_CHECK(row.op && row.prepare, "a kernel row needs an op and prepare");
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  OpRuntime& op = op_runtime(*row.op);
  auto& rows = op.rows[static_cast<int>(row.device)];
  const std::vector<KernelRow>* before = rows.load(std::memory_order_relaxed);
  std::vector<KernelRow>& list = op.lists.emplace_back();
  if (before) list = *before;
  list.push_back(row);
  rows.store(&list, std::memory_order_release);
}

std::span<const KernelRow> kernel_rows(const OpDef& op, DeviceType device) {
  const auto* rows = op_runtime(op).rows[static_cast<int>(device)].load(std::memory_order_acquire);
  return rows ? std::span<const KernelRow>(*rows) : std::span<const KernelRow>();
}

Status make_plan(const CallMeta& call, DeviceType device, std::shared_ptr<const Plan>* plan,
                 Rows rows) {
  if (ops::is_line_of_number(call)) {
    return make_plan(ops::LineCall(call).call(), device, plan, rows);
  }
  std::string refused;
  for (const KernelRow& row : kernel_rows(*call.op, device)) {
    if (!takes_part(row, rows)) continue;
    Reason reason;
    if (accepts(row, call, &reason)) {
      std::unique_ptr<Plan> made;
      const Status s = row.prepare(call, &made);
      if (s.ok()) {
        if (*made->kernel == 0) made->kernel = row.name;
        if (log_enabled(LogTopic::kDispatch)) {
          log_line(LogTopic::kDispatch, cat(call.op->name, ": ", row.name));
        }
        *plan = std::move(made);
        return Status();
      }
      if (s.code() != ErrorCode::kUnsupported) return Status(s.code(), s.message());
      reason.text = s.message();
    }
    if (log_enabled(LogTopic::kDispatch)) {
      log_line(LogTopic::kDispatch, cat(call.op->name, ": ", row.name, " refused: ", reason.text));
    }
    refused += cat(refused.empty() ? "" : "; ", row.name, ": ", reason.text);
  }
  if (refused.empty()) refused = "it has no kernel";
  return Status(ErrorCode::kUnsupported,
                cat("cannot run on ", to_string(Device{device, 0}), " (", refused, ")"));
}

const KernelRow* first_row(const CallMeta& call, DeviceType device, Rows rows) {
  if (ops::is_line_of_number(call)) return first_row(ops::LineCall(call).call(), device, rows);
  for (const KernelRow& row : kernel_rows(*call.op, device)) {
    Reason reason;
    if (takes_part(row, rows) && accepts(row, call, &reason)) return &row;
  }
  return nullptr;
}

}  // namespace rutile
