// SPDX-License-Identifier: Apache-2.0
// Static memory planning: offsets in one arena for buffers with known lifetimes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rutile/core/api.h"

namespace rutile::graph {

// A buffer alive from step `first` to step `last`, both included.
struct Interval {
  int64_t bytes = 0;
  int first = 0, last = 0;
};

struct MemoryPlan {
  std::vector<int64_t> offsets;  // by interval, multiples of 64
  int64_t peak = 0;              // size of the arena
  int64_t lower_bound = 0;       // most bytes alive at one step
  std::string order;             // the order that won, in words
  double ratio() const {
    return lower_bound ? static_cast<double>(peak) / static_cast<double>(lower_bound) : 1.0;
  }
};

// Tries several greedy orders (by size, by length, by area, by start), each placing a buffer into
// the lowest gap that fits, and keeps the smallest arena; then moves what lies on top of it to the
// front of its order, up to 200 times. O(n^2) worst case in overlapping buffers for each.
RUTILE_API MemoryPlan plan_memory(const std::vector<Interval>& intervals);

}  // namespace rutile::graph
