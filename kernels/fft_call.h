// SPDX-License-Identifier: Apache-2.0
// A call of an op of ops/fft.h as a transform of lines.
#pragma once

#include "rutile/kernels/cpu/eigen_fft.h"
#include "rutile/ops/op_def.h"

namespace rutile::kernels {

struct FftCall {
  FftSpec spec;
  Shape lines;
  Strides in_lines, out_lines;
};
FftCall fft_call(const CallMeta& c);

}  // namespace rutile::kernels
