// SPDX-License-Identifier: Apache-2.0
// Rows of the norms over the last dimensions.
#include "rutile/kernels/cuda/layer_norm.h"

#include <algorithm>

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/layer_norm.h"

namespace rutile::cuda {
namespace {

// x, y, gradient; the statistics; then weight and bias, which may be absent.
void fill(LayerNormArgs* a, const ops::LayerNormAttrs& attrs, const TensorMeta& x,
          const TensorMeta& y, const TensorMeta& grad, const TensorMeta& mean,
          const TensorMeta& rstd, const TensorMeta* weight, const TensorMeta* bias) {
  const int inner = static_cast<int>(attrs.axes), outer = x.rank() - inner;
  const Shape rows = part(x.shape, 0, outer), columns = part(x.shape, outer, x.rank());
  a->x_type = x.dtype;
  a->y_type = y.dtype;
  a->grad_type = grad.dtype;
  a->stat_type = rstd.dtype;
  if (weight) a->weight_type = weight->dtype;
  if (bias) a->bias_type = bias->dtype;
  a->rows = rows.numel();
  a->n = columns.numel();
  a->eps = attrs.eps;
  const Strides row[5] = {part(x.strides, 0, outer), part(y.strides, 0, outer),
                          part(grad.strides, 0, outer), mean.strides, rstd.strides};
  const Strides none = Strides::filled(inner, 0);
  const Strides column[5] = {part(x.strides, outer, x.rank()), part(y.strides, outer, x.rank()),
                             part(grad.strides, outer, x.rank()), weight ? weight->strides : none,
                             bias ? bias->strides : none};
  a->row = make_indexer<5>(rows, row);
  a->column = make_indexer<5>(columns, column);
  a->group = group_shape(a->n, false);
}

const TensorMeta* optional(const CallMeta& c, int i) { return c.has(i) ? &c.in(i) : nullptr; }

template <bool kRms>
Status prepare_forward(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<LayerNormArgs>(launch_layer_norm, [](LayerNormArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->weight = k.in[1];
    a->bias = kRms ? nullptr : k.in[2];
    a->y = k.out[0];
    a->mean = kRms ? nullptr : k.out[1];
    a->rstd = k.out[kRms ? 1 : 2];
  });
  const TensorMeta& rstd = c.out(kRms ? 1 : 2);
  fill(&p->args, c.as<ops::LayerNormAttrs>(), c.in(0), c.out(), c.in(0), rstd, rstd, optional(c, 1),
       kRms ? nullptr : optional(c, 2));
  p->args.rms = kRms;
  p->may_overwrite = like_output(c, 1);
  *plan = std::move(p);
  return Status();
}

template <bool kRms>
Status prepare_backward(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  constexpr int64_t kPartRows = 64, kMostParts = 64;
  auto p =
      kernel_plan<LayerNormArgs>(launch_layer_norm_grad, [](LayerNormArgs* a, const KernelArgs& k) {
        a->grad = k.in[0];
        a->x = k.in[1];
        a->mean_in = kRms ? nullptr : k.in[2];
        a->rstd_in = k.in[kRms ? 2 : 3];
        a->weight = k.in[kRms ? 3 : 4];
        a->y = k.out[0];
        a->dweight = k.out[1];
        a->dbias = kRms ? nullptr : k.out[2];
        a->partial = k.workspace;
      });
  LayerNormArgs& a = p->args;
  fill(&a, c.as<ops::LayerNormAttrs>(), c.in(1), c.out(), c.in(0), c.in(2), c.in(kRms ? 2 : 3),
       optional(c, kRms ? 3 : 4), nullptr);
  a.rms = kRms;
  a.parts = std::clamp<int64_t>((a.rows + kPartRows - 1) / kPartRows, 1, kMostParts);
  a.part = std::max<int64_t>((a.rows + a.parts - 1) / a.parts, 1);
  p->may_overwrite = like_output(c, 2);
  p->workspace_bytes = 2 * dtype_size(a.stat_type) * static_cast<size_t>(a.parts * a.n);
  *plan = std::move(p);
  return Status();
}

bool supports_backward(const CallMeta& c, Reason* reason) {
  for (size_t i = 1; i < c.outputs.size(); ++i) {
    if (c.outputs[i].is_contiguous()) continue;
    reason->text = "writes row-major gradients of weight and bias only";
    return false;
  }
  return only_real(c, reason);
}

}  // namespace

void register_layer_norm() {
  add_row(ops::kLayerNorm, "rows", prepare_forward<false>);
  add_row(ops::kRmsNorm, "rows", prepare_forward<true>);
  add_row(ops::kLayerNormGrad, "rows", prepare_backward<false>, supports_backward);
  add_row(ops::kRmsNormGrad, "rows", prepare_backward<true>, supports_backward);
}

}  // namespace rutile::cuda
