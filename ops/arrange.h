// SPDX-License-Identifier: Apache-2.0
// Diagonals, grids and other arrangements of elements. Views share x's memory, read-only.
//
//   Tensor d = ops::diagonal(x);                    // x f32[3,5] -> f32[3], a view
//   Tensor m = ops::eye(4);                         // f32[4,4]
//   std::vector<Tensor> g = ops::meshgrid({{a, b}});  // a [3], b [2] -> two of [3,2]
//
// A wrong axis is kIndex, a wrong shape kValue. Axes may be negative.
#pragma once

#include <span>
#include <vector>

#include "rutile/ops/call.h"

namespace rutile::ops {

// ---- Diagonals ----------------------------------------------------------------------------------

struct DiagonalAttrs {
  int64_t offset = 0;  // above the main diagonal (below it: negative)
  int64_t axis1 = 0, axis2 = 1;
  RUTILE_REFLECT(offset, axis1, axis2)
};
// The diagonal of the matrices that axis1 and axis2 span, as the last dimension: a view.
extern RUTILE_API const OpDef kDiagonal;
RUTILE_API Tensor diagonal(Arg x, DiagonalAttrs attrs = {});

struct DiagEmbedAttrs {
  int64_t offset = 0;
  int64_t axis1 = -2, axis2 = -1;  // of the result
  RUTILE_REFLECT(offset, axis1, axis2)
};
// Square matrices with the last dimension of x on a diagonal, zeros elsewhere.
extern RUTILE_API const OpDef kDiagEmbed;
RUTILE_API Tensor diag_embed(Arg x, DiagEmbedAttrs attrs = {});

struct DiagAttrs {
  int64_t offset = 0;
  RUTILE_REFLECT(offset)
};
// 1-d: the matrix with x on a diagonal. 2-d: the diagonal.
extern RUTILE_API const OpDef kDiag;
RUTILE_API Tensor diag(Arg x, int64_t offset = 0);

// The sum of the diagonal of a matrix; dtype as for sum.
extern RUTILE_API const OpDef kTrace;
RUTILE_API Tensor trace(Arg x);

// Matrices [m, n] one below and beside the other, zeros around; 1-d is a row, 0-d one element.
extern RUTILE_API const OpDef kBlockDiag;
RUTILE_API Tensor block_diag(std::span<const Tensor> xs);

// ---- By rule ------------------------------------------------------------------------------------

struct EyeAttrs {
  int64_t n = 0;
  int64_t m = -1;  // -1: n
  DType dtype = DType::kF32;
  RUTILE_REFLECT(n, m, dtype)
};
// [n, m] with ones on the diagonal.
extern RUTILE_API const OpDef kEye;
RUTILE_API Tensor eye(int64_t n, int64_t m = -1, DType dtype = DType::kF32);

struct LinspaceAttrs {
  double start = 0, end = 1;
  int64_t steps = 100;
  DType dtype = DType::kF32;  // any real number type
  RUTILE_REFLECT(start, end, steps, dtype)
};
// `steps` numbers from start to end, both included.
extern RUTILE_API const OpDef kLinspace;
RUTILE_API Tensor linspace(double start, double end, int64_t steps, DType dtype = DType::kF32);

struct LogspaceAttrs {
  double start = 0, end = 1;
  int64_t steps = 100;
  double base = 10;
  DType dtype = DType::kF32;
  RUTILE_REFLECT(start, end, steps, base, dtype)
};
// base to the powers of linspace.
extern RUTILE_API const OpDef kLogspace;
RUTILE_API Tensor logspace(double start, double end, int64_t steps, double base = 10,
                           DType dtype = DType::kF32);

struct VanderAttrs {
  int64_t n = -1;  // columns; -1: as many as x has elements
  bool increasing = false;
  RUTILE_REFLECT(n, increasing)
};
// [k] -> [k, n]: the powers n - 1 to 0 (0 to n - 1) of each element.
extern RUTILE_API const OpDef kVander;
RUTILE_API Tensor vander(Arg x, VanderAttrs attrs = {});

// Rows and columns (i64 [2, k]) of the lower (upper) triangle of a matrix [rows, columns].
RUTILE_API Tensor tril_indices(int64_t rows, int64_t columns, int64_t offset = 0);
RUTILE_API Tensor triu_indices(int64_t rows, int64_t columns, int64_t offset = 0);

// ---- Turned and moved ---------------------------------------------------------------------------

struct Rot90Attrs {
  int64_t k = 1;  // quarter turns from the first axis to the second
  Dims axes{0, 1};
  RUTILE_REFLECT(k, axes)
};
extern RUTILE_API const OpDef kRot90;
RUTILE_API Tensor rot90(Arg x, int64_t k = 1, const Dims& axes = {0, 1});

struct RollAttrs {
  Dims shifts;
  Dims axes;  // empty: of the flattened tensor, by the one shift
  RUTILE_REFLECT(shifts, axes)
};
// Elements moved by shifts[i] along axes[i]; those pushed out come in at the other end.
extern RUTILE_API const OpDef kRoll;
RUTILE_API Tensor roll(Arg x, const Dims& shifts, const Dims& axes);

// Dimensions moved to other places; the rest keeps its order.
RUTILE_API Tensor movedim(Arg x, const Dims& source, const Dims& destination);
// One dimension as several, of which one may be -1.
RUTILE_API Tensor unflatten(Arg x, int64_t axis, const Shape& sizes);
// The slices along an axis, which disappears.
RUTILE_API std::vector<Tensor> unbind(Arg x, int64_t axis = 0);
// [a], [b], .. to views of shape [a, b, ..] (xy: [b, a, ..]).
RUTILE_API std::vector<Tensor> meshgrid(std::span<const Tensor> xs, bool xy = false);
// All tuples of elements of 1-d tensors, [a * b * .., k].
RUTILE_API Tensor cartesian_prod(std::span<const Tensor> xs);

}  // namespace rutile::ops
