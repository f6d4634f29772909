// SPDX-License-Identifier: Apache-2.0
// Code points of a UTF-8 text.
#pragma once

#include <cstddef>
#include <string_view>

namespace rutile::dataset {

// The code point at `*at`, which moves on; strict: no overlong forms, no surrogates. False, with
// `*at` where it was, for what is none.
inline bool next_code_point(std::string_view s, size_t* at, char32_t* out) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char lead = byte(*at);
  if (lead < 0x80) {
    *out = lead;
    ++*at;
    return true;
  }
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  if (lead < 0xC2 || lead > 0xF4 || *at + static_cast<size_t>(more) >= s.size()) return false;
  char32_t c = lead & (0x3Fu >> more);
  for (int i = 1; i <= more; ++i) {
    const unsigned char b = byte(*at + static_cast<size_t>(i));
    if ((b & 0xC0) != 0x80) return false;
    c = c << 6 | (b & 0x3Fu);
  }
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (c < kLeast[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return false;
  *at += 1 + static_cast<size_t>(more);
  *out = c;
  return true;
}

}  // namespace rutile::dataset
