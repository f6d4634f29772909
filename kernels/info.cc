// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/info.h"

#include "rutile/core/strings.h"
#include "rutile/kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if RUTILE_ONEDNN
#include <dnnl.h>
#endif

namespace rutile {
namespace {

std::vector<std::string> cpu_features() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
#define RUTILE_FEATURE(name) \
  if (__builtin_cpu_supports(name)) found.emplace_back(name)
  RUTILE_FEATURE("avx2");
  RUTILE_FEATURE("fma");
  RUTILE_FEATURE("f16c");
  RUTILE_FEATURE("avx512f");
  RUTILE_FEATURE("avx512bw");
  RUTILE_FEATURE("avx512vl");
  RUTILE_FEATURE("avx512dq");
  RUTILE_FEATURE("avx512bf16");
  RUTILE_FEATURE("avx512vnni");
#undef RUTILE_FEATURE
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kAmxBf16 = 1u << 22;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kAmxBf16)) found.emplace_back("amx_bf16");
#endif
  return found;
}

std::string onednn_version() {
#if RUTILE_ONEDNN
  const dnnl_version_t& v = *dnnl_version();
  const char* runtime = v.cpu_runtime == DNNL_RUNTIME_OMP   ? "OpenMP"
                        : v.cpu_runtime == DNNL_RUNTIME_TBB ? "TBB"
                        : v.cpu_runtime == DNNL_RUNTIME_SEQ ? "one thread"
                                                            : "another runtime";
  return cat(v.major, ".", v.minor, ".", v.patch, " on ", runtime);
#else
  return "";
#endif
}

}  // namespace

KernelInfo kernel_info() {
  KernelInfo info;
  switch (kernels::isa()) {
    case kernels::Isa::kBaseline:
      info.isa = "baseline";
      break;
    case kernels::Isa::kAvx2:
      info.isa = "avx2";
      break;
    case kernels::Isa::kAvx512:
      info.isa = "avx512";
      break;
  }
  info.features = cpu_features();
  info.onednn = onednn_version();
#if defined(_OPENMP)
  info.openmp = cat(_OPENMP);
#endif
  return info;
}

}  // namespace rutile
