// SPDX-License-Identifier: Apache-2.0
// Samples of ops about complex numbers; arithmetic on them is among those of each op.
#include "rutile/ops/complex.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr const char* kLinear = "the op is linear";
const DTypes& wide_floats() {
  static const DTypes types{DType::kF32, DType::kF64};
  return types;
}

#define RUTILE_PART_SAMPLES(op)                   \
  RUTILE_SAMPLES(op) {                            \
    s.complex_unary().no_second_order(kLinear);   \
    s.error({in({2})}, kType, "complex numbers"); \
  }
RUTILE_PART_SAMPLES(real)
RUTILE_PART_SAMPLES(imag)
RUTILE_PART_SAMPLES(conj)

RUTILE_SAMPLES(angle) {
  s.complex_unary(away_from({0}, 0.2));
  s.add({in({4}).values({0, 0, -1, 0, 1, 0, 0, -2})})
      .dtypes(kComplexes)
      .name("on the axes")
      .no_gradient("a jump at -1, none at 0");
  s.error({in({2})}, kType, "complex numbers");
}

RUTILE_SAMPLES(sgn) {
  s.complex_unary(away_from({0}, 0.2));
  s.add({in({4}).values({0, 0, 1, -2})}).dtypes(kComplexes).name("zero").no_gradient("0 at 0");
  s.unary(kNumbers, away_from({0})).no_gradient("piecewise constant");
  s.error({in({2}).as(DType::kBool)}, kType, "bool");
}

RUTILE_SAMPLES(complex) {
  s.binary(wide_floats()).no_second_order(kLinear);
  s.error({in({2}).as(DType::kC64), in({2}).as(DType::kC64)}, kType, "complex");
  s.error({in({2}).as(DType::kI32), in({2}).as(DType::kI32)}, kType, "f32 or f64");
  s.add({in({2}), in({2}).as(DType::kF64)}).name("promotion").no_second_order(kLinear);
  s.error({in({2}), in({3})}, kValue, "broadcast");
}

RUTILE_SAMPLES(polar) {
  s.binary(wide_floats());
  s.error({in({2}).as(DType::kC64), in({2}).as(DType::kC64)}, kType, "complex");
  s.error({in({2}).as(DType::kF16), in({2}).as(DType::kF16)}, kType, "f32 or f64");
}

RUTILE_SAMPLES(view_as_real) {
  s.complex_unary().no_second_order(kLinear);
  s.error({in({2})}, kType, "complex numbers");
  s.error({in({1, 1, 1, 1, 1, 1, 1, 1}).as(DType::kC64)}, kValue, "no room");
}

RUTILE_SAMPLES(view_as_complex) {
  for (const Shape& shape : {Shape{2}, Shape{3, 5, 2}, Shape{4, 0, 2}}) {
    s.add({in(shape)}).dtypes(wide_floats()).no_second_order(kLinear);
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({3, 4, 2}).viewed(v)}).no_second_order(kLinear);
  }
  s.error({in({})}, kValue, "last dimension of 2");
  s.error({in({2, 3})}, kValue, "last dimension of 2");
  s.error({in({2}).as(DType::kC64)}, kType, "f32 or f64");
}

}  // namespace
}  // namespace rutile::samples
