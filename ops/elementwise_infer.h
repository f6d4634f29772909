// SPDX-License-Identifier: Apache-2.0
// Rules for shape, dtype and placement that elementwise ops share, and the shape of their
// definitions.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// The common broadcast shape of all present inputs, as `dtype`. Placement: the blocked layout or
// the dense strides of the inputs that have the full shape, so that channels-last and blocked
// tensors stay what they are; row-major otherwise. A layout with padding passes only through
// zero-preserving ops of inputs that all have it.
Status infer_broadcast(const CallMeta& c, DType dtype, TensorMeta* out);

// Error kType unless inputs `first` and later have one dtype.
Status check_same_dtype(const CallMeta& c, int first = 0);
// The same, and a real one.
Status check_dtypes(const CallMeta& c, int first = 0);

Status infer_same(const CallMeta& c, TensorMeta* out);     // the inputs' dtype
Status infer_number(const CallMeta& c, TensorMeta* out);   // the same without bool
Status infer_float(const CallMeta& c, TensorMeta* out);    // integers and bool give f32
Status infer_floats(const CallMeta& c, TensorMeta* out);   // floats only
Status infer_bits(const CallMeta& c, TensorMeta* out);     // integers and bool
Status infer_compare(const CallMeta& c, TensorMeta* out);  // gives bool

// The rule for real numbers, and complex ones with a result of their dtype, or bool.
template <InferFn real>
Status or_complex(const CallMeta& c, TensorMeta* out) {
  const DType t = c.in(0).dtype;
  if (!is_complex(t)) return real(c, out);
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c));
  return infer_broadcast(c, real == infer_compare ? DType::kBool : t, out);
}

// Functions of the binary rows.
Tensor binary(const OpDef& op, Arg x, Arg y);
Tensor binary(const OpDef& op, Arg x, Scalar y);
Tensor binary(const OpDef& op, Scalar x, Arg y);

// The fields that all of them share.
consteval OpSpec elementwise(OpSpec s) {
  s.elementwise = true;
  s.promote = s.inputs[1] != nullptr;
  return s;
}

// A row: definition and functions of an op without attributes. What follows are fields of OpSpec.
#define RUTILE_UNARY(constant, function, ...)                                 \
  constinit const OpDef constant =                                            \
      define(elementwise({.name = #function, .inputs = {"x"}, __VA_ARGS__})); \
  Tensor function(Arg x) { return call1(constant, nullptr, {x.tensor}, x.where); }
#define RUTILE_BINARY(constant, function, ...)                                                \
  constinit const OpDef constant = define(                                                    \
      elementwise({.name = #function, .inputs = {"x", "y"}, .outputs = {"z"}, __VA_ARGS__})); \
  Tensor function(Arg x, Arg y) { return binary(constant, x, y); }                            \
  Tensor function(Arg x, Scalar y) { return binary(constant, x, y); }                         \
  Tensor function(Scalar x, Arg y) { return binary(constant, x, y); }

}  // namespace rutile::ops
