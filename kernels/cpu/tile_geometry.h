// SPDX-License-Identifier: Apache-2.0
// How elementwise operands lie against the memory of the output, which is walked from its first to
// its last element.
#pragma once

#include <span>

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

inline constexpr int kMaxTileInputs = 32;
inline constexpr int kMaxTileRank = 2 * kMaxRank;

// Dimensions of the output's memory, slowest first, with those merged that every operand steps
// through alike; stride[i][d] is input i's step in elements.
struct TileGeometry {
  int rank = 0;  // at least 1
  int64_t dims[kMaxTileRank] = {};
  int64_t stride[kMaxTileInputs][kMaxTileRank] = {};
  int64_t total = 0;  // elements of the output's memory, padding included

  bool flat(int input) const;  // lies exactly as the output
};

// False with a reason for operands that have no such geometry. Those from number `results` on may
// be strided where the output has padding: their steps go on into it.
bool tile_geometry(std::span<const TensorMeta* const> inputs, const TensorMeta& out,
                   TileGeometry* g, Reason* reason, size_t results = kMaxTileInputs);

}  // namespace rutile::kernels
