// SPDX-License-Identifier: Apache-2.0
// Reductions. Lanes of a block share the elements of one result and meet in a tree of fixed shape;
// few long results are divided into parts, which a second kernel joins: the order depends on the
// shape only.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class Reducer : uint8_t { kSum, kProduct, kExtremum, kLogic, kSquares, kLogSumExp };

struct ReduceArgs {
  const void* in = nullptr;
  void* out = nullptr;
  void* partial = nullptr;  // accumulators, [part][result]
  DType in_type = DType::kF32, out_type = DType::kF32;
  int64_t results = 0, count = 0;  // elements of each result
  Indexer<1> kept, reduced;        // offsets of a result's first element, and within it
  bool columns = false;            // neighbours in memory belong to different results
  int64_t parts = 1, part = 0;     // elements of a part
  double scale = 1;
  bool largest = false;  // kExtremum
  bool index = false;    // of the extremum, not its value
  bool all = false;      // kLogic: of all, not of any
};

inline constexpr int kReduceThreads = 256;
// Lanes of a result; the others of the block's threads take other results.
struct ReduceShape {
  int lanes = 0, results = 0;
};
inline ReduceShape reduce_shape(const ReduceArgs& a) {
  if (a.columns) return {8, 32};
  return a.part <= 1024 ? ReduceShape{32, 8} : ReduceShape{256, 1};
}
// Fills in parts and part for a device of `multiprocessors`.
void divide_reduction(ReduceArgs* a, int multiprocessors);

enum class ReduceIn : uint8_t { kFloat, kDouble, kInt, kUnsigned, kComplex, kComplexDouble };
int accumulator_bytes(Reducer r, ReduceIn c);
using ReduceLaunch = int (*)(const ReduceArgs&, Stream);
ReduceLaunch reduce_kernel(Reducer r, ReduceIn c);

}  // namespace rutile::cuda
