// SPDX-License-Identifier: Apache-2.0
// What writing and reading a checkpoint agree on.
#pragma once

#include <cstdio>
#include <string>

#include "rutile/core/tensor.h"
#include "rutile/train/checksum.h"

namespace rutile::train {

inline constexpr char kFormat[] = "rutile checkpoint 1";
// Of the files that ranks write, and of the index that makes a checkpoint of them. Its metadata:
// ranks; shard.<r>.file and shard.<r>.checksum for each rank r; shard.part.<state> = "23x11" for a
// state that is cut into equal parts, one in each file.
inline constexpr char kShardFormat[] = "rutile checkpoint shard 1";
inline constexpr char kIndexFormat[] = "rutile checkpoint index 1";
inline constexpr char kPartPrefix[] = "shard.part.";
inline constexpr int kMaxShards = 1 << 16;

inline std::string shard_key(int rank, const char* what) {
  return "shard." + std::to_string(rank) + "." + what;
}

inline size_t elements_bytes(const Tensor& t) {
  return static_cast<size_t>(t.numel()) * dtype_size(t.dtype());
}

// A row-major tensor of the host with the same elements, in memory of its own if `copy`.
inline Tensor row_major(const Tensor& t, bool copy) {
  const TensorMeta& m = t.meta();
  if (!copy && m.device == kCpu && m.layout == kStrided && m.is_contiguous()) return t;
  Tensor out = Tensor::empty(t.shape(), t.dtype());
  if (t.numel() > 0) t.copy_out(out.mutable_data(), elements_bytes(t));
  return out;
}

inline void add_to(Checksum* sum, const Tensor& row_major_tensor) {
  const size_t n = elements_bytes(row_major_tensor);
  if (n > 0) sum->add(row_major_tensor.data(), n);
}

inline std::string hex(uint64_t v) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(v));
  return text;
}

}  // namespace rutile::train
