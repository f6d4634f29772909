// SPDX-License-Identifier: Apache-2.0
// What the rows of Fourier transforms share.
#pragma once

#include "rutile/kernels/cuda/fft.h"
#include "rutile/kernels/fft_call.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::cuda {

bool takes_fft(const CallMeta& c, Reason* reason);
// The call's lines; all but factors, table and pointers.
kernels::FftSpec set_lines(const CallMeta& c, FftArgs* lines);

}  // namespace rutile::cuda
