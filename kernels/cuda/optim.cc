// SPDX-License-Identifier: Apache-2.0
// Rows of loss scaling, norms of gradients and additions to States.
#include "rutile/kernels/cuda/optim.h"

#include <vector>

#include "rutile/kernels/cuda/elementwise.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/optim.h"

namespace rutile::cuda {
namespace {

// All dense, and read and written in the same order.
bool supports_chunks(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  const bool unscale = c.op == &ops::kUnscaleAndCheck;
  for (int i = unscale ? 1 : 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if (x.is_dense() && (!unscale || same_placement(x, c.out(i)))) continue;
    reason->text = cat("takes tensors without gaps, not ", x);
    return false;
  }
  return true;
}

struct ChunksPlan : Plan {
  std::vector<int64_t> counts;  // by input
  std::vector<DType> types, out_types;
  int64_t blocks = 0;
};

std::unique_ptr<ChunksPlan> chunks_plan(const CallMeta& c, int first, RunFn run) {
  auto p = std::make_unique<ChunksPlan>();
  p->run = run;
  for (int i = 0; i < c.num_inputs(); ++i) {
    p->counts.push_back(c.in(i).numel());
    p->types.push_back(c.in(i).dtype);
    if (i >= first) p->blocks += (c.in(i).numel() + kChunk - 1) / kChunk;
  }
  for (const TensorMeta& m : c.outputs) p->out_types.push_back(m.dtype);
  return p;
}

Status run_unscale(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const ChunksPlan&>(plan);
  UnscaleArgs a;
  a.scale = k.in[0];
  a.scale_type = p.types[0];
  a.overflow = static_cast<uint8_t*>(k.out[0]);
  RUTILE_RETURN_IF_ERROR(launch_status(launch_clear(a.overflow, k.stream)));
  for (size_t i = 1; i < p.counts.size(); ++i) {
    a.out_type[a.tensors.count] = p.out_types[i];
    PairTensors::Entry& e = a.tensors.add(p.counts[i]);
    e.p[0] = k.in[i];
    e.p[1] = k.out[i];
    e.type = p.types[i];
    if (!a.tensors.full() && i + 1 < p.counts.size()) continue;
    RUTILE_RETURN_IF_ERROR(launch_status(launch_unscale(a, k.stream)));
    a.tensors.next_launch();
  }
  return Status();
}

Status prepare_unscale(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  *plan = chunks_plan(c, 1, run_unscale);
  return Status();
}

Status run_global_norm(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const ChunksPlan&>(plan);
  NormArgs a;
  a.sums = static_cast<double*>(k.workspace);
  a.blocks = p.blocks;
  a.out = k.out[0];
  a.out_type = p.out_types[0];
  for (size_t i = 0; i < p.counts.size(); ++i) {
    PairTensors::Entry& e = a.tensors.add(p.counts[i]);
    e.p[0] = k.in[i];
    e.type = p.types[i];
    if (!a.tensors.full() && i + 1 < p.counts.size()) continue;
    RUTILE_RETURN_IF_ERROR(launch_status(launch_squares(a, k.stream)));
    a.tensors.next_launch();
  }
  return launch_status(launch_norm(a, k.stream));
}

Status prepare_global_norm(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = chunks_plan(c, 0, run_global_norm);
  p->workspace_bytes = sizeof(double) * static_cast<size_t>(p->blocks);
  *plan = std::move(p);
  return Status();
}

Status prepare_loss_scale(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::LossScaleAttrs>();
  auto p = kernel_plan<LossScaleArgs>(launch_loss_scale, [](LossScaleArgs* a, const KernelArgs& k) {
    a->scale = static_cast<float*>(k.out[0]);
    a->good = static_cast<int64_t*>(k.out[1]);
    a->overflow = static_cast<const uint8_t*>(k.in[2]);
  });
  p->args.growth = static_cast<float>(attrs.growth);
  p->args.backoff = static_cast<float>(attrs.backoff);
  p->args.interval = attrs.interval;
  *plan = std::move(p);
  return Status();
}

Status prepare_assign_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta &s = c.in(0), &v = c.in(1);
  const Compute compute = s.dtype == DType::kF64   ? Compute::kDouble
                          : is_floating(s.dtype)   ? Compute::kFloat
                          : s.dtype == DType::kU64 ? Compute::kUnsigned
                                                   : Compute::kInt;
  auto p = kernel_plan<ElementwiseArgs>(
      binary_kernel(ElementwiseOp::Add, compute), [](ElementwiseArgs* a, const KernelArgs& k) {
        a->out = k.out[0];
        a->in[0] = k.out[0];
        a->in[1] = k.in[1];
        a->vectors = a->linear && aligned(k.out[0]) && aligned(k.in[1]);
      });
  ElementwiseArgs& a = p->args;
  a.n = s.numel();
  a.inputs = 2;
  a.out_type = a.in_type[0] = a.in_type[1] = s.dtype;
  a.linear = s.is_dense() && same_placement(s, v);
  const Strides strides[4] = {s.strides, s.strides, v.strides, Strides::filled(s.rank(), 0)};
  a.index = make_indexer<4>(s.shape, strides);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_optim() {
  add_row(ops::kAssignAdd, "elementwise", prepare_assign_add);
  add_row(ops::kUnscaleAndCheck, "multi_tensor", prepare_unscale, supports_chunks);
  add_row(ops::kGlobalNorm, "multi_tensor", prepare_global_norm, supports_chunks);
  add_row(ops::kUpdateLossScale, "scalar", prepare_loss_scale);
}

}  // namespace rutile::cuda
