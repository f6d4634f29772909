// SPDX-License-Identifier: Apache-2.0
// Rows of running results and of writing by index.
#include "rutile/ops/scatter.h"

#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/index.h"
#include "rutile/kernels/cuda/sort_room.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scan.h"

namespace rutile::cuda {
namespace {

using kernels::axis_of;

// ---- Running results ----------------------------------------------------------------------------

std::unique_ptr<KernelPlan<ScanArgs>> scan_plan(const CallMeta& c, ScanKind kind, int64_t wanted) {
  auto p = kernel_plan<ScanArgs>(launch_scan, [](ScanArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->y = k.out[0];
    if (a->kind == ScanKind::kMax || a->kind == ScanKind::kMin) a->indices = k.out[1];
  });
  const TensorMeta &x = c.in(0), &y = c.out();
  const TensorMeta& indices = c.out(c.outputs.size() > 1 ? 1 : 0);
  const int axis = axis_of(wanted, x.rank());
  ScanArgs& a = p->args;
  a.kind = kind;
  a.length = x.dim(axis);
  const Shape lines = without(x.shape, axis);
  a.lines = a.length > 0 ? lines.numel() : 0;
  a.in_type = x.dtype;
  a.out_type = y.dtype;
  const Strides strides[3] = {without(x.strides, axis), without(y.strides, axis),
                              without(indices.strides, axis)};
  a.line_at = make_indexer<3>(lines, strides);
  a.x_step = x.strides[axis];
  a.y_step = y.strides[axis];
  a.indices_step = indices.strides[axis];
  return p;
}

Status prepare_cumsum(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::CumsumAttrs>();
  auto p = scan_plan(c, ScanKind::kSum, attrs.axis);
  p->args.exclusive = attrs.exclusive;
  p->args.reverse = attrs.reverse;
  *plan = std::move(p);
  return Status();
}
Status prepare_logcumsumexp(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::LogcumsumexpAttrs>();
  auto p = scan_plan(c, ScanKind::kLogSum, attrs.axis);
  p->args.reverse = attrs.reverse;
  *plan = std::move(p);
  return Status();
}
template <ScanKind kKind>
Status prepare_scan(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  *plan = scan_plan(c, kKind, c.as<ops::ScanAttrs>().axis);
  return Status();
}

// ---- Writing ------------------------------------------------------------------------------------

// Keys from one index or from rows of coordinates, then each run of equal keys in its order.
struct JoinPlan : Plan {
  CopyArgs copy;
  bool coordinates = false;
  ScatterKeysArgs keys;
  CoordinatesArgs rows;
  ScatterJoinArgs join;
  SortRoom room{0};
  int bits = 0;
};

Status run_join(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const JoinPlan&>(plan);
  CopyArgs c = p.copy;
  c.in = k.in[0];
  c.out = k.out[0];
  RUTILE_RETURN_IF_ERROR(launch_status(launch_copy(c, k.stream)));
  RUTILE_RETURN_IF_ERROR(launch_status(
      p.coordinates ? launch_coordinate_keys(p.room.writing(p.rows, k.in[1], k), k.stream)
                    : launch_scatter_keys(p.room.writing(p.keys, k.in[1], k), k.stream)));
  RUTILE_RETURN_IF_ERROR(p.room.sort(k.workspace, p.bits, k.stream));
  return launch_status(launch_scatter_join(p.room.reading(p.join, k.in[2], k.out[0], k), k.stream));
}

ScatterJoin join_of(ScatterReduce r) {
  switch (r) {
    case ScatterReduce::kAdd:
      return ScatterJoin::kAdd;
    case ScatterReduce::kMul:
      return ScatterJoin::kMul;
    case ScatterReduce::kMax:
      return ScatterJoin::kMax;
    case ScatterReduce::kMin:
      return ScatterJoin::kMin;
    default:
      return ScatterJoin::kLast;
  }
}

std::unique_ptr<JoinPlan> join_plan(const CallMeta& c, int64_t count, ScatterReduce reduce) {
  const TensorMeta &x = c.in(0), &src = c.in(2), &y = c.out();
  auto p = std::make_unique<JoinPlan>();
  p->run = run_join;
  p->copy = make_copy(y.shape, y.strides, x.strides, size_of(y.dtype));
  p->room = SortRoom(count);
  p->workspace_bytes = p->room.bytes();
  p->bits = key_bits(y.numel());
  p->join.n = count;
  p->join.join = join_of(reduce);
  p->join.type = y.dtype;
  const Strides value[1] = {src.strides};
  p->join.value_at = make_indexer<1>(src.shape, value);
  return p;
}

Status prepare_scatter(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::ScatterAttrs>();
  const TensorMeta &index = c.in(1), &y = c.out();
  const int axis = axis_of(attrs.axis, y.rank());
  auto p = join_plan(c, index.numel(), attrs.reduce);
  const Strides plain = contiguous_strides(y.shape);
  Strides target = plain;
  target[axis] = 0;
  const Strides at[2] = {index.strides, target};
  p->keys.n = index.numel();
  p->keys.index_type = index.dtype;
  p->keys.at = make_indexer<2>(index.shape, at);
  p->keys.rows = y.dim(axis);
  p->keys.row_step = plain[axis];
  *plan = std::move(p);
  return Status();
}

// Rows of coordinates into the leading dimensions of `target`, which lies as `steps` say.
CoordinatesArgs coordinates_of(const TensorMeta& index, const TensorMeta& target,
                               const Strides& steps) {
  CoordinatesArgs a;
  const int last = index.rank() - 1;
  a.depth = static_cast<int>(index.dim(last));
  const Strides row[1] = {part(index.strides, 0, last)};
  a.row_at = make_indexer<1>(part(index.shape, 0, last), row);
  a.rows = part(index.shape, 0, last).numel();
  a.index_type = index.dtype;
  a.index_step = index.strides[last];
  for (int d = 0; d < a.depth; ++d) {
    a.size[d] = target.shape[d];
    a.step[d] = steps[d];
  }
  a.size_of = size_of(target.dtype);
  a.inner = part(target.shape, a.depth, target.rank()).numel();
  const Strides inner[1] = {part(steps, a.depth, target.rank())};
  a.inner_at = make_indexer<1>(part(target.shape, a.depth, target.rank()), inner);
  return a;
}

Status prepare_tensor_scatter(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta &index = c.in(1), &y = c.out();
  const CoordinatesArgs rows = coordinates_of(index, y, contiguous_strides(y.shape));
  auto p = join_plan(c, rows.rows, c.as<ops::TensorScatterAttrs>().reduce);
  p->coordinates = true;
  p->rows = rows;
  p->join.inner = rows.inner;
  *plan = std::move(p);
  return Status();
}

Status prepare_gather_nd(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p =
      kernel_plan<CoordinatesArgs>(launch_gather_nd, [](CoordinatesArgs* a, const KernelArgs& k) {
        a->x = k.in[0];
        a->index = k.in[1];
        a->y = k.out[0];
        a->fault = fault_slot(k.stream);
      });
  p->args = coordinates_of(c.in(1), c.in(0), c.in(0).strides);
  *plan = std::move(p);
  return Status();
}

bool supports_dense_result(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  if (c.out().is_contiguous()) return true;
  reason->text = "writes row-major results only";
  return false;
}
// Complex numbers may be moved, not combined.
bool supports_scatter(const CallMeta& c, Reason* reason) {
  return supports_dense_result(c, reason) && (!is_complex(c.out().dtype) || only_real(c, reason));
}

}  // namespace

void register_scatter() {
  add_row(ops::kCumsum, "lines", prepare_cumsum);
  add_row(ops::kCumprod, "lines", prepare_scan<ScanKind::kProduct>, only_strided);
  add_row(ops::kCummax, "lines", prepare_scan<ScanKind::kMax>);
  add_row(ops::kCummin, "lines", prepare_scan<ScanKind::kMin>);
  add_row(ops::kLogcumsumexp, "lines", prepare_logcumsumexp);
  add_row(ops::kScatter, "sorted", prepare_scatter, supports_scatter);
  add_row(ops::kTensorScatter, "sorted", prepare_tensor_scatter, supports_scatter);
  add_row(ops::kGatherNd, "gather", prepare_gather_nd, supports_dense_result);
}

}  // namespace rutile::cuda
