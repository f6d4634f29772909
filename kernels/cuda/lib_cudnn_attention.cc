// SPDX-License-Identifier: Apache-2.0
// Rows of attention over cuDNN; what it does not take runs as the op's composition.
#include <algorithm>

#include "rutile/kernels/cuda/attention_mask.h"
#include "rutile/kernels/cuda/cudnn_calls.h"

namespace rutile::cuda {
namespace {

bool supports_attention(const CallMeta& c, Reason* reason) {
  const auto refuse = [&](const char* why) {
    reason->text = why;
    return false;
  };
  if (!only_strided(c, reason)) return false;
  const bool backward = c.op == &ops::kAttentionGrad;
  const int q = backward ? 1 : 0;
  if (!is_low_precision(c.in(q).dtype)) return refuse("takes f16 and bf16");
  if (c.in(q).rank() != 4) return refuse("takes heads");
  if (backward && c.has(7)) return refuse("takes no gradient of the logarithms");
  for (int i = q; i < q + 3; ++i) {
    const TensorMeta& m = c.in(i);
    if (m.numel() == 0 || m.strides[3] != 1) return refuse("takes rows without gaps");
    if (m.dim(3) % 8 != 0 || m.dim(3) > 128) return refuse("takes heads of 8 to 128 numbers");
  }
  return has_cudnn(reason);
}

// With a mask: kernels of ours around cuDNN's, which get it as numbers to add.
struct MaskedPlan : Plan {
  std::unique_ptr<Plan> attention;
  int mask = 0, num_inputs = 0;
  bool backward = false;
  size_t added_at = 0, sums_at = 0;  // in the workspace
  MaskArgs mask_args;
  EmptyRowArgs empty;
  RowSumArgs sums;
};

Status run_masked(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const MaskedPlan&>(plan);
  char* const workspace = static_cast<char*>(k.workspace);
  void* in[8] = {};
  std::copy(k.in, k.in + p.num_inputs, in);
  MaskArgs mask = p.mask_args;
  mask.mask = k.in[p.mask];
  mask.added = in[p.mask] = workspace + p.added_at;
  RUTILE_RETURN_IF_ERROR(launch_status(launch_mask(mask, k.stream)));
  if (p.backward) {
    RowSumArgs sums = p.sums;
    sums.lse = static_cast<const float*>(k.in[5]);
    in[5] = sums.out = reinterpret_cast<float*>(workspace + p.sums_at);
    RUTILE_RETURN_IF_ERROR(launch_status(launch_row_sums(sums, k.stream)));
  }
  RUTILE_RETURN_IF_ERROR(p.attention->run(*p.attention, {in, k.out, k.workspace, k.stream}));
  if (p.backward) return Status();
  EmptyRowArgs empty = p.empty;
  empty.y = k.out[0];
  empty.lse = static_cast<float*>(k.out[1]);
  return launch_status(launch_empty_rows(empty, k.stream));
}

// Strides of the mask over all scores, 0 where it is the same.
Indexer<1> mask_indexer(const TensorMeta& mask, const TensorMeta& added) {
  const Strides strides[1] = {broadcast_strides(mask, added.shape)};
  return make_indexer<1>(added.shape, strides);
}

Status prepare_masked(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MaskedPlan>();
  p->run = run_masked;
  p->backward = c.op == &ops::kAttentionGrad;
  p->mask = attention_mask(c);
  p->num_inputs = c.num_inputs();
  // cuDNN reads the logarithms where run_masked() writes them: dense.
  TensorMeta dense;
  SmallVector<const TensorMeta*, 8> inputs(c.inputs);
  if (p->backward) {
    dense = TensorMeta(c.in(5).shape, c.in(5).dtype, c.in(5).device);
    inputs[5] = &dense;
  }
  const CallMeta call{c.op, c.attrs, inputs, c.outputs};
  RUTILE_RETURN_IF_ERROR(
      make_cudnn_plan(call, " masked", cudnn_descriptions().attention, &p->attention));
  const TensorMeta added = added_mask(c);
  p->mask_args.n = added.numel();
  p->mask_args.mask_type = c.in(p->mask).dtype;
  p->mask_args.added_type = added.dtype;
  p->mask_args.mask_at = mask_indexer(c.in(p->mask), added);
  const auto round_up = [](size_t n) { return (n + 255) / 256 * 256; };
  p->added_at = round_up(p->attention->workspace_bytes);
  p->sums_at = p->added_at + round_up(static_cast<size_t>(added.nbytes()));
  p->workspace_bytes = p->sums_at;
  if (p->backward) {
    p->workspace_bytes += static_cast<size_t>(dense.nbytes());
    p->sums.rows = dense.numel();
    const Strides rows[1] = {c.in(5).strides};
    p->sums.row = make_indexer<1>(dense.shape, rows);
  } else {
    const TensorMeta &y = c.out(0), &lse = c.out(1);
    p->empty.rows = lse.numel();
    p->empty.n = y.dim(3);
    p->empty.type = y.dtype;
    const Strides rows[2] = {lse.strides, Strides(part(y.strides, 0, 3))};
    p->empty.row = make_indexer<2>(lse.shape, rows);
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_attention(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  if (c.has(attention_mask(c))) return prepare_masked(c, plan);
  return make_cudnn_plan(c, "", cudnn_descriptions().attention, plan);
}

}  // namespace

void register_cudnn_attention() {
  add_row(ops::kAttention, "cudnn", prepare_attention, supports_attention);
  add_row(ops::kAttentionGrad, "cudnn", prepare_attention, supports_attention);
}

}  // namespace rutile::cuda
