// SPDX-License-Identifier: Apache-2.0
// Generated sources compiled while the program runs, by NVRTC: libnvrtc.so.13, opened on first use
// like the other libraries (kernels/cuda/libraries.h). Nothing here needs a GPU.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rutile/core/error.h"

namespace rutile::cuda {

// What a compiled kernel takes, from ptxas.
struct KernelResources {
  std::string name;
  int registers = 0, spilled_bytes = 0, stack_bytes = 0, shared_bytes = 0;
};
struct Compiled {
  std::string code;  // a cubin
  std::string log;   // of the compiler and ptxas
};

// ok, or kUnsupported: which library was looked for, and where.
Status rtc_available();
// "13.0"; empty without the library.
std::string rtc_version();
// Compiles a source that includes "rutile/kernels/cuda/generated.h" for the GPU of compute
// capability arch / 10. kUnsupported where NVRTC is missing or does not know it, kInternal with the
// compiler's words for a source that does not compile.
Status rtc_compile(const std::string& name, const std::string& source, int arch, Compiled* out);
// What ptxas said of each kernel, in its order; one of them in words.
std::vector<KernelResources> resources_of(const std::string& log);
std::string describe(const KernelResources& r);

// The headers that sources see, by the name in #include.
struct RtcHeader {
  const char* name;
  const char* text;
};
std::span<const RtcHeader> rtc_headers();
// All that a compiled source depends on besides itself: options, headers, version.
std::string rtc_conditions(int arch);

}  // namespace rutile::cuda
