// SPDX-License-Identifier: Apache-2.0
// Samples of Fourier transforms.
#include "rutile/ops/fft.h"

#include "rutile/ops/signal.h"
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

void of_real(SampleList& s) {
  for (const int64_t n : {1, 2, 3, 4, 7, 8, 9, 12}) {
    s.add({in({5, n})}, FftAttrs{}).dtypes(wide_floats()).no_second_order(kLinear);
  }
  for (const int64_t n : {3, 6, 8}) {
    const FftAttrs a{n, 1, FftNorm::kOrtho};
    s.add({in({3, 5, 7})}, a).dtypes(wide_floats()).no_second_order(kLinear);
    s.add({in({5, 6}).transposed()}, a).no_second_order(kLinear);
  }
  for (const int64_t n : {30, 49, 64, 37, 106}) {
    s.add({in({13, n})}, FftAttrs{})
        .dtypes(wide_floats())
        .tolerance(DType::kC64, 1e-5, 1e-4)
        .tolerance(DType::kC128, 1e-12, 1e-11)
        .no_gradient("short ones check it");
  }
}

RUTILE_SAMPLES(fft) {
  transforms(s, kComplexes, 1);
  of_real(s);
  s.error({in({3}).as(DType::kI32)}, FftAttrs{}, ErrorCode::kType, "complex numbers");
}
RUTILE_SAMPLES(ifft) {
  transforms(s, kComplexes, 1);
  of_real(s);
  s.error({in({3}).as(DType::kI32)}, FftAttrs{}, ErrorCode::kType, "complex numbers");
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

RUTILE_SAMPLES(stft) {
  const DTypes f64{DType::kF64};
  s.add({in({2, 20}), in({8})}, StftAttrs{.n_fft = 8, .hop_length = 3}).dtypes(wide_floats());
  s.add({in({20})}, StftAttrs{.n_fft = 7}).dtypes(f64).name("odd, no window, a quarter");
  s.add({in({20}), in({5})}, StftAttrs{.n_fft = 8, .win_length = 5, .normalized = true})
      .dtypes(f64);
  s.add({in({20})}, StftAttrs{.n_fft = 8, .center = false, .onesided = false}).dtypes(f64);
  for (const PadMode mode : {PadMode::kConstant, PadMode::kReplicate, PadMode::kCircular}) {
    s.add({in({12})}, StftAttrs{.n_fft = 6, .hop_length = 2, .pad_mode = mode}).dtypes(f64);
  }
  s.add({in({2, 12}), in({6}).as(DType::kF64)}, StftAttrs{.n_fft = 6, .onesided = false})
      .dtypes({DType::kC128});
  s.add({in({0, 12})}, StftAttrs{.n_fft = 6}).name("no signal");
  s.error({in({12})}, StftAttrs{}, ErrorCode::kValue, "n_fft >= 1");
  s.error({in({12})}, StftAttrs{.n_fft = 16, .center = false}, ErrorCode::kValue, "at least n_fft");
  s.error({in({3})}, StftAttrs{.n_fft = 8}, ErrorCode::kValue, "reflect");
  s.error({in({12})}, StftAttrs{.n_fft = 6, .win_length = 7}, ErrorCode::kValue, "win_length");
  s.error({in({12}), in({5})}, StftAttrs{.n_fft = 6}, ErrorCode::kValue, "window expects");
  s.error({in({12}), in({6}).as(DType::kF64)}, StftAttrs{.n_fft = 6}, ErrorCode::kType, "window");
  s.error({in({2, 2, 12})}, StftAttrs{.n_fft = 6}, ErrorCode::kValue, "[b, n]");
  s.error({in({12}).as(DType::kC64)}, StftAttrs{.n_fft = 6}, ErrorCode::kType, "onesided");
  s.error({in({12}).as(DType::kF16)}, StftAttrs{.n_fft = 6}, ErrorCode::kType, "complex numbers");
}
RUTILE_SAMPLES(istft) {
  const Input window = in({8}).uniform(0.5, 1.5);
  for (const DType t : {DType::kF32, DType::kF64}) {
    const DType whole = t == DType::kF64 ? DType::kC128 : DType::kC64;
    s.add({in({2, 5, 6}), window.as(t)}, IstftAttrs{.n_fft = 8, .hop_length = 3}).dtypes({whole});
  }
  const DTypes c128{DType::kC128};
  s.add({in({4, 6})}, IstftAttrs{.n_fft = 7}).dtypes(c128).name("odd, no window, a quarter");
  s.add({in({5, 6})}, IstftAttrs{.n_fft = 8, .center = false, .normalized = true}).dtypes(c128);
  s.add({in({5, 6})}, IstftAttrs{.n_fft = 8, .length = 9}).dtypes(c128).name("cut off");
  s.add({in({5, 6})}, IstftAttrs{.n_fft = 8, .length = 40}).dtypes(c128).name("zeros behind");
  s.add({in({8, 6})}, IstftAttrs{.n_fft = 8, .onesided = false, .return_complex = true})
      .dtypes(c128);
  s.add({in({8, 6})}, IstftAttrs{.n_fft = 8, .onesided = false}).dtypes(c128).name("real part");
  s.add({in({0, 5, 6})}, IstftAttrs{.n_fft = 8}).dtypes(c128).name("no signal");
  s.error({in({5, 6})}, IstftAttrs{.n_fft = 8}, ErrorCode::kType, "complex numbers");
  s.error({in({4, 6}).as(DType::kC64)}, IstftAttrs{.n_fft = 8}, ErrorCode::kValue, "5 frequencies");
  s.error({in({5}).as(DType::kC64)}, IstftAttrs{.n_fft = 8}, ErrorCode::kValue, "frequencies");
  s.error({in({5, 2}).as(DType::kC64)},
          IstftAttrs{.n_fft = 8, .onesided = true, .return_complex = true}, ErrorCode::kType,
          "real numbers");
  s.error({in({5, 2}).as(DType::kC64), in({8}).values({0})}, IstftAttrs{.n_fft = 8},
          ErrorCode::kValue, "sum of squared windows");
}

}  // namespace
}  // namespace rutile::samples
