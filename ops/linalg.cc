// SPDX-License-Identifier: Apache-2.0
// Decompositions: Cholesky, LU, QR, singular values, symmetric eigenvalues. Their gradients follow
// Giles, "Collected matrix derivative results" (2008), Seeger et al., "Auto-differentiating linear
// algebra" (2017) and, for wide QR, Walter and Lehman (2012).
#include "rutile/ops/linalg.h"

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/control.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg_util.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

// N / 10 operations for each element of x times its smaller side.
template <int N>
double cubic_flops(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  if (x.rank() < 2) return 0;
  return N / 10.0 * elements(x) * static_cast<double>(smaller_side(x));
}

// ---- Cholesky ---------------------------------------------------------------------------------

// tril(m) + tril(m, -1)', with the real part of the diagonal.
Tensor hermitian_of_lower(const Tensor& m) {
  if (!is_complex(m.dtype())) return tril(m) + mt(tril(m, -1));
  const Tensor below = tril(m, -1);
  return below + mh(below) + diagonal_matrix(cast(real(diagonal_of(m)), m.dtype()));
}

Status infer_cholesky(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(0)));
  *out = TensorMeta(c.in(0).shape, c.in(0).dtype, c.in(0).device);
  return Status();
}

// L^-H phi L^-1 for phi the lower triangle of L^H gL, symmetrised (Giles 4.2.4 in Seeger's form).
// Here and below ' is the adjoint.
GradResult grad_cholesky(GradCtx& c) {
  const bool upper = c.attrs<CholeskyAttrs>().upper;
  const Tensor l = upper ? mh(c.out()) : c.out(), g = upper ? mh(c.grad()) : c.grad();
  const Tensor m = matmul(mh(l), g);
  // The diagonal's imaginary part, of which nothing depends, as PyTorch leaves it.
  const Tensor phi = (tril(m) + mh(tril(m, -1))) * 0.5;
  const TriangularAttrs transposed{.transpose = true};
  const Tensor lc = conj(l), left = solve_triangular(lc, phi, transposed);
  return {mh(solve_triangular(lc, mh(left), transposed))};
}

// ---- LU ---------------------------------------------------------------------------------------

Status infer_lu_factor(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_matrix(x));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = TensorMeta(batch_and(x, 2, smaller_side(x)), DType::kI32, x.device);
  return Status();
}

// P L'^-1 (tril(L' gL, -1) + triu(gU U')) U'^-1 for square matrices. A wide matrix has further
// columns L U2, a tall one further rows L2 U: their gradients are L'^-1 gU2 and gL2 U'^-1, and what
// they take from the triangles is -gU2 U2' and -L2' gL2.
GradResult grad_lu_factor(GradCtx& c) {
  const TensorMeta& x = c.in_meta(0);
  const Tensor& g = c.grad(0);
  if (!g.defined()) return {Tensor()};
  const int64_t k = smaller_side(x);
  const bool is_wide = cols_of(x) > k, is_tall = rows_of(x) > k;
  const Tensor both = rows(columns(c.out(0), k), k), near = rows(columns(g, k), k);
  const Tensor l = tril(both, -1) + eye(k, x.dtype), u = triu(both);
  const TriangularAttrs by_l{.transpose = true, .unitriangular = true};
  const Tensor cb = conj(both);
  Tensor lower = matmul(mh(l), tril(near, -1)), upper = matmul(triu(near), mh(u)), rest;
  if (is_wide) {
    const Tensor g2 = slice_axis(g, -1, k, kEnd), u2 = slice_axis(c.out(0), -1, k, kEnd);
    lower = lower - matmul(g2, mh(u2));
    rest = solve_triangular(cb, g2, by_l);
  } else if (is_tall) {
    const Tensor g2 = slice_axis(g, -2, k, kEnd), l2 = slice_axis(c.out(0), -2, k, kEnd);
    upper = upper - matmul(mh(l2), g2);
    rest = mt(solve_triangular(cb, mt(g2), {.upper = true}));
  }
  const Tensor left = solve_triangular(cb, tril(lower, -1) + triu(upper), by_l);
  Tensor z = mt(solve_triangular(cb, mt(left), {.upper = true}));
  if (rest.defined()) z = concat({{z, rest}}, is_wide ? -1 : -2);
  return {unpermute(z, c.out(1))};
}

Status infer_lu_permutation(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& p = c.in(0);
  const int64_t n = c.as<LuPermutationAttrs>().rows;
  if (p.dtype != DType::kI32) return type_error(cat("pivots expects i32, got ", p.dtype));
  if (p.rank() < 1) return value_error("pivots expects shape [.., k], got a scalar");
  if (n < p.shape.back()) {
    return value_error(cat("expects at least as many rows as pivots, got ", n, " and ", p.shape));
  }
  const Shape shape = batch_and(p, 1, n);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, DType::kI64, p.device);
  return Status();
}

