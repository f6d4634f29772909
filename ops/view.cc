// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/view.h"

#include <algorithm>

#include "rutile/ops/view_meta.h"

namespace rutile::ops {
namespace {

int64_t at_start(const CallMeta&, int) { return 0; }

}  // namespace

// ---- reshape ------------------------------------------------------------------------------------

namespace {

// Replaces a -1 in `wanted` and checks the number of elements.
Status resolve_shape(const Shape& from, const Shape& wanted, Shape* out) {
  *out = wanted;
  int open = -1;
  for (int i = 0; i < wanted.rank(); ++i) {
    if (wanted[i] == -1) {
      if (open >= 0) return value_error(cat("shape ", wanted, " has more than one -1"));
      open = i;
      (*out)[i] = 1;
    } else if (wanted[i] < 0) {
      return value_error(cat("dimension ", i, " of shape ", wanted, " is negative"));
    }
  }
  int64_t known = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(*out, &known));
  const int64_t have = from.numel();
  if (open >= 0) {
    if (known == 0 || have % known != 0) {
      return value_error(cat("cannot reshape ", from, " (", have, " elements) to ", wanted));
    }
    (*out)[open] = have / known;
  } else if (known != have) {
    return value_error(cat("cannot reshape ", from, " (", have, " elements) to ", wanted, " (",
                           known, " elements)"));
  }
  return Status();
}

Status infer_reshape(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  Shape shape;
  RUTILE_RETURN_IF_ERROR(resolve_shape(x.shape, c.as<ReshapeAttrs>().shape, &shape));
  Strides strides;
  if (!viewable_as(x, shape, &strides)) return no_view(x, to_string(shape).c_str());
  *out = view_meta(x, shape, strides);
  return Status();
}

GradResult grad_reshape(GradCtx& ctx) { return {reshape(ctx.grad(), ctx.in_meta(0).shape)}; }

}  // namespace

constinit const OpDef kReshape = define({
    .name = "reshape",
    .inputs = {"x"},
    .attrs = attrs_of<ReshapeAttrs>(),
    .infer = infer_reshape,
    .grad = grad_reshape,
    .alias_of = {"x"},
    .view_offset = at_start,
    .doc = "The elements of x in row-major order as another shape; one entry may be -1.",
});

bool viewable_as(const TensorMeta& x, const Shape& shape, Strides* strides) {
  if (x.layout != kStrided) return false;
  *strides = contiguous_strides(shape);
  if (x.rank() == 0 || x.numel() == 0 || x.is_contiguous()) return true;
  // Runs of dimensions of x that lie in memory as one, from the fastest; each must be a product of
  // whole dimensions of the new shape.
  int to = shape.rank() - 1;
  int64_t run_stride = x.strides.back(), run = 1, covered = 1;
  for (int d = x.rank() - 1; d >= 0; --d) {
    run *= x.shape[d];
    if (d > 0 && (x.shape[d - 1] == 1 || x.strides[d - 1] == run * run_stride)) continue;
    while (to >= 0 && (covered < run || shape[to] == 1)) {
      (*strides)[to] = covered * run_stride;
      covered *= shape[to--];
    }
    if (covered != run) return false;
    if (d > 0) run_stride = x.strides[d - 1];
    run = covered = 1;
  }
  return to < 0;
}

Tensor reshape(Arg x, const Shape& shape) {
  const ReshapeAttrs a{shape};
  Shape resolved;
  Strides strides;
  // The copy that call() would make without telling the tape is cheaper recorded: one op less per
  // gradient of the gradient, and a failed view costs no error text.
  if (resolve_shape(x.tensor.shape(), shape, &resolved).ok() &&
      !viewable_as(x.tensor.meta(), resolved, &strides)) {
    return call1(kReshape, &a, {contiguous(x)}, x.where);
  }
  return call1(kReshape, &a, {x.tensor}, x.where);
}

Tensor flatten(Arg x, int64_t first, int64_t last) {
  const Shape& s = x.tensor.shape();
  if (s.rank() == 0) return reshape(x, {1});
  int a = 0, b = 0;
  throw_if_error(normalize_axis(first, s.rank(), &a));
  throw_if_error(normalize_axis(last, s.rank(), &b));
  if (a > b) {
    throw_error(ErrorCode::kValue,
                cat("[flatten] first axis ", first, " lies behind the last axis ", last));
  }
  Shape shape;
  for (int i = 0; i < s.rank(); ++i) {
    if (i > a && i <= b) {
      shape[a] *= s[i];
    } else {
      shape.push_back(s[i]);
    }
  }
  return reshape(x, shape);
}

