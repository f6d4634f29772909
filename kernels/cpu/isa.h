// SPDX-License-Identifier: Apache-2.0
// The instruction set of this machine, chosen once. Kernels in kernels/cpu/isa/ are compiled for
// each of the two; a machine without AVX2 runs the reference kernels.
#pragma once

namespace rutile::kernels {

// kAvx512 means F, BW, VL, DQ and BF16 (Zen 4 and later, Cooper Lake and later).
enum class Isa { kBaseline, kAvx2, kAvx512 };

// RUTILE_ISA=baseline|avx2|avx512 lowers it, for tests.
Isa isa();

// Whether our own kernels may multiply bf16 in AMX tiles (Sapphire Rapids and later), at up to
// eight times the rate of AVX-512: the processor has them, the system lets this process use them,
// and RUTILE_ISA lowers nothing.
bool amx_runs();
// Whether oneDNN does.
bool onednn_has_amx();

// The table that function `f` of the chosen instruction set's namespace gives; only where isa() is
// not kBaseline (elsewhere such functions do not exist).
#if defined(__x86_64__)
#define RUTILE_CHOOSE_ISA(f, ...) \
  (isa() == Isa::kAvx512 ? avx512::f(__VA_ARGS__) : avx2::f(__VA_ARGS__))
#else
#define RUTILE_CHOOSE_ISA(f, ...) (decltype(avx2::f(__VA_ARGS__)){})
#endif

}  // namespace rutile::kernels
