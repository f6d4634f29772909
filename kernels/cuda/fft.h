// SPDX-License-Identifier: Apache-2.0
// Fourier transforms, a block of threads a line (Stockham, 1966): any number of points, fast where
// its prime factors are small.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class FftSide : uint8_t { kComplex, kReal, kHalf };  // kHalf: n / 2 + 1 complex points

struct FftArgs {
  static constexpr int kMostFactors = 64;
  int64_t lines = 0, n = 1, given = 0, results = 0, in_step = 1, out_step = 1;
  FftSide in = FftSide::kComplex, out = FftSide::kComplex;
  bool wide = false;
  double scale = 1;
  int factors = 0;
  int64_t factor[kMostFactors] = {};
  const double* turns = nullptr;  // n complex numbers: exp(-2 pi i k / n), or their conjugates
  Indexer<2> line_at;             // x, y
  const void* x = nullptr;
  void *y = nullptr, *workspace = nullptr;  // 2 n complex numbers a line
};
int launch_fft(const FftArgs& a, Stream stream);

// Between lines of any strides and those of a library, which have no gaps and no factor. `halves`:
// it has only the first n / 2 + 1 points of what comes from real numbers.
struct FftPoints {
  FftArgs lines;
  bool halves = false, conjugate = false;
  void* points = nullptr;
};
int launch_fft_pack(const FftPoints& a, Stream stream);    // lines.x to points
int launch_fft_unpack(const FftPoints& a, Stream stream);  // points to lines.y

}  // namespace rutile::cuda
