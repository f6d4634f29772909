// SPDX-License-Identifier: Apache-2.0
// Arenas that sessions share: plans that never run at the same time (the full and the last batch of
// an epoch) lie in one piece of memory.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "rutile/core/allocator.h"

namespace rutile::graph {

class RUTILE_API ArenaPool {
 public:
  // An arena on the device of at least `bytes` for the length of a run: the smallest free one that
  // is large enough. Where all free ones are too small, one of them goes in exchange for a larger
  // one. Memory fresh from the system is touched here, by all threads at once.
  Ref<Storage> take(int64_t bytes, Device device = kCpu);
  void give(Ref<Storage> arena);

  // Of all arenas, free or taken.
  int64_t bytes() const;
  int count() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Ref<Storage>> free_;  // by size, ascending
  int64_t bytes_ = 0;
  int count_ = 0;
};

}  // namespace rutile::graph
