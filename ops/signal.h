// SPDX-License-Identifier: Apache-2.0
// Short-time Fourier transforms (Allen, "Short term spectral analysis, synthesis, and modification
// by discrete Fourier transform", 1977): the spectra of overlapping pieces of a signal, and back.
//
//   // x f32[8,16000], window w f32[400]
//   Tensor y = ops::stft(x, {.n_fft = 400, .hop_length = 100}, w);   // c64[8,201,161]
//   Tensor z = ops::istft(y, {.n_fft = 400, .hop_length = 100}, w);  // f32[8,16000], x again
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

struct StftAttrs {
  int64_t n_fft = 0;       // points of a piece
  int64_t hop_length = 0;  // from piece to piece; 0: n_fft / 4
  int64_t win_length = 0;  // of the window, which stands in the middle of n_fft points; 0: n_fft
  bool center = true;      // piece t has its middle at t hop_length: n_fft / 2 points go around x
  PadMode pad_mode = PadMode::kReflect;  // what they are
  bool normalized = false;               // spectra divided by sqrt(n_fft)
  bool onesided = true;                  // n_fft / 2 + 1 frequencies; of real x only
  RUTILE_REFLECT(n_fft, hop_length, win_length, center, pad_mode, normalized, onesided)
};
// x [n] or [b, n], window [win_length] or none (all ones) -> [.., frequencies, pieces], complex.
// Errors: kValue for a signal shorter than a piece, lengths below 1 or a window of another length;
// kType for onesided spectra of complex x. f32, f64, c64 and c128.
extern RUTILE_API const OpDef kStft;
RUTILE_API Tensor stft(Arg x, StftAttrs attrs, const Tensor& window = {});

struct IstftAttrs {
  int64_t n_fft = 0;
  int64_t hop_length = 0;
  int64_t win_length = 0;
  bool center = true;
  bool normalized = false;
  bool onesided = true;
  int64_t length = -1;  // of the result: cut off or zeros behind; -1: what the pieces cover
  bool return_complex = false;
  RUTILE_REFLECT(n_fft, hop_length, win_length, center, normalized, onesided, length,
                 return_complex)
};
// The signal whose pieces are nearest to those of x [frequencies, pieces] or [b, frequencies,
// pieces] (Griffin and Lim, 1984): windowed pieces added up, over the sum of squared windows.
// kValue where that sum is zero, found when the op runs.
extern RUTILE_API const OpDef kIstft;
RUTILE_API Tensor istft(Arg x, IstftAttrs attrs, const Tensor& window = {});

}  // namespace rutile::ops