Status infer_lu(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_matrix(x));
  const int64_t m = rows_of(x), n = cols_of(x), k = smaller_side(x);
  const Shape shapes[] = {batch_and(x, 2, m, m), batch_and(x, 2, m, k), batch_and(x, 2, k, n)};
  for (int i = 0; i < 3; ++i) {
    int64_t numel = 0;
    RUTILE_RETURN_IF_ERROR(checked_numel(shapes[i], &numel));
    out[i] = TensorMeta(shapes[i], x.dtype, x.device);
  }
  return Status();
}
TensorList compose_lu(const void*, std::span<const Tensor> in) {
  const TensorMeta& x = in[0].meta();
  const int64_t m = rows_of(x), k = smaller_side(x);
  const LuFactor f = lu_factor(in[0]);
  const Tensor unit = cast(
      equal(expand_dims(arange(int64_t{0}, m), 1), expand_dims(arange(int64_t{0}, k), 0)), x.dtype);
  const Tensor perm = lu_permutation(f.pivots, m);
  const Tensor p =
      cast(equal(expand_dims(arange(int64_t{0}, m), 1), expand_dims(perm, -2)), x.dtype);
  return {p, tril(columns(f.lu, k), -1) + unit, triu(rows(f.lu, k))};
}

// ---- QR ---------------------------------------------------------------------------------------

Status infer_qr(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_matrix(x));
  const int64_t m = rows_of(x), n = cols_of(x);
  const int64_t k = c.as<QrAttrs>().complete ? m : smaller_side(x);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(batch_and(x, 2, m, k), &numel));
  out[0] = TensorMeta(batch_and(x, 2, m, k), x.dtype, x.device);
  out[1] = TensorMeta(batch_and(x, 2, k, n), x.dtype, x.device);
  return Status();
}

// (gQ + Q copyltu(R gR' - gQ' Q)) R'^-1 for m >= n, with copyltu(M) = tril(M) + tril(M, -1)'; of a
// complex M the diagonal's real part, as that of R is real.
Tensor qr_tall(const Tensor& q, const Tensor& r, const Tensor& gq, const Tensor& gr) {
  Tensor m;
  if (gr.defined()) m = matmul(r, mh(gr));
  if (gq.defined()) {
    const Tensor part = matmul(mh(gq), q);
    m = m.defined() ? m - part : -part;
  }
  Tensor left = matmul(q, hermitian_of_lower(m));
  if (gq.defined()) left = gq + left;
  return mh(solve_triangular(r, mh(left), {.upper = true}));
}

// A wide matrix [X Y] has R = [U V] with X = Q U, Y = Q V: the tall rule with gQ + Y gV'.
GradResult grad_qr(GradCtx& c) {
  const TensorMeta& x = c.in_meta(0);
  const int64_t m = rows_of(x), n = cols_of(x);
  const Tensor &q = c.out(0), &r = c.out(1);
  Tensor gq = c.grad(0), gr = c.grad(1);
  if (!gq.defined() && !gr.defined()) return {Tensor()};
  if (c.attrs<QrAttrs>().complete && m > n) {
    throw_error(
        ErrorCode::kUnsupported,
        cat("qr has no gradient of the complete form with more rows than columns, x is ", x.shape));
  }
  if (m >= n) return {qr_tall(q, r, gq, gr)};
  const Tensor u = columns(r, m), v = slice_axis(r, -1, m, kEnd);
  Tensor gu, gy;
  if (gr.defined()) {
    gu = columns(gr, m);
    const Tensor gv = slice_axis(gr, -1, m, kEnd);
    gy = matmul(q, gv);
    const Tensor more = matmul(matmul(q, v), mh(gv));
    gq = gq.defined() ? gq + more : more;
  } else {
    gy = zeros(batch_and(x, 2, m, n - m), x.dtype);
  }
  const Tensor parts[] = {qr_tall(q, u, gq, gu), gy};
  return {concat(parts, -1)};
}

// ---- Singular values --------------------------------------------------------------------------

Status infer_svd(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_matrix(x));
  const int64_t m = rows_of(x), n = cols_of(x), k = smaller_side(x);
  const bool full = c.as<SvdAttrs>().full_matrices;
  const Shape u = batch_and(x, 2, m, full ? m : k), vh = batch_and(x, 2, full ? n : k, n);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(u, &numel));
  RUTILE_RETURN_IF_ERROR(checked_numel(vh, &numel));
  out[0] = TensorMeta(u, x.dtype, x.device);
  out[1] = TensorMeta(batch_and(x, 2, k), real_dtype(x.dtype), x.device);
  out[2] = TensorMeta(vh, x.dtype, x.device);
  return Status();
}

