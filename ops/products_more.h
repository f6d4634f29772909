// SPDX-License-Identifier: Apache-2.0
// Further products and distances, made of matmul and reductions; see einsum.h.
//
//   Tensor y = ops::addmv(x, a, v);                    // x + a v: f32[3], f32[3,5], f32[5]
//   Tensor z = ops::bilinear(x, y, weight, bias);    // [8,4], [8,5], [3,4,5] -> [8,3]
//
// Inputs are promoted to their common dtype. Wrong shapes are kValue, wrong dtypes kType.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/einsum.h"

namespace rutile::ops {

// beta x + alpha times: the matrix a times the vector b; the outer product of vectors a and b; the
// sum of the products of two stacks of matrices. x broadcasts to the product; beta = 0 leaves it
// out. No bool.
extern RUTILE_API const OpDef kAddmv;
RUTILE_API Tensor addmv(Arg x, Arg a, Arg b, AddmmAttrs attrs = {});
extern RUTILE_API const OpDef kAddr;
RUTILE_API Tensor addr(Arg x, Arg a, Arg b, AddmmAttrs attrs = {});
extern RUTILE_API const OpDef kAddbmm;
RUTILE_API Tensor addbmm(Arg x, Arg a, Arg b, AddmmAttrs attrs = {});

// x1 [.., m], x2 [.., n], weight [k, m, n], bias [k]: y_k = x1 weight_k x2 + bias_k, [.., k].
extern RUTILE_API const OpDef kBilinear;
RUTILE_API Tensor bilinear(Arg x1, Arg x2, Arg weight, const Tensor& bias = {});

// The p-norms of the differences of all pairs of rows of x [n, k]: [n (n - 1) / 2], row 0 with rows
// 1, 2, .., then row 1. p in [0, inf]; the gradient of a distance 0 is 0.
extern RUTILE_API const OpDef kPdist;
RUTILE_API Tensor pdist(Arg x, double p = 2);
// The p-norm of x - y over all elements, 0-d.
RUTILE_API Tensor dist(Arg x, Arg y, double p = 2);

struct RenormAttrs {
  double p = 2;
  int64_t axis = 0;
  double maxnorm = 1;
  RUTILE_REFLECT(p, axis, maxnorm)
};
// Slices along the axis whose p-norm is above maxnorm are scaled down to it.
extern RUTILE_API const OpDef kRenorm;
RUTILE_API Tensor renorm(Arg x, double p, int64_t axis, double maxnorm);

// The sum of x y of two vectors.
RUTILE_API Tensor vdot(Arg x, Arg y);

}  // namespace rutile::ops
