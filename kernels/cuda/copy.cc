// SPDX-License-Identifier: Apache-2.0
// Rows of the ops that move elements, and of creation.
#include "rutile/kernels/cuda/copy.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "rutile/core/element.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/index.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/view.h"
#include "rutile/ops/view_meta.h"

namespace rutile::cuda {
namespace {

using kernels::axis_of;

int64_t magnitude(int64_t v) { return v < 0 ? -v : v; }

// Dimensions by their step in `out`, the largest first.
Dims order_by(const Strides& out) {
  Dims order;
  for (int d = 0; d < out.rank(); ++d) order.push_back(d);
  for (int i = 1; i < order.rank(); ++i) {
    for (int j = i; j > 0 && magnitude(out[static_cast<int>(order[j - 1])]) <
                                 magnitude(out[static_cast<int>(order[j])]);
         --j) {
      std::swap(order[j - 1], order[j]);
    }
  }
  return order;
}
Dims permuted(const Dims& v, const Dims& order) {
  Dims out;
  for (const int64_t d : order) out.push_back(v[static_cast<int>(d)]);
  return out;
}

// The plane of dimension 0 (neighbours in `out`) and dimension k (neighbours in `in`).
void use_tiles(CopyArgs* a, int k) {
  Indexer<2>& x = a->index;
  a->tiled = true;
  a->rows = x.size[0], a->columns = x.size[k];
  a->out_row = x.stride[0][0], a->in_row = x.stride[1][0];
  a->out_column = x.stride[0][k], a->in_column = x.stride[1][k];
  Shape shape;
  Strides strides[2];
  for (int d = x.rank - 1; d > 0; --d) {
    if (d == k) continue;
    shape.push_back(x.size[d]);
    strides[0].push_back(x.stride[0][d]);
    strides[1].push_back(x.stride[1][d]);
  }
  x = make_indexer<2>(shape, strides);
}

}  // namespace

CopyArgs make_copy(const Shape& shape, const Strides& out, const Strides& in, int size) {
  constexpr int64_t kWorthTiles = 8;
  CopyArgs a;
  a.n = shape.numel();
  a.size = size;
  const Dims order = order_by(out);
  const Strides strides[2] = {permuted(out, order), permuted(in, order)};
  a.index = make_indexer<2>(permuted(shape, order), strides);
  const Indexer<2>& x = a.index;
  a.linear = x.rank == 0 || (x.rank == 1 && x.stride[0][0] == 1 && x.stride[1][0] == 1);
  if (a.linear || a.n == 0 || magnitude(x.stride[1][0]) <= 1 || x.size[0] < kWorthTiles) return a;
  for (int k = 1; k < x.rank; ++k) {
    if (x.stride[1][k] == 1 && x.size[k] >= kWorthTiles) {
      use_tiles(&a, k);
      break;
    }
  }
  return a;
}

FillArgs make_fill(const Shape& shape, const Strides& out, int size) {
  FillArgs a;
  a.n = shape.numel();
  a.size = size;
  const Dims order = order_by(out);
  const Strides strides[1] = {permuted(out, order)};
  a.index = make_indexer<1>(permuted(shape, order), strides);
  a.linear = a.index.rank == 0 || (a.index.rank == 1 && a.index.stride[0][0] == 1);
  return a;
}

namespace {

// Perhaps a fill with zeros, then copies.
struct CopiesPlan : Plan {
  bool zeros = false;
  FillArgs fill;
  struct Part {
    CopyArgs copy;
    int input = 0;
    int64_t out_at = 0, in_at = 0;  // bytes
  };
  std::vector<Part> parts;
};

Status run_copies(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const CopiesPlan&>(plan);
  if (p.zeros) {
    FillArgs f = p.fill;
    f.out = k.out[0];
    RUTILE_RETURN_IF_ERROR(launch_status(launch_fill(f, k.stream)));
  }
  for (const CopiesPlan::Part& part : p.parts) {
    CopyArgs c = part.copy;
    c.out = static_cast<char*>(k.out[0]) + part.out_at;
    c.in = static_cast<const char*>(k.in[part.input]) + part.in_at;
    RUTILE_RETURN_IF_ERROR(launch_status(launch_copy(c, k.stream)));
  }
  return Status();
}

std::unique_ptr<CopiesPlan> copies_plan() {
  auto p = std::make_unique<CopiesPlan>();
  p->run = run_copies;
  return p;
}

Status prepare_place(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta &x = c.in(0), &y = c.out();
  auto p = copies_plan();
  p->parts.push_back({make_copy(y.shape, y.strides, x.strides, size_of(y.dtype)), 0, 0, 0});
  *plan = std::move(p);
  return Status();
}

bool supports_place(const CallMeta& c, Reason* reason) {
  if (c.in(0).dtype != c.out().dtype) {
    reason->text = "does not convert";
    return false;
  }
  return only_strided(c, reason);
}

Status prepare_concat(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& y = c.out();
  const int axis = axis_of(c.as<ops::ConcatAttrs>().axis, y.rank()), size = size_of(y.dtype);
  auto p = copies_plan();
  int64_t before = 0;
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if (x.numel() > 0) {
      p->parts.push_back(
          {make_copy(x.shape, y.strides, x.strides, size), i, before * y.strides[axis] * size, 0});
    }
    before += x.shape[axis];
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_slice_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::SliceGradAttrs>();
  const TensorMeta &x = c.in(0), &y = c.out();
  auto p = copies_plan();
  p->zeros = true;
  p->fill = make_fill(y.shape, y.strides, size_of(y.dtype));
  Strides to = y.strides;
  int64_t at = 0;
  for (int d = 0; d < a.starts.rank() && x.numel() > 0; ++d) {
    int64_t start = a.starts[d] < 0 ? a.starts[d] + y.shape[d] : a.starts[d];
    at += (start < 0 ? 0 : start) * y.strides[d];
    to[d] *= a.steps.empty() ? 1 : a.steps[d];
  }
  if (x.numel() > 0) {
    p->parts.push_back(
        {make_copy(x.shape, to, x.strides, size_of(y.dtype)), 0, at * size_of(y.dtype), 0});
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_flip(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::FlipAttrs>();
  const TensorMeta &x = c.in(0), &y = c.out();
  Strides from = x.strides;
  int64_t at = 0;
  for (int d = 0; d < x.rank(); ++d) {
    bool flip = a.axes.empty();
    for (const int64_t axis : a.axes) flip = flip || axis_of(axis, x.rank()) == d;
    if (!flip || x.shape[d] == 0) continue;
    at += (x.shape[d] - 1) * x.strides[d];
    from[d] = -from[d];
  }
  auto p = copies_plan();
  if (y.numel() > 0) {
    p->parts.push_back(
        {make_copy(y.shape, y.strides, from, size_of(y.dtype)), 0, 0, at * size_of(y.dtype)});
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_assign(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta &s = c.in(0), &v = c.in(1);
  auto p = copies_plan();
  p->parts.push_back({make_copy(s.shape, s.strides, v.strides, size_of(s.dtype)), 1, 0, 0});
  *plan = std::move(p);
  return Status();
}

Status prepare_pad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::PadAttrs>();
  const TensorMeta &x = c.in(0), &y = c.out();
  auto p = kernel_plan<PadArgs>(launch_pad, [](PadArgs* args, const KernelArgs& k) {
    args->in = k.in[0];
    args->out = k.out[0];
  });
  p->args.n = y.numel();
  p->args.size = size_of(y.dtype);
  p->args.rank = y.rank();
  p->args.mode = static_cast<Padding>(a.mode);
  for (int d = 0; d < y.rank(); ++d) {
    p->args.out_shape[d] = y.shape[d];
    p->args.in_shape[d] = x.shape[d];
    p->args.before[d] = a.before[d];
    p->args.out_stride[d] = y.strides[d];
    p->args.in_stride[d] = x.strides[d];
  }
  RUTILE_RETURN_IF_ERROR(store_scalar(a.value, y.dtype, p->args.value));
  *plan = std::move(p);
  return Status();
}

Status prepare_triangle(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta &x = c.in(0), &y = c.out();
  auto p = kernel_plan<TriangleArgs>(launch_triangle, [](TriangleArgs* args, const KernelArgs& k) {
    args->in = k.in[0];
    args->out = k.out[0];
  });
  p->args.n = y.numel();
  p->args.rows = y.shape[y.rank() - 2];
  p->args.columns = y.shape[y.rank() - 1];
  p->args.diagonal = c.as<ops::TriangleAttrs>().diagonal;
  p->args.size = size_of(y.dtype);
  p->args.lower = c.op == &ops::kTril;
  const Strides strides[2] = {y.strides, x.strides};
  p->args.index = make_indexer<2>(y.shape, strides);
  *plan = std::move(p);
  return Status();
}

Status prepare_full(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& y = c.out();
  auto p = kernel_plan<FillArgs>(launch_fill,
                                 [](FillArgs* args, const KernelArgs& k) { args->out = k.out[0]; });
  p->args = make_fill(y.shape, y.strides, size_of(y.dtype));
  RUTILE_RETURN_IF_ERROR(store_scalar(c.as<ops::FullAttrs>().value, y.dtype, p->args.value));
  *plan = std::move(p);
  return Status();
}

Status prepare_arange(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::ArangeAttrs>();
  auto p = kernel_plan<StepsArgs>(
      launch_steps, [](StepsArgs* args, const KernelArgs& k) { args->out = k.out[0]; });
  p->args.n = c.out().numel();
  p->args.type = c.out().dtype;
  p->args.whole = a.start.kind != Scalar::Kind::kFloat && a.step.kind != Scalar::Kind::kFloat;
  p->args.start = a.start.f;
  p->args.step = a.step.f;
  p->args.first = a.start.i;
  p->args.stride = a.step.i;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_copy() {
  add_row(ops::kContiguous, "copy", prepare_place, supports_place);
  add_row(ops::kReorder, "copy", prepare_place, supports_place);
  add_row(ops::kConcat, "copy", prepare_concat, only_strided);
  add_row(ops::kSliceGrad, "copy", prepare_slice_grad, only_strided);
  add_row(ops::kFlip, "copy", prepare_flip, only_strided);
  add_row(ops::kAssign, "copy", prepare_assign, only_strided);
  add_row(ops::kPad, "pad", prepare_pad, only_strided);
  add_row(ops::kTril, "triangle", prepare_triangle, only_strided);
  add_row(ops::kTriu, "triangle", prepare_triangle, only_strided);
}

void register_creation() {
  add_row(ops::kFull, "fill", prepare_full, only_strided);
  add_row(ops::kArange, "steps", prepare_arange);
}

}  // namespace rutile::cuda
