// SPDX-License-Identifier: Apache-2.0
// Moving elements between strided tensors, and filling them.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

// One strided tensor into another of the same shape. Offsets in elements.
struct CopyArgs {
  int64_t n = 0;
  int size = 4;  // bytes of an element: 1, 2, 4, 8 or 16
  const void* in = nullptr;
  void* out = nullptr;
  bool linear = false;  // element i is at i in both
  Indexer<2> index;     // out, in
  // Where neighbours in `in` are none in `out`: tiles of 32 x 32 go through shared memory. `index`
  // covers the other dimensions then.
  bool tiled = false;
  int64_t rows = 0, columns = 0;          // of a tile plane: rows are neighbours in `out`
  int64_t out_row = 0, in_row = 0;        // steps along them
  int64_t out_column = 0, in_column = 0;  // columns are neighbours in `in`
};
CopyArgs make_copy(const Shape& shape, const Strides& out, const Strides& in, int size);
int launch_copy(const CopyArgs& a, Stream stream);

// Bytes that are not 0 become 1.
int launch_truths(void* bytes, int64_t n, Stream stream);

struct FillArgs {
  int64_t n = 0;
  int size = 4;
  void* out = nullptr;
  bool linear = true;
  Indexer<1> index;
  uint64_t value[2] = {};  // the first `size` bytes
};
FillArgs make_fill(const Shape& shape, const Strides& out, int size);
int launch_fill(const FillArgs& a, Stream stream);

enum class Padding : uint8_t { kConstant, kReflect, kReplicate, kCircular };
// Where position i, counted from the first element, comes from; -1: from nowhere.
RUTILE_FN int64_t pad_source(int64_t i, int64_t n, Padding mode) {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case Padding::kReflect:
      return i < 0 ? -i : 2 * (n - 1) - i;
    case Padding::kReplicate:
      return i < 0 ? 0 : n - 1;
    case Padding::kCircular:
      return i < 0 ? i + n : i - n;
    default:
      return -1;
  }
}

struct PadArgs {
  int64_t n = 0;
  int size = 4, rank = 0;
  Padding mode = Padding::kConstant;
  const void* in = nullptr;
  void* out = nullptr;
  int64_t out_shape[kMaxRank] = {}, in_shape[kMaxRank] = {}, before[kMaxRank] = {};
  int64_t out_stride[kMaxRank] = {}, in_stride[kMaxRank] = {};
  uint64_t value[2] = {};
};
int launch_pad(const PadArgs& a, Stream stream);

// The lower or upper triangle of matrices, zero elsewhere.
struct TriangleArgs {
  int64_t n = 0, rows = 0, columns = 0, diagonal = 0;
  int size = 4;
  bool lower = true;
  const void* in = nullptr;
  void* out = nullptr;
  Indexer<2> index;  // out, in
};
int launch_triangle(const TriangleArgs& a, Stream stream);

struct StepsArgs {
  int64_t n = 0;
  DType type = DType::kF32;
  void* out = nullptr;
  bool whole = false;
  double start = 0, step = 0;
  int64_t first = 0, stride = 0;
};
int launch_steps(const StepsArgs& a, Stream stream);

}  // namespace rutile::cuda
