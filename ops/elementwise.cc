// SPDX-License-Identifier: Apache-2.0
// Ops of two inputs, selection and conversion.
#include "rutile/ops/elementwise.h"

// Before the macros of the same names in elementwise_infer.h.
#include "rutile/ops/complex.h"
#include "rutile/ops/special.h"

#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

Status infer_where(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).dtype != DType::kBool) {
    return type_error(cat("cond expects bool, got ", c.in(0).dtype));
  }
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c, 1));
  return infer_broadcast(c, c.in(1).dtype, out);
}

Status infer_cast(const CallMeta& c, TensorMeta* out) {
  return infer_broadcast(c, c.as<CastAttrs>().dtype, out);
}

// Gradients of two inputs that may have been broadcast; f(i) is that of input i before.
template <class F>
GradResult both(GradCtx& c, F&& f) {
  GradResult r;
  for (int i = 0; i < 2; ++i) {
    r.push_back(c.needs(i) ? unbroadcast(f(i), c.in_meta(i)) : Tensor());
  }
  return r;
}

GradResult grad_add(GradCtx& c) {
  return both(c, [&](int) { return c.grad(); });
}
GradResult grad_sub(GradCtx& c) {
  return both(c, [&](int i) { return i == 0 ? c.grad() : neg(c.grad()); });
}
GradResult grad_mul(GradCtx& c) {
  return both(c, [&](int i) { return c.grad() * conj(c.in(1 - i)); });
}
uint32_t saves_mul(uint32_t needs) { return (needs & 1u) << 1 | (needs & 2u) >> 1; }

uint32_t saves_div(uint32_t needs) { return needs & 2u ? 1u << 16 | 2u : 2u; }
GradResult grad_div(GradCtx& c) {
  const Tensor dx = c.grad() / conj(c.in(1));
  return both(c, [&](int i) { return i == 0 ? dx : neg(dx * conj(c.out())); });
}

// d (x - y floor(x / y)): floor has no slope.
GradResult grad_remainder(GradCtx& c) {
  return both(c,
              [&](int i) { return i == 0 ? c.grad() : -c.grad() * floor_div(c.in(0), c.in(1)); });
}

// x^0 is flat in x also at 0, and 0^y is flat in y for y >= 0.
GradResult grad_pow(GradCtx& c) {
  const Tensor &x = c.in(0), &y = c.in(1);
  return both(c, [&](int i) {
    if (i == 0) return where(equal(y, 0), 0.0, c.grad() * y * pow(x, y - 1));
    const Tensor flat = logical_and(equal(x, 0), greater_equal(real(y), 0));
    return where(flat, 0.0, c.grad() * c.out() * log(x));
  });
}

// Equal inputs share the gradient.
GradResult grad_extremum(GradCtx& c, const Tensor& first_wins) {
  const Tensor half = c.grad() * 0.5;
  const Tensor tie = equal(c.in(0), c.in(1));
  return both(c, [&](int i) {
    const Tensor g = i == 0 ? where(first_wins, c.grad(), 0.0) : where(first_wins, 0.0, c.grad());
    return where(tie, half, g);
  });
}
GradResult grad_maximum(GradCtx& c) { return grad_extremum(c, greater(c.in(0), c.in(1))); }
GradResult grad_minimum(GradCtx& c) { return grad_extremum(c, less(c.in(0), c.in(1))); }

GradResult grad_atan2(GradCtx& c) {
  const Tensor &x = c.in(0), &y = c.in(1), r = hypot(x, y);
  const Tensor g = over_root(c.grad(), r);
  return both(c, [&](int i) { return g * over_root(i == 0 ? y : -x, r); });
}

GradResult grad_where(GradCtx& c) {
  const Tensor& cond = c.in(0);
  const Tensor& g = c.grad();
  return {Tensor(), c.needs(1) ? unbroadcast(where(cond, g, 0.0), c.in_meta(1)) : Tensor(),
          c.needs(2) ? unbroadcast(where(cond, 0.0, g), c.in_meta(2)) : Tensor()};
}

GradResult grad_cast(GradCtx& c) { return {cast(c.grad(), c.in_meta(0).dtype)}; }

}  // namespace

RUTILE_BINARY(kAdd, add, .infer = or_complex<infer_same>, .grad = grad_add, .amp = Amp::kPromote,
              .zero_preserving = true, .doc = "x + y; bool: or.")
RUTILE_BINARY(kSub, sub, .infer = or_complex<infer_number>, .grad = grad_sub, .amp = Amp::kPromote,
              .zero_preserving = true, .doc = "x - y.")
RUTILE_BINARY(kMul, mul, .infer = or_complex<infer_same>, .grad = grad_mul, .saves = {"x", "y"},
              .saves_if = saves_mul, .amp = Amp::kPromote, .zero_preserving = true,
              .doc = "x * y; bool: and.")
RUTILE_BINARY(kDiv, div, .infer = or_complex<infer_float>, .grad = grad_div, .saves = {"y", "z"},
              .saves_if = saves_div, .amp = Amp::kPromote, .doc = "x / y; integers give f32.")
