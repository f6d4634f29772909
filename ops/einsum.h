// SPDX-License-Identifier: Apache-2.0
// Products that sum over named dimensions, all of them made of matmul.
//
//   Tensor c = ops::einsum("bij,bjk->bik", {{a, b}});
//   Tensor d = ops::tensordot(a, b, {1, 2}, {0, 1});   // a [2,3,4], b [3,4,5] -> [2,5]
//
// Inputs are promoted to their common dtype, floats or integers. A wrong axis is kIndex, a wrong
// equation or sizes that differ kValue.
#pragma once

#include <span>
#include <string>

#include "rutile/ops/call.h"

namespace rutile::ops {

struct EinsumAttrs {
  std::string equation;
  RUTILE_REFLECT(equation)
};
// Einstein's summation: a letter for each dimension of each operand, those missing behind -> are
// summed over. Without -> the result has the letters that come once, in alphabetical order. "..."
// stands for any dimensions, which broadcast; a letter twice in one operand takes its diagonal; a
// dimension of size 1 goes with any size. Operands are contracted from left to right.
extern RUTILE_API const OpDef kEinsum;
RUTILE_API Tensor einsum(const std::string& equation, std::span<const Tensor> operands,
                         std::source_location where = std::source_location::current());

struct TensordotAttrs {
  Dims axes_x, axes_y;
  RUTILE_REFLECT(axes_x, axes_y)
};
// The sum over pairs of axes, axes_x[i] of x with axes_y[i] of y; then x's remaining dimensions and
// y's.
extern RUTILE_API const OpDef kTensordot;
RUTILE_API Tensor tensordot(Arg x, Arg y, const Dims& axes_x, const Dims& axes_y);
// Over the last n axes of x and the first n of y.
RUTILE_API Tensor tensordot(Arg x, Arg y, int64_t n = 2);

// The sum over the last dimensions of both.
extern RUTILE_API const OpDef kInner;
RUTILE_API Tensor inner(Arg x, Arg y);

// Kronecker's product: each element of x times all of y. At most rank 4.
extern RUTILE_API const OpDef kKron;
RUTILE_API Tensor kron(Arg x, Arg y);

struct CrossAttrs {
  int64_t axis = -1;
  RUTILE_REFLECT(axis)
};
// The vector product along an axis of size 3.
extern RUTILE_API const OpDef kCross;
RUTILE_API Tensor cross(Arg x, Arg y, int64_t axis = -1);

struct CdistAttrs {
  double p = 2;
  RUTILE_REFLECT(p)
};
// The p-norm of the differences of all rows: x [.., n, k], y [.., m, k] -> [.., n, m], p in
// [0, inf]. The gradient of a distance 0 is 0.
extern RUTILE_API const OpDef kCdist;
RUTILE_API Tensor cdist(Arg x, Arg y, double p = 2);

struct AddmmAttrs {
  double beta = 1, alpha = 1;
  RUTILE_REFLECT(beta, alpha)
};
// beta x + alpha (a b) with matrices a and b, and with stacks of them. beta = 0 leaves x out.
extern RUTILE_API const OpDef kAddmm;
RUTILE_API Tensor addmm(Arg x, Arg a, Arg b, AddmmAttrs attrs = {});
extern RUTILE_API const OpDef kBaddbmm;
RUTILE_API Tensor baddbmm(Arg x, Arg a, Arg b, AddmmAttrs attrs = {});

// matmul for given ranks: [n] [n], [m,n] [n], [m] [n], [b,m,k] [b,k,n].
RUTILE_API Tensor dot(Arg x, Arg y);
RUTILE_API Tensor mv(Arg x, Arg y);
RUTILE_API Tensor outer(Arg x, Arg y);
RUTILE_API Tensor bmm(Arg x, Arg y);

}  // namespace rutile::ops