Tensor squeeze(Arg x, const Dims& axes) {
  const Shape& s = x.tensor.shape();
  bool drop[kMaxRank] = {};
  for (int i = 0; axes.empty() && i < s.rank(); ++i) drop[i] = s[i] == 1;
  for (const int64_t axis : axes) {
    int d = 0;
    throw_if_error(normalize_axis(axis, s.rank(), &d));
    if (s[d] != 1) {
      throw_error(ErrorCode::kValue,
                  cat("[squeeze] axis ", axis, " of ", s, " has size ", s[d], ", expects 1"));
    }
    drop[d] = true;
  }
  Shape shape;
  for (int i = 0; i < s.rank(); ++i) {
    if (!drop[i]) shape.push_back(s[i]);
  }
  return reshape(x, shape);
}

Tensor expand_dims(Arg x, int64_t axis) {
  const Shape& s = x.tensor.shape();
  int d = 0;
  throw_if_error(normalize_axis(axis, s.rank() + 1, &d));
  Shape shape;
  for (int i = 0; i <= s.rank(); ++i) {
    if (i == d) shape.push_back(1);
    if (i < s.rank()) shape.push_back(s[i]);
  }
  return reshape(x, shape);
}

// ---- transpose ----------------------------------------------------------------------------------

namespace {

Status resolve_perm(const Dims& wanted, int rank, Dims* perm) {
  *perm = Dims();
  if (wanted.empty()) {
    for (int i = rank - 1; i >= 0; --i) perm->push_back(i);
    return Status();
  }
  if (wanted.rank() != rank) {
    return value_error(cat("perm ", wanted, " has ", wanted.rank(), " entries, x has rank ", rank));
  }
  uint32_t seen = 0;
  for (const int64_t p : wanted) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(p, rank, &d));
    if (seen >> d & 1u) return value_error(cat("perm ", wanted, " names axis ", d, " twice"));
    seen |= 1u << d;
    perm->push_back(d);
  }
  return Status();
}

Status infer_transpose(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  Dims perm;
  RUTILE_RETURN_IF_ERROR(resolve_perm(c.as<TransposeAttrs>().perm, x.rank(), &perm));
  if (x.layout != kStrided) return no_view(x, "with its axes permuted");
  Shape shape;
  Strides strides;
  for (const int64_t p : perm) {
    shape.push_back(x.shape[static_cast<int>(p)]);
    strides.push_back(x.strides[static_cast<int>(p)]);
  }
  *out = view_meta(x, shape, strides);
  return Status();
}

GradResult grad_transpose(GradCtx& ctx) {
  Dims perm;
  throw_if_error(resolve_perm(ctx.attrs<TransposeAttrs>().perm, ctx.in_meta(0).rank(), &perm));
  Dims inverse = perm;
  for (int i = 0; i < perm.rank(); ++i) inverse[static_cast<int>(perm[i])] = i;
  return {transpose(ctx.grad(), inverse)};
}

}  // namespace

constinit const OpDef kTranspose = define({
    .name = "transpose",
    .inputs = {"x"},
    .attrs = attrs_of<TransposeAttrs>(),
    .infer = infer_transpose,
    .grad = grad_transpose,
    .alias_of = {"x"},
    .view_offset = at_start,
    .doc =
        "Dimension i of the result is dimension perm[i] of x; without perm the order is reversed.",
});

Tensor transpose(Arg x, const Dims& perm) {
  const TransposeAttrs a{perm};
  return call1(kTranspose, &a, {x.tensor}, x.where);
}

Tensor permute(Arg x, const Dims& perm) { return transpose(x, perm); }

Tensor swapaxes(Arg x, int64_t a, int64_t b) {
  const int rank = x.tensor.rank();
  int i = 0, j = 0;
  throw_if_error(normalize_axis(a, rank, &i));
  throw_if_error(normalize_axis(b, rank, &j));
  Dims perm;
  for (int d = 0; d < rank; ++d) perm.push_back(d);
  std::swap(perm[i], perm[j]);
  return transpose(x, perm);
}

}  // namespace rutile::ops
