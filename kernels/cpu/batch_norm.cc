// SPDX-License-Identifier: Apache-2.0
// Rows of the batch-norm family: f32 and bf16, row-major, channels-last and channel-blocked.
#include "rutile/kernels/cpu/batch_norm.h"

#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/fast_types.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/norm.h"

namespace rutile::kernels {

int64_t batch_norm_workspace(const BatchNormShape& s, int threads) {
  const int64_t c = (s.channels + 15) / 16 * 16;
  return s.rows ? c * (6 * threads + 5) : 0;
}

namespace {

constexpr double kElementNs = 0.3;

struct BatchNormPlan : Plan {
  BatchNormShape shape;
  BatchNormKernels kernels;
  int threads = 1;
};

const TensorMeta& x_of(const CallMeta& c) {
  const bool backward = c.op == &ops::kBatchNormGrad || c.op == &ops::kBatchNormReluGrad ||
                        c.op == &ops::kBatchNormAddReluGrad;
  return c.in(backward ? 1 : 0);
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = x_of(c);
  if (!is_fast_type(x.dtype, reason)) return false;
  if (x.numel() == 0) return refuse(reason, "is empty");
  const bool blocked = x.rank() == 4 && channel_block(x.layout) != 0;
  const bool strided = x.layout == kStrided && (x.is_contiguous() || x.is_channels_last());
  if ((!blocked && !strided) || channel_block(x.layout) > 16) {
    return refuse(reason, "takes row-major, channels-last and channel-blocked tensors");
  }
  for (const TensorMeta* m : c.inputs) {
    if (!m) continue;
    if (m->shape == x.shape ? !same_placement(*m, x) : !m->is_contiguous()) {
      return refuse(reason, "operands are placed differently");
    }
  }
  if (!same_placement(c.out(), x)) return refuse(reason, "the result is placed differently");
  return true;
}

BatchNormShape shape_of(const TensorMeta& x) {
  BatchNormShape s;
  s.batch = x.dim(0);
  s.channels = x.dim(1);
  s.pixels = x.numel() / (s.batch * s.channels);
  if (const int block = channel_block(x.layout)) {
    s.lanes_are_channels = true;
    s.lanes = block;
    s.groups = (s.channels + block - 1) / block;
    s.group_stride = s.pixels * block;
    s.batch_stride = s.groups * s.group_stride;
  } else if (x.is_contiguous() && s.pixels > 1) {
    s.lanes = 1;
    s.groups = s.channels;
    s.group_stride = s.pixels;
    s.batch_stride = s.channels * s.pixels;
  } else {
    s.rows = true;  // channels-last, or one pixel only, which is the same
  }
  return s;
}

BatchNormArgs no_args() {
  BatchNormArgs a;
  std::memset(&a, 0, sizeof a);
  return a;
}

template <class T>
T* pointer(void* p) {
  return static_cast<T*>(p);
}

// Inputs: x, (residual), weight, bias; outputs: y, mean, rstd.
template <bool kRelu, bool kResidual>
Status run_forward(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const BatchNormPlan&>(plan);
  BatchNormArgs a = no_args();
  a.x = args.in[0];
  if (kResidual) a.residual = args.in[1];
  a.weight = pointer<float>(args.in[kResidual ? 2 : 1]);
  a.bias = pointer<float>(args.in[kResidual ? 3 : 2]);
  a.y = args.out[0];
  a.mean = pointer<float>(args.out[1]);
  a.rstd = pointer<float>(args.out[2]);
  a.relu = kRelu;
  a.workspace = pointer<float>(args.workspace);
  p.kernels.forward(p.shape, a, p.threads);
  return Status();
}

// Inputs: x, mean, rstd, weight, bias, residual; output: y.
template <bool kRelu>
Status run_apply(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const BatchNormPlan&>(plan);
  BatchNormArgs a = no_args();
  a.x = args.in[0];
  a.mean = pointer<float>(args.in[1]);
  a.rstd = pointer<float>(args.in[2]);
  a.weight = pointer<float>(args.in[3]);
  a.bias = pointer<float>(args.in[4]);
  a.residual = args.in[5];
  a.y = args.out[0];
  a.relu = kRelu;
  a.workspace = pointer<float>(args.workspace);
  p.kernels.apply(p.shape, a, p.threads);
  return Status();
}

// Inputs: dy, x, (y), mean, rstd, weight, (bias or dy2); outputs: dx, (dresidual), dweight, dbias.
template <bool kRelu, bool kResidual>
Status run_backward(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const BatchNormPlan&>(plan);
  BatchNormArgs a = no_args();
  int i = 0, o = 0;
  a.dy = args.in[i++];
  a.x = args.in[i++];
  if (kResidual) a.y_in = args.in[i++];
  a.mean = pointer<float>(args.in[i++]);
  a.rstd = pointer<float>(args.in[i++]);
  a.weight = pointer<float>(args.in[i++]);
  if (kRelu && !kResidual) a.bias = pointer<float>(args.in[i]);
  if (kResidual) a.dy2 = args.in[i];
  a.dx = args.out[o++];
  if (kResidual) a.dresidual = args.out[o++];
  a.dweight = pointer<float>(args.out[o++]);
  a.dbias = pointer<float>(args.out[o]);
  a.relu = kRelu;
  a.workspace = pointer<float>(args.workspace);
  p.kernels.backward(p.shape, a, p.threads);
  return Status();
}

std::unique_ptr<BatchNormPlan> make_plan(const CallMeta& c) {
  auto p = std::make_unique<BatchNormPlan>();
  const TensorMeta& x = x_of(c);
  // The last pass reads every operand like x, if at all, where it writes.
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta &y = c.out(), *m = c.inputs[i];
    const bool like = m && m->shape == y.shape && m->layout == y.layout && m->strides == y.strides;
    if (like) p->may_overwrite |= 1u << i;
  }
  p->shape = shape_of(x);
  const bool f32 = x.dtype == DType::kF32;
  if (isa() == Isa::kAvx512) {
    p->kernels = f32 ? avx512::batch_norm_f32() : avx512::batch_norm_bf16();
  } else {
    p->kernels = f32 ? avx2::batch_norm_f32() : avx2::batch_norm_bf16();
  }
  p->threads = threads_for(kElementNs * static_cast<double>(x.numel()));
  p->workspace_bytes =
      static_cast<size_t>(batch_norm_workspace(p->shape, p->threads)) * sizeof(float);
  return p;
}

template <RunFn kRun>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  std::unique_ptr<BatchNormPlan> p = make_plan(c);
  if (c.attrs) p->shape.eps = c.as<ops::BatchNormAttrs>().eps;
  p->run = kRun;
  *plan = std::move(p);
  return Status();
}

