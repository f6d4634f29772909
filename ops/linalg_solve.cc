// SPDX-License-Identifier: Apache-2.0
// Inverses, systems of equations, determinants and the exponential. Gradients: Giles, "Collected
// matrix derivative results" (2008); the exponential's by the block matrix of Mathias (1996).
#include "rutile/ops/linalg.h"

#include <limits>

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/control.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg_util.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

template <int N>
double square_flops(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  return x.rank() < 2 ? 0 : N / 10.0 * elements(x) * static_cast<double>(cols_of(x));
}
double system_flops(const CallMeta& c) {
  const TensorMeta& a = c.in(0);
  const double factor = c.op == &kSolve ? square_flops<7>(c) : 0;
  return factor + 2 * elements(c.out()) * static_cast<double>(a.rank() < 2 ? 1 : cols_of(a));
}

double factored_flops(const CallMeta& c) {
  const TensorMeta& x = c.out();
  return x.rank() < 2 ? 0 : 2 * elements(x) * static_cast<double>(rows_of(x));
}

Status infer_square(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(0)));
  *out = TensorMeta(c.in(0).shape, c.in(0).dtype, c.in(0).device);
  return Status();
}

GradResult grad_inverse(GradCtx& c) {
  const Tensor t = mh(c.out());
  return {-matmul(matmul(t, c.grad()), t)};
}

// ---- Systems ----------------------------------------------------------------------------------

Status infer_solve(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &a = c.in(0), &b = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_square(a, "a"));
  if (!solves_vectors(a, b)) return infer_system(a, b, out);
  if (a.dtype != b.dtype) {
    return type_error(cat("expects inputs of one dtype, got ", a.dtype, " and ", b.dtype));
  }
  if (b.shape.back() != rows_of(a)) {
    return value_error(cat("b expects ", rows_of(a), " elements, got shape ", b.shape));
  }
  *out = TensorMeta(batch_and(a, 1), a.dtype, a.device);
  return Status();
}

// gB = A'^-1 gX, gA = -gB X', where ' is the adjoint.
GradResult grad_solve(GradCtx& c) {
  const bool vectors = solves_vectors(c.in_meta(0), c.in_meta(1));
  const Tensor gb = solve(mh(c.in(0)), c.grad());
  GradResult r{Tensor(), Tensor()};
  if (c.needs(0)) {
    const Tensor x = conj(c.out());
    const Tensor ga =
        vectors ? expand_dims(gb, -1) * expand_dims(x, -2) : matmul(gb, x, {.transpose_b = true});
    r[0] = unbroadcast(-ga, c.in_meta(0));
  }
  if (c.needs(1)) r[1] = unbroadcast(gb, c.in_meta(1));
  return r;
}

Status infer_triangular(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(0), "a"));
  return infer_system(c.in(0), c.in(1), out);
}
GradResult grad_triangular(GradCtx& c) {
  TriangularAttrs a = c.attrs<TriangularAttrs>();
  const bool transpose = a.transpose;
  a.transpose = !transpose;
  const Tensor gb = solve_triangular(conj(c.in(0)), c.grad(), a);
  GradResult r{Tensor(), Tensor()};
  if (c.needs(0)) {
    const Tensor x = conj(c.out());
    const Tensor ga = -(transpose ? matmul(x, mt(gb)) : matmul(gb, mt(x)));
    const int64_t off = a.unitriangular ? 1 : 0;
    r[0] = unbroadcast(a.upper ? triu(ga, off) : tril(ga, -off), c.in_meta(0));
  }
  if (c.needs(1)) r[1] = unbroadcast(gb, c.in_meta(1));
  return r;
}

