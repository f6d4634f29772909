// SPDX-License-Identifier: Apache-2.0
// Walking over the elements of a strided tensor in logical row-major order.
#pragma once

#include <cstdint>

#include "rutile/core/meta.h"

namespace rutile::kernels {

// Offsets (in elements) of one tensor's elements:
//   for (Walk w(meta); !w.done(); w.next()) use(p[w.offset()]);
class Walk {
 public:
  explicit Walk(const TensorMeta& m, int64_t start = 0) : Walk(m.shape, m.strides, start) {}
  Walk(const Shape& shape, const Strides& strides, int64_t start = 0)
      : shape_(shape), strides_(strides), left_(shape.numel() - start) {
    for (int i = shape.rank() - 1; i >= 0; --i) index_.push_back(0);
    if (left_ <= 0 || start == 0) return;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      index_[i] = start % shape[i];
      start /= shape[i];
      offset_ += index_[i] * strides[i];
    }
  }
  bool done() const { return left_ <= 0; }
  int64_t offset() const { return offset_; }
  const Dims& index() const { return index_; }
  void next() {
    --left_;
    for (int i = shape_.rank() - 1; i >= 0; --i) {
      offset_ += strides_[i];
      if (++index_[i] < shape_[i]) return;
      offset_ -= shape_[i] * strides_[i];
      index_[i] = 0;
    }
  }

 private:
  Shape shape_;
  Strides strides_;
  Dims index_;
  int64_t left_;
  int64_t offset_ = 0;
};

// Offset of the element at `index` of a strided tensor.
inline int64_t offset_at(const Strides& strides, const Dims& index) {
  int64_t o = 0;
  for (int i = 0; i < index.rank(); ++i) o += index[i] * strides[i];
  return o;
}

}  // namespace rutile::kernels
