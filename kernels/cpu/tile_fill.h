// SPDX-License-Identifier: Apache-2.0
// How elements of any size get into tiles: one for all, every step-th, one per row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace rutile::kernels {

template <class T>
void fill(void* to, const void* value, int64_t n) {
  T v;
  std::memcpy(&v, value, sizeof(T));
  std::fill_n(static_cast<T*>(to), n, v);
}
inline void fill(void* to, const void* value, int64_t size, int64_t n) {
  switch (size) {
    case 1:
      return fill<uint8_t>(to, value, n);
    case 2:
      return fill<uint16_t>(to, value, n);
    case 4:
      return fill<uint32_t>(to, value, n);
    default:
      return fill<uint64_t>(to, value, n);
  }
}

template <class T>
void copy_strided(const char* from, int64_t step, char* to, int64_t n) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i * step];
}
inline void copy_strided(const char* from, int64_t step, char* to, int64_t size, int64_t n) {
  if (step == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * size));
  } else if (step == 0) {
    fill(to, from, size, n);
  } else if (size == 1) {
    copy_strided<uint8_t>(from, step, to, n);
  } else if (size == 2) {
    copy_strided<uint16_t>(from, step, to, n);
  } else if (size == 4) {
    copy_strided<uint32_t>(from, step, to, n);
  } else {
    copy_strided<uint64_t>(from, step, to, n);
  }
}

// Every element of `from` as a row of n.
template <class T>
void spread(const char* from, char* to, int64_t rows, int64_t n) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  for (int64_t r = 0; r < rows; ++r, y += n) {
    const T v = x[r];
    for (int64_t i = 0; i < n; ++i) y[i] = v;
  }
}
// What the first `have` bytes hold until `all` are full.
inline void repeat(char* p, int64_t have, int64_t all) {
  for (; have < all; have *= 2) {
    std::memcpy(p + have, p, static_cast<size_t>(std::min(have, all - have)));
  }
}

}  // namespace rutile::kernels