Status infer_cholesky_solve(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(1), "factor"));
  return infer_system(c.in(1), c.in(0), out);
}
TensorList compose_cholesky_solve(const void* attrs, In in) {
  const bool upper = static_cast<const CholeskyAttrs*>(attrs)->upper;
  const Tensor &f = in[1], adjoint = conj(f);
  const Tensor y = solve_triangular(upper ? adjoint : f, in[0], {upper, upper});
  return {solve_triangular(upper ? f : adjoint, y, {upper, !upper})};
}
TensorList compose_cholesky_inverse(const void* attrs, In in) {
  const Tensor one = eye(cols_of(in[0].meta()), in[0].dtype());
  return {call1(kCholeskySolve, attrs, {one, in[0]})};
}

Status infer_lu_solve(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &lu = c.in(0), &pivots = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_square(lu, "lu"));
  if (pivots.dtype != DType::kI32) {
    return type_error(cat("pivots expects i32, got ", pivots.dtype));
  }
  if (!(pivots.shape == batch_and(lu, 1))) {
    return value_error(cat("pivots expects shape ", batch_and(lu, 1), ", got ", pivots.shape));
  }
  return infer_system(lu, c.in(2), out);
}
TensorList compose_lu_solve(const void*, In in) {
  const Tensor& lu = in[0];
  TensorMeta out;
  throw_if_error(infer_system(lu.meta(), in[2].meta(), &out));
  const Tensor b = broadcast_to(in[2], out.shape);
  const Tensor perm = expand_dims(lu_permutation(in[1], rows_of(out)), -1);
  const Tensor exchanged = take_along_axis(b, broadcast_to(perm, out.shape), -2);
  const Tensor y = solve_triangular(lu, exchanged, {.unitriangular = true});
  return {solve_triangular(lu, y, {.upper = true})};
}

// ---- Determinants -----------------------------------------------------------------------------

Status infer_det(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(0)));
  const TensorMeta& x = c.in(0);
  for (int i = 0; i < c.op->num_outputs; ++i) {
    out[i] = TensorMeta(batch_and(x, 2), i == 1 ? real_dtype(x.dtype) : x.dtype, x.device);
  }
  return Status();
}

// 1 for an even number of exchanges, else -1.
Tensor parity(const Tensor& pivots, DType dtype) {
  const Tensor own = arange(int64_t{1}, pivots.shape().back() + 1, 1, DType::kI32);
  const Tensor count = sum(cast(not_equal(pivots, own), DType::kI64), {.axes = {-1}});
  return 1.0 - 2.0 * cast(remainder(count, 2), dtype);
}

TensorList compose_det(const void*, In in) {
  const LuFactor f = lu_factor(in[0]);
  return {parity(f.pivots, in[0].dtype()) * prod(diagonal_of(f.lu), {.axes = {-1}})};
}

// conj(det) x'^-1. A zero on the diagonal of U becomes tiny: it leaves the product and comes back
// in the inverse, so that the cofactors of a singular matrix come out.
GradResult grad_det(GradCtx& c) {
  const Tensor& x = c.in(0);
  const int64_t n = cols_of(x.meta());
  if (x.numel() == 0) return {zeros_like(x)};
  const LuFactor f = lu_factor(x);
  const Tensor on = cast(eye(n, x.dtype()), DType::kBool);
  const double eps = real_dtype(x.dtype()) == DType::kF64 ? std::numeric_limits<double>::epsilon()
                                                          : std::numeric_limits<float>::epsilon();
  const Tensor u = where(logical_and(on, equal(f.lu, 0)), eps, f.lu);
  const Tensor d = parity(f.pivots, x.dtype()) * prod(diagonal_of(u), {.axes = {-1}});
  const Tensor scaled = expand_dims(expand_dims(c.grad() * conj(d), -1), -1) * eye(n, x.dtype());
  const Tensor z = solve_triangular(conj(u), scaled, {.upper = true, .transpose = true});
  return {unpermute(solve_triangular(conj(f.lu), z, {.transpose = true, .unitriangular = true}),
                    f.pivots)};
}

