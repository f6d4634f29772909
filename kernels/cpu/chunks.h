// SPDX-License-Identifier: Apache-2.0
// The elements of many tensors, cut into chunks that do not depend on the number of threads; a
// chunk is the unit of work.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "rutile/core/thread_cost.h"

namespace rutile::kernels {

inline constexpr int64_t kChunk = 1 << 14;  // elements
inline constexpr double kElementNs = 0.15;

struct Chunk {
  int tensor = 0;
  int64_t begin = 0, count = 0;
};

inline void add_chunks(std::vector<Chunk>& chunks, int tensor, int64_t n) {
  for (int64_t b = 0; b < n; b += kChunk) chunks.push_back({tensor, b, std::min(kChunk, n - b)});
}

// Calls f(index, chunk).
template <class F>
void for_chunks(const std::vector<Chunk>& chunks, F&& f) {
  parallel_for(0, static_cast<int64_t>(chunks.size()), grain_for(kElementNs * kChunk),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) f(i, chunks[static_cast<size_t>(i)]);
               });
}

}  // namespace rutile::kernels
