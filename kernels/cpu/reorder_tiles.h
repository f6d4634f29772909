// SPDX-License-Identifier: Apache-2.0
// Weights of convolutions and matrix products in blocked layouts are tiles of 16 x 16 elements.
// Here tiles change their inside: between the row that walks over them and the loops of a tile.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// From 16 rows (dimension 1) of 16 floats (dimension 0), "16b16a", to
enum class TileForm : uint8_t {
  kTransposed,       // "16a16b" in f32
  kPairs,            // a part of "<n>b<m>a2b" in bf16, eight rows of it
  kTransposedPairs,  // the same of "<n>a<m>b2a"
};
// `row`: bytes from one row of the result to the next.
using TileFn = void (*)(const float* from, void* to, int64_t row);
namespace avx512 {
TileFn tile_function(TileForm form);
}

void register_reorder_tiles();

}  // namespace rutile::kernels