TensorList compose_slogdet(const void*, In in) {
  const LuFactor f = lu_factor(in[0]);
  const Tensor d = diagonal_of(f.lu);
  return {parity(f.pivots, in[0].dtype()) * prod(sgn(d), {.axes = {-1}}),
          sum(log(abs(d)), {.axes = {-1}})};
}
GradResult grad_slogdet(GradCtx& c) {
  const Tensor &gs = c.grad(0), &gl = c.grad(1);
  const bool turns = is_complex(c.in_meta(0).dtype) && gs.defined();
  if (!turns && !gl.defined()) return {Tensor()};
  Tensor singular;
  const Tensor inv = inverse_where_regular(c.in(0), &singular);
  const Tensor slope = where(expand_dims(expand_dims(singular, -1), -1),
                             std::numeric_limits<double>::infinity(), mh(inv));
  Tensor g = gl;
  if (turns) {
    const Tensor angle = -imag(conj(gs) * c.out(0));
    g = complex(gl.defined() ? gl : zeros_like(angle), angle);
  }
  return {expand_dims(expand_dims(g, -1), -1) * slope};
}
TensorList compose_logdet(const void*, In in) {
  const SlogDet s = slogdet(in[0]);
  if (is_complex(in[0].dtype())) return {cast(s.logabsdet, in[0].dtype()) + log(s.sign)};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {where(less(s.sign, 0), nan, s.logabsdet)};
}

// exp [[A', G], [0, A']] has the gradient in its upper right block.
GradResult grad_matrix_exp(GradCtx& c) {
  const Tensor a = mh(c.in(0));
  const int64_t n = cols_of(a.meta());
  const Tensor top[] = {a, c.grad()}, bottom[] = {zeros_like(a), a};
  const Tensor both[] = {concat(top, -1), concat(bottom, -1)};
  return {slice_axis(rows(matrix_exp(concat(both, -2)), n), -1, n, kEnd)};
}

}  // namespace

Tensor inverse_where_regular(const Tensor& x, Tensor* singular) {
  const Tensor d = diagonal_of(lu_factor(stop_gradient(x)).lu);
  *singular = any(equal(d, 0), {.axes = {-1}});
  const Tensor each = expand_dims(expand_dims(*singular, -1), -1);
  return inverse(where(each, eye(cols_of(x.meta()), x.dtype()), x));
}

bool solves_vectors(const TensorMeta& a, const TensorMeta& b) {
  return b.rank() == 1 || (b.rank() == a.rank() - 1 && b.shape == batch_and(a, 1));
}

constinit const OpDef kInverse =
    define({.name = "inverse",
            .inputs = {"x"},
            .infer = infer_square,
            .flops = square_flops<20>,
            .grad = grad_inverse,
            .saves = {"y"},
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "The inverse of square matrices, by LU with partial pivoting."});
Tensor inverse(Arg x) { return call1(kInverse, nullptr, {x.tensor}, x.where); }

constinit const OpDef kSolve =
    define({.name = "solve",
            .inputs = {"a", "b"},
            .outputs = {"x"},
            .infer = infer_solve,
            .flops = system_flops,
            .grad = grad_solve,
            .saves = {"a", "x"},
            .amp = Amp::kHigh,
            .promote = true,
            .checks_values = true,
            .doc = "X with A X = B for square matrices; B holds matrices or vectors."});
Tensor solve(Arg a, Arg b) { return call1(kSolve, nullptr, {a.tensor, b.tensor}, a.where); }

constinit const OpDef kSolveTriangular =
    define({.name = "solve_triangular",
            .inputs = {"a", "b"},
            .outputs = {"x"},
            .attrs = attrs_of<TriangularAttrs>(),
            .infer = infer_triangular,
            .flops = system_flops,
            .grad = grad_triangular,
            .saves = {"a", "x"},
            .amp = Amp::kHigh,
            .promote = true,
            .checks_values = true,
            .doc = "X with A X = B (transposed: A' X = B) for triangular matrices."});
