// SPDX-License-Identifier: Apache-2.0
// Rows of indexing and sorting.
#include "rutile/kernels/cuda/index.h"

#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/sort_room.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/index.h"

namespace rutile::cuda {
namespace {

using kernels::axis_of;

// ---- Reading ------------------------------------------------------------------------------------

Status prepare_rows(const CallMeta& c, int x_at, int axis, bool wraps,
                    void (*bind)(GatherArgs*, const KernelArgs&), std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<GatherArgs>(launch_gather, bind);
  const TensorMeta &x = c.in(x_at), &index = c.in(1 - x_at), &y = c.out();
  GatherArgs& a = p->args;
  const int behind = axis + index.rank();
  a.n = y.numel();
  a.rows = x.dim(axis);
  a.indices = index.numel();
  a.inner = part(x.shape, axis + 1, x.rank()).numel();
  a.size = size_of(y.dtype);
  a.index_type = index.dtype;
  a.wraps = wraps;
  a.row_step = x.strides[axis];
  const Strides outer[2] = {part(x.strides, 0, axis), part(y.strides, 0, axis)};
  const Strides inner[2] = {part(x.strides, axis + 1, x.rank()), part(y.strides, behind, y.rank())};
  const Strides at[2] = {index.strides, part(y.strides, axis, behind)};
  a.outer_at = make_indexer<2>(part(x.shape, 0, axis), outer);
  a.inner_at = make_indexer<2>(part(x.shape, axis + 1, x.rank()), inner);
  a.index_at = make_indexer<2>(index.shape, at);
  *plan = std::move(p);
  return Status();
}

Status prepare_embedding(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare_rows(
      c, 1, 0, false,
      [](GatherArgs* a, const KernelArgs& k) {
        a->x = k.in[1];
        a->index = k.in[0];
        a->y = k.out[0];
        a->fault = fault_slot(k.stream);
      },
      plan);
}

Status prepare_gather(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare_rows(
      c, 0, axis_of(c.as<ops::GatherAttrs>().axis, c.in(0).rank()), true,
      [](GatherArgs* a, const KernelArgs& k) {
        a->x = k.in[0];
        a->index = k.in[1];
        a->y = k.out[0];
        a->fault = fault_slot(k.stream);
      },
      plan);
}

Status prepare_take(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<TakeArgs>(launch_take, [](TakeArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->index = k.in[1];
    a->y = k.out[0];
    a->fault = fault_slot(k.stream);
  });
  const auto& attrs = c.as<ops::TakeAlongAttrs>();
  const TensorMeta &x = c.in(0), &index = c.in(1), &y = c.out();
  const int axis = axis_of(attrs.axis, x.rank());
  TakeArgs& a = p->args;
  a.n = y.numel();
  a.rows = x.dim(axis);
  a.row_step = x.strides[axis];
  a.size = size_of(y.dtype);
  a.index_type = index.dtype;
  a.wraps = attrs.wrap;
  Strides from = x.strides;
  from[axis] = 0;
  const Strides strides[3] = {from, index.strides, y.strides};
  a.at = make_indexer<3>(index.shape, strides);
  *plan = std::move(p);
  return Status();
}

Status prepare_one_hot(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<OneHotArgs>(launch_one_hot, [](OneHotArgs* a, const KernelArgs& k) {
    a->index = k.in[0];
    a->y = k.out[0];
    a->fault = fault_slot(k.stream);
  });
  OneHotArgs& a = p->args;
  a.n = c.out().numel();
  a.depth = c.as<ops::OneHotAttrs>().depth;
  a.index_type = c.in(0).dtype;
  a.type = c.out().dtype;
  const Strides strides[1] = {c.in(0).strides};
  a.at = make_indexer<1>(c.in(0).shape, strides);
  *plan = std::move(p);
  return Status();
}

// ---- Adding -------------------------------------------------------------------------------------

struct ScatterPlan : Plan {
  bool zeros = true;  // y begins at zero, else as a copy of input 0
  FillArgs fill;
  CopyArgs copy;
  ScatterKeysArgs keys;
  ScatterSumArgs sum;
  SortRoom room{0};
  int bits = 0, x_at = 0;
};

Status run_scatter(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const ScatterPlan&>(plan);
  if (p.zeros) {
    FillArgs f = p.fill;
    f.out = k.out[0];
    RUTILE_RETURN_IF_ERROR(launch_status(launch_fill(f, k.stream)));
  } else {
    CopyArgs c = p.copy;
    c.in = k.in[0];
    c.out = k.out[0];
    RUTILE_RETURN_IF_ERROR(launch_status(launch_copy(c, k.stream)));
  }
  RUTILE_RETURN_IF_ERROR(
      launch_status(launch_scatter_keys(p.room.writing(p.keys, k.in[1], k), k.stream)));
  RUTILE_RETURN_IF_ERROR(p.room.sort(k.workspace, p.bits, k.stream));
  return launch_status(
      launch_scatter_sum(p.room.reading(p.sum, k.in[p.x_at], k.out[0], k), k.stream));
}

std::unique_ptr<ScatterPlan> scatter_plan(const TensorMeta& x, const TensorMeta& index,
                                          const TensorMeta& y) {
  auto p = std::make_unique<ScatterPlan>();
  p->run = run_scatter;
  p->keys.n = p->sum.n = index.numel();
  p->keys.index_type = index.dtype;
  p->sum.x_type = x.dtype;
  p->sum.y_type = y.dtype;
  p->room = SortRoom(index.numel());
  p->workspace_bytes = p->room.bytes();
  return p;
}

// Rows of x, one per index, added to the rows of y that the indices name.
Status prepare_add_rows(const CallMeta& c, int axis, int64_t ignored, bool wraps,
                        std::unique_ptr<Plan>* plan) {
  const TensorMeta &x = c.in(0), &index = c.in(1), &y = c.out();
  auto p = scatter_plan(x, index, y);
  p->fill = make_fill(y.shape, y.strides, size_of(y.dtype));
  p->bits = key_bits(y.dim(axis));
  const Strides index_at[2] = {index.strides, Strides::filled(index.rank(), 0)};
  p->keys.at = make_indexer<2>(index.shape, index_at);
  p->keys.rows = y.dim(axis);
  p->keys.row_step = 1;
  p->keys.ignored = ignored;
  p->keys.wraps = wraps;
  const int behind = axis + index.rank();
  const Strides value[1] = {part(x.strides, axis, behind)};
  p->sum.value_at = make_indexer<1>(index.shape, value);
  const Strides key[1] = {part(y.strides, axis, axis + 1)};
  p->sum.key_at = make_indexer<1>(part(y.shape, axis, axis + 1), key);
  Strides inner[2] = {part(x.strides, 0, axis), without(y.strides, axis)};
  for (int d = behind; d < x.rank(); ++d) inner[0].push_back(x.strides[d]);
  const Shape rest = without(y.shape, axis);
  p->sum.inner_at = make_indexer<2>(rest, inner);
  p->sum.inner = rest.numel();
  *plan = std::move(p);
  return Status();
}

Status prepare_embedding_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare_add_rows(c, 0, c.as<ops::EmbeddingGradAttrs>().padding_idx, false, plan);
}
Status prepare_index_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare_add_rows(c, static_cast<int>(c.as<ops::IndexAddAttrs>().axis), -1, true, plan);
}

