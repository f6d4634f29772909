// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/arrange.h"

#include <algorithm>
#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/ops/view_meta.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

// ---- Diagonals ----------------------------------------------------------------------------------

Status two_axes(int64_t first, int64_t second, int rank, int* a, int* b) {
  RUTILE_RETURN_IF_ERROR(normalize_axis(first, rank, a));
  RUTILE_RETURN_IF_ERROR(normalize_axis(second, rank, b));
  return *a != *b ? Status() : value_error(cat("axis ", first, " is named twice"));
}

// Elements of a diagonal of an [r, c] matrix.
int64_t diagonal_length(int64_t r, int64_t c, int64_t offset) {
  if (offset >= c || offset <= -r) return 0;
  return offset >= 0 ? std::min(r, c - offset) : std::min(r + offset, c);
}

Status infer_diagonal(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<DiagonalAttrs>();
  const TensorMeta& x = c.in(0);
  int first = 0, second = 0;
  RUTILE_RETURN_IF_ERROR(two_axes(a.axis1, a.axis2, x.rank(), &first, &second));
  if (x.layout != kStrided) return no_view(x, "of its diagonal");
  Shape shape;
  Strides strides;
  for (int i = 0; i < x.rank(); ++i) {
    if (i == first || i == second) continue;
    shape.push_back(x.shape[i]);
    strides.push_back(x.strides[i]);
  }
  shape.push_back(diagonal_length(x.dim(first), x.dim(second), a.offset));
  strides.push_back(x.strides[first] + x.strides[second]);
  *out = view_meta(x, shape, strides);
  return Status();
}

int64_t diagonal_offset(const CallMeta& c, int) {
  const auto& a = c.as<DiagonalAttrs>();
  const TensorMeta& x = c.in(0);
  int first = 0, second = 0;
  if (!two_axes(a.axis1, a.axis2, x.rank(), &first, &second).ok() || c.out().numel() == 0) return 0;
  return a.offset >= 0 ? a.offset * x.strides[second] : -a.offset * x.strides[first];
}

// [.., n] to [.., r, c] with it on a diagonal, zeros elsewhere: c + 1 places from one element to
// the next in the matrix as a line.
Tensor on_diagonal(const Tensor& x, int64_t r, int64_t c, int64_t offset) {
  const int64_t n = x.shape().back(), first = offset >= 0 ? offset : -offset * c;
  SliceGradAttrs a;
  for (int i = 0; i < x.rank() - 1; ++i) {
    a.shape.push_back(x.dim(i));
    a.starts.push_back(0);
    a.ends.push_back(x.dim(i));
    a.steps.push_back(1);
  }
  Shape shape = a.shape;
  shape.push_back(r);
  shape.push_back(c);
  if (n == 0) return full(shape, 0, x.dtype());
  a.shape.push_back(r * c);
  a.starts.push_back(first);
  a.ends.push_back(first + (n - 1) * (c + 1) + 1);
  a.steps.push_back(c + 1);
  return reshape(call1(kSliceGrad, &a, {x}), shape);
}

// The last two dimensions moved to axes a and b.
Tensor spread_last(const Tensor& x, int a, int b) {
  Dims perm;
  int rest = 0;
  for (int i = 0; i < x.rank(); ++i) {
    perm.push_back(i == a ? x.rank() - 2 : i == b ? x.rank() - 1 : rest++);
  }
  return permute(x, perm);
}

GradResult grad_diagonal(GradCtx& c) {
  const auto& a = c.attrs<DiagonalAttrs>();
  const TensorMeta& x = c.in_meta(0);
  int first = 0, second = 0;
  throw_if_error(two_axes(a.axis1, a.axis2, x.rank(), &first, &second));
  if (c.grad().numel() == 0) return {full(x.shape, 0, x.dtype)};
  const Tensor full_size = on_diagonal(c.grad(), x.dim(first), x.dim(second), a.offset);
  return {spread_last(full_size, first, second)};
}

