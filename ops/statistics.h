// SPDX-License-Identifier: Apache-2.0
// Further reductions. Axes as in reduce.h: none means all, negative ones count from the end.
//
//   auto [var, mean] = ops::var_mean(x, {.axes = {1}});   // f32[8,5] -> f32[8], f32[8]
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/reduce.h"

namespace rutile::ops {

// Sum and mean of the elements that are no NaN. The mean of none is NaN. Floats only for nanmean.
extern RUTILE_API const OpDef kNansum;
RUTILE_API Tensor nansum(Arg x, SumAttrs attrs = {});
extern RUTILE_API const OpDef kNanmean;
RUTILE_API Tensor nanmean(Arg x, SumAttrs attrs = {});
// How many elements are not 0 (NaN is not); i64.
extern RUTILE_API const OpDef kCountNonzero;
RUTILE_API Tensor count_nonzero(Arg x, ReduceAttrs attrs = {});

// y[..., i] = the product of x[..., j] over j != i, without dividing: what a product's gradient is
// made of. Floats and complex numbers of at least rank 1; an axis of one element gives 1.
//   Tensor others = ops::product_of_others(x);   // {2, 3, 4} gives {12, 8, 6}
extern RUTILE_API const OpDef kProductOfOthers;
RUTILE_API Tensor product_of_others(Arg x);

struct MinMax {
  Tensor min, max;
};
// Smallest and largest element; what min and max say of NaN, ties and no elements holds here too.
extern RUTILE_API const OpDef kAminmax;
RUTILE_API MinMax aminmax(Arg x, ReduceAttrs attrs = {});
// max and min under the names that give values alone.
RUTILE_API Tensor amax(Arg x, ReduceAttrs attrs = {});
RUTILE_API Tensor amin(Arg x, ReduceAttrs attrs = {});

struct CovAttrs {
  int64_t correction = 1;  // the divisor is n - correction
  RUTILE_REFLECT(correction)
};
// Covariances of the rows of x [m, n], each a variable with n observations: [m, m]; of one variable
// the variance, 0-d. Floats only. fweights [n]: how often each observation came (integers);
// aweights [n]: how much it counts (floats).
extern RUTILE_API const OpDef kCov;
RUTILE_API Tensor cov(Arg x, CovAttrs attrs = {}, const Tensor& fweights = {},
                      const Tensor& aweights = {});
// The same as correlations, in [-1, 1].
extern RUTILE_API const OpDef kCorrcoef;
RUTILE_API Tensor corrcoef(Arg x);

struct Spread {
  Tensor spread, mean;
};
RUTILE_API Spread var_mean(Arg x, VarAttrs attrs = {});
RUTILE_API Spread std_mean(Arg x, VarAttrs attrs = {});

}  // namespace rutile::ops