Tensor plus(const Tensor& a, const Tensor& b) { return a.defined() ? a + b : b; }

// U ((skew(U' gU) / E) S + S (skew(V' gV) / E) + diag(gS)) V' and what leaves the span of U and V.
GradResult grad_svd(GradCtx& c) {
  const TensorMeta& x = c.in_meta(0);
  const int64_t m = rows_of(x), n = cols_of(x), k = smaller_side(x);
  Tensor gu = c.grad(0), gs = c.grad(1), gvh = c.grad(2);
  if (!gu.defined() && !gs.defined() && !gvh.defined()) return {Tensor()};
  // What full_matrices adds are arbitrary bases of the rest: their gradient is left out.
  if (gu.defined() && m > k) gu = columns(gu, k);
  if (gvh.defined() && n > k) gvh = rows(gvh, k);
  const Tensor u = columns(c.out(0), k), vh = rows(c.out(2), k), &s = c.out(1);
  if (!gu.defined() && !gvh.defined()) return {matmul(u * expand_dims(gs, -2), vh)};
  if (is_complex(x.dtype)) gu = free_of_phase(u, gu, mh(vh), gvh.defined() ? mh(gvh) : gvh);
  const Tensor e = gaps(s * s), across = expand_dims(s, -2), down = expand_dims(s, -1);
  Tensor middle;
  if (gu.defined()) {
    const Tensor a = matmul(mh(u), gu), off = a - mh(a);
    middle = (is_complex(x.dtype) ? off_diagonal(off) : off) / e * across;
    if (is_complex(x.dtype)) middle = middle + diagonal_matrix(diagonal_of(off) / (s * 2));
  }
  if (gvh.defined()) {
    const Tensor a = matmul(vh, mh(gvh)), off = a - mh(a);
    middle = plus(middle, (is_complex(x.dtype) ? off_diagonal(off) : off) / e * down);
  }
  if (gs.defined()) middle = middle + diagonal_matrix(gs);
  Tensor y = matmul(matmul(u, middle), vh);
  if (gu.defined() && m > k) {
    y = y + matmul((gu - matmul(u, matmul(mh(u), gu))) / across, vh);
  }
  if (gvh.defined() && n > k) {
    y = y + matmul(u, (gvh - matmul(matmul(gvh, mh(vh)), vh)) / down);
  }
  return {y};
}

Status infer_svdvals(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_matrix(c.in(0)));
  const TensorMeta& x = c.in(0);
  *out = TensorMeta(batch_and(x, 2, smaller_side(x)), real_dtype(x.dtype), x.device);
  return Status();
}
TensorList compose_svdvals(const void*, std::span<const Tensor> in) {
  return {svd(in[0], false).s};
}

// ---- Symmetric eigenvalues --------------------------------------------------------------------

Status infer_eigh(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_square(x));
  out[0] = TensorMeta(batch_and(x, 2, rows_of(x)), real_dtype(x.dtype), x.device);
  out[1] = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

// V (diag(gW) + (V' gV) / E) V' (Giles 3.1).
GradResult grad_eigh(GradCtx& c) {
  const Tensor& gw = c.grad(0);
  Tensor gv = c.grad(1);
  if (!gw.defined() && !gv.defined()) return {Tensor()};
  const Tensor& v = c.out(1);
  if (!gv.defined()) return {matmul(v * expand_dims(gw, -2), mh(v))};
  const Tensor& w = c.out(0);
  if (is_complex(v.dtype())) gv = free_of_phase(v, gv, v, Tensor());
  const Tensor turned = matmul(mh(v), gv);
  // Turning the eigenvectors is antisymmetric; the rest of gv changes their lengths only.
  Tensor middle = off_diagonal((turned - mh(turned)) * 0.5 / gaps(w));
  if (gw.defined()) middle = middle + diagonal_matrix(gw);
  return {matmul(matmul(v, middle), mh(v))};
}

Status infer_eigvalsh(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_square(c.in(0)));
  const TensorMeta& x = c.in(0);
  *out = TensorMeta(batch_and(x, 2, rows_of(x)), real_dtype(x.dtype), x.device);
  return Status();
}
TensorList compose_eigvalsh(const void* attrs, std::span<const Tensor> in) {
  return {call_n(kEigh, attrs, in)[0]};
}

}  // namespace

constinit const OpDef kCholesky =
    define({.name = "cholesky",
            .inputs = {"x"},
            .attrs = attrs_of<CholeskyAttrs>(),
            .infer = infer_cholesky,
            .flops = cubic_flops<3>,
            .grad = grad_cholesky,
            .saves = {"y"},
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "L with L L' = x, for symmetric positive definite matrices."});
Tensor cholesky(Arg x, bool upper) {
  const CholeskyAttrs a{upper};
  return call1(kCholesky, &a, {x.tensor}, x.where);
}

