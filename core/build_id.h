// SPDX-License-Identifier: Apache-2.0
// What must be equal for a plugin to work with this library.
#pragma once

#include "rutile/core/api.h"

namespace rutile {

// Version, and a hash of compiler, settings and the headers that plugins are compiled with. A
// plugin gives RUTILE_BUILD_ID of "rutile_build_id.h", which the build writes.
RUTILE_API const char* build_id() noexcept;

}  // namespace rutile
