// SPDX-License-Identifier: Apache-2.0
// What stands around cuSOLVER's calls: matrices between tensors of any strides and the library's
// column-major ones, signs, order of eigenvalues, and errors. A launch serves the whole batch.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/linalg.h"

namespace rutile::cuda {

// One side of a move: a tensor of the call (`operand` of the indexer), or matrices in the workspace
// that lie `stride` elements apart.
struct MatrixSide {
  void* data = nullptr;
  int64_t row_step = 0, column_step = 0, stride = 0;
  int operand = -1;
};

// Which elements of the source count. Of the triangle of a symmetric (Hermitian) matrix both halves
// are made.
enum class MatrixPart : uint8_t {
  kAll,
  kLower,
  kUpper,
  kUnitUpper,
  kFromLower,
  kFromUpper,
  kIdentity
};

struct MoveArgs {
  DType type = DType::kF32, from_type = DType::kF32;  // real numbers may become complex ones
  int64_t batch = 0, rows = 0, columns = 0;           // of what is written
  MatrixSide from, to;
  MatrixPart part = MatrixPart::kAll;
  bool transposed = false, conjugate = false;  // how the source is read
  const void* turns = nullptr;  // factors of the columns, or (conjugated) of the rows
  bool turn_rows = false;
  const int64_t* order = nullptr;  // the columns of the source that stand here
  int* odd = nullptr;              // set for matrices with infinite or NaN elements
  Indexer<5> at;
};
int launch_move(const MoveArgs& a, Stream stream);

// Rows exchanged, as the library counts them, for a tensor of i32.
struct PivotArgs {
  int64_t batch = 0, steps = 0;
  const int64_t* from = nullptr;
  MatrixSide to;
  Indexer<5> at;
};
int launch_pivots(const PivotArgs& a, Stream stream);
int launch_first_pivots(int64_t* pivots, int64_t n, int64_t total, Stream stream);  // no exchange

// info and odd are 0 for every matrix.
int launch_clear(int* info, int* odd, int64_t batch, Stream stream);
// Matrices that are odd become 0: the library never sees infinities.
int launch_calm(DType type, void* matrices, int64_t size, const int* odd, int64_t batch,
                Stream stream);

// The factor that makes the largest element of each column positive, times 1 / length where
// `normal`. Columns of `vectors` as `rows` of them, read as MoveArgs says.
struct TurnArgs {
  DType type = DType::kF32;
  int64_t batch = 0, rows = 0, columns = 0;
  MatrixSide vectors;
  bool transposed = false, conjugate = false, normal = false;
  const int64_t* order = nullptr;
  void* turns = nullptr;
};
int launch_turns(const TurnArgs& a, Stream stream);

// Eigenvalues by rising real part, equal ones by the imaginary part.
struct EigenOrderArgs {
  DType type = DType::kC64;
  int64_t batch = 0, n = 0;
  const void* values = nullptr;
  int64_t* order = nullptr;
};
int launch_eigen_order(const EigenOrderArgs& a, Stream stream);

// What a step found, as errors.
struct VerdictArgs {
  DType type = DType::kF32;
  int64_t batch = 0, n = 0;
  bool single = false;
  const int *info = nullptr, *odd = nullptr;
  FaultKind of_info = FaultKind::kNone;  // info > 0
  // A diagonal that must not be zero, or has to be positive (kNotPositive); of matrices [n, n].
  const void* diagonal = nullptr;
  int64_t row_step = 0, stride = 0;
  FaultKind of_diagonal = FaultKind::kNone;
  FaultSlot fault;
};
int launch_verdict(const VerdictArgs& a, Stream stream);

}  // namespace rutile::cuda
