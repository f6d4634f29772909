// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/image_meta.h"

#include "rutile/core/placement.h"

namespace rutile::ops {

const char* spatial_name(int i, int count) {
  static constexpr const char* kNames[] = {"depth", "height", "width"};
  return count == 1 ? "length" : kNames[3 - count + i];
}

Status check_image_rank(const TensorMeta& x, int spatial, bool unbatched, const char* name) {
  const int rank = x.rank();
  if (rank == spatial + 2 || (unbatched && rank == spatial + 1)) return Status();
  static constexpr const char* kDims[] = {"n,c,l", "n,c,h,w", "n,c,d,h,w"};
  const char* dims = kDims[spatial - 1];
  if (!unbatched) return value_error(cat(name, " must have shape [", dims, "], got ", x.shape));
  return value_error(cat(name, " must have shape [", dims, "] or [", dims + 2, "], got ", x.shape));
}

Status check_floating(const TensorMeta& x, const char* name) {
  if (is_floating(x.dtype)) return Status();
  return type_error(cat(name, " must be floating point, got ", x.dtype, "; cast it to f32 first"));
}

Status check_numbers(const TensorMeta& x, const char* name) {
  if (is_floating(x.dtype) || is_integral(x.dtype)) return Status();
  return type_error(cat(name, " must be a floating or integer type, got ", x.dtype));
}

Status check_positions(const Dims& size) {
  RUTILE_RETURN_IF_ERROR(check_sizes(size, "x"));
  int64_t pixels = 1;
  for (const int64_t n : size) {
    if (pixels > INT32_MAX / n) {
      return value_error(cat("images of ", size, " have too many pixels for i32 indices"));
    }
    pixels *= n;
  }
  return Status();
}

Dims spatial_size(const TensorMeta& x, int spatial) {
  Dims size;
  for (int i = x.rank() - spatial; i < x.rank(); ++i) size.push_back(x.dim(i));
  return size;
}

std::string outside(std::string_view name, int64_t v, int64_t least, int64_t most) {
  return cat(name, " must lie in [", least, ", ", most, "], got ", v);
}

Status check_size(int64_t v, std::string_view name, int64_t least, int64_t most) {
  if (v >= least && v <= most) return Status();
  return value_error(outside(name, v, least, most));
}

Status check_sizes(const Dims& size, const char* name) {
  for (const int64_t v : size) {
    if (v < 1 || v > kLargestSize) {
      return value_error(
          cat(name, " must have positive sizes up to ", kLargestSize, ", got ", size));
    }
  }
  return Status();
}

Status with_spatial_size(const TensorMeta& x, const Dims& size, TensorMeta* y) {
  Shape shape = x.shape;
  const int first = x.rank() - size.rank();
  for (int i = 0; i < size.rank(); ++i) shape[first + i] = size[i];
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  const bool last = first == 2 && x.is_channels_last();
  return place(shape, x.dtype, x.device, {kStrided, last}, y);
}

Status check_same_shape(const TensorMeta& got, const Shape& want, const char* name) {
  if (got.shape == want) return Status();
  return value_error(cat(name, " expects shape ", want, ", got ", got.shape));
}

}  // namespace rutile::ops
