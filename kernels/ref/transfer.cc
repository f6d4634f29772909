// SPDX-License-Identifier: Apache-2.0
// Copies between devices: the same row for the tensors of each of them.
#include "rutile/ops/transfer.h"
#include "rutile/core/device_runtime.h"
#include "rutile/kernels/ref/ref_plan.h"

namespace rutile::kernels {
namespace {

struct TransferPlan final : Plan {
  Device from, to;
  size_t bytes = 0;

  static Status execute(const Plan& plan, const KernelArgs& args) {
    const auto& p = static_cast<const TransferPlan&>(plan);
    return copy_bytes(args.out[0], p.to, args.in[0], p.from, p.bytes);
  }
};

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  if (same_placement(x, c.out()) && (x.layout != kStrided || x.is_dense())) return true;
  reason->text = "takes tensors without gaps";
  return false;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* out) {
  auto plan = std::make_unique<TransferPlan>();
  plan->run = TransferPlan::execute;
  plan->from = c.in(0).device;
  plan->to = c.out().device;
  plan->bytes = static_cast<size_t>(c.in(0).nbytes());
  *out = std::move(plan);
  return Status();
}

}  // namespace

void register_transfer_ref() {
  for (int t = 0; t < kNumDeviceTypes; ++t) {
    register_kernel({.op = &ops::kToDevice,
                     .device = static_cast<DeviceType>(t),
                     .name = "transfer",
                     .supports = supports,
                     .prepare = prepare,
                     .reference = true});
  }
}

}  // namespace rutile::kernels