Status infer_diag_embed(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<DiagEmbedAttrs>();
  const TensorMeta& x = c.in(0);
  if (x.rank() == 0 || x.rank() == kMaxRank) {
    return value_error(cat("expects rank 1 to 7, got ", x.shape));
  }
  int first = 0, second = 0;
  RUTILE_RETURN_IF_ERROR(two_axes(a.axis1, a.axis2, x.rank() + 1, &first, &second));
  if (std::abs(static_cast<double>(a.offset)) > 1e15) return value_error("offset is too large");
  const int64_t size = x.shape.back() + (a.offset < 0 ? -a.offset : a.offset);
  Shape shape;
  int rest = 0;
  for (int i = 0; i <= x.rank(); ++i) {
    shape.push_back(i == first || i == second ? size : x.shape[rest++]);
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}
TensorList compose_diag_embed(const void* attrs, In in) {
  const auto& a = *static_cast<const DiagEmbedAttrs*>(attrs);
  int first = 0, second = 0;
  throw_if_error(two_axes(a.axis1, a.axis2, in[0].rank() + 1, &first, &second));
  const int64_t size = in[0].shape().back() + std::abs(a.offset);
  return {spread_last(on_diagonal(in[0], size, size, a.offset), first, second)};
}

Status infer_diag(const CallMeta& c, TensorMeta* out) {
  const int64_t offset = c.as<DiagAttrs>().offset;
  const TensorMeta& x = c.in(0);
  if (x.rank() == 1) {
    const DiagEmbedAttrs a{.offset = offset};
    return infer_diag_embed(CallMeta{&kDiagEmbed, &a, c.inputs, {}}, out);
  }
  if (x.rank() != 2) return value_error(cat("expects rank 1 or 2, got ", x.shape));
  *out = TensorMeta({diagonal_length(x.dim(0), x.dim(1), offset)}, x.dtype, x.device);
  return Status();
}
TensorList compose_diag(const void* attrs, In in) {
  const int64_t offset = static_cast<const DiagAttrs*>(attrs)->offset;
  if (in[0].rank() == 1) return {diag_embed(in[0], {.offset = offset})};
  return {contiguous(diagonal(in[0], {.offset = offset}))};
}

Status infer_trace(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).rank() != 2) return value_error(cat("expects a matrix, got ", c.in(0).shape));
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(linear_sum_dtype(c.in(0), {}, &dtype));
  *out = TensorMeta({}, dtype, c.in(0).device);
  return Status();
}
TensorList compose_trace(const void*, In in) { return {sum(diagonal(in[0]))}; }

Shape as_matrix(const Shape& s) {
  Shape m{1, 1};
  if (s.rank() > 0) m[1] = s.back();
  if (s.rank() > 1) m[0] = s[0];
  return m;
}
Status infer_block_diag(const CallMeta& c, TensorMeta* out) {
  Shape total{0, 0};
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if (x.rank() > 2) return value_error(cat("expects at most rank 2, got ", x.shape));
    if (x.dtype != c.in(0).dtype) {
      return type_error(cat("expects inputs of one dtype, got ", c.in(0).dtype, " and ", x.dtype));
    }
    const Shape m = as_matrix(x.shape);
    total[0] += m[0];
    total[1] += m[1];
  }
  if (c.num_inputs() == 0) return value_error("expects at least one tensor");
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(total, &numel));
  *out = TensorMeta(total, c.in(0).dtype, c.in(0).device);
  return Status();
}
TensorList compose_block_diag(const void*, In in) {
  int64_t columns = 0, before = 0;
  for (const Tensor& x : in) columns += as_matrix(x.shape())[1];
  std::vector<Tensor> rows;
  for (const Tensor& x : in) {
    const Tensor m = reshape(x, as_matrix(x.shape()));
    rows.push_back(pad(m, {0, before}, {0, columns - before - m.dim(1)}));
    before += m.dim(1);
  }
  return {concat(rows, 0)};
}

// ---- By rule ------------------------------------------------------------------------------------

Status check_made(const Shape& shape, DType dtype, TensorMeta* out) {
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  if (is_complex(dtype)) return type_error(cat("gives no complex numbers, dtype is ", dtype));
  *out = TensorMeta(shape, dtype);
  return Status();
}
Status infer_eye(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<EyeAttrs>();
  return check_made({a.n, a.m == -1 ? a.n : a.m}, a.dtype, out);
}
TensorList compose_eye(const void* attrs, In) {
  const auto& a = *static_cast<const EyeAttrs*>(attrs);
  const int64_t m = a.m == -1 ? a.n : a.m;
  return {on_diagonal(full({std::min(a.n, m)}, 1, a.dtype), a.n, m, 0)};
}

