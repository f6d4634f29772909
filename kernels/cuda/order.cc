// SPDX-License-Identifier: Apache-2.0
// Rows of order statistics, of binary search and of distinct elements.
#include "rutile/kernels/cuda/order.h"

#include <algorithm>

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/index.h"
#include "rutile/kernels/cuda/sort_room.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/order.h"
#include "rutile/ops/unique.h"

namespace rutile::cuda {
namespace {

using kernels::axis_of;

struct ChoosePlan : Plan {
  SortKeysArgs keys;
  ChooseArgs choose;
  SortRoom room{0};
};

Status run_choose(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const ChoosePlan&>(plan);
  SortKeysArgs keys = p.keys;
  keys.x = k.in[0];
  ChooseArgs choose = p.choose;
  RUTILE_RETURN_IF_ERROR(
      sort_lines(p.room, keys, choose.lines, k.workspace, k.stream, &choose.values));
  choose.x = k.in[0];
  choose.y = k.out[0];
  choose.indices = k.out[1];
  return launch_status(launch_choose(choose, k.stream));
}

// axis -1: all elements are one line.
Status prepare_choose(const CallMeta& c, int axis, Choose what, int64_t place,
                      std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ChoosePlan>();
  p->run = run_choose;
  const TensorMeta& x = c.in(0);
  const bool whole = axis < 0;
  const Shape lines = whole ? Shape() : without(x.shape, axis);
  const Strides line[1] = {whole ? Strides() : without(x.strides, axis)};
  p->keys.n = x.numel();
  p->keys.length = whole ? x.numel() : x.dim(axis);
  p->keys.type = x.dtype;
  p->keys.step = whole ? 1 : x.strides[axis];
  p->keys.line_at = make_indexer<1>(lines, line);
  p->choose.choose = what;
  p->choose.lines = p->keys.length > 0 ? lines.numel() : 0;
  p->choose.length = p->keys.length;
  p->choose.place = place;
  p->choose.type = x.dtype;
  p->choose.step = p->keys.step;
  p->choose.line_at = p->keys.line_at;
  p->room = SortRoom(p->keys.n);
  p->workspace_bytes = p->room.bytes();
  *plan = std::move(p);
  return Status();
}

Status prepare_kthvalue(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::KthvalueAttrs>();
  return prepare_choose(c, axis_of(a.axis, c.in(0).rank()), Choose::kPlace, a.k - 1, plan);
}
Status prepare_mode(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare_choose(c, axis_of(c.as<ops::ModeAttrs>().axis, c.in(0).rank()), Choose::kMode, 0,
                        plan);
}
template <Choose kWhat>
Status prepare_median(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const Dims& axes = c.as<ops::ArgAttrs>().axes;
  const int axis = axes.empty() ? -1 : axis_of(axes[0], c.in(0).rank());
  return prepare_choose(c, axis, kWhat, 0, plan);
}
bool supports_median(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (!c.as<ops::ArgAttrs>().axes.empty() || c.in(0).is_contiguous()) return true;
  reason->text = "takes all elements of row-major tensors only";
  return false;
}

Status prepare_search(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<SearchArgs>(launch_search, [](SearchArgs* a, const KernelArgs& k) {
    a->lines = k.in[0];
    a->values = k.in[1];
    a->y = k.out[0];
  });
  const TensorMeta &sorted = c.in(0), &v = c.in(1);
  const int last = sorted.rank() - 1;
  SearchArgs& a = p->args;
  a.n = v.numel();
  a.length = sorted.dim(last);
  a.step = sorted.strides[last];
  a.right = c.as<ops::SearchsortedAttrs>().right;
  a.type = sorted.dtype;
  a.out_type = c.out().dtype;
  const Strides values[1] = {v.strides}, lines[1] = {part(sorted.strides, 0, last)};
  a.value_at = make_indexer<1>(v.shape, values);
  a.line_at = make_indexer<1>(part(sorted.shape, 0, last), lines);
  a.inner = std::max<int64_t>(last > 0 ? v.shape.back() : a.n, 1);
  *plan = std::move(p);
  return Status();
}
bool supports_search(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.in(0).dtype == c.in(1).dtype) return true;
  reason->text = "takes two tensors of one type";
  return false;
}

// ---- Distinct elements --------------------------------------------------------------------------

struct DistinctPlan : Plan {
  DistinctArgs rows;
  ScanArgs scan;
  SortRoom room{0};
  bool sort = true;
  size_t flags() const { return (room.bytes() + 255) / 256 * 256; }  // behind the room of the sort
  size_t ranks() const { return flags() + room.aligned_bytes(); }
};

// The rows in order, by one stable sort a column, the last one first.
Status order_rows(const DistinctPlan& p, DistinctArgs rows, const KernelArgs& k) {
  void* w = k.workspace;
  for (int64_t column = rows.columns - 1; column >= 0; --column) {
    ColumnKeysArgs a{rows, column, p.room.keys_in(w), p.room.values_in(w)};
    RUTILE_RETURN_IF_ERROR(launch_status(launch_column_keys(a, k.stream)));
    RUTILE_RETURN_IF_ERROR(p.room.sort(w, 64, k.stream));
    rows.order = p.room.values(w);
  }
  return Status();
}

Status run_distinct(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const DistinctPlan&>(plan);
  DistinctArgs a = p.rows;
  char* w = static_cast<char*>(k.workspace);
  a.x = k.in[0];
  a.values = k.out[0];
  a.inverse = static_cast<int64_t*>(k.out[1]);
  a.counts = static_cast<int64_t*>(k.out[2]);
  a.count = static_cast<int64_t*>(k.out[3]);
  a.first = reinterpret_cast<int64_t*>(w + p.flags());
  a.rank = reinterpret_cast<int64_t*>(w + p.ranks());
  RUTILE_RETURN_IF_ERROR(launch_status(launch_distinct_clear(a, k.stream)));
  if (a.n == 0) return Status();
  if (p.sort && a.columns > 0) {
    RUTILE_RETURN_IF_ERROR(order_rows(p, a, k));
    a.order = p.room.values(w);
  }
  RUTILE_RETURN_IF_ERROR(launch_status(launch_distinct_first(a, k.stream)));
  ScanArgs scan = p.scan;
  scan.x = a.first;
  scan.y = a.rank;
  RUTILE_RETURN_IF_ERROR(launch_status(launch_scan(scan, k.stream)));
  return launch_status(launch_distinct_write(a, k.stream));
}

std::unique_ptr<DistinctPlan> distinct_plan(int64_t n, bool sort) {
  auto p = std::make_unique<DistinctPlan>();
  p->run = run_distinct;
  p->sort = sort;
  p->rows.n = n;
  p->scan.lines = 1;
  p->scan.length = n;
  p->scan.in_type = p->scan.out_type = DType::kI64;
  p->scan.x_step = p->scan.y_step = 1;
  p->room = SortRoom(n);
  p->workspace_bytes = p->ranks() + p->room.aligned_bytes();
  return p;
}

template <bool kSort>
Status prepare_unique(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = distinct_plan(c.in(0).numel(), kSort);
  p->rows.type = c.in(0).dtype;
  *plan = std::move(p);
  return Status();
}
Status prepare_unique_rows(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  auto p = distinct_plan(x.dim(0), !c.as<ops::UniqueRowsAttrs>().consecutive);
  p->rows.type = x.dtype;
  p->rows.columns = x.dim(1);
  p->rows.row_step = x.strides[0];
  p->rows.column_step = x.strides[1];
  p->rows.places = true;
  *plan = std::move(p);
  return Status();
}
bool supports_unique(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.in(0).is_contiguous()) return true;
  reason->text = "takes row-major tensors only";
  return false;
}

}  // namespace

void register_order() {
  add_row(ops::kKthvalue, "radix", prepare_kthvalue);
  add_row(ops::kMedian, "radix", prepare_median<Choose::kMedian>, supports_median);
  add_row(ops::kNanmedian, "radix", prepare_median<Choose::kNanMedian>, supports_median);
  add_row(ops::kMode, "radix", prepare_mode);
  add_row(ops::kSearchsorted, "bisection", prepare_search, supports_search);
  add_row(ops::kUnique, "radix", prepare_unique<true>, supports_unique);
  add_row(ops::kUniqueConsecutive, "runs", prepare_unique<false>, supports_unique);
  add_row(ops::kUniqueRows, "radix", prepare_unique_rows);
}

}  // namespace rutile::cuda
