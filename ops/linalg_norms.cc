// SPDX-License-Identifier: Apache-2.0
// Norms, ranks, pseudo-inverses, powers and chains of products: compositions.
#include <cmath>
#include <limits>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/linalg_util.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <int N>
double cubic_flops(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  return x.rank() < 2 ? 0 : N * elements(x) * static_cast<double>(smaller_side(x));
}

// ---- Norms ------------------------------------------------------------------------------------

Status infer_vector_norm(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<VectorNormAttrs>();
  const TensorMeta& x = c.in(0);
  if (!is_differentiable(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  if (std::isnan(a.ord)) return value_error("ord expects a number, got NaN");
  uint32_t mask = 0;
  RUTILE_RETURN_IF_ERROR(axis_mask(a.axes, x.rank(), &mask));
  Shape shape;
  bool nothing = false;
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduced = mask >> i & 1u;
    nothing |= reduced && x.dim(i) == 0;
    if (!reduced) {
      shape.push_back(x.dim(i));
    } else if (a.keepdims) {
      shape.push_back(1);
    }
  }
  if (nothing && (a.ord < 0 || std::isinf(a.ord)) && shape.numel() != 0) {
    return value_error(cat("of order ", a.ord, " has no value over no elements"));
  }
  *out = TensorMeta(shape, real_dtype(x.dtype), x.device);
  return Status();
}
TensorList compose_vector_norm(const void* attrs, In in) {
  const auto& a = *static_cast<const VectorNormAttrs*>(attrs);
  const Tensor x = is_complex(in[0].dtype()) ? abs(in[0]) : wide(in[0]);
  const ReduceAttrs over{a.axes, a.keepdims};
  const SumAttrs sums{a.axes, a.keepdims};
  Tensor y;
  if (a.ord == 2) {
    y = norm(x, over);
  } else if (std::isinf(a.ord)) {
    y = a.ord > 0 ? max(abs(x), over) : min(abs(x), over);
  } else if (a.ord == 0) {
    y = sum(cast(not_equal(x, 0), x.dtype()), sums);
  } else if (a.ord == 1) {
    y = sum(abs(x), sums);
  } else {
    const Tensor size = abs(x);
    const Tensor powers = a.ord < 2 ? flat_power(size, a.ord) : pow(size, a.ord);
    y = flat_power(sum(powers, sums), 1 / a.ord);
  }
  return {cast(y, real_dtype(in[0].dtype()))};
}

bool is_matrix_norm(const std::string& ord) {
  for (const char* known : {"fro", "nuc", "inf", "-inf", "1", "-1", "2", "-2"}) {
    if (ord == known) return true;
  }
  return false;
}
Status check_order(const char* name, const std::string& ord) {
  if (is_matrix_norm(ord)) return Status();
  return value_error(cat(name, " expects fro, nuc, inf, -inf, 1, -1, 2 or -2, got ", ord));
}
Status infer_matrix_norm(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<MatrixNormAttrs>();
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_matrix(x));
  RUTILE_RETURN_IF_ERROR(check_order("ord", a.ord));
  // What the smallest is taken of: sums of rows or columns, or singular values.
  int64_t smallest_of = 1;
  if (a.ord == "-inf") smallest_of = rows_of(x);
  if (a.ord == "-1") smallest_of = cols_of(x);
  if (a.ord == "-2") smallest_of = smaller_side(x);
  if (smallest_of == 0 && batch_and(x, 2).numel() != 0) {
    return value_error(cat("of order ", a.ord, " has no value over no elements"));
  }
  const int64_t kept = a.keepdims ? 1 : -1;
  *out = TensorMeta(batch_and(x, 2, kept, kept), real_dtype(x.dtype), x.device);
  return Status();
}
TensorList compose_matrix_norm(const void* attrs, In in) {
  const auto& a = *static_cast<const MatrixNormAttrs*>(attrs);
  const Tensor& x = in[0];
  Tensor y;
  if (x.numel() == 0) {
    y = sum(real(x), {.axes = {-2, -1}});
  } else if (a.ord == "fro") {
    y = norm(is_complex(x.dtype()) ? abs(x) : x, {.axes = {-2, -1}});
  } else if (a.ord == "nuc") {
    y = sum(svdvals(x), {.axes = {-1}});
  } else {
    const bool by_rows = a.ord == "inf" || a.ord == "-inf";
    const bool singular = a.ord == "2" || a.ord == "-2";
    const Tensor of = singular ? svdvals(x) : sum(abs(x), {.axes = {by_rows ? -1 : -2}});
    const ReduceAttrs last{.axes = {-1}};
    y = a.ord[0] == '-' ? min(of, last) : max(of, last);
  }
  if (a.keepdims) y = expand_dims(expand_dims(y, -1), -1);
  return {y};
}

