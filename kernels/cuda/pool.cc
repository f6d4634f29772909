// SPDX-License-Identifier: Apache-2.0
// Rows of pooling.
#include "rutile/ops/pool.h"

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/pool.h"

namespace rutile::cuda {
namespace {

PoolImage image_of(const TensorMeta& m) {
  PoolImage p;
  const int r = m.rank();
  p.n = r == 4 ? m.dim(0) : 1;
  p.c = m.dim(r - 3);
  p.h = m.dim(r - 2);
  p.w = m.dim(r - 1);
  for (int d = 0; d < r; ++d) p.stride[d + 4 - r] = m.strides[d];
  return p;
}

template <class A>
void set_window(const A& w, PoolArgs* a) {
  a->kernel_h = w.kernel.h, a->kernel_w = w.kernel.w;
  a->stride_h = w.stride.h ? w.stride.h : w.kernel.h;
  a->stride_w = w.stride.w ? w.stride.w : w.kernel.w;
  a->pad_h = w.pad.h, a->pad_w = w.pad.w;
  if constexpr (requires { w.dilation; })
    a->dilation_h = w.dilation.h, a->dilation_w = w.dilation.w;
  if constexpr (requires { w.count_include_pad; }) {
    a->include_pad = w.count_include_pad;
    a->divisor = w.divisor_override;
  }
}

template <PoolKind kKind>
int launch_one(const PoolArgs& a, Stream stream) {
  return launch_pool(kKind, a, stream);
}

// A: attributes with a window; void: none.
template <PoolKind kKind, class A>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  constexpr bool kBackward = kKind == PoolKind::kMaxGrad || kKind == PoolKind::kAverageGrad ||
                             kKind == PoolKind::kAdaptiveGrad;
  constexpr bool kReadsIndices = kKind == PoolKind::kMaxGrad || kKind == PoolKind::kMaxGather;
  auto p = kernel_plan<PoolArgs>(launch_one<kKind>, [](PoolArgs* a, const KernelArgs& k) {
    a->in = k.in[0];
    a->out = k.out[0];
    if (kReadsIndices) a->indices_in = k.in[1];
    if (kKind == PoolKind::kMax) a->indices = k.out[1];
  });
  PoolArgs& a = p->args;
  const TensorMeta &in = c.in(0), &out = c.out();
  a.type = in.dtype;
  a.x = image_of(kBackward ? out : in);
  a.y = image_of(kBackward ? in : out);
  if (kReadsIndices) a.index = image_of(c.in(1));
  if (kKind == PoolKind::kMax) a.index = image_of(c.out(1));
  a.channels_last = out.rank() == 4 && out.strides[1] == 1;
  if (is_signed_int(in.dtype)) a.lowest = -(int64_t{1} << (8 * dtype_size(in.dtype) - 2)) * 2;
  if constexpr (!std::is_void_v<A>) set_window(c.as<A>(), &a);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_pool() {
  add_row(ops::kMaxPool2d, "windows", prepare<PoolKind::kMax, ops::MaxPool2dAttrs>);
  add_row(ops::kMaxPool2dGrad, "windows", prepare<PoolKind::kMaxGrad, ops::MaxPool2dGradAttrs>);
  add_row(ops::kMaxPool2dGather, "windows", prepare<PoolKind::kMaxGather, ops::MaxPool2dAttrs>);
  add_row(ops::kAvgPool2d, "windows", prepare<PoolKind::kAverage, ops::AvgPool2dAttrs>);
  add_row(ops::kAvgPool2dGrad, "windows", prepare<PoolKind::kAverageGrad, ops::AvgPool2dGradAttrs>);
  for (const OpDef* op : {&ops::kGlobalAvgPool, &ops::kAdaptiveAvgPool2d}) {
    add_row(*op, "windows", prepare<PoolKind::kAdaptive, void>);
  }
  for (const OpDef* op : {&ops::kGlobalAvgPoolGrad, &ops::kAdaptiveAvgPool2dGrad}) {
    add_row(*op, "windows", prepare<PoolKind::kAdaptiveGrad, void>);
  }
}

}  // namespace rutile::cuda
