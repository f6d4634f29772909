// SPDX-License-Identifier: Apache-2.0
// Fourier transforms of lines by Eigen's FFT: several lines at once, one in each lane of a vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rutile::kernels {

// kFromReal gives the first half of the points, kAllFromReal the conjugate ones too.
enum class FftKind : uint8_t { kComplex, kFromReal, kAllFromReal, kToReal };

// A transform of `n` points. `given` elements of a line are read, `in_step` apart, and count as
// zero from there on; strides are in elements, complex or real ones.
struct FftSpec {
  FftKind kind = FftKind::kComplex;
  bool inverse = false;  // kFromReal never is, kToReal always
  bool in_double = false;
  int64_t n = 1, given = 1, in_step = 1, out_step = 1;
  double scale = 1;
};

// Immutable; run() may be called by several threads at once.
class FftLines {
 public:
  virtual ~FftLines() = default;
  virtual int lanes() const = 0;
  virtual size_t workspace_bytes() const = 0;  // of one call, aligned to 64
  virtual double ns() const = 0;               // of one call
  // `count` <= lanes() lines, each from in[i] to out[i].
  virtual void run(const void* const* in, void* const* out, int count, void* workspace) const = 0;
};

// For `lines` lines altogether: a few of them, or very long ones, go one at a time.
std::unique_ptr<FftLines> make_fft_lines(const FftSpec& spec, int64_t lines);

}  // namespace rutile::kernels
