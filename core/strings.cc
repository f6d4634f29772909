// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/strings.h"

#include <charconv>

namespace rutile {

void append_to(std::string& out, double v) {
  char buf[40];
  const auto r = std::to_chars(buf, buf + sizeof(buf), v);
  out.append(buf, r.ptr);
}

}  // namespace rutile
