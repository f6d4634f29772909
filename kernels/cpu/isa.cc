// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if RUTILE_ONEDNN
#include <dnnl.h>
#endif

namespace rutile::kernels {

namespace {

Isa machine_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("f16c")) {
    return Isa::kBaseline;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bf16")) {
    return Isa::kAvx512;
  }
  return Isa::kAvx2;
#else
  return Isa::kBaseline;
#endif
}

Isa choose() {
  const Isa machine = machine_isa();
  const char* wish = std::getenv("RUTILE_ISA");
  if (!wish) return machine;
  if (std::strcmp(wish, "baseline") == 0) return Isa::kBaseline;
  if (std::strcmp(wish, "avx2") == 0 && machine != Isa::kBaseline) return Isa::kAvx2;
  return machine;
}

}  // namespace

Isa isa() {
  static const Isa value = choose();
  return value;
}

bool amx_runs() {
#if defined(__x86_64__) && defined(__linux__)
  static const bool value = [] {
    const char* wish = std::getenv("RUTILE_ISA");
    if (isa() != Isa::kAvx512 || (wish && *wish)) return false;
    constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kBf16) || !(d & kTiles)) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // of arch_prctl, of XSAVE
    return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return value;
#else
  return false;
#endif
}

bool onednn_has_amx() {
#if RUTILE_ONEDNN
  static const bool value =
      (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
  return value;
#else
  return false;
#endif
}

}  // namespace rutile::kernels
