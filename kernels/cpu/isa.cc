// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa.h"

#include <cstdlib>
#include <cstring>

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
