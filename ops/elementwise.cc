// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/elementwise.h"

#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

Status check_real(const CallMeta& c, int first = 0) {
  const DType t = c.in(first).dtype;
  if (is_complex(t)) return type_error(cat("knows no complex numbers, got ", t));
  return Status();
}

// The result has the inputs' dtype.
Status infer_same(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c));
  RUTILE_RETURN_IF_ERROR(check_real(c));
  return infer_broadcast(c, c.in(0).dtype, out);
}
// The same without bool.
Status infer_number(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).dtype == DType::kBool) return type_error("expects numbers, got bool");
  return infer_same(c, out);
}
// Integers and bool give f32.
Status infer_float(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c));
  RUTILE_RETURN_IF_ERROR(check_real(c));
  const DType t = c.in(0).dtype;
  return infer_broadcast(c, is_floating(t) ? t : DType::kF32, out);
}
Status infer_compare(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c));
  RUTILE_RETURN_IF_ERROR(check_real(c));
  return infer_broadcast(c, DType::kBool, out);
}
Status infer_where(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).dtype != DType::kBool) {
    return type_error(cat("cond expects bool, got ", c.in(0).dtype));
  }
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c, 1));
  RUTILE_RETURN_IF_ERROR(check_real(c, 1));
  return infer_broadcast(c, c.in(1).dtype, out);
}
Status infer_cast(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_real(c));
  const DType to = c.as<CastAttrs>().dtype;
  if (is_complex(to)) return type_error(cat("knows no complex numbers, got ", to));
  return infer_broadcast(c, to, out);
}

Tensor binary(const OpDef& op, Arg x, Arg y) { return call1(op, nullptr, {x.tensor, y.tensor}, x.where); }
Tensor binary(const OpDef& op, Arg x, Scalar y) {
  return call1(op, nullptr, {x.tensor, scalar_like(x.tensor, y)}, x.where);
}
Tensor binary(const OpDef& op, Scalar x, Arg y) {
  return call1(op, nullptr, {scalar_like(y.tensor, x), y.tensor}, y.where);
}

GradResult two(GradCtx& c, Tensor a, Tensor b) {
  return {unbroadcast(a, c.in_meta(0)), unbroadcast(b, c.in_meta(1))};
}
GradResult grad_add(GradCtx& c) {
  return two(c, c.needs(0) ? c.grad() : Tensor(), c.needs(1) ? c.grad() : Tensor());
}
GradResult grad_sub(GradCtx& c) {
  return two(c, c.needs(0) ? c.grad() : Tensor(), c.needs(1) ? neg(c.grad()) : Tensor());
}
GradResult grad_mul(GradCtx& c) {
  return two(c, c.needs(0) ? c.grad() * c.in(1) : Tensor(),
             c.needs(1) ? c.grad() * c.in(0) : Tensor());
}
uint32_t saves_mul(uint32_t needs) { return (needs & 1u ? 2u : 0u) | (needs & 2u ? 1u : 0u); }
GradResult grad_div(GradCtx& c) {
  return two(c, c.needs(0) ? c.grad() / c.in(1) : Tensor(),
             c.needs(1) ? neg(c.grad() * c.out() / c.in(1)) : Tensor());
}
GradResult grad_neg(GradCtx& c) { return {neg(c.grad())}; }
GradResult grad_relu(GradCtx& c) { return {relu_grad(c.grad(), c.out())}; }
GradResult grad_where(GradCtx& c) {
  const Tensor zero = scalar_like(c.grad(), 0.0);
  return {Tensor(),
          c.needs(1) ? unbroadcast(where(c.in(0), c.grad(), zero), c.in_meta(1)) : Tensor(),
          c.needs(2) ? unbroadcast(where(c.in(0), zero, c.grad()), c.in_meta(2)) : Tensor()};
}
GradResult grad_cast(GradCtx& c) { return {cast(c.grad(), c.in_meta(0).dtype)}; }

