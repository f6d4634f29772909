// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/bitcast.h"

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kByteNs = 0.05;

struct BitcastPlan : Plan {
  CopyPlan copy;
  int64_t bools = 0;
};

Status run_bitcast(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const BitcastPlan&>(plan);
  p.copy.run(args.in[0], args.out[0]);
  auto* bytes = static_cast<uint8_t*>(args.out[0]);
  parallel_for(0, p.bools, grain_for(kByteNs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) bytes[i] = bytes[i] != 0;
  });
  return Status();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  auto p = std::make_unique<BitcastPlan>();
  p->copy = CopyPlan(x.shape, x.strides, contiguous_strides(x.shape),
                     static_cast<int>(dtype_size(x.dtype)));
  // A bool that is neither 0 nor 1 is none to the compiler.
  if (c.out().dtype == DType::kBool && x.dtype != DType::kBool) p->bools = c.out().numel();
  p->run = run_bitcast;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_bitcast_cpu() {
  register_kernel({.op = &ops::kBitcast, .name = "copy", .prepare = prepare});
}

}  // namespace rutile::kernels
