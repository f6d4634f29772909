// SPDX-License-Identifier: Apache-2.0
// Elements chosen by their order, binary search, and distinct elements and rows.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class Choose : uint8_t { kPlace, kMedian, kNanMedian, kMode };

// One element of each sorted line: `values` are numbers of elements, line by line.
struct ChooseArgs {
  Choose choose = Choose::kPlace;
  int64_t lines = 0, length = 0, place = 0;
  DType type = DType::kF32;
  const int64_t* values = nullptr;
  const void* x = nullptr;
  void *y = nullptr, *indices = nullptr;  // row-major
  Indexer<1> line_at;
  int64_t step = 0;
};
int launch_choose(const ChooseArgs& a, Stream stream);

struct SearchArgs {
  int64_t n = 0, length = 0, inner = 1;  // values, elements of a line, values of a line
  bool right = false;
  DType type = DType::kF32, out_type = DType::kI64;
  const void *lines = nullptr, *values = nullptr;
  void* y = nullptr;  // row-major
  Indexer<1> value_at, line_at;
  int64_t step = 0;
};
int launch_search(const SearchArgs& a, Stream stream);

// Rows of x [n, columns], elements where there is one column, in the order of `order`.
struct DistinctArgs {
  int64_t n = 0, columns = 1;
  DType type = DType::kF32;
  const void* x = nullptr;
  int64_t row_step = 1, column_step = 1;
  const int64_t* order = nullptr;  // null: as they lie
  int64_t *first = nullptr, *rank = nullptr;
  // Results: the distinct elements or the rows where they first stand, and how many there are.
  void* values = nullptr;
  bool places = false;
  int64_t *inverse = nullptr, *counts = nullptr, *count = nullptr;
};
// first[i]: 1 where row i of the order differs from the one before it.
int launch_distinct_first(const DistinctArgs& a, Stream stream);
// What rank, the running sums of `first`, gives.
int launch_distinct_clear(const DistinctArgs& a, Stream stream);
int launch_distinct_write(const DistinctArgs& a, Stream stream);

// keys[i] of column `column` of row order[i], in bits that compare as the numbers do.
struct ColumnKeysArgs {
  DistinctArgs rows;
  int64_t column = 0;
  uint64_t* keys = nullptr;
  int64_t* values = nullptr;
};
int launch_column_keys(const ColumnKeysArgs& a, Stream stream);

}  // namespace rutile::cuda
