// SPDX-License-Identifier: Apache-2.0
// Rules of elementwise ops, reductions, shapes, products and random numbers, and the look-up.
#include "rutile/ops/batching.h"

#include <algorithm>
#include <unordered_map>

#include "rutile/ops/arrange.h"
#include "rutile/ops/bitcast.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/control.h"
#include "rutile/ops/distributions.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fft.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/order.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/require.h"
#include "rutile/ops/scan.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

Shape BatchCall::slice(int i) const {
  Shape s;
  for (int d = batched[i] ? 1 : 0; d < in[i].rank(); ++d) s.push_back(in[i].dim(d));
  return s;
}

Tensor BatchCall::spread(int i) const {
  if (!in[i].defined() || batched[i]) return in[i];
  return broadcast_to(in[i], batched_shape(n, in[i].shape()));
}

std::vector<Tensor> BatchCall::spread_all() const {
  std::vector<Tensor> all;
  for (int i = 0; i < num(); ++i) all.push_back(spread(i));
  return all;
}

Shape batched_shape(int64_t n, const Shape& slice) {
  Shape s{n};
  for (int d = 0; d < slice.rank(); ++d) s.push_back(slice[d]);
  return s;
}

Tensor with_shape(const Tensor& t, int64_t n, const Shape& slice) {
  const Shape shape = batched_shape(n, slice);
  return t.shape() == shape ? t : reshape(t, shape);
}

Tensor folded(const Tensor& t) {
  Shape s{t.dim(0) * t.dim(1)};
  for (int d = 2; d < t.rank(); ++d) s.push_back(t.dim(d));
  return reshape(t, s);
}

AnyAttrs with_field(AnyAttrs attrs, std::string_view field, const AttrValue& value) {
  const Status status =
      attrs.info()->set(attrs.get_mutable(), field_index(*attrs.info(), field), value);
  RUTILE_CHECK(status.ok(), "a rule sets fields that the attributes have");
  return attrs;
}

TensorList call_spread(const BatchCall& c, const AnyAttrs& attrs) {
  return call_n(c.op, attrs.get(), c.spread_all());
}

