// SPDX-License-Identifier: Apache-2.0
// String building without iostreams or a formatting library in public headers.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/core/api.h"

namespace rutile {

inline void append_to(std::string& out, std::string_view s) { out.append(s); }
inline void append_to(std::string& out, const char* s) { out.append(s); }
inline void append_to(std::string& out, char c) { out.push_back(c); }
inline void append_to(std::string& out, bool b) { out.append(b ? "true" : "false"); }
RUTILE_API void append_to(std::string& out, double v);  // shortest text that reads back equal
template <std::integral T>
void append_to(std::string& out, T v) {
  out.append(std::to_string(v));
}
// Any type with `std::string to_string(const T&)` beside it.
template <class T>
requires requires(const T& t) {
  { to_string(t) } -> std::convertible_to<std::string>;
}
void append_to(std::string& out, const T& v) { out.append(to_string(v)); }

// Joins its arguments into one string: cat("expects ", 3, " inputs").
template <class... Args>
std::string cat(const Args&... args) {
  std::string out;
  (append_to(out, args), ...);
  return out;
}

// Number of single-character edits that make one text the other.
RUTILE_API size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace rutile
