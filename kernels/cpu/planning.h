// SPDX-License-Identifier: Apache-2.0
// What rows do while they are chosen and planned.
#pragma once

#include <string>
#include <utility>

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// False, with the reason.
inline bool refuse(Reason* reason, std::string why) {
  reason->text = std::move(why);
  return false;
}

// Reserves `bytes` at the end of a workspace, whole cache lines; where they begin.
inline size_t reserve(size_t bytes, size_t* workspace) {
  const size_t at = *workspace;
  *workspace += (bytes + 63) / 64 * 64;
  return at;
}

}  // namespace rutile::kernels
