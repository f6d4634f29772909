// SPDX-License-Identifier: Apache-2.0
// Reading and adding by index. Additions are sorted by where they go, so that each result is one
// sum in the order of the indices.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

// y[outer.., index.., inner..] = x[outer.., row, inner..]
struct GatherArgs {
  int64_t n = 0, rows = 0;         // elements of y, size of the axis
  int64_t indices = 0, inner = 0;  // numbers of indices and of elements behind the axis
  int size = 4;                    // bytes of an element
  DType index_type = DType::kI64;
  bool wraps = true;
  const void *x = nullptr, *index = nullptr;
  void* y = nullptr;
  Indexer<2> outer_at, inner_at;  // x, y
  Indexer<2> index_at;            // index, y
  int64_t row_step = 0;           // in x
  FaultSlot fault;
};
int launch_gather(const GatherArgs& a, Stream stream);

// y[at] = x[at with the axis replaced by index[at]]; y has the shape of the index.
struct TakeArgs {
  int64_t n = 0, rows = 0, row_step = 0;
  int size = 4;
  DType index_type = DType::kI64;
  bool wraps = true;
  const void *x = nullptr, *index = nullptr;
  void* y = nullptr;
  Indexer<3> at;  // x without the axis, index, y
  FaultSlot fault;
};
int launch_take(const TakeArgs& a, Stream stream);

struct OneHotArgs {
  int64_t n = 0, depth = 0;  // n: elements of y
  DType index_type = DType::kI64, type = DType::kF32;
  const void* index = nullptr;
  void* y = nullptr;
  Indexer<1> at;
  FaultSlot fault;
};
int launch_one_hot(const OneHotArgs& a, Stream stream);

inline constexpr uint64_t kNowhere = ~uint64_t{0};  // key of what is left out

// keys[i] is where index i goes, values[i] is i. With `along`, the target is the element that the
// index names (scatter_add), else the row.
struct ScatterKeysArgs {
  int64_t n = 0, rows = 0, ignored = -1, row_step = 0;
  DType index_type = DType::kI64;
  bool wraps = true;
  const void* index = nullptr;
  uint64_t* keys = nullptr;
  int64_t* values = nullptr;
  Indexer<2> at;  // index, and the target's number without the axis
  FaultSlot fault;
};
int launch_scatter_keys(const ScatterKeysArgs& a, Stream stream);

// For each run of equal keys: y[key] = y[key] + the sum of x at the values, `inner` elements each.
struct ScatterSumArgs {
  int64_t n = 0, inner = 1;
  const uint64_t* keys = nullptr;
  const int64_t* values = nullptr;
  const void* x = nullptr;
  void* y = nullptr;
  DType x_type = DType::kF32, y_type = DType::kF32;
  Indexer<1> value_at, key_at;  // in x, in y
  Indexer<2> inner_at;          // in x, in y
};
int launch_scatter_sum(const ScatterSumArgs& a, Stream stream);

// Stable sorting of pairs by the low `bits` of their keys. `in` is used as room too.
size_t sort_bytes(int64_t n);
int sort_pairs(void* room, size_t bytes, uint64_t* keys_in, uint64_t* keys, int64_t* values_in,
               int64_t* values, int64_t n, int bits, Stream stream);

// Along an axis: keys of a line's elements in an order that compares as unsigned numbers.
struct SortKeysArgs {
  int64_t n = 0, length = 0;  // all elements, of a line
  DType type = DType::kF32;
  bool descending = false;
  const void* x = nullptr;
  uint64_t* keys = nullptr;
  int64_t* values = nullptr;  // numbers of elements, line by line
  Indexer<1> line_at;
  int64_t step = 0;
};
int launch_sort_keys(const SortKeysArgs& a, Stream stream);
// Keys become the numbers of the values' lines.
struct LineKeysArgs {
  const int64_t* values = nullptr;
  uint64_t* keys = nullptr;
  int64_t n = 0, length = 0;
};
int launch_line_keys(const LineKeysArgs& a, Stream stream);

struct SortedArgs {
  int64_t lines = 0, length = 0, kept = 0;  // the first `kept` of each line are written
  int size = 4;
  const int64_t* values = nullptr;
  const void* x = nullptr;
  void *y = nullptr, *indices = nullptr;
  Indexer<3> line_at;  // x, y, indices
  int64_t x_step = 0, y_step = 0, indices_step = 0;
};
int launch_sorted(const SortedArgs& a, Stream stream);

enum class ScanKind : uint8_t { kSum, kProduct, kMax, kMin, kLogSum };
struct ScanArgs {
  ScanKind kind = ScanKind::kSum;
  int64_t lines = 0, length = 0;
  DType in_type = DType::kF32, out_type = DType::kF32;
  const void* x = nullptr;
  void *y = nullptr, *indices = nullptr;
  Indexer<3> line_at;  // x, y, indices
  int64_t x_step = 0, y_step = 0, indices_step = 0;
  bool exclusive = false, reverse = false;
};
int launch_scan(const ScanArgs& a, Stream stream);

// Rows of coordinates into the leading dimensions of x (gather_nd) or y (tensor_scatter).
struct CoordinatesArgs {
  int64_t rows = 0, inner = 1;
  int depth = 0, size_of = 4;
  int64_t size[kMaxRank] = {}, step[kMaxRank] = {};  // of those dimensions
  DType index_type = DType::kI64;
  int64_t index_step = 1;
  const void *index = nullptr, *x = nullptr;
  void* y = nullptr;
  uint64_t* keys = nullptr;
  int64_t* values = nullptr;
  Indexer<1> row_at, inner_at;
  FaultSlot fault;
};
int launch_coordinate_keys(const CoordinatesArgs& a, Stream stream);
int launch_gather_nd(const CoordinatesArgs& a, Stream stream);

// y, row-major, at key + 0 .. inner - 1 is combined with x at values of the run, in their order.
enum class ScatterJoin : uint8_t { kLast, kAdd, kMul, kMax, kMin };
struct ScatterJoinArgs {
  ScatterJoin join = ScatterJoin::kLast;
  int64_t n = 0, inner = 1;
  DType type = DType::kF32;
  const uint64_t* keys = nullptr;
  const int64_t* values = nullptr;
  const void* x = nullptr;
  void* y = nullptr;
  Indexer<1> value_at;  // of element `inner` of value v: v * inner + element
};
int launch_scatter_join(const ScatterJoinArgs& a, Stream stream);

}  // namespace rutile::cuda
