// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/sync_norm.h"

#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

DType statistics_dtype(DType t) { return t == DType::kF64 ? t : DType::kF32; }

Status infer_sync(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SyncBatchNormAttrs>();
  const TensorMeta& x = c.in(0);
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR(find_communicator(a.group, &group));
  if (!is_floating(x.dtype)) return type_error(cat("x expects floats, got ", x.dtype));
  if (x.rank() < 2) return value_error(cat("x expects [n, c, ...], got ", x.shape));
  if (!(a.eps >= 0)) return value_error(cat("eps expects 0 or more, got ", a.eps));
  if (x.numel() == 0) return value_error(cat("x expects elements, got ", x.shape));
  const Shape per_channel{x.dim(1)};
  const DType t = statistics_dtype(x.dtype);
  for (const int i : {1, 2}) {
    if (!c.has(i)) continue;
    if (!(c.in(i).shape == per_channel) || c.in(i).dtype != t) {
      return value_error(cat(i == 1 ? "weight" : "bias", " expects ", TensorMeta(per_channel, t),
                             ", got ", c.in(i)));
    }
  }
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = out[2] = TensorMeta(per_channel, t, x.device);
  return Status();
}

TensorList compose_sync(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const SyncBatchNormAttrs*>(attrs);
  const Tensor& x = in[0];
  const int64_t c = x.dim(1);
  const DType t = statistics_dtype(x.dtype());
  const Tensor values = x.dtype() == t ? x : cast(x, t);
  Dims axes{0}, row = Dims::filled(x.rank(), 1);
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  row[1] = c;
  auto over_ranks = [&](const Tensor& v) { return all_reduce(v, {.group = a.group}); };
  // The number of elements travels with their sum.
  const Tensor count = Tensor::full({1}, static_cast<double>(x.numel() / c), t);
  const Tensor both[] = {sum(values, {.axes = axes}), count};
  const Tensor total = over_ranks(concat(both));
  const Tensor n = slice_axis(total, 0, c, c + 1);
  const Tensor mean = slice_axis(total, 0, 0, c) / n;
  const Tensor centred = values - reshape(mean, row);
  const Tensor var = over_ranks(sum(square(centred), {.axes = axes})) / n;
  const Tensor rstd = rsqrt(var + Tensor::scalar(a.eps, t));
  Tensor y = centred * reshape(rstd, row);
  if (in.size() > 1 && in[1].defined()) y = y * reshape(in[1], row);
  if (in.size() > 2 && in[2].defined()) y = y + reshape(in[2], row);
  y = contiguous(x.dtype() == t ? y : cast(y, x.dtype()));
  return {y, contiguous(mean), contiguous(rstd)};
}

}  // namespace

constinit const OpDef kSyncBatchNorm = define({
    .name = "sync_batch_norm",
    .inputs = {"x", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<SyncBatchNormAttrs>(),
    .infer = infer_sync,
    .flops = [](const CallMeta& c) { return 8.0 * static_cast<double>(c.in(0).numel()); },
    .compose = compose_sync,
    .effects = kCollective,
    .doc = "Batch normalisation of [n,c,...] by the statistics of all ranks of a group together.",
});

BatchNormResult sync_batch_norm(Arg x, const Tensor& weight, const Tensor& bias,
                                SyncBatchNormAttrs attrs) {
  const Tensor in[] = {x.tensor, weight, bias};
  const TensorList r = call_n(kSyncBatchNorm, &attrs, in, x.where);
  return {r[0], r[1], r[2]};
}

}  // namespace rutile::ops
