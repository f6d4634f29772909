// SPDX-License-Identifier: Apache-2.0
// Batching rules of ops that read, write and order by index. Indices keep their checks: a slice
// never reaches into the next one.
#include "rutile/ops/batching.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/order.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scan.h"
#include "rutile/ops/scatter.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

int64_t axis_field(const BatchCall& c) {
  return std::get<int64_t>(
      c.attrs.info()->get(c.attrs.get(), field_index(*c.attrs.info(), "axis")));
}

// All operands along one axis.
TensorList along_rule(const BatchCall& c) {
  for (int i = 0; i < c.num(); ++i) {
    if (c.has(i) && c.rank(i) == 0) return {};
  }
  const int64_t axis = axis_field(c);
  return call_spread(c, with_field(c.attrs, "axis", axis < 0 ? axis : axis + 1));
}

Tensor moved(const Tensor& t, int from, int to) {
  if (from == to) return t;
  Dims perm;
  for (int d = 0; d < t.rank(); ++d) {
    if (d != from) perm.push_back(d);
  }
  Dims all;
  for (int d = 0, k = 0; d < t.rank(); ++d) all.push_back(d == to ? from : perm[k++]);
  return transpose(t, all);
}

// x [n, rows, rest] by index [n, places] as element indices [n, places, rest].
Tensor over_rest(const Tensor& index, int64_t n, int64_t places, int64_t rest) {
  return broadcast_to(reshape(index, {n, places, 1}), {n, places, rest});
}

Shape without(const Shape& s, int axis) {
  Shape rest;
  for (int d = 0; d < s.rank(); ++d) {
    if (d != axis) rest.push_back(s[d]);
  }
  return rest;
}

// Rows of each slice by places of its own.
Tensor own_rows(const Tensor& lines, const Tensor& index, bool wrap) {
  const int64_t n = lines.dim(0), rest = lines.dim(2), places = index.dim(1);
  const TakeAlongAttrs a{1, wrap};
  return call1(kTakeAlongAxis, &a, {lines, over_rest(index, n, places, rest)});
}

TensorList gather_rule(const BatchCall& c) {
  const int rank = c.rank(0);
  if (rank == 0) return {};
  const int64_t named = axis_field(c);
  const int axis = static_cast<int>(named < 0 ? named + rank : named);
  if (!c.is_batched(1)) return {gather(c.in[0], c.in[1], axis + 1)};
  if (!c.is_batched(0)) return {moved(gather(c.in[0], c.in[1], axis), axis, 0)};
  const Shape x = c.slice(0), index = c.slice(1), rest = without(x, axis);
  const Tensor lines = reshape(moved(c.in[0], axis + 1, 1), {c.n, x[axis], rest.numel()});
  const Tensor rows = own_rows(lines, reshape(c.in[1], {c.n, index.numel()}), true);
  Shape found{c.n, index.numel()};
  for (int d = 0; d < rest.rank(); ++d) found.push_back(rest[d]);
  return {with_shape(moved(reshape(rows, found), 1, axis + 1), c.n, c.one[0].shape)};
}

TensorList embedding_rule(const BatchCall& c) {
  const auto& a = *static_cast<const EmbeddingAttrs*>(c.attrs.get());
  if (!c.is_batched(1)) return {embedding(c.in[0], c.in[1], a)};
  if (a.padding_idx >= 0) return {};
  const Tensor ids = reshape(c.spread(0), {c.n, c.slice(0).numel()});
  return {with_shape(own_rows(c.in[1], ids, false), c.n, c.one[0].shape)};
}

// Sums of rows at places, from places of each slice's own.
Tensor own_sums(const Tensor& lines, const Tensor& index, int64_t rows) {
  const int64_t n = lines.dim(0), places = lines.dim(1), rest = lines.dim(2);
  return scatter_add(zeros({n, rows, rest}, lines.dtype()), over_rest(index, n, places, rest),
                     lines, 1);
}

