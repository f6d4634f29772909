// SPDX-License-Identifier: Apache-2.0
// What the rows of Fourier transforms call of cuFFT: lines of n points without gaps, n / 2 + 1
// complex ones beside n real ones, no factor. Nothing of CUDA is in this header, so that tests run
// the rows over a stand-in for the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "rutile/core/error.h"

namespace rutile::cuda {

enum class FftWay : uint8_t { kComplex, kFromReal, kToReal };

// A plan of the library, for the device that is the thread's own (make_current). Immutable; calls
// take turns.
class LibraryFft {
 public:
  virtual ~LibraryFft() = default;
  // f32 and c64, or with `wide` f64 and c128.
  static Status make(FftWay way, bool wide, int64_t n, int64_t lines,
                     std::unique_ptr<const LibraryFft>* out);
  virtual size_t workspace_bytes() const = 0;
  // x may be overwritten. `stream` is CUDA's; the way to real numbers is always the inverse one.
  virtual Status run(void* x, void* y, bool inverse, void* workspace, void* stream) const = 0;
};

// Why the library cannot be used; empty: it can.
const std::string& cufft_failure();

}  // namespace rutile::cuda
