// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

#include "rutile/core/api.h"

namespace rutile::train {

RUTILE_API std::string fixed(double value, int digits);  // "0.8712"
RUTILE_API std::string grouped(int64_t value);           // "25,557,032"
// With at least three significant digits: "3.42", "34.2", "3,420".
RUTILE_API std::string readable(double value);
// "0:07", "12:34", "1:02:03"; what is no time is "?".
RUTILE_API std::string clock_text(double seconds);

}  // namespace rutile::train
