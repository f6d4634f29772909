// SPDX-License-Identifier: Apache-2.0
// Rows of batch normalisation.
#include "rutile/kernels/cuda/batch_norm.h"

#include <algorithm>

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/norm.h"

namespace rutile::cuda {
namespace {

// Tensors of the shape of x by their role; null: the call has none.
struct Images {
  const TensorMeta *x = nullptr, *out = nullptr, *third = nullptr;  // residual, or dy
  const TensorMeta *y_in = nullptr, *dy2 = nullptr, *dresidual = nullptr;
};

void place_images(const Images& m, BatchNormArgs* a) {
  const TensorMeta& x = *m.x;
  const int rank = x.rank();
  a->x_type = x.dtype;
  a->channels = x.shape[1];
  a->n = x.numel();
  a->rows = without(x.shape, 1).numel();
  const Strides none = Strides::filled(rank, 0);
  Strides channel = none;
  channel[1] = 1;
  const auto strides = [&](const TensorMeta* t) { return t ? t->strides : none; };
  const Strides element[7] = {m.out->strides,  x.strides,      strides(m.third),
                              strides(m.y_in), strides(m.dy2), strides(m.dresidual),
                              channel};
  // The output's order in memory: neighbouring threads write neighbours.
  Dims order;
  for (int d = 0; d < rank; ++d) order.push_back(d);
  if (rank > 2 && m.out->strides[1] == 1) {
    for (int d = 1; d + 1 < rank; ++d) order[d] = d + 1;
    order[rank - 1] = 1;
  }
  const auto in_order = [&](const Dims& v) {
    Dims out;
    for (const int64_t d : order) out.push_back(v[static_cast<int>(d)]);
    return out;
  };
  Strides ordered[7];
  for (int k = 0; k < 7; ++k) ordered[k] = in_order(element[k]);
  a->element = make_indexer<7>(in_order(x.shape), ordered);
  const Strides row[4] = {without(x.strides, 1), without(strides(m.third), 1),
                          without(strides(m.y_in), 1), without(strides(m.dy2), 1)};
  a->row = make_indexer<4>(without(x.shape, 1), row);
  a->x_channel = x.strides[1];
  a->dy_channel = strides(m.third)[1];
  a->y_channel = strides(m.y_in)[1];
  a->dy2_channel = strides(m.dy2)[1];
}

void divide_rows(BatchNormArgs* a) {
  constexpr int64_t kBlocks = 512, kLeast = 256, kMost = 256;
  a->group =
      a->x_channel == 1 && a->channels >= 8 ? GroupShape{8, 32, true} : group_shape(a->rows, false);
  const int64_t blocks = std::max<int64_t>((a->channels + a->group.rows - 1) / a->group.rows, 1);
  a->parts = std::clamp<int64_t>(std::min(kBlocks / blocks, a->rows / kLeast), 1, kMost);
  a->part = std::max<int64_t>((a->rows + a->parts - 1) / a->parts, 1);
}

size_t partial_bytes(const BatchNormArgs& a) {
  return 2 * sizeof(double) * static_cast<size_t>(a.parts * a.channels);
}

void set_channel(const CallMeta& c, int i, DType* type, int64_t* step) {
  if (i < 0 || !c.has(i)) return;
  *type = c.in(i).dtype;
  *step = c.in(i).strides[0];
}

// Pointers by input number; -1: none.
struct Where {
  int x = 0, residual = -1, dy = -1, y_in = -1, mean = -1, rstd = -1, weight = -1, bias = -1,
      dy2 = -1;
};
template <Where kAt>
void bind_inputs(BatchNormArgs* a, const KernelArgs& k) {
  const auto in = [&](int i) { return i >= 0 ? k.in[i] : nullptr; };
  a->x = in(kAt.x);
  a->residual = in(kAt.residual);
  a->dy = in(kAt.dy);
  a->y_in = in(kAt.y_in);
  a->mean_in = in(kAt.mean);
  a->rstd_in = in(kAt.rstd);
  a->weight = in(kAt.weight);
  a->bias = in(kAt.bias);
  a->dy2 = in(kAt.dy2);
  a->y = k.out[0];
}

const TensorMeta* meta(const CallMeta& c, int i) { return i >= 0 && c.has(i) ? &c.in(i) : nullptr; }

template <Where kAt, bool kRelu>
Status prepare_forward(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<BatchNormArgs>(launch_batch_norm, [](BatchNormArgs* a, const KernelArgs& k) {
    bind_inputs<kAt>(a, k);
    a->mean = k.out[1];
    a->rstd = k.out[2];
    a->partial = k.workspace;
  });
  BatchNormArgs& a = p->args;
  place_images({&c.in(0), &c.out(), meta(c, kAt.residual)}, &a);
  set_channel(c, kAt.weight, &a.weight_type, &a.weight_step);
  set_channel(c, kAt.bias, &a.bias_type, &a.bias_step);
  a.stat_type = c.out(1).dtype;
  a.eps = c.as<ops::BatchNormAttrs>().eps;
  a.relu = kRelu;
  divide_rows(&a);
  p->workspace_bytes = partial_bytes(a);
  p->may_overwrite = like_output(c, kAt.residual == 1 ? 2 : 1);
  *plan = std::move(p);
  return Status();
}

template <Where kAt>
Status prepare_apply(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<BatchNormArgs>(launch_batch_norm_apply, bind_inputs<kAt>);
  BatchNormArgs& a = p->args;
  place_images({&c.in(0), &c.out(), meta(c, kAt.residual)}, &a);
  set_channel(c, kAt.weight, &a.weight_type, &a.weight_step);
  set_channel(c, kAt.bias, &a.bias_type, &a.bias_step);
  set_channel(c, kAt.mean, &a.stat_type, &a.mean_step);
  set_channel(c, kAt.rstd, &a.stat_type, &a.rstd_step);
  if (c.op == &ops::kBatchNormInference) {
    a.variance = true;
    a.eps = c.as<ops::BatchNormAttrs>().eps;
  } else {
    a.relu = c.as<ops::BatchNormApplyAttrs>().relu;
  }
  p->may_overwrite = like_output(c, c.num_inputs());
  *plan = std::move(p);
  return Status();
}

// Reads how many channels' sums lie before `sums` in the workspace.
void bind_sums(BatchNormArgs* a, const KernelArgs& k) {
  a->partial = k.workspace;
  a->sums = static_cast<char*>(k.workspace) + partial_bytes(*a);
}

template <Where kAt, bool kRelu, bool kAdd>
Status prepare_backward(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p =
      kernel_plan<BatchNormArgs>(launch_batch_norm_grad, [](BatchNormArgs* a, const KernelArgs& k) {
        bind_inputs<kAt>(a, k);
        a->dresidual = kAdd ? k.out[1] : nullptr;
        a->dweight = k.out[kAdd ? 2 : 1];
        a->dbias = k.out[kAdd ? 3 : 2];
        bind_sums(a, k);
      });
  BatchNormArgs& a = p->args;
  place_images({&c.in(kAt.x), &c.out(), &c.in(kAt.dy), meta(c, kAt.y_in), meta(c, kAt.dy2),
                kAdd ? &c.out(1) : nullptr},
               &a);
  set_channel(c, kAt.weight, &a.weight_type, &a.weight_step);
  set_channel(c, kAt.bias, &a.bias_type, &a.bias_step);
  set_channel(c, kAt.mean, &a.stat_type, &a.mean_step);
  set_channel(c, kAt.rstd, &a.stat_type, &a.rstd_step);
  a.relu = kRelu;
  a.mask_from_y = kAdd;
  divide_rows(&a);
  p->may_overwrite = like_output(c, c.num_inputs());
  p->workspace_bytes = partial_bytes(a) + 2 * sizeof(double) * static_cast<size_t>(a.channels);
  *plan = std::move(p);
  return Status();
}

Status prepare_running(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::BatchNormStatsAttrs>();
  auto p = kernel_plan<RunningStatsArgs>(launch_running_stats,
                                         [](RunningStatsArgs* a, const KernelArgs& k) {
                                           a->mean = k.out[0];
                                           a->var = k.out[1];
                                           a->batch_mean = k.in[2];
                                           a->batch_rstd = k.in[3];
                                         });
  RunningStatsArgs& a = p->args;
  a.type = c.in(0).dtype;
  a.channels = c.in(0).dim(0);
  for (int i = 0; i < 4; ++i) a.steps[i] = c.in(i).strides[0];
  a.momentum = attrs.momentum;
  a.eps = attrs.eps;
  if (attrs.count > 1) {
    a.correction = static_cast<double>(attrs.count) / static_cast<double>(attrs.count - 1);
  }
  *plan = std::move(p);
  return Status();
}

constexpr Where kForward{.weight = 1, .bias = 2},
    kForwardAdd{.residual = 1, .weight = 2, .bias = 3},
    kInference{.mean = 1, .rstd = 2, .weight = 3, .bias = 4},
    kApply{.residual = 5, .mean = 1, .rstd = 2, .weight = 3, .bias = 4},
    kBackward{.x = 1, .dy = 0, .mean = 2, .rstd = 3, .weight = 4},
    kBackwardRelu{.x = 1, .dy = 0, .mean = 2, .rstd = 3, .weight = 4, .bias = 5},
    kBackwardAdd{.x = 1, .dy = 0, .y_in = 2, .mean = 3, .rstd = 4, .weight = 5, .dy2 = 6};

}  // namespace

void register_batch_norm() {
  add_row(ops::kBatchNorm, "channels", prepare_forward<kForward, false>);
  add_row(ops::kBatchNormRelu, "channels", prepare_forward<kForward, true>);
  add_row(ops::kBatchNormAddRelu, "channels", prepare_forward<kForwardAdd, true>);
  add_row(ops::kBatchNormInference, "channels", prepare_apply<kInference>);
  add_row(ops::kBatchNormApply, "channels", prepare_apply<kApply>);
  add_row(ops::kBatchNormGrad, "channels", prepare_backward<kBackward, false, false>);
  add_row(ops::kBatchNormReluGrad, "channels", prepare_backward<kBackwardRelu, true, false>);
  add_row(ops::kBatchNormAddReluGrad, "channels", prepare_backward<kBackwardAdd, false, true>);
  add_row(ops::kBatchNormUpdateStats, "channels", prepare_running);
}

}  // namespace rutile::cuda
