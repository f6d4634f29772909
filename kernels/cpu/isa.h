// SPDX-License-Identifier: Apache-2.0
// The instruction set of this machine, chosen once. Kernels in kernels/cpu/isa/ are compiled for each
// of the two; a machine without AVX2 runs the reference kernels.
#pragma once

namespace rutile::kernels {

// kAvx512 means F, BW, VL, DQ and BF16 (Zen 4 and later, Cooper Lake and later).
enum class Isa { kBaseline, kAvx2, kAvx512 };

// RUTILE_ISA=baseline|avx2|avx512 lowers it, for tests.
Isa isa();

}  // namespace rutile::kernels
