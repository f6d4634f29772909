// SPDX-License-Identifier: Apache-2.0
// What is known of a tensor without its data.
#pragma once

#include "rutile/core/device.h"
#include "rutile/core/dtype.h"
#include "rutile/core/layout.h"
#include "rutile/core/shape.h"

namespace rutile {

// Logical shape plus physical placement. `strides` (in elements) count when layout == kStrided.
struct TensorMeta {
  Shape shape;
  Strides strides;
  DType dtype = DType::kF32;
  Device device;
  Layout layout = kStrided;

  TensorMeta() = default;
  TensorMeta(const Shape& s, DType t, Device d = kCpu)
      : shape(s), strides(contiguous_strides(s)), dtype(t), device(d) {}

  int rank() const { return shape.rank(); }
  int64_t numel() const { return shape.numel(); }
  int64_t dim(int i) const { return shape[i]; }
  // Row-major without gaps (dimensions of size 1 may have any stride).
  RUTILE_API bool is_contiguous() const;
  // NHWC-ordered NCHW without gaps, and not contiguous at the same time.
  RUTILE_API bool is_channels_last() const;
  // Some permutation of a gapless tensor.
  RUTILE_API bool is_dense() const;
  // Bytes of the memory block that holds it, from the first element (padding included).
  RUTILE_API int64_t nbytes() const;

  bool operator==(const TensorMeta& o) const {
    return dtype == o.dtype && layout == o.layout && device == o.device && shape == o.shape &&
           (layout != kStrided || strides == o.strides);
  }
};

// The elements of both lie at the same offsets: equal up to strides that no step is taken along.
RUTILE_API bool same_placement(const TensorMeta& a, const TensorMeta& b);

RUTILE_API std::string to_string(const TensorMeta& m);  // "f32[8,64,56,56]@cpu"
RUTILE_API uint64_t hash_meta(const TensorMeta& m);

}  // namespace rutile