Status prepare_apply(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  std::unique_ptr<BatchNormPlan> p = make_plan(c);
  const bool relu = c.as<ops::BatchNormApplyAttrs>().relu;
  p->run = relu ? RunFn(run_apply<true>) : run_apply<false>;
  *plan = std::move(p);
  return Status();
}

template <RunFn kRun>
void add_row(const OpDef& op) {
  KernelRow row;
  row.op = &op;
  row.name = "batch_norm_simd";
  row.supports = supports;
  row.prepare = prepare<kRun>;
  register_kernel(row);
}

// ---- Running statistics ----

struct StatsPlan : Plan {
  int64_t channels = 0;
  double momentum = 0, eps = 0, unbias = 1;
  int64_t stride[4] = {};
};

template <class T>
Status run_update(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const StatsPlan&>(plan);
  auto* running_mean = static_cast<T*>(args.out[0]);
  auto* running_var = static_cast<T*>(args.out[1]);
  const auto* mean = static_cast<const T*>(args.in[2]);
  const auto* rstd = static_cast<const T*>(args.in[3]);
  for (int64_t c = 0; c < p.channels; ++c) {
    const double m = mean[c * p.stride[2]], r = rstd[c * p.stride[3]];
    const double var = (1 / (r * r) - p.eps) * p.unbias;
    running_mean[c] = T((1 - p.momentum) * static_cast<double>(running_mean[c]) + p.momentum * m);
    running_var[c] = T((1 - p.momentum) * static_cast<double>(running_var[c]) + p.momentum * var);
  }
  return Status();
}

Status prepare_update(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<StatsPlan>();
  const auto& a = c.as<ops::BatchNormStatsAttrs>();
  p->channels = c.in(0).dim(0);
  p->momentum = a.momentum;
  p->eps = a.eps;
  if (a.count > 1) p->unbias = static_cast<double>(a.count) / static_cast<double>(a.count - 1);
  for (int i = 0; i < 4; ++i) p->stride[i] = c.in(i).strides[0];
  p->run = c.in(0).dtype == DType::kF64 ? RunFn(run_update<double>) : run_update<float>;
  *plan = std::move(p);
  return Status();
}

bool supports_update(const CallMeta& c, Reason* reason) {
  const DType t = c.in(0).dtype;
  if (t == DType::kF32 || t == DType::kF64) return true;
  return refuse(reason, cat("takes f32 and f64, not ", t));
}

}  // namespace

void register_batch_norm_cpu() {
  add_row<run_forward<false, false>>(ops::kBatchNorm);
  add_row<run_forward<true, false>>(ops::kBatchNormRelu);
  add_row<run_forward<true, true>>(ops::kBatchNormAddRelu);
  add_row<run_backward<false, false>>(ops::kBatchNormGrad);
  add_row<run_backward<true, false>>(ops::kBatchNormReluGrad);
  add_row<run_backward<true, true>>(ops::kBatchNormAddReluGrad);
  KernelRow row;
  row.op = &ops::kBatchNormApply;
  row.name = "batch_norm_simd";
  row.supports = supports;
  row.prepare = prepare_apply;
  register_kernel(row);
  row = KernelRow();
  row.op = &ops::kBatchNormUpdateStats;
  row.name = "batch_norm_update_stats";
  row.supports = supports_update;
  row.prepare = prepare_update;
  row.reference = true;
  register_kernel(row);
}

}  // namespace rutile::kernels
