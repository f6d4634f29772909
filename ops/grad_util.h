// SPDX-License-Identifier: Apache-2.0
// Helpers for gradient rules and compositions.
#pragma once

#include <span>

#include "rutile/core/complex.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// `g` summed over the dimensions in which `to` was broadcast, in to's shape and dtype: the gradient
// of an input from the gradient of a broadcast use of it. Sums of low precision accumulate in f32
// and leave as to's dtype at once. `g` itself when nothing differs.
RUTILE_API Tensor unbroadcast(const Tensor& g, const TensorMeta& to);

// The rule of a function with a complex derivative, written for real numbers: of complex ones it
// multiplies by the conjugate of what it would multiply by.
GradResult conjugated(GradCtx& c, GradFn rule);
template <GradFn rule>
GradResult holomorphic(GradCtx& c) {
  return is_complex(c.grad().dtype()) ? conjugated(c, rule) : rule(c);
}

// What a computation in low precision goes through until its end: f32 for f16 and bf16.
constexpr DType wide(DType t) { return is_low_precision(t) ? DType::kF32 : t; }
RUTILE_API Tensor wide(const Tensor& x);

// What functions of real or complex numbers give: integers and bools count as f32.
constexpr DType float_dtype(DType t) { return is_differentiable(t) ? t : DType::kF32; }

// An input that may be left off.
inline Tensor operand(std::span<const Tensor> in, size_t i) {
  return i < in.size() ? in[i] : Tensor();
}

// What norms of images are written in, x [n, c, ...]: the sum over all dimensions but the second,
// and v [c] as [1, c, 1, ...].
Tensor channel_sum(const Tensor& x);
Tensor per_channel(const Tensor& v, int rank);

// x to the power p, p != 0, with the slope of x = 0 taken for 0, where it may be infinite: a
// gradient of 0 times infinity would be NaN.
RUTILE_API Tensor flat_power(const Tensor& x, double p);
// g / y, 0 where y is 0: the slope of a root there is taken for 0, and so is its own.
RUTILE_API Tensor over_root(const Tensor& g, const Tensor& y);

// The number as a 0-d tensor that does not change the dtype of an op with `like` (weak typing).
RUTILE_API Tensor scalar_like(const Tensor& like, Scalar value);
// Its dtype.
RUTILE_API DType weak_dtype(DType like, Scalar value);

}  // namespace rutile::ops
