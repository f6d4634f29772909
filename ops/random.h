// SPDX-License-Identifier: Apache-2.0
// Random numbers. Every op takes a key (u64[1]) as its first input and is a pure function of it:
// Philox4x32-10 (core/rng.h) with that key, the element's logical row-major index i as counter. So
// the numbers do not depend on threads, memory layout, device or mode. With b = philox(key, i / 4),
// w = b[i % 4] and, for 64-bit draws, c = philox(key, i / 2), v = c[2 (i % 2)] : c[2 (i % 2) + 1]
// (high : low word):
//   uniform    w / 2^32 cut to the mantissa of f32 (24 bits), f16 (11), bf16 (8); f64 from v (53)
//   normal     Box-Muller on the pair (b[0], b[1]) or (b[2], b[3]): elements 2k and 2k + 1 are
//              r cos(t) and r sin(t), t from the second word; f64 on (philox(key, 2 (i / 2)),
//              philox(key, 2 (i / 2) + 1)), their first two words as v
//   randint    high 64 bits of v * (high - low)
//   bernoulli  w < p 2^32
// In f32 and below the same bits come out on every instruction set.
//
// The functions without a key draw it from the default generator:
//
//   set_seed(42);
//   Tensor w = ops::random_normal({.shape = {64, 3, 3, 3}, .std = 0.02});
#pragma once

#include <mutex>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/state.h"

namespace rutile {

// A source of keys: a State {seed, number of the next key}. Drawing a key is an op, so that it
// works inside a trace, where the State becomes part of the compiled step. Saving the State resumes
// it. Several threads may draw keys from one generator at once (no two get the same key, the order
// is open); they must not while a compiled step runs that draws from it.
class RUTILE_API Generator {
 public:
  explicit Generator(uint64_t seed);
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  // Starts anew from `seed`.
  void seed(uint64_t seed);
  // The next key: fold_in(seed, number).
  Tensor next_key();
  State& state() { return *state_; }
  const Ref<State>& state_ref() const { return state_; }

 private:
  std::mutex mutex_;
  Ref<State> state_;
};

// Of the process.
RUTILE_API Generator& default_generator();
// default_generator().seed(seed)
RUTILE_API void set_seed(uint64_t seed);

namespace ops {

// state u64[2] -> (state, key u64[1]): key = fold_in(state[0], state[1]), state[1] counts up.
extern RUTILE_API const OpDef kNextKey;

struct RandomUniformAttrs {
  Dims shape = {};
  double low = 0, high = 1;
  DType dtype = DType::kF32;  // floating
  RUTILE_REFLECT(shape, low, high, dtype)
};
// Uniform in [low, high).
extern RUTILE_API const OpDef kRandomUniform;
RUTILE_API Tensor random_uniform(Arg key, RandomUniformAttrs attrs);
RUTILE_API Tensor random_uniform(RandomUniformAttrs attrs);

struct RandomNormalAttrs {
  Dims shape = {};
  double mean = 0, std = 1;
  DType dtype = DType::kF32;  // floating
  RUTILE_REFLECT(shape, mean, std, dtype)
};
extern RUTILE_API const OpDef kRandomNormal;
RUTILE_API Tensor random_normal(Arg key, RandomNormalAttrs attrs);
RUTILE_API Tensor random_normal(RandomNormalAttrs attrs);

struct TruncatedNormalAttrs {
  Dims shape = {};
  double mean = 0, std = 1;
  double lower = -2, upper = 2;  // in standard deviations
  DType dtype = DType::kF32;     // floating
  RUTILE_REFLECT(shape, mean, std, lower, upper, dtype)
};
// Normal, conditioned to mean + std * [lower, upper]: the inverse cdf of a uniform number.
extern RUTILE_API const OpDef kTruncatedNormal;
RUTILE_API Tensor truncated_normal(Arg key, TruncatedNormalAttrs attrs);
RUTILE_API Tensor truncated_normal(TruncatedNormalAttrs attrs);

struct RandomRandintAttrs {
  Dims shape = {};
  int64_t low = 0, high = 2;
  DType dtype = DType::kI64;  // an integer type that holds low and high - 1
  RUTILE_REFLECT(shape, low, high, dtype)
};
// Integers in [low, high).
extern RUTILE_API const OpDef kRandomRandint;
RUTILE_API Tensor random_randint(Arg key, RandomRandintAttrs attrs);
RUTILE_API Tensor random_randint(RandomRandintAttrs attrs);

struct RandomBernoulliAttrs {
  Dims shape = {};
  double p = 0.5;
  DType dtype = DType::kBool;  // any real type; 1 with probability p, else 0
  RUTILE_REFLECT(shape, p, dtype)
};
extern RUTILE_API const OpDef kRandomBernoulli;
RUTILE_API Tensor random_bernoulli(Arg key, RandomBernoulliAttrs attrs);
RUTILE_API Tensor random_bernoulli(RandomBernoulliAttrs attrs);

struct DropoutAttrs {
  double p = 0.5;  // probability of a zero, in [0, 1]
  RUTILE_REFLECT(p)
};
// y = mask ? x / (1 - p) : 0 and the mask itself (bool), for training; evaluation leaves the op
// out. Element i is dropped where bernoulli(p) of the same key would be 1. Srivastava et al.,
// "Dropout: a simple way to prevent neural networks from overfitting", 2014.
extern RUTILE_API const OpDef kDropout;
RUTILE_API Tensor dropout(Arg key, Arg x, DropoutAttrs attrs = {});
RUTILE_API Tensor dropout(Arg x, DropoutAttrs attrs = {});

}  // namespace ops
}  // namespace rutile
