// SPDX-License-Identifier: Apache-2.0
// The rows of the CUDA plugin in this program, their kernels run by the emulator
// (kernels/cuda/emulator.h) on host memory.
#pragma once

#include "rutile/core/error.h"

namespace rutile::cuda {

// Registers the rows once.
void register_emulated_rows();
// What a kernel reported since the last call.
Status take_emulated_fault();

}  // namespace rutile::cuda