Status infer_cond(const CallMeta& c, TensorMeta* out) {
  const std::string& p = c.as<LinalgCondAttrs>().p;
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_order("p", p));
  const bool singular = p == "2" || p == "-2";
  RUTILE_RETURN_IF_ERROR(singular ? check_matrix(x) : check_square(x));
  if (rows_of(x) * cols_of(x) == 0) {
    return value_error(cat("has no value for matrices without elements, got shape ", x.shape));
  }
  *out = TensorMeta(batch_and(x, 2), real_dtype(x.dtype), x.device);
  return Status();
}
TensorList compose_cond(const void* attrs, In in) {
  const std::string& p = static_cast<const LinalgCondAttrs*>(attrs)->p;
  if (p == "2" || p == "-2") {
    const Tensor s = svdvals(in[0]);
    const Tensor large = select(s, -1, 0), small = select(s, -1, -1);
    return {p == "2" ? large / small : small / large};
  }
  const MatrixNormAttrs a{.ord = p};
  Tensor singular;
  const Tensor inv = inverse_where_regular(in[0], &singular);
  return {where(singular, kInfinity, matrix_norm(in[0], a) * matrix_norm(inv, a))};
}

// ---- By singular values -----------------------------------------------------------------------

double epsilon(const Tensor& x) {
  return real_dtype(x.dtype()) == DType::kF64 ? std::numeric_limits<double>::epsilon()
                                              : std::numeric_limits<float>::epsilon();
}
// Negative: the default.
double tolerance(const Tensor& x, double rtol) {
  if (rtol >= 0) return rtol;
  return epsilon(x) * static_cast<double>(std::max(rows_of(x.meta()), cols_of(x.meta())));
}

Status infer_matrix_rank(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const bool hermitian = c.as<MatrixRankAttrs>().hermitian;
  RUTILE_RETURN_IF_ERROR(hermitian ? check_square(x) : check_matrix(x));
  *out = TensorMeta(batch_and(x, 2), DType::kI64, x.device);
  return Status();
}
TensorList compose_matrix_rank(const void* attrs, In in) {
  const auto& a = *static_cast<const MatrixRankAttrs*>(attrs);
  const Tensor& x = in[0];
  if (smaller_side(x.meta()) == 0) return {zeros(batch_and(x.meta(), 2), DType::kI64)};
  const Tensor s = a.hermitian ? abs(eigvalsh(x)) : svdvals(x);
  const double rtol = a.rtol < 0 && a.atol > 0 ? 0 : tolerance(x, a.rtol);
  const Tensor limit = maximum(max(s, {.axes = {-1}, .keepdims = true}) * rtol, a.atol);
  return {sum(cast(greater(s, limit), DType::kI64), {.axes = {-1}})};
}