Status check_ends(double start, double end, DType dtype) {
  if (dtype == DType::kBool) return type_error("gives numbers, dtype is bool");
  if (std::isfinite(start) && std::isfinite(end) && std::isfinite(end - start)) return Status();
  return value_error(cat("expects finite ends, got ", start, " and ", end));
}
Status infer_linspace(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<LinspaceAttrs>();
  RUTILE_RETURN_IF_ERROR(check_ends(a.start, a.end, a.dtype));
  return check_made({a.steps}, a.dtype, out);
}
// In f64, from the nearer end: the last number is `end` itself.
Tensor line(double start, double end, int64_t steps) {
  if (steps == 1) return full({1}, start, DType::kF64);
  const Tensor i = arange(0.0, static_cast<double>(steps), 1.0, DType::kF64);
  const double step = (end - start) / static_cast<double>(std::max<int64_t>(steps - 1, 1));
  const Tensor back = static_cast<double>(steps - 1) - i;
  return where(less(i, static_cast<double>(steps / 2)), i * step + start, end - back * step);
}
TensorList compose_linspace(const void* attrs, In) {
  const auto& a = *static_cast<const LinspaceAttrs*>(attrs);
  return {cast(line(a.start, a.end, a.steps), a.dtype)};
}
Status infer_logspace(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<LogspaceAttrs>();
  RUTILE_RETURN_IF_ERROR(check_ends(a.start, a.end, a.dtype));
  return check_made({a.steps}, a.dtype, out);
}
TensorList compose_logspace(const void* attrs, In) {
  const auto& a = *static_cast<const LogspaceAttrs*>(attrs);
  return {cast(pow(full({}, a.base, DType::kF64), line(a.start, a.end, a.steps)), a.dtype)};
}

Status infer_vander(const CallMeta& c, TensorMeta* out) {
  const int64_t n = c.as<VanderAttrs>().n;
  const TensorMeta& x = c.in(0);
  if (x.rank() != 1) return value_error(cat("expects rank 1, got ", x.shape));
  if (!is_floating(x.dtype) && !is_integral(x.dtype)) {
    return type_error(cat("expects numbers, got ", x.dtype));
  }
  const Shape shape{x.dim(0), n == -1 ? x.dim(0) : n};
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}
TensorList compose_vander(const void* attrs, In in) {
  const auto& a = *static_cast<const VanderAttrs*>(attrs);
  const Tensor& x = in[0];
  const int64_t n = a.n == -1 ? x.numel() : a.n;
  const Tensor powers = a.increasing ? arange(0, n) : arange(n - 1, int64_t{-1}, -1);
  return {pow(reshape(x, {x.numel(), 1}), cast(powers, x.dtype()))};
}

// ---- Turned and moved ---------------------------------------------------------------------------

Status infer_rot90(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<Rot90Attrs>();
  const TensorMeta& x = c.in(0);
  if (a.axes.rank() != 2) return value_error(cat("expects two axes, got ", a.axes));
  int first = 0, second = 0;
  RUTILE_RETURN_IF_ERROR(two_axes(a.axes[0], a.axes[1], x.rank(), &first, &second));
  Shape shape = x.shape;
  *out = TensorMeta(x.shape, x.dtype, x.device);
  if (a.k % 2 != 0) {  // a turned view of what was flipped
    std::swap(shape[first], shape[second]);
    std::swap(out->strides[first], out->strides[second]);
    out->shape = shape;
  }
  return Status();
}
TensorList compose_rot90(const void* attrs, In in) {
  const auto& a = *static_cast<const Rot90Attrs*>(attrs);
  const Tensor x = contiguous(in[0]);
  switch ((a.k % 4 + 4) % 4) {
    case 1:
      return {swapaxes(flip(x, {a.axes[1]}), a.axes[0], a.axes[1])};
    case 2:
      return {flip(x, a.axes)};
    case 3:
      return {swapaxes(flip(x, {a.axes[0]}), a.axes[0], a.axes[1])};
    default:
      return {x};
  }
}

Status infer_roll(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RollAttrs>();
  const TensorMeta& x = c.in(0);
  if (a.axes.empty() ? a.shifts.rank() != 1 : a.shifts.rank() != a.axes.rank()) {
    return value_error(cat("shifts ", a.shifts, " do not go with axes ", a.axes));
  }
  for (const int64_t axis : a.axes) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(axis, x.rank(), &d));
  }
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}
TensorList compose_roll(const void* attrs, In in) {
  const auto& a = *static_cast<const RollAttrs*>(attrs);
  Tensor y = in[0];
  if (a.axes.empty()) return {reshape(roll(reshape(y, {y.numel()}), a.shifts[0], 0), y.shape())};
  for (int i = 0; i < a.axes.rank(); ++i) y = roll(y, a.shifts[i], a.axes[i]);
  return {y};
}

constexpr const char* kNoGradRule = "its result depends on attributes only";

}  // namespace