constinit const OpDef kLuFactor =
    define({.name = "lu_factor",
            .inputs = {"x"},
            .outputs = {"lu", "pivots"},
            .infer = infer_lu_factor,
            .flops = cubic_flops<7>,
            .grad = grad_lu_factor,
            .saves = {"lu", "pivots"},
            .amp = Amp::kHigh,
            .doc = "L and U in one matrix, and the rows exchanged, counted from 1."});
LuFactor lu_factor(Arg x) {
  const TensorList y = call_n(kLuFactor, nullptr, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

constinit const OpDef kLuPermutation =
    define({.name = "lu_permutation",
            .inputs = {"pivots"},
            .attrs = attrs_of<LuPermutationAttrs>(),
            .infer = infer_lu_permutation,
            .flops = flops_per_output<1>,
            .checks_values = true,
            .no_grad = "gives integers",
            .doc = "The order of rows that the exchanges of lu_factor leave."});
Tensor lu_permutation(Arg pivots, int64_t rows) {
  const LuPermutationAttrs a{rows};
  return call1(kLuPermutation, &a, {pivots.tensor}, pivots.where);
}

constinit const OpDef kLu = define({.name = "lu",
                                    .inputs = {"x"},
                                    .outputs = {"p", "l", "u"},
                                    .infer = infer_lu,
                                    .flops = cubic_flops<7>,
                                    .compose = compose_lu,
                                    .amp = Amp::kHigh,
                                    .doc = "x = P L U with partial pivoting."});
Lu lu(Arg x) {
  const TensorList y = call_n(kLu, nullptr, {&x.tensor, 1}, x.where);
  return {y[0], y[1], y[2]};
}

constinit const OpDef kQr = define({.name = "qr",
                                    .inputs = {"x"},
                                    .outputs = {"q", "r"},
                                    .attrs = attrs_of<QrAttrs>(),
                                    .infer = infer_qr,
                                    .flops = cubic_flops<40>,
                                    .grad = grad_qr,
                                    .saves = {"q", "r"},
                                    .amp = Amp::kHigh,
                                    .doc = "x = Q R, Q orthogonal, R upper triangular."});
Qr qr(Arg x, bool complete) {
  const QrAttrs a{complete};
  const TensorList y = call_n(kQr, &a, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

constinit const OpDef kSvd = define({.name = "svd",
                                     .inputs = {"x"},
                                     .outputs = {"u", "s", "vh"},
                                     .attrs = attrs_of<SvdAttrs>(),
                                     .infer = infer_svd,
                                     .flops = cubic_flops<120>,
                                     .grad = grad_svd,
                                     .saves = {"u", "s", "vh"},
                                     .amp = Amp::kHigh,
                                     .checks_values = true,
                                     .doc = "x = U diag(S) Vh, S in falling order."});
Svd svd(Arg x, bool full_matrices) {
  const SvdAttrs a{full_matrices};
  const TensorList y = call_n(kSvd, &a, {&x.tensor, 1}, x.where);
  return {y[0], y[1], y[2]};
}

constinit const OpDef kSvdvals = define({.name = "svdvals",
                                         .inputs = {"x"},
                                         .infer = infer_svdvals,
                                         .flops = cubic_flops<120>,
                                         .compose = compose_svdvals,
                                         .amp = Amp::kHigh,
                                         .checks_values = true,
                                         .doc = "Singular values in falling order."});
Tensor svdvals(Arg x) { return call1(kSvdvals, nullptr, {x.tensor}, x.where); }

constinit const OpDef kEigh =
    define({.name = "eigh",
            .inputs = {"x"},
            .outputs = {"w", "v"},
            .attrs = attrs_of<EighAttrs>(),
            .infer = infer_eigh,
            .flops = cubic_flops<90>,
            .grad = grad_eigh,
            .saves = {"w", "v"},
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "Eigenvalues in rising order and eigenvectors of symmetric matrices."});
Eigh eigh(Arg x, bool upper) {
  const EighAttrs a{upper};
  const TensorList y = call_n(kEigh, &a, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

constinit const OpDef kEigvalsh =
    define({.name = "eigvalsh",
            .inputs = {"x"},
            .attrs = attrs_of<EighAttrs>(),
            .infer = infer_eigvalsh,
            .flops = cubic_flops<90>,
            .compose = compose_eigvalsh,
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "Eigenvalues of symmetric matrices in rising order."});
Tensor eigvalsh(Arg x, bool upper) {
  const EighAttrs a{upper};
  return call1(kEigvalsh, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops
