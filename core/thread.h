// SPDX-License-Identifier: Apache-2.0
// Compute threads: how many, and the one way to run a loop on them.
#pragma once

#include <cstdint>
#include <type_traits>

#include "rutile/core/api.h"

namespace rutile {

// min(CPU affinity, cgroup quota rounded up, cores), at least 1; RUTILE_NUM_THREADS overrides.
RUTILE_API int default_num_threads();
// A process made by fork computes with one thread: it has none but the one that forked.
// Threads that kernels called from this thread use; the setting is per process, a
// ThreadCountScope narrows it for the calling thread.
RUTILE_API int num_threads();
RUTILE_API void set_num_threads(int n);  // n >= 1, otherwise Error{kValue}

class RUTILE_API ThreadCountScope {
 public:
  explicit ThreadCountScope(int n);
  ~ThreadCountScope();
  ThreadCountScope(const ThreadCountScope&) = delete;
  ThreadCountScope& operator=(const ThreadCountScope&) = delete;

 private:
  int saved_;
};

namespace detail {
RUTILE_API void parallel_for_impl(int64_t begin, int64_t end, int64_t grain,
                                  void (*fn)(void*, int64_t, int64_t), void* arg);
}  // namespace detail

// Runs fn(begin_i, end_i) over disjoint contiguous chunks of [begin, end), in parallel when there
// is more than `grain` work. Chunks depend only on the range, the grain and num_threads(). fn must
// not throw.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, F&& fn) {
  if (begin >= end) return;
  if (end - begin <= grain) {
    fn(begin, end);
    return;
  }
  detail::parallel_for_impl(
      begin, end, grain,
      [](void* f, int64_t b, int64_t e) { (*static_cast<std::remove_reference_t<F>*>(f))(b, e); },
      const_cast<void*>(static_cast<const void*>(&fn)));
}

}  // namespace rutile
