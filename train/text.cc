// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/text.h"

#include <cmath>
#include <cstdio>

namespace rutile::train {

std::string fixed(double value, int digits) {
  char text[512];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string grouped(int64_t value) {
  std::string s = std::to_string(value);
  const int first = value < 0 ? 1 : 0;
  for (int at = static_cast<int>(s.size()) - 3; at > first; at -= 3) {
    s.insert(static_cast<size_t>(at), ",");
  }
  return s;
}

std::string readable(double value) {
  if (!std::isfinite(value) || std::abs(value) >= 1e15) {
    char text[64];
    std::snprintf(text, sizeof(text), "%g", value);
    return text;
  }
  if (std::abs(value) >= 1000) return grouped(std::llround(value));
  return fixed(value, std::abs(value) < 10 ? 2 : std::abs(value) < 100 ? 1 : 0);
}

std::string clock_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const int64_t all = std::llround(seconds);
  char text[64];
  if (all < 3600) {
    std::snprintf(text, sizeof(text), "%d:%02d", static_cast<int>(all / 60),
                  static_cast<int>(all % 60));
  } else {
    std::snprintf(text, sizeof(text), "%lld:%02d:%02d", static_cast<long long>(all / 3600),
                  static_cast<int>(all / 60 % 60), static_cast<int>(all % 60));
  }
  return text;
}

}  // namespace rutile::train
