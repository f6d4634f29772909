// SPDX-License-Identifier: Apache-2.0
// Samples of Fourier transforms.
#include "rutile/ops/fft.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr const char* kLinear = "the op is linear";

// Lengths of every radix, mixed ones, large primes; lines alone, few, many; both axes of memory.
void transforms(SampleList& s, const DTypes& types, int64_t smallest) {
  const DTypes one{types.front()};
  for (int64_t n = smallest; n <= 12; ++n) {
    s.add({in({n})}, FftAttrs{}).dtypes(types).no_second_order(kLinear);
  }
  for (const FftNorm norm : {FftNorm::kBackward, FftNorm::kOrtho, FftNorm::kForward}) {
    for (const int64_t n : {-1, 4, 7, 11}) {
      s.add({in({3, 5, 7})}, FftAttrs{n, 1, norm}).dtypes(types).no_second_order(kLinear);
    }
  }
  for (const int64_t n : {16, 30, 49, 60, 64, 77, 143, 240, 961}) {
    for (const Shape& shape : {Shape{n}, Shape{13, n}}) {
      s.add({in(shape)}, FftAttrs{})
          .dtypes(types)
          .tolerance(DType::kC64, 1e-5, 1e-4)
          .tolerance(DType::kC128, 1e-12, 1e-11)
          .no_gradient("short ones check it");
    }
  }
  for (const int64_t n : {37, 74, 106, 331, 997}) {
    for (const Shape& shape : {Shape{2, n}, Shape{9, n}}) {
      s.add({in(shape)}, FftAttrs{})
          .dtypes(types)
          .tolerance(DType::kC64, 1e-5, 1e-4)
          .tolerance(DType::kC128, 1e-12, 1e-11)
          .name("prime")
          .no_gradient("short ones check it");
    }
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    for (const int64_t axis : {0, 1, -1}) {
      s.add({in({4, 5, 6}).viewed(v)}, FftAttrs{-1, axis}).dtypes(one).no_second_order(kLinear);
    }
  }
  s.add({in({300, 128})}, FftAttrs{}).dtypes(one).name("long").no_gradient("a long run");
  s.add({in({128, 300})}, FftAttrs{-1, 0}).dtypes(one).name("long").no_gradient("a long run");
  s.add({in({0, 5})}, FftAttrs{}).dtypes(one).name("no lines");
  s.add({in({3, 0})}, FftAttrs{4, -1}).dtypes(one).name("zeros only").no_second_order(kLinear);
  s.error({in({3}).as(one[0])}, FftAttrs{-1, 1}, ErrorCode::kIndex, "axis");
  s.error({in({}).as(one[0])}, FftAttrs{}, ErrorCode::kIndex, "axis");
  s.error({in({3, 0}).as(one[0])}, FftAttrs{}, ErrorCode::kValue, "at least 1 point");
  s.error({in({3}).as(one[0])}, FftAttrs{0}, ErrorCode::kValue, "at least 1 point");
}

const DTypes& wide_floats() {
  static const DTypes types{DType::kF32, DType::kF64};
  return types;
}

RUTILE_SAMPLES(fft) {
  transforms(s, kComplexes, 1);
  s.error({in({3})}, FftAttrs{}, ErrorCode::kType, "complex numbers");
}
RUTILE_SAMPLES(ifft) {
  transforms(s, kComplexes, 1);
  s.error({in({3})}, FftAttrs{}, ErrorCode::kType, "complex numbers");
}
RUTILE_SAMPLES(rfft) {
  transforms(s, wide_floats(), 1);
  s.error({in({3}).as(DType::kC64)}, FftAttrs{}, ErrorCode::kType, "f32 or f64");
}
RUTILE_SAMPLES(irfft) {
  transforms(s, kComplexes, 2);
  for (const int64_t n : {1, 2, 3, 9, 16}) {
    s.add({in({4, 6})}, FftAttrs{n}).dtypes(kComplexes).no_second_order(kLinear);
  }
  s.error({in({3})}, FftAttrs{}, ErrorCode::kType, "complex numbers");
  s.error({in({1}).as(DType::kC64)}, FftAttrs{}, ErrorCode::kValue, "at least 1 point");
}

}  // namespace
}  // namespace rutile::samples
