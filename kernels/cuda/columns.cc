// SPDX-License-Identifier: Apache-2.0
// Rows of unfold, fold, pad's gradient and nonzero.
#include "rutile/kernels/columns.h"

#include "rutile/kernels/cuda/columns.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/index.h"
#include "rutile/ops/view.h"

namespace rutile::cuda {
namespace {

template <bool kForward>
Status prepare_columns(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<ColumnsArgs>(kForward ? launch_unfold : launch_fold,
                                    [](ColumnsArgs* a, const KernelArgs& k) {
                                      a->in = k.in[0];
                                      a->out = k.out[0];
                                    });
  const kernels::ColumnShape s = kernels::ColumnShape::of(c);
  const TensorMeta& image = kForward ? c.in(0) : c.out();
  const TensorMeta& columns = kForward ? c.out() : c.in(0);
  ColumnsArgs& a = p->args;
  a.n = c.out().numel();
  a.type = c.in(0).dtype;
  a.h = s.h, a.w = s.w, a.oh = s.oh, a.ow = s.ow;
  const Int2* pairs[4] = {&s.kernel, &s.stride, &s.pad, &s.dilation};
  int64_t(*to[4])[2] = {&a.kernel, &a.stride, &a.pad, &a.dilation};
  for (int i = 0; i < 4; ++i) {
    (*to[i])[0] = pairs[i]->h;
    (*to[i])[1] = pairs[i]->w;
  }
  const Strides image_at[1] = {image.strides}, columns_at[1] = {columns.strides};
  a.image_at = make_indexer<1>(image.shape, image_at);
  a.columns_at = make_indexer<1>(columns.shape, columns_at);
  *plan = std::move(p);
  return Status();
}

bool supports_float(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (is_floating(c.in(0).dtype)) return true;
  reason->text = "takes floating types";
  return false;
}

Status prepare_pad_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::PadAttrs>();
  auto p = kernel_plan<PadGradArgs>(launch_pad_grad, [](PadGradArgs* a, const KernelArgs& k) {
    a->dy = k.in[0];
    a->dx = k.out[0];
  });
  const TensorMeta &dy = c.in(0), &dx = c.out();
  PadGradArgs& a = p->args;
  a.n = dx.numel();
  a.rank = dx.rank();
  a.mode = static_cast<Padding>(attrs.mode);
  a.type = dy.dtype;
  for (int d = 0; d < dx.rank(); ++d) {
    a.size[d] = dx.shape[d];
    a.before[d] = attrs.before[d];
    a.after[d] = dy.shape[d] - dx.shape[d] - attrs.before[d];
    a.dx_step[d] = dx.strides[d];
    a.dy_step[d] = dy.strides[d];
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_nonzero(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<NonzeroArgs>(launch_nonzero, [](NonzeroArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->rows = static_cast<int64_t*>(k.out[0]);
    a->count = static_cast<int64_t*>(k.out[1]);
  });
  const TensorMeta& x = c.in(0);
  NonzeroArgs& a = p->args;
  a.n = x.numel();
  a.rank = x.rank();
  for (int d = 0; d < x.rank(); ++d) a.size[d] = x.shape[d];
  a.type = x.dtype;
  const Strides strides[1] = {x.strides};
  a.at = make_indexer<1>(x.shape, strides);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_columns() {
  add_row(ops::kUnfold, "columns", prepare_columns<true>, supports_float);
  add_row(ops::kFold, "columns", prepare_columns<false>, supports_float);
  add_row(ops::kPadGrad, "places", prepare_pad_grad, supports_float);
  add_row(ops::kNonzero, "block", prepare_nonzero);
}

}  // namespace rutile::cuda
