// SPDX-License-Identifier: Apache-2.0
// Rows of attention: f32 and bf16, any strides that leave the elements of a head's row together.
#include "rutile/kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/fast_types.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kProductNs = 0.05;

using ops::kAttention;
using ops::kAttentionGrad;

struct AttentionPlan : Plan {
  AttentionShape shape;
  AttentionKernels kernels;
  bool has_dlse = false;
};

// Position of q among the inputs.
int first_of(const CallMeta& c) { return c.op == &kAttentionGrad ? 1 : 0; }
int mask_of(const CallMeta& c) { return c.op == &kAttentionGrad ? 6 : 3; }

bool rows_of_neighbours(const TensorMeta& m) {
  return m.layout == kStrided && (m.dim(m.rank() - 1) == 1 || m.strides[m.rank() - 1] == 1);
}

bool supports(const CallMeta& c, Reason* reason) {
  const int first = first_of(c), mask = mask_of(c);
  const TensorMeta& q = c.in(first);
  if (!is_fast_type(q.dtype, reason)) return false;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!c.has(i)) continue;
    const TensorMeta& m = c.in(i);
    const bool is_lse = c.op == &kAttentionGrad && (i == 5 || i == 7);
    if (m.layout != kStrided || (is_lse && !m.is_contiguous()) ||
        (i != mask && !is_lse && !rows_of_neighbours(m))) {
      return refuse(reason, cat(c.op->input_name(i), " has no rows of neighbouring elements"));
    }
    if (m.numel() == 0) return refuse(reason, "is empty");
  }
  // lse lies as one vector, the others in rows.
  const bool forward = c.op == &kAttention;
  for (int i = 0; i < static_cast<int>(c.outputs.size()); ++i) {
    const TensorMeta& m = c.out(i);
    if (forward && i == 1 ? m.is_contiguous() : rows_of_neighbours(m)) continue;
    return refuse(reason, "the result has no rows of neighbouring elements");
  }
  return true;
}

AttentionStrides strides_of(const TensorMeta& m) {
  if (m.rank() == 3) return {m.strides[0], 0, m.strides[1]};
  return {m.strides[0], m.strides[1], m.strides[2]};
}

// The mask's steps along the dimensions of the scores; 0 where it is broadcast.
void set_mask(const TensorMeta& mask, int rank, AttentionShape* s) {
  int64_t steps[4] = {};
  for (int i = 0; i < mask.rank(); ++i) {
    if (mask.dim(i) != 1) steps[4 - mask.rank() + i] = mask.strides[i];
  }
  s->has_mask = true;
  s->mask_type = mask.dtype;
  s->mask = {steps[0], steps[1], steps[2]};
  if (rank == 3) s->mask = {steps[1], 0, steps[2]};
  s->mask_column = steps[3];
}

Status run_forward(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const AttentionPlan&>(plan);
  AttentionArgs a{};
  a.q = args.in[0];
  a.k = args.in[1];
  a.v = args.in[2];
  if (p.shape.has_mask) a.mask = args.in[3];
  a.y = args.out[0];
  a.lse = static_cast<float*>(args.out[1]);
  a.workspace = static_cast<float*>(args.workspace);
  p.kernels.forward(p.shape, a);
  return Status();
}

Status run_backward(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const AttentionPlan&>(plan);
  AttentionArgs a{};
  a.dy = args.in[0];
  a.q = args.in[1];
  a.k = args.in[2];
  a.v = args.in[3];
  a.y_in = args.in[4];
  a.lse_in = static_cast<const float*>(args.in[5]);
  if (p.shape.has_mask) a.mask = args.in[6];
  if (p.has_dlse) a.dlse = static_cast<const float*>(args.in[7]);
  a.dq = args.out[0];
  a.dk = args.out[1];
  a.dv = args.out[2];
  a.workspace = static_cast<float*>(args.workspace);
  p.kernels.backward(p.shape, a);
  return Status();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<AttentionPlan>();
  const bool forward = c.op == &kAttention;
  const int first = first_of(c), mask = mask_of(c);
  const TensorMeta &q = c.in(first), &k = c.in(first + 1), &v = c.in(first + 2);
  const int r = q.rank();
  const auto& attrs = c.as<ops::AttentionAttrs>();
  AttentionShape& s = p->shape;
  s.batch = q.dim(0);
  s.heads = r == 4 ? q.dim(1) : 1;
  s.rows = q.dim(r - 2);
  s.keys = k.dim(r - 2);
  s.d = q.dim(r - 1);
  s.e = v.dim(r - 1);
  s.causal = attrs.causal;
  s.scale = static_cast<float>(attrs.scale != 0 ? attrs.scale
                                                : 1.0 / std::sqrt(static_cast<double>(s.d)));
  s.q = strides_of(q);
  s.k = strides_of(k);
  s.v = strides_of(v);
  if (c.has(mask)) set_mask(c.in(mask), r, &s);
  if (forward) {
    s.y = strides_of(c.out(0));
  } else {
    s.dy = strides_of(c.in(0));
    s.y = strides_of(c.in(4));
    s.dq = strides_of(c.out(0));
    s.dk = strides_of(c.out(1));
    s.dv = strides_of(c.out(2));
    p->has_dlse = c.has(7);
  }
  const bool f32 = q.dtype == DType::kF32;
  if (isa() == Isa::kAvx512) {
    p->kernels = f32 ? avx512::attention_f32() : avx512::attention_bf16();
  } else {
    p->kernels = f32 ? avx2::attention_f32() : avx2::attention_bf16();
  }
  // A few units of work for each thread.
  const int64_t heads = s.batch * s.heads;
  const int64_t blocks = forward ? (s.rows + p->kernels.row_block - 1) / p->kernels.row_block
                                 : (s.keys + p->kernels.key_block - 1) / p->kernels.key_block;
  const int64_t work = heads * s.rows * s.keys * (s.d + s.e);
  s.threads =
      static_cast<int>(std::min({int64_t{threads_for(kProductNs * static_cast<double>(work))},
                                 int64_t{kMostThreads}, heads * blocks}));
  if (s.threads > 1) s.splits = std::min(blocks, (4 * s.threads + heads - 1) / heads);
  const int64_t floats =
      forward ? p->kernels.forward_workspace(s) : p->kernels.backward_workspace(s);
  p->workspace_bytes = static_cast<size_t>(floats) * sizeof(float);
  p->run = forward ? run_forward : run_backward;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_attention_cpu() {
  for (const OpDef* op : {&kAttention, &kAttentionGrad}) {
    KernelRow row;
    row.op = op;
    row.name = "attention_tiles";
    row.supports = supports;
    row.prepare = prepare;
    register_kernel(row);
  }
}

}  // namespace rutile::kernels
