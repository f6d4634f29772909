// SPDX-License-Identifier: Apache-2.0
// Sorting numbers whose upper 32 bits are a key and whose lower 32 bits say where it stood.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace rutile::kernels {

// In ascending order of the keys, equal ones as they stood (the numbers come with rising lower
// halves). `spare` has room for n numbers too. Digits that all keys share cost nothing.
inline void sort_by_upper_half(uint64_t* numbers, uint64_t* spare, int64_t n) {
  constexpr int64_t kFew = 96;  // what comparing sorts as fast
  if (n < kFew) {
    std::sort(numbers, numbers + n);
    return;
  }
  constexpr int kBits = 8, kDigits = 4, kValues = 1 << kBits;
  uint32_t counts[kDigits][kValues];
  std::memset(counts, 0, sizeof counts);
  for (int64_t i = 0; i < n; ++i) {
    for (int d = 0; d < kDigits; ++d) ++counts[d][numbers[i] >> (32 + d * kBits) & (kValues - 1)];
  }
  uint64_t *from = numbers, *to = spare;
  for (int d = 0; d < kDigits; ++d) {
    const int shift = 32 + d * kBits;
    uint32_t* count = counts[d];
    if (count[from[0] >> shift & (kValues - 1)] == static_cast<uint32_t>(n)) continue;
    uint32_t place = 0;
    for (int v = 0; v < kValues; ++v) {
      const uint32_t next = place + count[v];
      count[v] = place;
      place = next;
    }
    for (int64_t i = 0; i < n; ++i) to[count[from[i] >> shift & (kValues - 1)]++] = from[i];
    std::swap(from, to);
  }
  if (from != numbers) std::memcpy(numbers, from, static_cast<size_t>(n) * sizeof *numbers);
}

// The same for keys of 64 bits, key(i) that of the i-th: `numbers` becomes the order of 0 .. n - 1.
// The upper bits of what the keys differ in are sorted first; those that are equal there stand
// together then.
template <class Key>
void sort_order(uint64_t* numbers, uint64_t* spare, int64_t n, Key key) {
  if (n == 0) return;
  uint64_t least = key(0), most = least;
  for (int64_t i = 1; i < n; ++i) {
    const uint64_t k = key(i);
    least = std::min(least, k);
    most = std::max(most, k);
  }
  int shift = 0;
  while (((most - least) >> shift) > 0xffffffffu) ++shift;
  for (int64_t i = 0; i < n; ++i) {
    numbers[i] = ((key(i) - least) >> shift) << 32 | static_cast<uint64_t>(i);
  }
  sort_by_upper_half(numbers, spare, n);
  for (int64_t first = 0; shift > 0 && first < n;) {
    int64_t end = first + 1;
    while (end < n && numbers[end] >> 32 == numbers[first] >> 32) ++end;
    if (end - first > 1) {
      std::sort(numbers + first, numbers + end, [&](uint64_t a, uint64_t b) {
        const uint64_t i = a & 0xffffffffu, j = b & 0xffffffffu;
        const uint64_t ki = key(static_cast<int64_t>(i)), kj = key(static_cast<int64_t>(j));
        return ki == kj ? i < j : ki < kj;
      });
    }
    first = end;
  }
  for (int64_t i = 0; i < n; ++i) numbers[i] &= 0xffffffffu;
}

}  // namespace rutile::kernels
