// SPDX-License-Identifier: Apache-2.0
// Linear algebra, a block of threads a matrix: what a batch of small matrices wants, and what large
// ones fall back to.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class LinalgKind : uint8_t {
  kCholesky,
  kLu,
  kSolve,
  kInverse,
  kTriangular,
  kQr,
  kEigh,
  kSvd,
  kExp
};

// The matrices of one operand; a vector is a matrix of one column.
struct MatrixAt {
  void* data = nullptr;
  int64_t rows = 0, columns = 0, row_step = 0, column_step = 0;
};

struct LinalgArgs {
  int64_t batch = 0;
  bool single = false;  // no batch dimensions, for what errors say
  bool wide = false;    // f64 or c128, else f32 or c64
  bool complex = false;
  bool upper = false, transpose = false, unit = false;
  MatrixAt in[2], out[3];
  Indexer<5> at;  // in, out
  void* workspace = nullptr;
  int64_t room = 0;  // elements of the workspace for one matrix
  FaultSlot fault;
};
int64_t linalg_room(LinalgKind kind, const LinalgArgs& a);
int launch_linalg(LinalgKind kind, const LinalgArgs& a, Stream stream);

struct PermutationArgs {
  int64_t batch = 0, rows = 0, steps = 0, step = 1;
  DType type = DType::kI32;
  const void* pivots = nullptr;
  int64_t* y = nullptr;  // row-major
  Indexer<1> at;
  FaultSlot fault;
};
int launch_permutation(const PermutationArgs& a, Stream stream);

}  // namespace rutile::cuda
