// SPDX-License-Identifier: Apache-2.0
// Physical layouts beyond strides. A layout is a small id for a tag in oneDNN's notation: letters
// are the dimensions from slowest to fastest, a capital letter is a blocked dimension, the tail
// names the inner blocks: "aBcd16b" is NCHW with channels in blocks of 16, padded to a full block.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/core/api.h"
#include "rutile/core/shape.h"

namespace rutile {

// 0 means "described by the strides".
using Layout = uint16_t;
inline constexpr Layout kStrided = 0;

struct LayoutInfo {
  std::string tag;
  Dims order;        // outer dimensions, slowest first
  Dims block_dims;   // inner blocks from outermost to innermost: which dimension ...
  Dims block_sizes;  // ... and its size
};

// The id of `tag`, the same for equal tags; thread-safe. kStrided for a malformed tag.
RUTILE_API Layout intern_layout(std::string_view tag);
RUTILE_API const LayoutInfo& layout_info(Layout layout);
// Elements in memory, padding included.
RUTILE_API int64_t layout_elements(Layout layout, const Shape& shape);
// Offset in elements of the element at `index` (kStrided: row-major). It is a sum over the
// dimensions; layout_dim_offset gives the share of dimension `d`. For reference code and tables,
// not for loops.
RUTILE_API int64_t layout_offset(Layout layout, const Shape& shape, const int64_t* index);
RUTILE_API int64_t layout_dim_offset(Layout layout, const Shape& shape, int d, int64_t index);
// Size of the inner block of channels if the layout is plain "aB..<n>b", otherwise 0.
RUTILE_API int channel_block(Layout layout);

}  // namespace rutile
