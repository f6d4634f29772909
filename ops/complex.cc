// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/complex.h"

#include <numbers>
#include <utility>

#include "rutile/core/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

Status check_complex(const CallMeta& c) {
  if (is_complex(c.in(0).dtype)) return Status();
  return type_error(cat("expects complex numbers, got ", c.in(0).dtype));
}

Status infer_part(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_complex(c));
  return infer_broadcast(c, real_dtype(c.in(0).dtype), out);
}
Status infer_conj(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_complex(c));
  return infer_broadcast(c, c.in(0).dtype, out);
}

Status infer_parts(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const DType t = c.in(0).dtype;
  if (t != DType::kF32 && t != DType::kF64) {
    return type_error(cat("expects f32 or f64, got ", t));
  }
  return infer_broadcast(c, complex_dtype(t), out);
}

Status infer_as_real(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_complex(c));
  Shape shape = c.in(0).shape;
  if (shape.rank() == kMaxRank) return value_error("has no room for another dimension");
  shape.push_back(2);
  *out = TensorMeta(shape, real_dtype(c.in(0).dtype), c.in(0).device);
  return Status();
}
Status infer_as_complex(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (x.dtype != DType::kF32 && x.dtype != DType::kF64) {
    return type_error(cat("expects f32 or f64, got ", x.dtype));
  }
  if (x.rank() == 0 || x.shape.back() != 2) {
    return value_error(cat("expects a last dimension of 2, got shape ", x.shape));
  }
  Shape shape = x.shape;
  shape.pop_back();
  *out = TensorMeta(shape, complex_dtype(x.dtype), x.device);
  return Status();
}

Status infer_sgn(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).dtype == DType::kBool) return type_error("expects numbers, got bool");
  return infer_broadcast(c, c.in(0).dtype, out);
}

Tensor imaginary(const Tensor& g) { return complex(zeros_like(g), g); }

GradResult grad_real(GradCtx& c) { return {cast(c.grad(), c.in_meta(0).dtype)}; }
GradResult grad_imag(GradCtx& c) { return {imaginary(c.grad())}; }
GradResult grad_conj(GradCtx& c) { return {conj(c.grad())}; }
// The angle grows along i z / |z|^2.
GradResult grad_angle(GradCtx& c) {
  const Tensor &z = c.in(0), r = abs(z);
  return {imaginary(over_root(c.grad(), r)) * over_root(z, cast(r, z.dtype()))};
}
GradResult grad_complex(GradCtx& c) {
  return {c.needs(0) ? unbroadcast(real(c.grad()), c.in_meta(0)) : Tensor(),
          c.needs(1) ? unbroadcast(imag(c.grad()), c.in_meta(1)) : Tensor()};
}
GradResult grad_as_real(GradCtx& c) { return {view_as_complex(c.grad())}; }
GradResult grad_as_complex(GradCtx& c) { return {view_as_real(c.grad())}; }

using In = std::span<const Tensor>;
TensorList compose_sgn(const void*, In in) {
  if (!is_complex(in[0].dtype())) return {sign(in[0])};
  return {over_root(in[0], cast(abs(in[0]), in[0].dtype()))};
}
TensorList compose_polar(const void*, In in) {
  return {complex(in[0] * cos(in[1]), in[0] * sin(in[1]))};
}

// Parts as complex() takes them.
std::pair<Tensor, Tensor> parts(const Tensor& a, const Tensor& b) {
  const DType t = promote(a.dtype(), b.dtype());
  const DType part = t == DType::kF64 ? DType::kF64 : DType::kF32;
  if (is_complex(t)) return {a, b};
  return {cast(a, part), cast(b, part)};
}

}  // namespace

#define RUTILE_PART(constant, function, rule, saved, text)                      \
  constinit const OpDef constant = define(elementwise({.name = #function,       \
                                                       .inputs = {"x"},         \
                                                       .infer = infer_part,     \
                                                       .grad = rule,            \
                                                       .saves = {saved},        \
                                                       .zero_preserving = true, \
                                                       .doc = text}));