constinit const OpDef kDiagonal = define({.name = "diagonal",
                                          .inputs = {"x"},
                                          .attrs = attrs_of<DiagonalAttrs>(),
                                          .infer = infer_diagonal,
                                          .grad = grad_diagonal,
                                          .alias_of = {"x"},
                                          .view_offset = diagonal_offset,
                                          .doc = "The diagonal of two axes as last dimension."});
Tensor diagonal(Arg x, DiagonalAttrs attrs) {
  return call1(kDiagonal, &attrs, {x.tensor}, x.where);
}

#define RUTILE_COMPOSED(constant, op_name, Attrs, steps, text)               \
  constinit const OpDef constant = define({.name = #op_name,                 \
                                           .inputs = {"x"},                  \
                                           .attrs = attrs_of<Attrs>(),       \
                                           .infer = infer_##op_name,         \
                                           .flops = flops_per_output<steps>, \
                                           .compose = compose_##op_name,     \
                                           .doc = text})
RUTILE_COMPOSED(kDiagEmbed, diag_embed, DiagEmbedAttrs, 1, "Matrices with x on a diagonal.");
RUTILE_COMPOSED(kDiag, diag, DiagAttrs, 1, "A matrix's diagonal, or a matrix from one.");
RUTILE_COMPOSED(kVander, vander, VanderAttrs, 8, "Powers of each element as columns.");
RUTILE_COMPOSED(kRot90, rot90, Rot90Attrs, 1, "Turned by quarters in the plane of two axes.");
RUTILE_COMPOSED(kRoll, roll, RollAttrs, 1, "Moved along axes, round the end.");
Tensor diag_embed(Arg x, DiagEmbedAttrs attrs) {
  return call1(kDiagEmbed, &attrs, {x.tensor}, x.where);
}
Tensor diag(Arg x, int64_t offset) {
  const DiagAttrs a{offset};
  return call1(kDiag, &a, {x.tensor}, x.where);
}
Tensor vander(Arg x, VanderAttrs attrs) { return call1(kVander, &attrs, {x.tensor}, x.where); }
Tensor rot90(Arg x, int64_t k, const Dims& axes) {
  const Rot90Attrs a{k, axes};
  return call1(kRot90, &a, {x.tensor}, x.where);
}
Tensor roll(Arg x, const Dims& shifts, const Dims& axes) {
  const RollAttrs a{shifts, axes};
  return call1(kRoll, &a, {x.tensor}, x.where);
}

constinit const OpDef kTrace = define({.name = "trace",
                                       .inputs = {"x"},
                                       .infer = infer_trace,
                                       .flops = flops_per_output<1>,
                                       .compose = compose_trace,
                                       .doc = "The sum of a matrix's diagonal."});
Tensor trace(Arg x) { return call1(kTrace, nullptr, {x.tensor}, x.where); }

constinit const OpDef kBlockDiag = define({.name = "block_diag",
                                           .inputs = {"xs*"},
                                           .infer = infer_block_diag,
                                           .flops = flops_per_output<1>,
                                           .compose = compose_block_diag,
                                           .promote = true,
                                           .doc = "Matrices along the diagonal of one."});
Tensor block_diag(std::span<const Tensor> xs) { return call_n(kBlockDiag, nullptr, xs)[0]; }

#define RUTILE_RULE(constant, op_name, Attrs, text)                      \
  constinit const OpDef constant = define({.name = #op_name,             \
                                           .attrs = attrs_of<Attrs>(),   \
                                           .infer = infer_##op_name,     \
                                           .flops = flops_per_output<2>, \
                                           .compose = compose_##op_name, \
                                           .no_grad = kNoGradRule,       \
                                           .doc = text})
RUTILE_RULE(kEye, eye, EyeAttrs, "Ones on the diagonal, zeros elsewhere.");
RUTILE_RULE(kLinspace, linspace, LinspaceAttrs, "Numbers at equal distances, ends included.");
RUTILE_RULE(kLogspace, logspace, LogspaceAttrs, "Powers of base at equal distances.");
Tensor eye(int64_t n, int64_t m, DType dtype) {
  const EyeAttrs a{n, m, dtype};
  return call1(kEye, &a, {});
}
Tensor linspace(double start, double end, int64_t steps, DType dtype) {
  const LinspaceAttrs a{start, end, steps, dtype};
  return call1(kLinspace, &a, {});
}
Tensor logspace(double start, double end, int64_t steps, double base, DType dtype) {
  const LogspaceAttrs a{start, end, steps, base, dtype};
  return call1(kLogspace, &a, {});
}

