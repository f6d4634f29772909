// SPDX-License-Identifier: Apache-2.0
// When another thread pays. Every kernel says what an item of its work costs one core, in
// nanoseconds out of the caches; how many items or threads that makes is decided here.
//
//   const int64_t rows = 1000;
//   const double ns = 0.2 * 768;  // a row of 768 elements
//   parallel_for(0, rows, grain_for(ns), [](int64_t begin, int64_t end) {});
#pragma once

#include <algorithm>
#include <cstdint>

#include "rutile/core/thread.h"

namespace rutile {

// Work of one core that is worth another thread. Waking one that spins takes 1 us, and it fetches
// its share from the other core's cache: over 2 cores a sum of two tensors breaks even at 4 us, an
// exponential at 5 us, a reduction at 6 us (`bench_ops --benchmark_filter=thread_cost`).
inline constexpr double kThreadWorthNs = 5000;

// Items that are worth another thread: the grain of parallel_for. At least 1, for any cost.
inline int64_t grain_for(double ns_per_item) {
  return ns_per_item > 0 ? static_cast<int64_t>(std::clamp(kThreadWorthNs / ns_per_item, 1.0, 1e15))
                         : int64_t{1} << 50;
}

// Threads for work that takes one core so long: 1 to num_threads().
inline int threads_for(double ns) {
  const double worth = 1 + std::max(ns, 0.0) / kThreadWorthNs;
  return worth >= num_threads() ? num_threads() : static_cast<int>(worth);
}

}  // namespace rutile