TensorList embedding_grad_rule(const BatchCall& c) {
  const auto& a = *static_cast<const EmbeddingGradAttrs*>(c.attrs.get());
  const int64_t places = c.slice(1).numel(), wide = c.slice(0)[c.rank(0) - 1];
  const Tensor dy = reshape(c.spread(0), {c.n, places, wide});
  const Tensor ids = reshape(c.spread(1), {c.n, places});
  Tensor sums = own_sums(cast(dy, c.one[0].dtype), ids, a.rows);
  if (a.padding_idx >= 0) {
    const Tensor row = reshape(equal(arange(0, a.rows), a.padding_idx), {1, a.rows, 1});
    sums = masked_fill(sums, row, 0);
  }
  return {sums};
}

TensorList index_add_rule(const BatchCall& c) {
  const auto& a = *static_cast<const IndexAddAttrs*>(c.attrs.get());
  const int rank = c.one[0].rank();
  const int axis = static_cast<int>(a.axis < 0 ? a.axis + rank : a.axis);
  if (!c.is_batched(1)) return {index_add(c.in[0], c.in[1], axis + 1, a.size)};
  const Shape index = c.slice(1), rest = without(c.one[0].shape, axis);
  Shape flat{c.n};
  for (int d = 0; d < axis; ++d) flat.push_back(rest[d]);
  flat.push_back(index.numel());
  for (int d = axis; d < rest.rank(); ++d) flat.push_back(rest[d]);
  const Tensor lines =
      reshape(moved(reshape(c.spread(0), flat), axis + 1, 1), {c.n, index.numel(), rest.numel()});
  const Tensor sums = own_sums(lines, reshape(c.in[1], {c.n, index.numel()}), a.size);
  Shape found{c.n, a.size};
  for (int d = 0; d < rest.rank(); ++d) found.push_back(rest[d]);
  return {moved(reshape(sums, found), 1, axis + 1)};
}

// Coordinates with the slice's number in front.
Tensor with_slice_numbers(const BatchCall& c, int i) {
  const Tensor index = c.spread(i);
  Shape one = index.shape();
  one[one.rank() - 1] = 1;
  Shape column = Shape::filled(one.rank(), 1);
  column[0] = c.n;
  const Tensor numbers = broadcast_to(reshape(arange(0, c.n, 1, index.dtype()), column), one);
  return concat(std::vector{numbers, index}, -1);
}

TensorList gather_nd_rule(const BatchCall& c) {
  if (!c.is_batched(0)) return {gather_nd(c.in[0], c.in[1])};
  return {gather_nd(c.in[0], with_slice_numbers(c, 1))};
}

TensorList tensor_scatter_rule(const BatchCall& c) {
  const std::vector<Tensor> in{c.spread(0), with_slice_numbers(c, 1), c.spread(2)};
  return call_n(c.op, c.attrs.get(), in);
}

TensorList leading_rule(const BatchCall& c) { return call_spread(c, c.attrs); }

TensorList searchsorted_rule(const BatchCall& c) {
  if (!c.is_batched(0) && c.rank(0) == 1) return call_n(c.op, c.attrs.get(), c.in);
  if (c.rank(0) > 1) return call_spread(c, c.attrs);
  const std::vector<Tensor> in{c.spread(0), reshape(c.spread(1), {c.n, c.slice(1).numel()})};
  return {with_shape(call_n(c.op, c.attrs.get(), in)[0], c.n, c.one[0].shape)};
}

}  // namespace

std::span<const BatchRow> index_batch_rules() {
  static const BatchRow kRows[] = {
      {&kGather, gather_rule},
      {&kEmbedding, embedding_rule},
      {&kEmbeddingGrad, embedding_grad_rule},
      {&kIndexAdd, index_add_rule},
      {&kTakeAlongAxis, along_rule},
      {&kScatterAdd, along_rule},
      {&kScatter, along_rule},
      {&kGatherNd, gather_nd_rule},
      {&kTensorScatter, tensor_scatter_rule},
      {&kOneHot, leading_rule},
      {&kSort, along_rule},
      {&kTopk, along_rule},
      {&kKthvalue, along_rule},
      {&kMode, along_rule},
      {&kSearchsorted, searchsorted_rule},
  };
  return kRows;
}

}  // namespace rutile::ops
