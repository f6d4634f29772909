// SPDX-License-Identifier: Apache-2.0
// Distributions beside the uniform and normal ones of random.h, and the relatives of dropout. Every
// op takes a key (u64[1]) first and is a pure function of it; the functions without a key draw it
// from the default generator.
//
//   Tensor e = ops::random_exponential({.shape = {8, 3}, .scale = 2});
//   Tensor i = ops::multinomial(p, {.num_samples = 4});      // p f32[8,10] -> i64[8,4]
//   Tensor order = ops::randperm(100);
//
// A shape that is negative or too large and a parameter out of its range are kValue, a dtype that
// is no float kType.
#pragma once

#include "rutile/ops/random.h"

namespace rutile::ops {

#define RUTILE_DRAWN(constant, function, Attrs)     \
  extern RUTILE_API const OpDef constant;           \
  RUTILE_API Tensor function(Arg key, Attrs attrs); \
  RUTILE_API Tensor function(Attrs attrs);

// ---- By transformation of uniform or normal numbers -------------------------------------------

struct RandomExponentialAttrs {
  Dims shape = {};
  double scale = 1;  // the mean
  DType dtype = DType::kF32;
  RUTILE_REFLECT(shape, scale, dtype)
};
RUTILE_DRAWN(kRandomExponential, random_exponential, RandomExponentialAttrs)

struct RandomLocationAttrs {
  Dims shape = {};
  double loc = 0, scale = 1;
  DType dtype = DType::kF32;
  RUTILE_REFLECT(shape, loc, scale, dtype)
};
RUTILE_DRAWN(kRandomLaplace, random_laplace, RandomLocationAttrs)
RUTILE_DRAWN(kRandomCauchy, random_cauchy, RandomLocationAttrs)
RUTILE_DRAWN(kRandomGumbel, random_gumbel, RandomLocationAttrs)

// exp of a normal number with this mean and deviation.
RUTILE_DRAWN(kRandomLogNormal, random_log_normal, RandomNormalAttrs)

struct RandomGeometricAttrs {
  Dims shape = {};
  double p = 0.5;  // in (0, 1]
  DType dtype = DType::kF32;
  RUTILE_REFLECT(shape, p, dtype)
};
// Trials up to the first success, from 1 on.
RUTILE_DRAWN(kRandomGeometric, random_geometric, RandomGeometricAttrs)

struct RandpermAttrs {
  int64_t n = 0;
  DType dtype = DType::kI64;  // an integer type that holds n - 1
  RUTILE_REFLECT(n, dtype)
};
// 0 .. n - 1 in random order.
extern RUTILE_API const OpDef kRandperm;
RUTILE_API Tensor randperm(Arg key, int64_t n, DType dtype = DType::kI64);
RUTILE_API Tensor randperm(int64_t n, DType dtype = DType::kI64);
// The slices of x along the first dimension in random order.
RUTILE_API Tensor shuffle(Arg x);

#undef RUTILE_DRAWN

// ---- A parameter for each element -------------------------------------------------------------

// 1 with the probability that each element of p is, else 0, in p's dtype.
extern RUTILE_API const OpDef kBernoulli;
RUTILE_API Tensor bernoulli(Arg key, Arg p);
RUTILE_API Tensor bernoulli(Arg p);
// Gamma distribution with scale 1: Marsaglia and Tsang, "A simple method for generating gamma
// variables", 2000. NaN where alpha is not positive.
extern RUTILE_API const OpDef kRandomGamma;
RUTILE_API Tensor random_gamma(Arg key, Arg alpha);
RUTILE_API Tensor random_gamma(Arg alpha);
// Poisson distribution, as whole numbers in rate's dtype: Knuth's method, from 10 on Hoermann's
// (1993). NaN where the rate is negative.
extern RUTILE_API const OpDef kRandomPoisson;
RUTILE_API Tensor random_poisson(Arg key, Arg rate);
RUTILE_API Tensor random_poisson(Arg rate);
// Beta distribution, of two gamma numbers; alpha and beta broadcast.
extern RUTILE_API const OpDef kRandomBeta;
RUTILE_API Tensor random_beta(Arg key, Arg alpha, Arg beta);
RUTILE_API Tensor random_beta(Arg alpha, Arg beta);
// Dirichlet distribution over the last dimension.
extern RUTILE_API const OpDef kRandomDirichlet;
RUTILE_API Tensor random_dirichlet(Arg key, Arg alpha);
RUTILE_API Tensor random_dirichlet(Arg alpha);

struct MultinomialAttrs {
  int64_t num_samples = 1;
  bool replacement = true;  // without: at most as many as there are classes, each once
  RUTILE_REFLECT(num_samples, replacement)
};
// Classes (i64) drawn by the weights in the last dimension, which need not sum to 1: [n] or [m, n]
// to [num_samples] or [m, num_samples]. The largest weights of a row without replacement come more
// often in front. An error for weights that are negative, infinite or NaN, and for rows with none
// above 0, or without replacement with fewer than num_samples.
extern RUTILE_API const OpDef kMultinomial;
RUTILE_API Tensor multinomial(Arg key, Arg weights, MultinomialAttrs attrs);
RUTILE_API Tensor multinomial(Arg weights, MultinomialAttrs attrs = {});
// The same from logits: weights exp(logits).
RUTILE_API Tensor random_categorical(Arg logits, MultinomialAttrs attrs = {});

// ---- Dropout ----------------------------------------------------------------------------------

// Whole channels at a time: one random number for each pair of dimensions 0 and 1. Tompson et al.,
// "Efficient object localization using convolutional networks", 2015.
extern RUTILE_API const OpDef kFeatureDropout;
RUTILE_API Tensor feature_dropout(Arg key, Arg x, DropoutAttrs attrs = {});
RUTILE_API Tensor feature_dropout(Arg x, DropoutAttrs attrs = {});
// feature_dropout of ranks 3, 4 and 5.
RUTILE_API Tensor dropout1d(Arg x, DropoutAttrs attrs = {});
RUTILE_API Tensor dropout2d(Arg x, DropoutAttrs attrs = {});
RUTILE_API Tensor dropout3d(Arg x, DropoutAttrs attrs = {});

struct AlphaDropoutAttrs {
  double p = 0.5;        // in [0, 1)
  bool feature = false;  // whole channels at a time
  RUTILE_REFLECT(p, feature)
};
// Keeps the mean and the deviation that selu aims at: what is dropped takes selu's lowest value,
// then all is scaled and moved. Klambauer et al., 2017.
extern RUTILE_API const OpDef kAlphaDropout;
RUTILE_API Tensor alpha_dropout(Arg key, Arg x, AlphaDropoutAttrs attrs);
RUTILE_API Tensor alpha_dropout(Arg x, AlphaDropoutAttrs attrs = {});

}  // namespace rutile::ops