Status prepare_scatter_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::TakeAlongAttrs>();
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2), &y = c.out();
  const int axis = axis_of(attrs.axis, y.rank());
  auto p = scatter_plan(src, index, y);
  p->zeros = false;
  p->x_at = 2;
  p->copy = make_copy(y.shape, y.strides, x.strides, size_of(y.dtype));
  p->bits = key_bits(y.numel());
  const Strides plain = contiguous_strides(y.shape);
  Strides target = plain;
  target[axis] = 0;
  const Strides at[2] = {index.strides, target};
  p->keys.at = make_indexer<2>(index.shape, at);
  p->keys.rows = y.dim(axis);
  p->keys.row_step = plain[axis];
  p->keys.wraps = attrs.wrap;
  const Strides value[1] = {src.strides}, key[1] = {y.strides};
  p->sum.value_at = make_indexer<1>(index.shape, value);
  p->sum.key_at = make_indexer<1>(y.shape, key);
  *plan = std::move(p);
  return Status();
}

// ---- Order --------------------------------------------------------------------------------------

struct SortPlan : Plan {
  SortKeysArgs keys;
  SortedArgs sorted;
  SortRoom room{0};
};

Status run_sort(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const SortPlan&>(plan);
  SortKeysArgs keys = p.keys;
  keys.x = k.in[0];
  SortedArgs out = p.sorted;
  RUTILE_RETURN_IF_ERROR(sort_lines(p.room, keys, out.lines, k.workspace, k.stream, &out.values));
  out.x = k.in[0];
  out.y = k.out[0];
  out.indices = k.out[1];
  return launch_status(launch_sorted(out, k.stream));
}

Status prepare_order(const CallMeta& c, int64_t wanted_axis, int64_t kept, bool descending,
                     std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<SortPlan>();
  p->run = run_sort;
  const TensorMeta &x = c.in(0), &y = c.out(0), &indices = c.out(1);
  const int axis = axis_of(wanted_axis, x.rank());
  SortKeysArgs& a = p->keys;
  a.n = x.numel();
  a.length = x.dim(axis);
  a.type = x.dtype;
  a.descending = descending;
  a.step = x.strides[axis];
  const Shape lines = without(x.shape, axis);
  const Strides line[1] = {without(x.strides, axis)};
  a.line_at = make_indexer<1>(lines, line);
  SortedArgs& s = p->sorted;
  s.lines = a.length > 0 ? lines.numel() : 0;
  s.length = a.length;
  s.kept = kept < 0 ? a.length : kept;
  s.size = size_of(x.dtype);
  const Strides all[3] = {without(x.strides, axis), without(y.strides, axis),
                          without(indices.strides, axis)};
  s.line_at = make_indexer<3>(lines, all);
  s.x_step = x.strides[axis];
  s.y_step = y.strides[axis];
  s.indices_step = indices.strides[axis];
  p->room = SortRoom(a.n);
  p->workspace_bytes = p->room.bytes();
  *plan = std::move(p);
  return Status();
}

Status prepare_sort(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::SortAttrs>();
  return prepare_order(c, attrs.axis, -1, attrs.descending, plan);
}
Status prepare_topk(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::TopkAttrs>();
  return prepare_order(c, attrs.axis, attrs.k, attrs.largest, plan);
}

}  // namespace

void register_index() {
  add_row(ops::kEmbedding, "gather", prepare_embedding, only_strided);
  add_row(ops::kGather, "gather", prepare_gather, only_strided);
  add_row(ops::kTakeAlongAxis, "gather", prepare_take, only_strided);
  add_row(ops::kOneHot, "one_hot", prepare_one_hot);
  add_row(ops::kEmbeddingGrad, "sorted", prepare_embedding_grad);
  add_row(ops::kIndexAdd, "sorted", prepare_index_add);
  add_row(ops::kScatterAdd, "sorted", prepare_scatter_add);
  add_row(ops::kSort, "radix", prepare_sort);
  add_row(ops::kTopk, "radix", prepare_topk);
}

}  // namespace rutile::cuda