namespace {

// Leading ones, so that a batched operand has as many dimensions behind the first as `rank`.
Tensor padded(const BatchCall& c, int i, int rank) {
  if (!c.has(i) || !c.is_batched(i) || c.rank(i) >= rank) return c.in[i];
  Shape s{c.n};
  for (int d = c.rank(i); d < rank; ++d) s.push_back(1);
  for (int d = 1; d < c.in[i].rank(); ++d) s.push_back(c.in[i].dim(d));
  return reshape(c.in[i], s);
}

TensorList elementwise_rule(const BatchCall& c) {
  int rank = 0;
  for (int i = 0; i < c.num(); ++i) rank = c.has(i) ? std::max(rank, c.rank(i)) : rank;
  std::vector<Tensor> in;
  for (int i = 0; i < c.num(); ++i) in.push_back(padded(c, i, rank));
  return call_n(c.op, c.attrs.get(), in);
}

// Ops whose leading dimensions are a batch already.
TensorList leading_rule(const BatchCall& c) { return call_spread(c, c.attrs); }

int64_t behind(int64_t axis) { return axis < 0 ? axis : axis + 1; }

// Ops along one axis of all operands.
TensorList axis_rule(const BatchCall& c) {
  for (int i = 0; i < c.num(); ++i) {
    if (c.has(i) && c.rank(i) == 0) return {};
  }
  const auto axis =
      std::get<int64_t>(c.attrs.info()->get(c.attrs.get(), field_index(*c.attrs.info(), "axis")));
  return call_spread(c, with_field(c.attrs, "axis", behind(axis)));
}

Dims axes_of(const BatchCall& c) {
  return std::get<Dims>(c.attrs.info()->get(c.attrs.get(), field_index(*c.attrs.info(), "axes")));
}

// Reductions over axes, all where none is named. A number is a line of one.
TensorList reduce_rule(const BatchCall& c) {
  Dims axes;
  for (const int64_t a : axes_of(c)) axes.push_back(behind(a));
  Tensor x = c.in[0];
  if (c.rank(0) == 0) {
    axes = {1};
    x = reshape(x, {c.n, 1});
  } else if (axes.empty()) {
    for (int d = 1; d <= c.rank(0); ++d) axes.push_back(d);
  }
  TensorList out = call_n(c.op, with_field(c.attrs, "axes", axes).get(), {&x, 1});
  for (int i = 0; i < out.size(); ++i) out[i] = with_shape(out[i], c.n, c.one[i].shape);
  return out;
}

// Places of extremes: in the flattened slice where no axis is named.
TensorList place_rule(const BatchCall& c) {
  if (!axes_of(c).empty() || c.rank(0) == 0) return reduce_rule(c);
  const Tensor lines = reshape(c.in[0], {c.n, c.slice(0).numel()});
  TensorList out = call_n(c.op, with_field(c.attrs, "axes", Dims{1}).get(), {&lines, 1});
  for (int i = 0; i < out.size(); ++i) out[i] = with_shape(out[i], c.n, c.one[i].shape);
  return out;
}

// ---- Shapes -------------------------------------------------------------------------------------

TensorList reshape_rule(const BatchCall& c) {
  return {reshape(c.in[0], batched_shape(c.n, c.one[0].shape))};
}

TensorList transpose_rule(const BatchCall& c) {
  const Dims& perm = static_cast<const TransposeAttrs*>(c.attrs.get())->perm;
  const int rank = c.rank(0);
  Dims all{0};
  for (int d = 0; d < rank; ++d) {
    const int64_t from = perm.empty() ? rank - 1 - d : perm[d];
    all.push_back((from < 0 ? from + rank : from) + 1);
  }
  return {transpose(c.in[0], all)};
}

Dims in_front(int64_t first, const Dims& rest) {
  Dims all{first};
  for (const int64_t v : rest) all.push_back(v);
  return all;
}

AnyAttrs sliced(const BatchCall& c, const Dims& starts, const Dims& ends, const Dims& steps) {
  AnyAttrs a = with_field(c.attrs, "starts", in_front(0, starts));
  a = with_field(a, "ends", in_front(kEnd, ends));
  return steps.empty() ? a : with_field(a, "steps", in_front(1, steps));
}

TensorList slice_rule(const BatchCall& c) {
  const auto& a = *static_cast<const SliceAttrs*>(c.attrs.get());
  return call_spread(c, sliced(c, a.starts, a.ends, a.steps));
}

TensorList slice_grad_rule(const BatchCall& c) {
  const auto& a = *static_cast<const SliceGradAttrs*>(c.attrs.get());
  const AnyAttrs all = sliced(c, a.starts, a.ends, a.steps);
  return call_spread(c, with_field(all, "shape", in_front(c.n, a.shape)));
}

TensorList pad_rule(const BatchCall& c) {
  const auto& a = *static_cast<const PadAttrs*>(c.attrs.get());
  const AnyAttrs all = with_field(c.attrs, "before", in_front(0, a.before));
  return call_spread(c, with_field(all, "after", in_front(0, a.after)));
}

TensorList broadcast_to_rule(const BatchCall& c) {
  const auto& a = *static_cast<const BroadcastToAttrs*>(c.attrs.get());
  const Shape shape = batched_shape(c.n, c.one[0].shape);
  Dims axes;
  for (const int64_t d : a.axes) axes.push_back(behind(d));
  return {broadcast_to(axes.empty() ? padded(c, 0, c.one[0].rank()) : c.in[0], shape, axes)};
}

TensorList sum_to_shape_rule(const BatchCall& c) {
  const auto& a = *static_cast<const SumToShapeAttrs*>(c.attrs.get());
  Shape shape{c.n};
  for (int d = c.one[0].rank(); d < c.rank(0); ++d) shape.push_back(1);
  for (int d = 0; d < c.one[0].rank(); ++d) shape.push_back(c.one[0].dim(d));
  return {with_shape(sum_to_shape(c.in[0], shape, a.dtype), c.n, c.one[0].shape)};
}

// Where elements lie is no affair of the slices.
TensorList reorder_rule(const BatchCall& c) { return {cast(contiguous(c.in[0]), c.one[0].dtype)}; }

TensorList flip_rule(const BatchCall& c) {
  if (c.rank(0) == 0) return {c.in[0]};
  Dims axes;
  const Dims named = axes_of(c);
  for (const int64_t a : named) axes.push_back(behind(a));
  for (int d = 1; named.empty() && d <= c.rank(0); ++d) axes.push_back(d);
  return {flip(c.in[0], axes)};
}

TensorList diagonal_rule(const BatchCall& c) {
  const auto& a = *static_cast<const DiagonalAttrs*>(c.attrs.get());
  return call_spread(
      c, with_field(with_field(c.attrs, "axis1", behind(a.axis1)), "axis2", behind(a.axis2)));
}

// ---- Products -----------------------------------------------------------------------------------

// A line is a row on the left and a column on the right; then leading dimensions that broadcast.
TensorList matmul_rule(const BatchCall& c) {
  auto a = *static_cast<const MatmulAttrs*>(c.attrs.get());
  const int lead = std::max({c.rank(0), c.rank(1), 2});
  auto matrix = [&](int i) -> Tensor {
    if (!c.is_batched(i)) return c.in[i];
    if (c.rank(i) >= 2) return padded(c, i, lead);
    bool& turned = i == 0 ? a.transpose_a : a.transpose_b;
    turned = false;
    Shape s{c.n};
    for (int d = 2; d < lead; ++d) s.push_back(1);
    s.push_back(i == 0 ? 1 : c.in[i].dim(1));
    s.push_back(i == 0 ? c.in[i].dim(1) : 1);
    return reshape(c.in[i], s);
  };
  const Tensor x = matrix(0), y = matrix(1);
  return {with_shape(matmul(x, y, a), c.n, c.one[0].shape)};
}

TensorList linear_rule(const BatchCall& c) {
  if (c.rank(0) == 0) return {};
  const bool shared = !c.is_batched(1) && !c.is_batched(2);
  if (shared) return {linear(c.in[0], c.in[1], c.has(2) ? c.in[2] : Tensor())};
  const int64_t wide = c.slice(0)[c.rank(0) - 1], out = c.slice(1)[0];
  const int64_t rows = product(c.slice(0), 0, c.rank(0) - 1);
  const Tensor x =
      c.is_batched(0) ? reshape(c.in[0], {c.n, rows, wide}) : reshape(c.in[0], {rows, wide});
  Tensor y = c.is_batched(1) ? matmul(x, c.in[1], {.transpose_b = true}) : linear(x, c.in[1]);
  if (c.has(2)) y = y + (c.is_batched(2) ? reshape(c.in[2], {c.n, 1, out}) : c.in[2]);
  if (y.rank() == 2) y = broadcast_to(y, {c.n, rows, out});
  return {cast(with_shape(y, c.n, c.one[0].shape), c.one[0].dtype)};
}

// Systems of equations: a right-hand side that is one column keeps its meaning.
TensorList solve_rule(const BatchCall& c) {
  std::vector<Tensor> in = c.spread_all();
  if (c.rank(1) < 2) in[1] = reshape(in[1], batched_shape(c.n, {c.slice(1)[0], 1}));
  if (c.rank(0) != 2 && c.rank(1) != c.rank(0)) return {};
  if (c.rank(0) == 2 && c.rank(1) > 2) return {};
  return {with_shape(call_n(c.op, c.attrs.get(), in)[0], c.n, c.one[0].shape)};
}

// ---- Random numbers -----------------------------------------------------------------------------

// One key draws for all slices.
TensorList drawn_rule(const BatchCall& c) {
  if (c.is_batched(0)) return {};
  const Dims shape =
      std::get<Dims>(c.attrs.info()->get(c.attrs.get(), field_index(*c.attrs.info(), "shape")));
  return call_n(c.op, with_field(c.attrs, "shape", in_front(c.n, shape)).get(), c.in);
}

TensorList drawn_like_rule(const BatchCall& c) {
  if (c.is_batched(0)) return {};
  std::vector<Tensor> in = c.spread_all();
  in[0] = c.in[0];
  return call_n(c.op, c.attrs.get(), in);
}

const BatchRow kRows[] = {
    {&kSum, reduce_rule},
    {&kMean, reduce_rule},
    {&kMax, reduce_rule},
    {&kMin, reduce_rule},
    {&kProd, reduce_rule},
    {&kAny, reduce_rule},
    {&kAll, reduce_rule},
    {&kNorm, reduce_rule},
    {&kLogSumExp, reduce_rule},
    {&kVar, reduce_rule},
    {&kStd, reduce_rule},
    {&kArgmax, place_rule},
    {&kArgmin, place_rule},
    {&kMedian, place_rule},
    {&kNanmedian, place_rule},
    {&kCumsum, axis_rule},
    {&kCumprod, axis_rule},
    {&kCummax, axis_rule},
    {&kCummin, axis_rule},
    {&kLogcumsumexp, axis_rule},
    {&kSoftmax, axis_rule},
    {&kLogSoftmax, axis_rule},
    {&kSoftmaxGrad, axis_rule},
    {&kLogSoftmaxGrad, axis_rule},
    {&kConcat, axis_rule},
    {&kSplit, axis_rule},
    {&kFft, axis_rule},
    {&kIfft, axis_rule},
    {&kRfft, axis_rule},
    {&kIrfft, axis_rule},
    {&kReshape, reshape_rule},
    {&kTranspose, transpose_rule},
    {&kSlice, slice_rule},
    {&kSliceGrad, slice_grad_rule},
    {&kPad, pad_rule},
    {&kPadGrad, pad_rule},
    {&kBroadcastTo, broadcast_to_rule},
    {&kSumToShape, sum_to_shape_rule},
    {&kFlip, flip_rule},
    {&kDiagonal, diagonal_rule},
    {&kContiguous, leading_rule},
    {&kStopGradient, leading_rule},
    {&kReorder, reorder_rule},
    {&kTril, leading_rule},
    {&kTriu, leading_rule},
    {&kConj, leading_rule},
    {&kViewAsReal, leading_rule},
    {&kViewAsComplex, leading_rule},
    {&kRequireRange, leading_rule},
    {&kMatmul, matmul_rule},
    {&kLinear, linear_rule},
    {&kCholesky, leading_rule},
    {&kLuFactor, leading_rule},
    {&kLuPermutation, leading_rule},
    {&kQr, leading_rule},
    {&kSvd, leading_rule},
    {&kEigh, leading_rule},
    {&kEig, leading_rule},
    {&kInverse, leading_rule},
    {&kMatrixExp, leading_rule},
    {&kSolve, solve_rule},
    {&kSolveTriangular, solve_rule},
    {&kRandomUniform, drawn_rule},
    {&kRandomNormal, drawn_rule},
    {&kTruncatedNormal, drawn_rule},
    {&kRandomRandint, drawn_rule},
    {&kRandomBernoulli, drawn_rule},
    {&kDropout, drawn_like_rule},
    {&kRandomGamma, drawn_like_rule},
    {&kRandomPoisson, drawn_like_rule},
};

}  // namespace

BatchRule batch_rule(const OpDef& op) {
  if (op.elementwise) return elementwise_rule;
  static const auto* const rules = [] {
    auto* all = new std::unordered_map<const OpDef*, BatchRule>;
    for (const std::span<const BatchRow> part :
         {std::span<const BatchRow>(kRows), index_batch_rules(), layer_batch_rules()}) {
      for (const BatchRow& row : part) all->emplace(row.op, row.rule);
    }
    return all;
  }();
  const auto it = rules->find(&op);
  return it == rules->end() ? nullptr : it->second;
}

}  // namespace rutile::ops
