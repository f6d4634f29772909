// SPDX-License-Identifier: Apache-2.0
// The rows of the CUDA plugin in this program, their kernels run by the emulator
// (kernels/cuda/emulator.h) on host memory.
#pragma once

#include "rutile/core/error.h"

namespace rutile::cuda {

// Registers the rows once.
void register_emulated_rows();
// The name of rows that stand for those of libraries.
inline constexpr const char* kStandIn = "stand_in";

// While it lives, plans with generated kernels can be made (not run), as with NVRTC and a GPU.
class GeneratedScope {
 public:
  GeneratedScope();
  ~GeneratedScope();
  GeneratedScope(const GeneratedScope&) = delete;
  GeneratedScope& operator=(const GeneratedScope&) = delete;
};
// While it lives, streams are being captured.
class CapturingScope {
 public:
  CapturingScope();
  ~CapturingScope();
  CapturingScope(const CapturingScope&) = delete;
  CapturingScope& operator=(const CapturingScope&) = delete;
};
// What a kernel reported since the last call.
Status take_emulated_fault();

}  // namespace rutile::cuda
