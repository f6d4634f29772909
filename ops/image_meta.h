// SPDX-License-Identifier: Apache-2.0
// Rules that ops on images of one to three spatial dimensions share: [n, c, (d, (h,)) w].
#pragma once

#include <string>
#include <string_view>

#include "rutile/ops/op_def.h"

namespace rutile::ops {

// Sizes beyond this are refused, so that sums and products of them fit in 64 bits.
inline constexpr int64_t kLargestSize = int64_t{1} << 30;

inline Dims entries(int64_t v) { return {v}; }
inline Dims entries(const Int2& v) { return {v.h, v.w}; }
inline Dims entries(const Int3& v) { return {v.d, v.h, v.w}; }

// "length"; "height", "width"; "depth", "height", "width".
const char* spatial_name(int i, int count);
// Rank spatial + 2, or + 1 where an image without a batch is allowed.
Status check_image_rank(const TensorMeta& x, int spatial, bool unbatched, const char* name);
Status check_floating(const TensorMeta& x, const char* name);
// Floating or integer.
Status check_numbers(const TensorMeta& x, const char* name);
// At least one pixel, and so few that their positions are i32.
Status check_positions(const Dims& size);
// The last `spatial` dimensions.
RUTILE_API Dims spatial_size(const TensorMeta& x, int spatial);
// "kernel must lie in [1, 1073741824], got 0".
std::string outside(std::string_view name, int64_t v, int64_t least, int64_t most = kLargestSize);
Status check_size(int64_t v, std::string_view name, int64_t least = 1, int64_t most = kLargestSize);
// Between 1 and kLargestSize each.
Status check_sizes(const Dims& size, const char* name);
// `x` with other spatial dimensions: channels-last where x is, otherwise row-major.
Status with_spatial_size(const TensorMeta& x, const Dims& size, TensorMeta* y);
// Names its shape beside the wanted one.
Status check_same_shape(const TensorMeta& got, const Shape& want, const char* name);

}  // namespace rutile::ops
