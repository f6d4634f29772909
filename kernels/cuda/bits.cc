// SPDX-License-Identifier: Apache-2.0
// Rows that give memory away as it lies: bitcast, and record to the host.
#include <algorithm>
#include <memory>

#include "rutile/core/device_runtime.h"
#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/bitcast.h"
#include "rutile/ops/record.h"

namespace rutile::cuda {
namespace {

struct BitcastPlan : Plan {
  CopyArgs copy;
  int64_t bools = 0;
};

Status run_bitcast(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const BitcastPlan&>(plan);
  CopyArgs a = p.copy;
  a.in = k.in[0];
  a.out = k.out[0];
  RUTILE_RETURN_IF_ERROR(launch_status(launch_copy(a, k.stream)));
  return p.bools == 0 ? Status() : launch_status(launch_truths(k.out[0], p.bools, k.stream));
}

Status prepare_bitcast(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  auto p = std::make_unique<BitcastPlan>();
  p->run = run_bitcast;
  p->copy = make_copy(x.shape, contiguous_strides(x.shape), x.strides, size_of(x.dtype));
  // A bool that is neither 0 nor 1 is none to the compiler.
  if (c.out().dtype == DType::kBool && x.dtype != DType::kBool) p->bools = c.out().numel();
  *plan = std::move(p);
  return Status();
}

bool supports_bitcast(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  if (c.out().is_contiguous()) return true;
  reason->text = "writes row-major";
  return false;
}

// ---- record -------------------------------------------------------------------------------------

struct RecordPlan : Plan {
  AnyAttrs attrs;
  TensorMeta x;
  size_t bytes = 0;  // from the first element to the last one
};

Status run_record(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const RecordPlan&>(plan);
  try {
    // Copies to the host wait for what is queued.
    const auto host = std::make_unique<char[]>(p.bytes + 1);
    RUTILE_RETURN_IF_ERROR(copy_bytes(host.get(), kCpu, k.in[0], p.x.device, p.bytes));
    const bool kept =
        ops::keep_recorded(*static_cast<const ops::RecordAttrs*>(p.attrs.get()), p.x, host.get());
    return copy_bytes(k.out[0], p.x.device, &kept, kCpu, sizeof(kept));
  } catch (const Error& e) {
    return Status(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, "the host has no memory for what is recorded");
  }
}

Status prepare_record(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<RecordPlan>();
  p->run = run_record;
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  p->x = c.in(0);
  int64_t last = 0;
  for (int d = 0; d < p->x.rank(); ++d) last += (p->x.dim(d) - 1) * p->x.strides[d];
  p->bytes = p->x.numel() == 0 ? 0 : static_cast<size_t>(last + 1) * dtype_size(p->x.dtype);
  *plan = std::move(p);
  return Status();
}

bool supports_record(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  const Strides& s = c.in(0).strides;
  if (std::all_of(s.begin(), s.end(), [](int64_t step) { return step >= 0; })) return true;
  reason->text = "takes no negative strides";
  return false;
}

}  // namespace

void register_bits() {
  add_row(ops::kBitcast, "copy", prepare_bitcast, supports_bitcast);
  add_row(ops::kRecord, "host", prepare_record, supports_record);
}

}  // namespace rutile::cuda
