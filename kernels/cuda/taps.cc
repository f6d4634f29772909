// SPDX-License-Identifier: Apache-2.0
// Rows of interpolation, of three-dimensional and adaptive maximum pooling, and of reading and
// writing at pooled positions.
#include "rutile/kernels/cuda/taps.h"

#include "rutile/kernels/axis_taps.h"
#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/index.h"
#include "rutile/kernels/cuda/sort_room.h"
#include "rutile/kernels/cuda/table.h"
#include "rutile/ops/adaptive_pool.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/pool3d.h"
#include "rutile/ops/unpool.h"

namespace rutile::cuda {
namespace {

struct TapsPlan : Plan {
  TapsArgs args;
  Table table;
  size_t first[3] = {}, pixel[3] = {}, weight[3] = {};
  bool maxima = false;
};

Status run_taps(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const TapsPlan&>(plan);
  TapsArgs a = p.args;
  a.x = k.in[0];
  a.y = k.out[0];
  if (p.maxima) a.indices = k.out[1];
  return launch_status(p.maxima ? launch_taps_max(a, k.stream) : launch_taps_sum(a, k.stream));
}

Status prepare_taps(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<TapsPlan>();
  p->run = run_taps;
  p->maxima = c.outputs.size() > 1;
  const TensorMeta &x = c.in(0), &y = c.out();
  const TensorMeta& indices = c.out(p->maxima ? 1 : 0);
  const int spatial = p->maxima ? kernels::window_dims(c.op) : kernels::resampled_dims(c);
  std::vector<kernels::AxisTaps> axes = p->maxima ? kernels::window_taps(c) : kernels::axis_taps(c);
  TapsArgs& a = p->args;
  a.n = y.numel();
  a.type = x.dtype;
  if (is_signed_int(x.dtype)) a.lowest = -(int64_t{1} << (8 * dtype_size(x.dtype) - 2)) * 2;
  const int lead = x.rank() - spatial;
  for (int d = 0; d < 3; ++d) {
    const int from = d - (3 - spatial);
    kernels::AxisTaps one;
    if (from < 0) {
      one.in = one.out = 1;
      one.add(0, 1);
      one.close();
    }
    const kernels::AxisTaps& t = from < 0 ? one : axes[static_cast<size_t>(from)];
    p->first[d] = p->table.add(t.first);
    p->pixel[d] = p->table.add(t.pixel);
    p->weight[d] = p->table.add(t.weight);
    a.axis[d].in = t.in;
    a.size[d] = t.out;
    if (from < 0) continue;
    a.x_step[d] = x.strides[lead + from];
    a.y_step[d] = y.strides[lead + from];
    a.index_step[d] = indices.strides[lead + from];
  }
  const Strides planes[3] = {part(x.strides, 0, lead), part(y.strides, 0, lead),
                             part(indices.strides, 0, lead)};
  a.plane_at = make_indexer<3>(part(y.shape, 0, lead), planes);
  RUTILE_RETURN_IF_ERROR(p->table.upload(x.device));
  for (int d = 0; d < 3; ++d) {
    a.axis[d].first = p->table.get<int64_t>(p->first[d]);
    a.axis[d].pixel = p->table.get<int32_t>(p->pixel[d]);
    a.axis[d].weight = p->table.get<double>(p->weight[d]);
  }
  *plan = std::move(p);
  return Status();
}

// ---- Positions ----------------------------------------------------------------------------------

// `image` has the pixels that indices name; y the shape of the indices.
PixelArgs pixel_args(const TensorMeta& image, const TensorMeta& index, const Strides& y,
                     int spatial) {
  PixelArgs a;
  const int lead = image.rank() - spatial;
  a.n = index.numel();
  a.rank = spatial;
  a.pixels = part(image.shape, lead, image.rank()).numel();
  for (int d = 0; d < spatial; ++d) {
    a.size[3 - spatial + d] = image.dim(lead + d);
    a.step[3 - spatial + d] = image.strides[lead + d];
  }
  const Strides planes[3] = {part(image.strides, 0, lead), part(index.strides, 0, lead),
                             part(y, 0, lead)};
  a.plane_at = make_indexer<3>(part(index.shape, 0, lead), planes);
  const Strides places[2] = {part(index.strides, lead, index.rank()), part(y, lead, index.rank())};
  a.place_at = make_indexer<2>(part(index.shape, lead, index.rank()), places);
  a.plane = part(index.shape, lead, index.rank()).numel();
  a.type = image.dtype;
  a.index_type = index.dtype;
  return a;
}

Status prepare_gather(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<PixelArgs>(launch_pixel_gather, [](PixelArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->index = k.in[1];
    a->y = k.out[0];
    a->fault = fault_slot(k.stream);
  });
  p->args = pixel_args(c.in(0), c.in(1), c.out().strides,
                       static_cast<int>(c.as<ops::PoolGatherAttrs>().spatial));
  *plan = std::move(p);
  return Status();
}

struct PixelScatterPlan : Plan {
  FillArgs fill;
  PixelArgs keys;
  ScatterJoinArgs join;
  SortRoom room{0};
  int bits = 0;
};

Status run_scatter(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const PixelScatterPlan&>(plan);
  FillArgs f = p.fill;
  f.out = k.out[0];
  RUTILE_RETURN_IF_ERROR(launch_status(launch_fill(f, k.stream)));
  RUTILE_RETURN_IF_ERROR(
      launch_status(launch_pixel_keys(p.room.writing(p.keys, k.in[1], k), k.stream)));
  RUTILE_RETURN_IF_ERROR(p.room.sort(k.workspace, p.bits, k.stream));
  return launch_status(launch_scatter_join(p.room.reading(p.join, k.in[0], k.out[0], k), k.stream));
}

Status prepare_scatter(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::PoolScatterAttrs>();
  const TensorMeta &v = c.in(0), &index = c.in(1), &y = c.out();
  auto p = std::make_unique<PixelScatterPlan>();
  p->run = run_scatter;
  p->fill = make_fill(y.shape, y.strides, size_of(y.dtype));
  p->keys = pixel_args(y, index, index.strides, attrs.size.rank());
  p->room = SortRoom(index.numel());
  p->workspace_bytes = p->room.bytes();
  p->bits = key_bits(y.numel());
  p->join.n = index.numel();
  p->join.join = attrs.add ? ScatterJoin::kAdd : ScatterJoin::kLast;
  p->join.type = y.dtype;
  const Strides value[1] = {v.strides};
  p->join.value_at = make_indexer<1>(v.shape, value);
  *plan = std::move(p);
  return Status();
}

bool supports_scatter(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.out().is_contiguous()) return true;
  reason->text = "writes row-major results only";
  return false;
}

}  // namespace

void register_taps() {
  for (const OpDef* op : {&ops::kInterpolate, &ops::kInterpolateGrad, &ops::kAvgPool3d,
                          &ops::kAvgPool3dGrad, &ops::kMaxPool3d, &ops::kAdaptiveMaxPool1d,
                          &ops::kAdaptiveMaxPool2d, &ops::kAdaptiveMaxPool3d}) {
    add_row(*op, "taps", prepare_taps);
  }
  add_row(ops::kPoolGather, "pixels", prepare_gather);
  add_row(ops::kPoolScatter, "sorted", prepare_scatter, supports_scatter);
}

}  // namespace rutile::cuda
