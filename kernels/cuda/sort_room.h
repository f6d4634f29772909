// SPDX-License-Identifier: Apache-2.0
// The workspace of a sort of pairs.
#pragma once

#include <bit>

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/index.h"

namespace rutile::cuda {

// Keys and values before and behind a sort, then its own room.
struct SortRoom {
  int64_t n = 0;
  size_t own = 0;
  explicit SortRoom(int64_t count) : n(count), own(count > 0 ? sort_bytes(count) : 0) {}
  size_t bytes() const { return 4 * aligned_bytes() + own; }
  size_t aligned_bytes() const { return (8 * static_cast<size_t>(n) + 255) / 256 * 256; }
  char* at(void* workspace, size_t i) const {
    return static_cast<char*>(workspace) + i * aligned_bytes();
  }
  uint64_t* keys_in(void* w) const { return reinterpret_cast<uint64_t*>(at(w, 0)); }
  uint64_t* keys(void* w) const { return reinterpret_cast<uint64_t*>(at(w, 1)); }
  int64_t* values_in(void* w) const { return reinterpret_cast<int64_t*>(at(w, 2)); }
  int64_t* values(void* w) const { return reinterpret_cast<int64_t*>(at(w, 3)); }
  // The arguments of the kernel that writes the pairs, and of the one that reads them sorted.
  template <class Args>
  Args writing(Args a, void* w) const {
    a.keys = keys_in(w);
    a.values = values_in(w);
    return a;
  }
  template <class Args>
  Args writing(Args a, const void* index, const KernelArgs& k) const {
    a.index = index;
    a.fault = fault_slot(k.stream);
    return writing(a, k.workspace);
  }
  template <class Args>
  Args reading(Args a, void* w) const {
    a.keys = keys(w);
    a.values = values(w);
    return a;
  }
  template <class Args>
  Args reading(Args a, const void* x, void* y, const KernelArgs& k) const {
    a.x = x;
    a.y = y;
    return reading(a, k.workspace);
  }
  Status sort(void* w, int bits, Stream stream) const {
    return launch_status(
        sort_pairs(at(w, 4), own, keys_in(w), keys(w), values_in(w), values(w), n, bits, stream));
  }
};

// Bits of all keys below `size`, with room for kNowhere behind them.
inline int key_bits(int64_t size) {
  return static_cast<int>(std::bit_width(static_cast<uint64_t>(size)));
}

// Sorts each of `lines` lines of elements: `values` are then their numbers, line by line. `keys`
// has no room yet.
inline Status sort_lines(const SortRoom& room, SortKeysArgs keys, int64_t lines, void* w,
                         Stream stream, const int64_t** values) {
  RUTILE_RETURN_IF_ERROR(launch_status(launch_sort_keys(room.writing(keys, w), stream)));
  RUTILE_RETURN_IF_ERROR(room.sort(w, 64, stream));
  *values = room.values(w);
  if (lines <= 1) return Status();
  // A second, stable, sort brings the elements of each line together.
  RUTILE_RETURN_IF_ERROR(launch_status(
      launch_line_keys({room.values(w), room.keys_in(w), keys.n, keys.length}, stream)));
  *values = room.values_in(w);
  return launch_status(sort_pairs(room.at(w, 4), room.own, room.keys_in(w), room.keys(w),
                                  room.values(w), room.values_in(w), keys.n, key_bits(lines),
                                  stream));
}

}  // namespace rutile::cuda
