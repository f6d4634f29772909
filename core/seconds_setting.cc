// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/seconds_setting.h"

#include <cstdlib>

#include "rutile/core/error.h"

namespace rutile {

double seconds_setting(const char* variable, double given, double usual, double least) {
  constexpr double kMost = 1e9;
  const char* text = given == 0 ? std::getenv(variable) : nullptr;
  if (given == 0 && (!text || !*text)) return usual;
  char* end = nullptr;
  const double v = text ? std::strtod(text, &end) : given;
  if ((end && *end) || !(v >= least && v <= kMost)) {
    throw_error(ErrorCode::kValue, cat(variable, "='", text ? text : cat(given).c_str(),
                                       "' is no number of seconds from ", least, " to ", kMost));
  }
  return v;
}

}  // namespace rutile
