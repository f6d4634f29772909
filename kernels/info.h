// SPDX-License-Identifier: Apache-2.0
// What the kernels of this process run on.
//
//   std::puts(kernel_info().isa.c_str());   // "avx512"
#pragma once

#include <string>
#include <vector>

#include "rutile/core/api.h"

namespace rutile {

struct KernelInfo {
  std::string isa;                    // which own kernels are used: "baseline", "avx2" or "avx512"
  std::vector<std::string> features;  // of the processor, of those that some kernel asks for
  std::string onednn;                 // its version and what it was built for; empty without it
  std::string openmp;                 // the version of the standard ("201511"); empty without it
};
RUTILE_API KernelInfo kernel_info();

}  // namespace rutile