RUTILE_BINARY(kFloorDiv, floor_div, .infer = infer_number, .amp = Amp::kPromote,
              .checks_values = true, .no_grad = "piecewise constant",
              .doc = "x / y rounded down; dividing an integer by zero is an error.")
RUTILE_BINARY(kRemainder, remainder, .infer = infer_number, .grad = grad_remainder,
              .saves = {"x", "y"}, .amp = Amp::kPromote, .checks_values = true,
              .doc = "x - y * floor(x / y), with the sign of y; integer y = 0 is an error.")
RUTILE_BINARY(
    kPow, pow, .infer = or_complex<infer_number>, .grad = holomorphic<grad_pow>,
    .saves = {"x", "y", "z"}, .amp = Amp::kHigh,
    .doc = "x to the power y. Integers wrap; a negative number as their power is an error.")
RUTILE_BINARY(kMaximum, maximum, .infer = infer_same, .grad = grad_maximum, .saves = {"x", "y"},
              .amp = Amp::kPromote, .zero_preserving = true,
              .doc = "The larger of x and y, NaN if one is NaN. Equal inputs share the gradient.")
RUTILE_BINARY(kMinimum, minimum, .infer = infer_same, .grad = grad_minimum, .saves = {"x", "y"},
              .amp = Amp::kPromote, .zero_preserving = true,
              .doc = "The smaller of x and y, NaN if one is NaN. Equal inputs share the gradient.")
RUTILE_BINARY(kAtan2, atan2, .infer = infer_float, .grad = grad_atan2, .saves = {"x", "y"},
              .amp = Amp::kPromote,
              .doc = "Angle in (-pi, pi] of the point with ordinate x and abscissa y.")

#define RUTILE_PREDICATE(constant, function, text)                                               \
  RUTILE_BINARY(constant, function, .infer = or_complex<infer_compare>, .no_grad = "gives bool", \
                .doc = text)
#define RUTILE_ORDER(constant, function, text) \
  RUTILE_BINARY(constant, function, .infer = infer_compare, .no_grad = "gives bool", .doc = text)
RUTILE_PREDICATE(kEqual, equal, "x == y as bool.")
RUTILE_PREDICATE(kNotEqual, not_equal, "x != y as bool.")
RUTILE_ORDER(kLess, less, "x < y as bool.")
RUTILE_ORDER(kLessEqual, less_equal, "x <= y as bool.")
RUTILE_ORDER(kGreater, greater, "x > y as bool.")
RUTILE_ORDER(kGreaterEqual, greater_equal, "x >= y as bool.")
RUTILE_PREDICATE(kLogicalAnd, logical_and, "x != 0 and y != 0 as bool.")
RUTILE_PREDICATE(kLogicalOr, logical_or, "x != 0 or y != 0 as bool.")
RUTILE_PREDICATE(kLogicalXor, logical_xor, "Either x != 0 or y != 0, as bool.")

#define RUTILE_BITS(constant, function, text)                                                 \
  RUTILE_BINARY(constant, function, .infer = infer_bits, .no_grad = "integers and bool only", \
                .doc = text)
RUTILE_BITS(kBitwiseAnd, bitwise_and, "x & y of integers or bool.")
RUTILE_BITS(kBitwiseOr, bitwise_or, "x | y of integers or bool.")
RUTILE_BITS(kBitwiseXor, bitwise_xor, "x ^ y of integers or bool.")

constinit const OpDef kWhere = define({.name = "where",
                                       .inputs = {"cond", "x", "y"},
                                       .outputs = {"z"},
                                       .infer = infer_where,
                                       .grad = grad_where,
                                       .saves = {"cond"},
                                       .amp = Amp::kPromote,
                                       .elementwise = true,
                                       .doc = "x where cond (bool) is true, else y."});
Tensor where(Arg cond, Arg x, Arg y) {
  const DType t = promote(x.tensor.dtype(), y.tensor.dtype());
  return call1(kWhere, nullptr, {cast(cond, DType::kBool), cast(x, t), cast(y, t)}, cond.where);
}
Tensor where(Arg cond, Arg x, Scalar y) {
  const Tensor other = scalar_like(x.tensor, y);
  return where(cond, x, Arg(other, cond.where));
}
Tensor where(Arg cond, Scalar x, Arg y) {
  const Tensor other = scalar_like(y.tensor, x);
  return where(cond, Arg(other, cond.where), y);
}

constinit const OpDef kCast =
    define({.name = "cast",
            .inputs = {"x"},
            .attrs = attrs_of<CastAttrs>(),
            .infer = infer_cast,
            .grad = grad_cast,
            .elementwise = true,
            .zero_preserving = true,
            .doc = "x as dtype. Float to integer cuts off the fraction and saturates; NaN gives 0. "
                   "Complex to real drops the imaginary part."});
Tensor cast(Arg x, DType dtype) {
  if (x.tensor.dtype() == dtype) return x.tensor;
  const CastAttrs attrs{dtype};
  return call1(kCast, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops
