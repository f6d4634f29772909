// SPDX-License-Identifier: Apache-2.0
// Many tensors in one launch: their pointers travel with the kernel's parameters, blocks take
// chunks of them.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/group.h"

namespace rutile::cuda {

inline constexpr int kChunkThreads = kGroupThreads, kChunk = 4096;

template <int kPointers>
struct Tensors {
  static constexpr int kMost = 64;
  struct Entry {
    void* p[kPointers] = {};
    int64_t n = 0;
    int first_block = 0, number = 0;  // number: of the tensor, over all launches
    DType type = DType::kF32;         // of what is only read
  };
  int count = 0, blocks = 0;
  int block_base = 0;  // blocks of earlier launches
  Entry entry[kMost];

  bool full() const { return count == kMost; }
  Entry& add(int64_t n) {
    Entry& e = entry[count++];
    e.n = n;
    e.first_block = blocks;
    blocks += static_cast<int>((n + kChunk - 1) / kChunk);
    return e;
  }
  void next_launch() {
    block_base += blocks;
    count = blocks = 0;
  }
  // The entry that a block works on.
  RUTILE_FN int find(int block) const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (entry[middle].first_block <= block) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

// The elements of a block.
struct ChunkRange {
  int64_t begin, end;
  template <class Entry>
  RUTILE_FN ChunkRange(const Entry& e, int block) {
    begin = static_cast<int64_t>(block - e.first_block) * kChunk;
    end = begin + kChunk < e.n ? begin + kChunk : e.n;
  }
};

}  // namespace rutile::cuda
