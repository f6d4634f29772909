// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/build_id.h"

#include <rutile_build_id.h>

namespace rutile {

const char* build_id() noexcept { return RUTILE_BUILD_ID; }

}  // namespace rutile
