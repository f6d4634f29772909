// SPDX-License-Identifier: Apache-2.0
// A number of seconds that the user may set by an environment variable.
#pragma once

#include "rutile/core/api.h"

namespace rutile {

// `given`, or if that is 0 what the variable says, or `usual` where it is not set or empty.
// Error{kValue} for what is no number from `least` to 1e9.
RUTILE_API double seconds_setting(const char* variable, double given, double usual,
                                  double least = 0.001);

}  // namespace rutile