Status infer_pinv(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(c.as<PinvAttrs>().hermitian ? check_square(x) : check_matrix(x));
  *out = TensorMeta(batch_and(x, 2, cols_of(x), rows_of(x)), x.dtype, x.device);
  return Status();
}
TensorList compose_pinv(const void* attrs, In in) {
  const auto& a = *static_cast<const PinvAttrs*>(attrs);
  const Tensor& x = in[0];
  if (smaller_side(x.meta()) == 0) {
    return {zeros(batch_and(x.meta(), 2, cols_of(x.meta()), rows_of(x.meta())), x.dtype())};
  }
  Tensor left, s, right;  // x = left' diag(s) right'
  if (a.hermitian) {
    const Eigh e = eigh(x);
    left = mh(e.v), s = e.w, right = e.v;
  } else {
    const Svd d = svd(x, false);
    left = mh(d.u), s = d.s, right = mh(d.vh);
  }
  const Tensor size = abs(s);
  const Tensor limit = max(size, {.axes = {-1}, .keepdims = true}) * tolerance(x, a.rtol);
  const Tensor keep = greater(size, limit);
  const Tensor inverse = where(keep, 1.0 / where(keep, s, 1.0), 0.0);
  return {matmul(right * expand_dims(inverse, -2), left)};
}
// Golub and Pereyra (1973): -P' G P' + (1 - A P) G' P P' + P' P G' (1 - P A).
GradResult grad_pinv(GradCtx& c) {
  const Tensor &a = c.in(0), &p = c.out();
  const Tensor pt = mh(p), gt = mh(c.grad());
  const Tensor second = matmul(gt - matmul(a, matmul(p, gt)), matmul(p, pt));
  const Tensor third = matmul(matmul(pt, p), gt - matmul(matmul(gt, p), a));
  return {second + third - matmul(matmul(pt, c.grad()), pt)};
}

Status infer_lstsq(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &a = c.in(0), &b = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_matrix(a, "a"));
  RUTILE_RETURN_IF_ERROR(infer_system(a, b, out));
  Shape shape = out->shape;
  shape[shape.rank() - 2] = cols_of(a);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, a.dtype, a.device);
  return Status();
}
TensorList compose_lstsq(const void* attrs, In in) {
  const double rcond = static_cast<const LstsqAttrs*>(attrs)->rcond;
  return {matmul(pinv(in[0], {.rtol = rcond}), in[1])};
}

// ---- Products ---------------------------------------------------------------------------------

Status infer_matrix_power(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(0)));
  *out = TensorMeta(c.in(0).shape, c.in(0).dtype, c.in(0).device);
  return Status();
}
TensorList compose_matrix_power(const void* attrs, In in) {
  const int64_t n = static_cast<const MatrixPowerAttrs*>(attrs)->n;
  const Tensor& x = in[0];
  if (n == 0) {
    const Tensor one = eye(cols_of(x.meta()), x.dtype());
    return {contiguous(broadcast_to(one, x.shape()))};
  }
  Tensor square = n < 0 ? inverse(x) : x, y;
  const auto size = static_cast<uint64_t>(n);
  for (uint64_t left = n < 0 ? 0 - size : size; left; left >>= 1) {
    if (left & 1u) y = y.defined() ? matmul(y, square) : square;
    if (left > 1) square = matmul(square, square);
  }
  return {y};
}
double power_flops(const CallMeta& c) {
  const double n = std::abs(static_cast<double>(c.as<MatrixPowerAttrs>().n));
  return cubic_flops<3>(c) * std::log2(n + 2);
}

// Sizes of a chain: matrix i is [d[i], d[i + 1]]; vectors at the ends are rows and columns.
Status chain_sizes(std::span<const TensorMeta* const> xs, std::vector<int64_t>* d) {
  const size_t n = xs.size();
  if (n < 2) return value_error(cat("expects at least two matrices, got ", n));
  for (size_t i = 0; i < n; ++i) {
    const TensorMeta& x = *xs[i];
    if (x.dtype != xs[0]->dtype) {
      return type_error(cat("expects inputs of one dtype, got ", xs[0]->dtype, " and ", x.dtype));
    }
    const bool end = i == 0 || i == n - 1;
    if (x.dtype == DType::kBool) return type_error("expects numbers, got bool");
    if (x.rank() != 2 && !(end && x.rank() == 1)) {
      return value_error(cat("expects matrices (or vectors at the ends), got shape ", x.shape));
    }
    const int64_t m = x.rank() == 1 && i == 0 ? 1 : x.dim(0);
    const int64_t k = x.rank() == 1 ? (i == 0 ? x.dim(0) : 1) : x.dim(1);
    if (i > 0 && d->back() != m) {
      return value_error(cat("shapes ", xs[i - 1]->shape, " and ", x.shape, " do not chain"));
    }
    if (i == 0) d->push_back(m);
    d->push_back(k);
  }
  return Status();
}
Status infer_multi_dot(const CallMeta& c, TensorMeta* out) {
  std::vector<int64_t> d;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!c.has(i)) return value_error("expects no empty input");
  }
  RUTILE_RETURN_IF_ERROR(chain_sizes(c.inputs, &d));
  Shape shape;
  if (c.in(0).rank() == 2) shape.push_back(d.front());
  if (c.in(c.num_inputs() - 1).rank() == 2) shape.push_back(d.back());
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, c.in(0).dtype, c.in(0).device);
  return Status();
}

// split[i * n + j]: where the cheapest order cuts matrices i .. j (Cormen et al., 15.2).
std::vector<size_t> cheapest_order(const std::vector<int64_t>& d, double* cost) {
  const size_t n = d.size() - 1;
  std::vector<double> best(n * n, 0);
  std::vector<size_t> split(n * n, 0);
  for (size_t len = 2; len <= n; ++len) {
    for (size_t i = 0, j = len - 1; j < n; ++i, ++j) {
      best[i * n + j] = std::numeric_limits<double>::infinity();
      for (size_t k = i; k < j; ++k) {
        const double product = static_cast<double>(d[i]) * static_cast<double>(d[k + 1]) *
                               static_cast<double>(d[j + 1]);
        const double all = best[i * n + k] + best[(k + 1) * n + j] + product;
        if (all < best[i * n + j]) {
          best[i * n + j] = all;
          split[i * n + j] = k;
        }
      }
    }
  }
  *cost = best[n - 1];
  return split;
}
Tensor chain(In xs, const std::vector<size_t>& split, size_t i, size_t j) {
  if (i == j) return xs[i];
  const size_t k = split[i * xs.size() + j];
  return matmul(chain(xs, split, i, k), chain(xs, split, k + 1, j));
}
TensorList compose_multi_dot(const void*, In in) {
  std::vector<const TensorMeta*> metas;
  for (const Tensor& x : in) metas.push_back(&x.meta());
  std::vector<int64_t> d;
  throw_if_error(chain_sizes(metas, &d));
  double cost = 0;
  return {chain(in, cheapest_order(d, &cost), 0, in.size() - 1)};
}
double chain_flops(const CallMeta& c) {
  std::vector<int64_t> d;
  double cost = 0;
  if (chain_sizes(c.inputs, &d).ok()) cheapest_order(d, &cost);
  return 2 * cost;
}

}  // namespace

constinit const OpDef kVectorNorm = define({.name = "vector_norm",
                                            .inputs = {"x"},
                                            .attrs = attrs_of<VectorNormAttrs>(),
                                            .infer = infer_vector_norm,
                                            .flops = flops_per_input<3>,
                                            .compose = compose_vector_norm,
                                            .amp = Amp::kHigh,
                                            .doc = "(sum |x|^ord)^(1 / ord) over axes."});
Tensor vector_norm(Arg x, VectorNormAttrs attrs) {
  return call1(kVectorNorm, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kMatrixNorm = define({.name = "matrix_norm",
                                            .inputs = {"x"},
                                            .attrs = attrs_of<MatrixNormAttrs>(),
                                            .infer = infer_matrix_norm,
                                            .flops = flops_per_input<2>,
                                            .compose = compose_matrix_norm,
                                            .amp = Amp::kHigh,
                                            .checks_values = true,
                                            .doc = "A norm of each matrix."});
Tensor matrix_norm(Arg x, MatrixNormAttrs attrs) {
  return call1(kMatrixNorm, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kLinalgCond = define({.name = "linalg_cond",
                                            .inputs = {"x"},
                                            .attrs = attrs_of<LinalgCondAttrs>(),
                                            .infer = infer_cond,
                                            .flops = cubic_flops<4>,
                                            .compose = compose_cond,
                                            .amp = Amp::kHigh,
                                            .checks_values = true,
                                            .doc = "Condition number of each matrix."});
Tensor linalg_cond(Arg x, const std::string& p) {
  const LinalgCondAttrs a{p};
  return call1(kLinalgCond, &a, {x.tensor}, x.where);
}

constinit const OpDef kMatrixRank = define({.name = "matrix_rank",
                                            .inputs = {"x"},
                                            .attrs = attrs_of<MatrixRankAttrs>(),
                                            .infer = infer_matrix_rank,
                                            .flops = cubic_flops<4>,
                                            .compose = compose_matrix_rank,
                                            .amp = Amp::kHigh,
                                            .checks_values = true,
                                            .no_grad = "gives integers",
                                            .doc = "How many singular values are not zero."});
Tensor matrix_rank(Arg x, MatrixRankAttrs attrs) {
  return call1(kMatrixRank, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kPinv = define({.name = "pinv",
                                      .inputs = {"x"},
                                      .attrs = attrs_of<PinvAttrs>(),
                                      .infer = infer_pinv,
                                      .flops = cubic_flops<14>,
                                      .grad = grad_pinv,
                                      .saves = {"x", "y"},
                                      .compose = compose_pinv,
                                      .amp = Amp::kHigh,
                                      .checks_values = true,
                                      .doc = "Moore-Penrose inverse by singular values."});
Tensor pinv(Arg x, PinvAttrs attrs) { return call1(kPinv, &attrs, {x.tensor}, x.where); }

constinit const OpDef kLstsq =
    define({.name = "lstsq",
            .inputs = {"a", "b"},
            .outputs = {"x"},
            .attrs = attrs_of<LstsqAttrs>(),
            .infer = infer_lstsq,
            .flops = cubic_flops<14>,
            .compose = compose_lstsq,
            .amp = Amp::kHigh,
            .promote = true,
            .checks_values = true,
            .doc = "The smallest X that minimises |A X - B|, for A of any rank."});
Tensor lstsq(Arg a, Arg b, double rcond) {
  const LstsqAttrs attrs{rcond};
  return call1(kLstsq, &attrs, {a.tensor, b.tensor}, a.where);
}

constinit const OpDef kMatrixPower = define({.name = "matrix_power",
                                             .inputs = {"x"},
                                             .attrs = attrs_of<MatrixPowerAttrs>(),
                                             .infer = infer_matrix_power,
                                             .flops = power_flops,
                                             .compose = compose_matrix_power,
                                             .amp = Amp::kHigh,
                                             .checks_values = true,
                                             .doc = "Square matrices to an integer power."});
Tensor matrix_power(Arg x, int64_t n) {
  const MatrixPowerAttrs a{n};
  return call1(kMatrixPower, &a, {x.tensor}, x.where);
}

constinit const OpDef kMultiDot =
    define({.name = "multi_dot",
            .inputs = {"xs*"},
            .infer = infer_multi_dot,
            .flops = chain_flops,
            .compose = compose_multi_dot,
            .amp = Amp::kLow,
            .promote = true,
            .doc = "The product of a chain of matrices in the cheapest order."});
Tensor multi_dot(std::span<const Tensor> xs, std::source_location where) {
  return call_n(kMultiDot, nullptr, xs, where)[0];
}

}  // namespace rutile::ops
