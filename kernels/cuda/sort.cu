// SPDX-License-Identifier: Apache-2.0
// Sorting by CUB's radix sort, which is stable.
#include "rutile/kernels/cuda/index.h"

#if defined(RUTILE_CUDA_EMULATED)
#include <algorithm>
#include <numeric>
#include <vector>
#else
#include <cub/device/device_radix_sort.cuh>

#include "rutile/kernels/cuda/runtime.h"
#endif

namespace rutile::cuda {

#if defined(RUTILE_CUDA_EMULATED)

size_t sort_bytes(int64_t) { return 1; }

int sort_pairs(void*, size_t, uint64_t* keys_in, uint64_t* keys, int64_t* values_in,
               int64_t* values, int64_t n, int bits, Stream) {
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  std::vector<size_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return (keys_in[a] & mask) < (keys_in[b] & mask); });
  for (size_t i = 0; i < order.size(); ++i) {
    keys[i] = keys_in[order[i]];
    values[i] = values_in[order[i]];
  }
  return 0;
}

#else

size_t sort_bytes(int64_t n) {
  size_t bytes = 0;
  const auto* keys = static_cast<const uint64_t*>(nullptr);
  const auto* values = static_cast<const int64_t*>(nullptr);
  (void)cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, static_cast<uint64_t*>(nullptr),
                                        values, static_cast<int64_t*>(nullptr), n);
  return bytes;
}

int sort_pairs(void* room, size_t bytes, uint64_t* keys_in, uint64_t* keys, int64_t* values_in,
               int64_t* values, int64_t n, int bits, Stream stream) {
  if (n == 0) return 0;
  return cub::DeviceRadixSort::SortPairs(room, bytes, static_cast<const uint64_t*>(keys_in), keys,
                                         static_cast<const int64_t*>(values_in), values, n, 0, bits,
                                         cuda_stream(stream));
}

#endif

}  // namespace rutile::cuda