TensorList compose_relu_grad(const void*, std::span<const Tensor> in) {
  return {where(less_equal(in[1], 0.0), scalar_like(in[0], 0.0), in[0])};
}

}  // namespace

#define RUTILE_BINARY(constant, function, ...)                                                     \
  constinit const OpDef constant =                                                                 \
      define({.name = #function, .inputs = {"x", "y"}, __VA_ARGS__});                              \
  Tensor function(Arg x, Arg y) { return binary(constant, x, y); }                                 \
  Tensor function(Arg x, Scalar y) { return binary(constant, x, y); }                              \
  Tensor function(Scalar x, Arg y) { return binary(constant, x, y); }
#define RUTILE_UNARY(constant, function, ...)                                                      \
  constinit const OpDef constant = define({.name = #function, .inputs = {"x"}, __VA_ARGS__});      \
  Tensor function(Arg x) { return call1(constant, nullptr, {x.tensor}, x.where); }

RUTILE_BINARY(kAdd, add, .infer = infer_same, .grad = grad_add, .amp = Amp::kPromote,
              .elementwise = true, .promote = true, .zero_preserving = true, .doc = "x + y")
RUTILE_BINARY(kSub, sub, .infer = infer_number, .grad = grad_sub, .amp = Amp::kPromote,
              .elementwise = true, .promote = true, .zero_preserving = true, .doc = "x - y")
RUTILE_BINARY(kMul, mul, .infer = infer_same, .grad = grad_mul, .saves = {"x", "y"},
              .saves_if = saves_mul, .amp = Amp::kPromote, .elementwise = true, .promote = true,
              .zero_preserving = true, .doc = "x * y")
RUTILE_BINARY(kDiv, div, .infer = infer_float, .grad = grad_div, .saves = {"y", "x"},
              .amp = Amp::kPromote, .elementwise = true, .promote = true, .doc = "x / y")
RUTILE_BINARY(kLessEqual, less_equal, .infer = infer_compare, .elementwise = true, .promote = true,
              .no_grad = "comparison", .doc = "x <= y as bool")
RUTILE_UNARY(kNeg, neg, .infer = infer_number, .grad = grad_neg, .elementwise = true,
             .zero_preserving = true, .doc = "-x")
RUTILE_UNARY(kRelu, relu, .outputs = {"y"}, .infer = infer_number, .grad = grad_relu,
             .saves = {"y"}, .elementwise = true, .zero_preserving = true, .doc = "max(x, 0)")

constinit const OpDef kReluGrad =
    define({.name = "relu_grad", .inputs = {"dy", "y"}, .infer = infer_number,
            .compose = compose_relu_grad, .elementwise = true, .promote = true,
            .zero_preserving = true, .doc = "dy where not y <= 0, else 0"});
Tensor relu_grad(Arg dy, Arg y) { return call1(kReluGrad, nullptr, {dy.tensor, y.tensor}, dy.where); }

constinit const OpDef kWhere =
    define({.name = "where", .inputs = {"cond", "x", "y"}, .infer = infer_where, .grad = grad_where,
            .saves = {"cond"}, .amp = Amp::kPromote, .elementwise = true, .doc = "cond ? x : y"});
Tensor where(Arg cond, Arg x, Arg y) {
  const DType t = promote(x.tensor.dtype(), y.tensor.dtype());
  return call1(kWhere, nullptr, {cast(cond, DType::kBool), cast(x, t), cast(y, t)}, cond.where);
}

constinit const OpDef kCast =
    define({.name = "cast", .inputs = {"x"}, .attrs = attrs_of<CastAttrs>(), .infer = infer_cast,
            .grad = grad_cast, .elementwise = true, .zero_preserving = true, .doc = "x as dtype"});
Tensor cast(Arg x, DType dtype) {
  if (x.tensor.dtype() == dtype) return x.tensor;
  const CastAttrs attrs{dtype};
  return call1(kCast, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops
