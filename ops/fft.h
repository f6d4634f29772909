// SPDX-License-Identifier: Apache-2.0
// Discrete Fourier transforms (Cooley and Tukey, "An algorithm for the machine calculation of
// complex Fourier series", 1965). Along an axis of n points, with w = exp(-2 pi i / n):
//
// fft: y[k] = sum_j x[j] w^(jk); ifft: y[k] = 1/n sum_j x[j] w^(-jk).
//
//   Tensor y = ops::rfft(x);                       // f32[8,1000] -> c64[8,501]
//   Tensor z = ops::irfft(y, {.n = 1000});         // f32[8,1000], x again
//
// Any length is fast: products of primes up to 31 directly, others by Bluestein's convolution. c64
// and f32 compute in single precision, c128 and f64 in double; other real types are cast to f32.
//
// Errors: kIndex for an axis out of range, kValue for a length below 1 or an axis named twice,
// kType for complex input where real is wanted, and the other way round.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile {
namespace ops {

// Which direction divides, and by what: the inverse by n, both by sqrt(n), or the forward one by n.
enum class FftNorm : uint8_t { kBackward, kOrtho, kForward };

struct FftAttrs {
  int64_t n = -1;  // points: x is cut off or filled with zeros behind; -1: as many as x has
  int64_t axis = -1;
  FftNorm norm = FftNorm::kBackward;
  RUTILE_REFLECT(n, axis, norm)
};
// Of complex or real x; the result is complex.
extern RUTILE_API const OpDef kFft, kIfft;
RUTILE_API Tensor fft(Arg x, FftAttrs attrs = {});
RUTILE_API Tensor ifft(Arg x, FftAttrs attrs = {});

// Of real x: the first n / 2 + 1 points, of which the rest are the conjugates.
extern RUTILE_API const OpDef kRfft;
RUTILE_API Tensor rfft(Arg x, FftAttrs attrs = {});
// Back to n real points; -1: 2 (m - 1) of m. The imaginary parts of point 0, and of point n / 2 for
// even n, do not count.
extern RUTILE_API const OpDef kIrfft;
RUTILE_API Tensor irfft(Arg x, FftAttrs attrs = {});
// The same with the directions exchanged: of a signal that is the conjugate of itself reversed.
// hfft(x) = irfft(conj(x)), ihfft(x) = conj(rfft(x)), each with the other one's factor.
RUTILE_API Tensor hfft(Arg x, FftAttrs attrs = {});
RUTILE_API Tensor ihfft(Arg x, FftAttrs attrs = {});

// Over several axes. `s` are the points along them, -1 for as many as x has; no axes: the last
// ones, as many as `s` has, or all. The real ones halve the last of the axes. fft2 and so on are
// these over
// {-2, -1}.
struct FftnAttrs {
  Dims s = {};
  Dims axes = {};
  FftNorm norm = FftNorm::kBackward;
};
RUTILE_API Tensor fftn(Arg x, const FftnAttrs& attrs = {});
RUTILE_API Tensor ifftn(Arg x, const FftnAttrs& attrs = {});
RUTILE_API Tensor rfftn(Arg x, const FftnAttrs& attrs = {});
RUTILE_API Tensor irfftn(Arg x, const FftnAttrs& attrs = {});
RUTILE_API Tensor hfftn(Arg x, const FftnAttrs& attrs = {});
RUTILE_API Tensor ihfftn(Arg x, const FftnAttrs& attrs = {});
RUTILE_API Tensor fft2(Arg x, FftnAttrs attrs = {});
RUTILE_API Tensor ifft2(Arg x, FftnAttrs attrs = {});
RUTILE_API Tensor rfft2(Arg x, FftnAttrs attrs = {});
RUTILE_API Tensor irfft2(Arg x, FftnAttrs attrs = {});
RUTILE_API Tensor hfft2(Arg x, FftnAttrs attrs = {});
RUTILE_API Tensor ihfft2(Arg x, FftnAttrs attrs = {});

// Moves point 0 to the middle n / 2 of each axis, and back; no axes: all.
RUTILE_API Tensor fftshift(Arg x, const Dims& axes = {});
RUTILE_API Tensor ifftshift(Arg x, const Dims& axes = {});
// The frequencies of the points of fft, and of rfft, for samples that lie `d` apart:
// [0, 1, ..., -2, -1] / (n d).
RUTILE_API Tensor fftfreq(int64_t n, double d = 1.0, DType dtype = DType::kF32);
RUTILE_API Tensor rfftfreq(int64_t n, double d = 1.0, DType dtype = DType::kF32);

}  // namespace ops

template <>
struct EnumNames<ops::FftNorm> {
  static constexpr const char* value[] = {"backward", "ortho", "forward"};
};

}  // namespace rutile