// ---- Functions ----------------------------------------------------------------------------------

namespace {

Tensor triangle_indices(int64_t rows, int64_t columns, int64_t offset, bool lower) {
  std::vector<int64_t> places[2];
  int64_t numel = 0;
  throw_if_error(checked_numel({rows, columns}, &numel));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      if (lower ? j - i > offset : j - i < offset) continue;
      places[0].push_back(i);
      places[1].push_back(j);
    }
  }
  const auto k = static_cast<int64_t>(places[0].size());
  places[0].insert(places[0].end(), places[1].begin(), places[1].end());
  return Tensor::from<int64_t>(places[0], {2, k});
}

[[noreturn]] void refuse(const char* function, const std::string& what) {
  throw_error(ErrorCode::kValue, cat("[", function, "] ", what));
}

}  // namespace

Tensor tril_indices(int64_t rows, int64_t columns, int64_t offset) {
  return triangle_indices(rows, columns, offset, true);
}
Tensor triu_indices(int64_t rows, int64_t columns, int64_t offset) {
  return triangle_indices(rows, columns, offset, false);
}

Tensor movedim(Arg x, const Dims& source, const Dims& destination) {
  const int rank = x.tensor.rank();
  if (source.rank() != destination.rank()) refuse("movedim", "expects as many places as axes");
  Dims perm = Dims::filled(rank, -1);
  uint32_t moved = 0;
  for (int i = 0; i < source.rank(); ++i) {
    int from = 0, to = 0;
    throw_if_error(normalize_axis(source[i], rank, &from));
    throw_if_error(normalize_axis(destination[i], rank, &to));
    if ((moved >> from & 1u) || perm[to] >= 0) refuse("movedim", "an axis is named twice");
    moved |= 1u << from;
    perm[to] = from;
  }
  int rest = 0;
  for (int i = 0; i < rank; ++i) {
    if (perm[i] >= 0) continue;
    while (moved >> rest & 1u) ++rest;
    perm[i] = rest++;
  }
  return rank == 0 ? x.tensor : transpose(x, perm);
}

Tensor unflatten(Arg x, int64_t axis, const Shape& sizes) {
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  int64_t known = 1, open = 0;
  for (const int64_t n : sizes) {
    if (n == -1) {
      ++open;
    } else {
      if (n < 0 || known > (int64_t{1} << 48)) refuse("unflatten", cat("sizes ", sizes));
      known *= n;
    }
  }
  const int64_t total = x.tensor.dim(d);
  const bool fits = open == 0 ? known == total : open == 1 && known > 0 && total % known == 0;
  if (!fits) refuse("unflatten", cat("sizes ", sizes, " do not make ", total));
  Shape shape;
  for (int i = 0; i < x.tensor.rank(); ++i) {
    if (i != d) shape.push_back(x.tensor.dim(i));
    if (i != d) continue;
    for (const int64_t n : sizes) shape.push_back(n == -1 ? total / known : n);
  }
  return reshape(x, shape);
}

std::vector<Tensor> unbind(Arg x, int64_t axis) {
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < x.tensor.dim(d); ++i) parts.push_back(select(x, d, i));
  return parts;
}

std::vector<Tensor> meshgrid(std::span<const Tensor> xs, bool xy) {
  const int n = static_cast<int>(xs.size());
  if (n > kMaxRank) refuse("meshgrid", "at most 8 dimensions are possible");
  auto place = [&](int i) { return xy && n > 1 && i < 2 ? 1 - i : i; };
  Shape shape = Shape::filled(n, 1);
  for (int i = 0; i < n; ++i) {
    if (xs[i].rank() > 1) refuse("meshgrid", cat("expects rank 1, got ", xs[i].shape()));
    shape[place(i)] = xs[i].numel();
  }
  std::vector<Tensor> grids;
  for (int i = 0; i < n; ++i) {
    Shape own = Shape::filled(n, 1);
    own[place(i)] = xs[i].numel();
    grids.push_back(broadcast_to(reshape(xs[i], own), shape));
  }
  return grids;
}

Tensor cartesian_prod(std::span<const Tensor> xs) {
  if (xs.empty()) refuse("cartesian_prod", "expects at least one tensor");
  if (xs.size() == 1) return xs[0];
  std::vector<Tensor> columns;
  for (const Tensor& g : meshgrid(xs)) columns.push_back(reshape(g, {g.numel()}));
  return stack(columns, 1);
}

}  // namespace rutile::ops
