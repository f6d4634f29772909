// SPDX-License-Identifier: Apache-2.0
// Copies between strided tensors of one shape and type: the engine of contiguous, reorder, concat,
// slice_grad, pad and flip. The geometry is worked out once.
#pragma once

#include <cstdint>

#include "rutile/core/shape.h"

namespace rutile::kernels {

class CopyPlan {
 public:
  CopyPlan() = default;
  // Strides in elements; they may be negative, those of the source also 0.
  CopyPlan(const Shape& shape, const Strides& from, const Strides& to, int element_size);
  // The pointers are those of the elements at index 0. In parallel when it is worth it.
  void run(const void* from, void* to) const;

 private:
  enum class Kind : uint8_t { kNothing, kRows, kFill, kRepeat, kTranspose, kStrided };
  struct Dim {
    int64_t size = 1, from = 0, to = 0;  // strides in bytes
  };
  template <class F>
  void for_outer(int64_t begin, int64_t end, const void* from, void* to, F&& f) const;
  void run_rows(const void* from, void* to) const;
  void run_transpose(const void* from, void* to) const;
  template <class T>
  void run_repeat(const void* from, void* to) const;
  template <class T>
  void run_strided(const void* from, void* to) const;

  Kind kind_ = Kind::kNothing;
  int element_ = 1;
  int outer_rank_ = 0;
  Dim outer_[kMaxRank];  // slowest first
  Dim inner_;            // kTranspose: the result's fastest
  Dim second_;           // kTranspose, kRepeat: the source's fastest
  int64_t outer_count_ = 1;
};

// Transposes a rows x cols block of 2- or 4-byte elements: to[c][r] = from[r][c], where the
// elements of a row of `from` and of a row of `to` are neighbours; strides in elements.
struct TransposeKernels {
  void (*transpose2)(const uint16_t* from, int64_t from_stride, uint16_t* to, int64_t to_stride,
                     int64_t rows, int64_t cols) = nullptr;
  void (*transpose4)(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride,
                     int64_t rows, int64_t cols) = nullptr;
};
namespace avx2 {
TransposeKernels transpose_kernels();
}
namespace avx512 {
TransposeKernels transpose_kernels();
}

}  // namespace rutile::kernels