RUTILE_PART(kReal, real, grad_real, nullptr, "Real part of complex numbers.")
RUTILE_PART(kImag, imag, grad_imag, nullptr, "Imaginary part of complex numbers.")
RUTILE_PART(kAngle, angle, grad_angle, "x", "Angle of complex numbers in (-pi, pi].")
#undef RUTILE_PART

Tensor real(Arg x) {
  return is_complex(x.tensor.dtype()) ? call1(kReal, nullptr, {x.tensor}, x.where) : x.tensor;
}
Tensor imag(Arg x) {
  return is_complex(x.tensor.dtype()) ? call1(kImag, nullptr, {x.tensor}, x.where) : zeros_like(x);
}
Tensor angle(Arg x) {
  if (is_complex(x.tensor.dtype())) return call1(kAngle, nullptr, {x.tensor}, x.where);
  const Tensor t = is_floating(x.tensor.dtype()) ? x.tensor : cast(x, DType::kF32);
  return where(isnan(t), t,
               where(less(t, 0), full({}, std::numbers::pi, t.dtype()), full({}, 0, t.dtype())));
}

constinit const OpDef kConj = define(elementwise({.name = "conj",
                                                  .inputs = {"x"},
                                                  .infer = infer_conj,
                                                  .grad = grad_conj,
                                                  .zero_preserving = true,
                                                  .doc = "Complex conjugate: x - iy of x + iy."}));
Tensor conj(Arg x) {
  return is_complex(x.tensor.dtype()) ? call1(kConj, nullptr, {x.tensor}, x.where) : x.tensor;
}

constinit const OpDef kSgn = define({.name = "sgn",
                                     .inputs = {"x"},
                                     .infer = infer_sgn,
                                     .flops = flops_per_output<6>,
                                     .compose = compose_sgn,
                                     .doc = "z / |z|, 0 of 0; of real numbers their sign."});
Tensor sgn(Arg x) { return call1(kSgn, nullptr, {x.tensor}, x.where); }

constinit const OpDef kComplex =
    define(elementwise({.name = "complex",
                        .inputs = {"re", "im"},
                        .outputs = {"z"},
                        .infer = infer_parts,
                        .grad = grad_complex,
                        .zero_preserving = true,
                        .doc = "Complex numbers re + i im of f32 or f64."}));
Tensor complex(Arg re, Arg im) {
  const auto [a, b] = parts(re.tensor, im.tensor);
  return call1(kComplex, nullptr, {a, b}, re.where);
}

constinit const OpDef kPolar = define({.name = "polar",
                                       .inputs = {"length", "angle"},
                                       .outputs = {"z"},
                                       .infer = infer_parts,
                                       .flops = flops_per_output<4>,
                                       .compose = compose_polar,
                                       .promote = true,
                                       .doc = "Complex numbers of a length and an angle."});
Tensor polar(Arg length, Arg angle) {
  const auto [a, b] = parts(length.tensor, angle.tensor);
  return call1(kPolar, nullptr, {a, b}, length.where);
}

constinit const OpDef kViewAsReal = define({.name = "view_as_real",
                                            .inputs = {"x"},
                                            .infer = infer_as_real,
                                            .grad = grad_as_real,
                                            .doc = "Complex numbers as pairs of real ones."});
Tensor view_as_real(Arg x) { return call1(kViewAsReal, nullptr, {x.tensor}, x.where); }

constinit const OpDef kViewAsComplex = define({.name = "view_as_complex",
                                               .inputs = {"x"},
                                               .infer = infer_as_complex,
                                               .grad = grad_as_complex,
                                               .doc = "Pairs of real numbers as complex ones."});
Tensor view_as_complex(Arg x) { return call1(kViewAsComplex, nullptr, {x.tensor}, x.where); }

}  // namespace rutile::ops