Tensor solve_triangular(Arg a, Arg b, TriangularAttrs attrs) {
  return call1(kSolveTriangular, &attrs, {a.tensor, b.tensor}, a.where);
}

constinit const OpDef kCholeskySolve =
    define({.name = "cholesky_solve",
            .inputs = {"b", "factor"},
            .outputs = {"x"},
            .attrs = attrs_of<CholeskyAttrs>(),
            .infer = infer_cholesky_solve,
            .flops = factored_flops,
            .compose = compose_cholesky_solve,
            .amp = Amp::kHigh,
            .promote = true,
            .checks_values = true,
            .doc = "X with A X = B from the Cholesky factor of A."});
Tensor cholesky_solve(Arg b, Arg factor, bool upper) {
  const CholeskyAttrs a{upper};
  return call1(kCholeskySolve, &a, {b.tensor, factor.tensor}, b.where);
}
constinit const OpDef kCholeskyInverse =
    define({.name = "cholesky_inverse",
            .inputs = {"factor"},
            .attrs = attrs_of<CholeskyAttrs>(),
            .infer = infer_square,
            .flops = square_flops<20>,
            .compose = compose_cholesky_inverse,
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "The inverse of A from its Cholesky factor."});
Tensor cholesky_inverse(Arg factor, bool upper) {
  const CholeskyAttrs a{upper};
  return call1(kCholeskyInverse, &a, {factor.tensor}, factor.where);
}

constinit const OpDef kLuSolve = define({.name = "lu_solve",
                                         .inputs = {"lu", "pivots", "b"},
                                         .outputs = {"x"},
                                         .infer = infer_lu_solve,
                                         .flops = factored_flops,
                                         .compose = compose_lu_solve,
                                         .amp = Amp::kHigh,
                                         .checks_values = true,
                                         .doc = "X with A X = B from the lu_factor of A."});
Tensor lu_solve(Arg lu, Arg pivots, Arg b) {
  return call1(kLuSolve, nullptr, {lu.tensor, pivots.tensor, b.tensor}, lu.where);
}

constinit const OpDef kDet = define({.name = "det",
                                     .inputs = {"x"},
                                     .infer = infer_det,
                                     .flops = square_flops<7>,
                                     .grad = grad_det,
                                     .saves = {"x"},
                                     .compose = compose_det,
                                     .amp = Amp::kHigh,
                                     .doc = "Determinants of square matrices."});
Tensor det(Arg x) { return call1(kDet, nullptr, {x.tensor}, x.where); }

constinit const OpDef kSlogdet =
    define({.name = "slogdet",
            .inputs = {"x"},
            .outputs = {"sign", "logabsdet"},
            .infer = infer_det,
            .flops = square_flops<7>,
            .grad = grad_slogdet,
            .saves = {"x", "sign"},
            .compose = compose_slogdet,
            .amp = Amp::kHigh,
            .doc = "Sign and logarithm of the magnitude of determinants."});
SlogDet slogdet(Arg x) {
  const TensorList y = call_n(kSlogdet, nullptr, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}
constinit const OpDef kLogdet = define({.name = "logdet",
                                        .inputs = {"x"},
                                        .infer = infer_det,
                                        .flops = square_flops<7>,
                                        .compose = compose_logdet,
                                        .amp = Amp::kHigh,
                                        .doc = "log(det(x)), NaN where it is negative."});
Tensor logdet(Arg x) { return call1(kLogdet, nullptr, {x.tensor}, x.where); }

constinit const OpDef kMatrixExp = define({.name = "matrix_exp",
                                           .inputs = {"x"},
                                           .infer = infer_square,
                                           .flops = square_flops<200>,
                                           .grad = grad_matrix_exp,
                                           .saves = {"x"},
                                           .amp = Amp::kHigh,
                                           .checks_values = true,
                                           .doc = "The exponential of square matrices."});
Tensor matrix_exp(Arg x) { return call1(kMatrixExp, nullptr, {x.tensor}, x.where); }

}  // namespace rutile::ops
