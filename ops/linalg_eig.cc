// SPDX-License-Identifier: Apache-2.0
// Eigenvalues of any matrix (gradient: Boeddeker et al., "On the computation of complex-valued
// gradients", 2017), products of reflections, and what gradients of decompositions share.
#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/control.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/linalg_util.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

Tensor off_diagonal(const Tensor& x) {
  return where(cast(eye(cols_of(x.meta()), DType::kF32), DType::kBool), 0.0, x);
}

Tensor free_of_phase(const Tensor& u, const Tensor& gu, const Tensor& v, const Tensor& gv) {
  if (u.numel() == 0) return gu;
  const SumAttrs down{.axes = {-2}, .keepdims = true};
  Tensor turn;
  if (gu.defined()) turn = imag(sum(conj(gu) * u, down));
  if (gv.defined()) {
    const Tensor more = imag(sum(conj(gv) * v, down));
    turn = turn.defined() ? turn + more : more;
  }
  // The place that the kernels' positive_peak() takes.
  const Tensor size = abs(u), still = stop_gradient(size);
  const Tensor large =
      greater_equal(still * (1 + 1e-4), max(still, {.axes = {-2}, .keepdims = true}));
  const Tensor peak = argmax(cast(large, DType::kF32), {.axes = {-2}, .keepdims = true});
  const Tensor at =
      cast(equal(expand_dims(arange(int64_t{0}, rows_of(u.meta())), -1), peak), size.dtype());
  const Tensor add = at * (turn / take_along_axis(size, peak, -2));
  const Tensor g = complex(zeros_like(add), add);
  return gu.defined() ? gu + g : g;
}

Tensor gaps(const Tensor& w) {
  return expand_dims(w, -2) - expand_dims(w, -1) + eye(w.shape().back(), w.dtype());
}

namespace {

using In = std::span<const Tensor>;

Status infer_eig(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_square(x));
  const DType t = complex_dtype(x.dtype);
  out[0] = TensorMeta(batch_and(x, 2, rows_of(x)), t, x.device);
  if (c.op->num_outputs > 1) out[1] = TensorMeta(x.shape, t, x.device);
  return Status();
}
template <int N>
double cubic_flops(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  return x.rank() < 2 ? 0 : N * elements(x) * static_cast<double>(cols_of(x));
}

// V'^-1 (diag(gW) + (V' gV - V' V diag(V' gV)) / conj(E)) V', where ' is the adjoint.
GradResult grad_eig(GradCtx& c) {
  const Tensor& gw = c.grad(0);
  Tensor gv = c.grad(1);
  if (!gw.defined() && !gv.defined()) return {Tensor()};
  const Tensor &w = c.out(0), &v = c.out(1), vh = mh(v);
  Tensor middle;
  if (gv.defined()) {
    gv = free_of_phase(v, gv, v, Tensor());
    const Tensor turned = matmul(vh, gv);
    const Tensor lengths = cast(expand_dims(real(diagonal_of(turned)), -2), v.dtype());
    middle = off_diagonal((turned - matmul(vh, v) * lengths) / conj(gaps(w)));
  }
  if (gw.defined()) {
    const Tensor d = diagonal_matrix(gw);
    middle = middle.defined() ? middle + d : d;
  }
  const Tensor g = solve(vh, matmul(middle, vh));
  return {is_complex(c.in_meta(0).dtype) ? g : real(g)};
}
TensorList compose_eigvals(const void* attrs, In in) { return {call_n(kEig, attrs, in)[0]}; }

Status infer_householder(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &tau = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_matrix(x));
  if (tau.dtype != x.dtype) return type_error(cat("tau expects ", x.dtype, ", got ", tau.dtype));
  if (cols_of(x) > rows_of(x)) {
    return value_error(cat("expects at least as many rows as columns, got shape ", x.shape));
  }
  const int64_t k = tau.rank() > 0 ? tau.shape.back() : -1;
  if (k < 0 || k > cols_of(x) || !(tau.shape == batch_and(x, 2, k))) {
    return value_error(
        cat("tau expects shape ", batch_and(x, 2, cols_of(x)), " or fewer, got ", tau.shape));
  }
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}
// From the last reflection to the first: Q - tau v (v' Q).
TensorList compose_householder(const void*, In in) {
  const Tensor &x = in[0], &tau = in[1];
  const int64_t m = rows_of(x.meta()), n = cols_of(x.meta());
  const Tensor one =
      cast(equal(expand_dims(arange(int64_t{0}, m), 1), arange(int64_t{0}, n)), x.dtype());
  const Tensor vs = tril(x, -1) + one;
  Tensor q = broadcast_to(one, x.shape());
  for (int64_t i = tau.shape().back() - 1; i >= 0; --i) {
    const Tensor v = slice_axis(vs, -1, i, i + 1);
    const Tensor t = expand_dims(slice_axis(tau, -1, i, i + 1), -1);
    q = q - matmul(t * v, matmul(mh(v), q));
  }
  return {tau.shape().back() == 0 ? contiguous(q) : q};
}

}  // namespace

constinit const OpDef kEig = define({.name = "eig",
                                     .inputs = {"x"},
                                     .outputs = {"w", "v"},
                                     .infer = infer_eig,
                                     .flops = cubic_flops<25>,
                                     .grad = grad_eig,
                                     .saves = {"w", "v"},
                                     .amp = Amp::kHigh,
                                     .checks_values = true,
                                     .doc = "Eigenvalues and eigenvectors of square matrices."});
Eigh eig(Arg x) {
  const TensorList y = call_n(kEig, nullptr, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

constinit const OpDef kEigvals = define({.name = "eigvals",
                                         .inputs = {"x"},
                                         .infer = infer_eig,
                                         .flops = cubic_flops<25>,
                                         .compose = compose_eigvals,
                                         .amp = Amp::kHigh,
                                         .checks_values = true,
                                         .doc = "Eigenvalues of square matrices."});
Tensor eigvals(Arg x) { return call1(kEigvals, nullptr, {x.tensor}, x.where); }

constinit const OpDef kHouseholderProduct =
    define({.name = "householder_product",
            .inputs = {"x", "tau"},
            .outputs = {"q"},
            .infer = infer_householder,
            .flops = cubic_flops<4>,
            .compose = compose_householder,
            .amp = Amp::kHigh,
            .doc = "The product of reflections 1 - tau v v', v below the diagonal of x."});
Tensor householder_product(Arg x, Arg tau) {
  return call1(kHouseholderProduct, nullptr, {x.tensor, tau.tensor}, x.where);
}

}  // namespace rutile::ops
