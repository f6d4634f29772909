// SPDX-License-Identifier: Apache-2.0
// What the system grants this process: processors and memory, through affinity and control groups.
#pragma once

#include <cstdint>
#include <string>

#include "rutile/core/api.h"

namespace rutile {

// Cores this process may use: processors in its affinity mask, siblings of one core counted once.
RUTILE_API int affinity_cores();

// CPU quota of the control group (versions 1 and 2, the tightest on the way to the root), in
// processors; 0 if there is none. `root` is prepended to every path, for tests.
RUTILE_API double cgroup_cpu_quota(const std::string& root = "");

struct SystemMemory {
  int64_t available = 0;     // can be had without swapping, the control group's limit included
  int64_t total = 0;         // of the machine
  int64_t cgroup_limit = 0;  // 0: none
};
RUTILE_API SystemMemory system_memory(const std::string& root = "");

}  // namespace rutile
