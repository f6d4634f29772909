// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/distributions.h"

#include <cmath>

#include "rutile/ops/require.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

Input key() { return in({1}).as(DType::kU64).ints(1, 1000); }

// What all that have a key refuse.
template <class A>
void key_errors(SampleList& s, const A& a) {
  s.error({in({1})}, a, kType, "u64");
  s.error({in({2}).as(DType::kU64)}, a, kValue, "one element");
}

RUTILE_SAMPLES(random_exponential) {
  for (const DType t : kFloats) s.add({key()}, RandomExponentialAttrs{{3, 37}, 2, t});
  s.add({key()}, RandomExponentialAttrs{{}, 0}).name("0-d");
  s.add({key()}, RandomExponentialAttrs{{0, 3}}).name("empty");
  s.error({key()}, RandomExponentialAttrs{{3}, -1}, kValue, "scale >= 0");
  s.error({key()}, RandomExponentialAttrs{{-3}}, kValue, "negative");
  s.error({key()}, RandomExponentialAttrs{{3}, 1, DType::kI32}, kType, "floats");
  key_errors(s, RandomExponentialAttrs{{3}});
}
#define RUTILE_LOCATION_SAMPLES(op)                                                       \
  RUTILE_SAMPLES(op) {                                                                    \
    for (const DType t : kFloats) s.add({key()}, RandomLocationAttrs{{3, 37}, -1, 2, t}); \
    s.add({key()}, RandomLocationAttrs{{0, 3}}).name("empty");                            \
    s.error({key()}, RandomLocationAttrs{{3}, NAN}, kValue, "finite loc");                \
    s.error({key()}, RandomLocationAttrs{{3}, 0, 1, DType::kI32}, kType, "floats");       \
    key_errors(s, RandomLocationAttrs{{3}});                                              \
  }
RUTILE_LOCATION_SAMPLES(random_laplace)
RUTILE_LOCATION_SAMPLES(random_cauchy)
RUTILE_LOCATION_SAMPLES(random_gumbel)
RUTILE_SAMPLES(random_log_normal) {
  for (const DType t : kFloats) s.add({key()}, RandomNormalAttrs{{3, 37}, -1, 0.5, t});
  s.add({key()}, RandomNormalAttrs{{0, 3}}).name("empty");
  s.error({key()}, RandomNormalAttrs{{3}, 0, -1}, kValue, "scale >= 0");
  key_errors(s, RandomNormalAttrs{{3}});
}
RUTILE_SAMPLES(random_geometric) {
  for (const DType t : kFloats) s.add({key()}, RandomGeometricAttrs{{3, 37}, 0.3, t});
  s.add({key()}, RandomGeometricAttrs{{3}, 1}).name("sure");
  s.error({key()}, RandomGeometricAttrs{{3}, 0}, kValue, "p in (0, 1]");
  key_errors(s, RandomGeometricAttrs{{3}});
}
RUTILE_SAMPLES(randperm) {
  for (const DType t : kInts) s.add({key()}, RandpermAttrs{37, t});
  s.add({key()}, RandpermAttrs{0}).name("empty");
  s.error({key()}, RandpermAttrs{-1}, kValue, "negative");
  s.error({key()}, RandpermAttrs{129, DType::kI8}, kValue, "does not hold");
  s.error({key()}, RandpermAttrs{3, DType::kF32}, kType, "integers");
  key_errors(s, RandpermAttrs{3});
}
#define RUTILE_BY_ELEMENT_SAMPLES(op)                                                   \
  RUTILE_SAMPLES(op) {                                                                  \
    s.add({key(), in({3, 7}).positive()}).dtypes(kFloats);                              \
    s.add({key(), in({40, 30}).uniform(5, 50)});                                        \
    s.add({key(), in({5}).values({0, -1, NAN, HUGE_VAL, 1e-3})}).dtypes({DType::kF64}); \
    s.add({key(), in({4, 5}).positive().transposed()});                                 \
    s.add({key(), in({0, 5})}).name("empty");                                           \
    s.error({key(), in({3}).as(DType::kI32)}, kType, "floats");                         \
    s.error({in({1}), in({3})}, kType, "u64");                                          \
  }
RUTILE_BY_ELEMENT_SAMPLES(random_gamma)
RUTILE_BY_ELEMENT_SAMPLES(random_poisson)
RUTILE_SAMPLES(bernoulli) {
  s.add({key(), in({3, 37}).uniform(0, 1)}).dtypes(kFloats);
  s.add({key(), in({4}).values({0, 1, NAN, 2})});
  s.add({key(), in({0, 5})}).name("empty");
  s.error({key(), in({3}).as(DType::kI32)}, kType, "floats");
  s.error({in({1}), in({3})}, kType, "u64");
}
RUTILE_SAMPLES(random_beta) {
  s.add({key(), in({3, 7}).positive(), in({7}).positive()}).dtypes(kFloats);
  s.add({key(), in({0, 5}), in({5})}).name("empty");
  s.error({key(), in({3}), in({2})}, kValue, "broadcast");
  s.error({key(), in({3}), in({3}).as(DType::kF64)}, kType, "one dtype");
}
RUTILE_SAMPLES(random_dirichlet) {
  s.add({key(), in({3, 7}).positive()}).dtypes(kFloats);
  s.add({key(), in({0, 5})}).name("empty");
  s.error({key(), in({})}, kValue, "rank 1");
  s.error({key(), in({3}).as(DType::kI32)}, kType, "floats");
}
RUTILE_SAMPLES(multinomial) {
  for (const bool replacement : {true, false}) {
    s.add({key(), in({3, 7}).positive()}, MultinomialAttrs{5, replacement}).dtypes(kFloats);
    s.add({key(), in({7}).positive()}, MultinomialAttrs{3, replacement});
    s.add({key(), in({0, 7})}, MultinomialAttrs{3, replacement}).name("empty");
    s.add({key(), in({2, 7}).positive()}, MultinomialAttrs{0, replacement}).name("none");
  }
  s.error({key(), in({3})}, MultinomialAttrs{4, false}, kValue, "without replacement");
  s.error({key(), in({3})}, MultinomialAttrs{-1}, kValue, "num_samples");
  s.error({key(), in({3, 0})}, MultinomialAttrs{2}, kValue, "no class");
  s.error({key(), in({1, 2, 3})}, MultinomialAttrs{}, kValue, "weights expects");
  for (const double w : {-1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    for (const bool replacement : {true, false}) {
      s.error({key(), in({2, 2}).values({1, 2, w, 1})}, MultinomialAttrs{1, replacement}, kValue,
              "weights expects finite numbers from 0 on, got");
    }
  }
  s.error({key(), in({2, 2}).values({1, 0, 0, 0})}, MultinomialAttrs{3}, kValue,
          "1 or more numbers above 0");
  s.error({key(), in({3}).values({1, 0, 0})}, MultinomialAttrs{3, false}, kValue,
          "3 or more numbers above 0 in a line, got 1");
  s.error({key(), in({3}).as(DType::kI32)}, MultinomialAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(require_range) {
  const RequireRangeAttrs a{.min = 0, .max = 3, .what = "p"};
  s.add({in({3, 7}).positive()}, a).dtypes(kFloats);
  s.add({in({2, 6, 3, 3}).positive().channels_last()}, a);
  s.add({in({5}).positive().gaps()}, RequireRangeAttrs{.positive = 5});
  s.add({in({2, 3}).values({0, 1, 2})}, RequireRangeAttrs{.positive = 2});
  s.add({in({})}, RequireRangeAttrs{});
  s.add({in({0, 7})}, RequireRangeAttrs{.positive = 3}).name("empty");
  for (const double v : {-0.5, 3.5, static_cast<double>(NAN)}) {
    s.error({in({3}).values({0, 1, v})}, a, kValue, "p expects numbers from 0 to 3, got");
  }
  s.error({in({1}).values({INFINITY})}, RequireRangeAttrs{}, kValue, "x expects finite numbers");
  s.error({in({2, 2}).values({1, 1, 0, 1})}, RequireRangeAttrs{.positive = 2}, kValue,
          "2 or more numbers above 0 in a line, got 1");
  s.error({in({2})}, RequireRangeAttrs{.min = 1, .max = 0}, kValue, "min <= max");
  s.error({in({2})}, RequireRangeAttrs{.positive = -1}, kValue, "positive");
  s.error({in({})}, RequireRangeAttrs{.positive = 1}, kValue, "rank 1");
  s.error({in({3}).as(DType::kI32)}, RequireRangeAttrs{}, kType, "floating point");
}
RUTILE_SAMPLES(feature_dropout) {
  s.add({key(), in({4, 6, 3, 3})}, DropoutAttrs{0.4}).dtypes(kFloats);
  s.add({key(), in({4, 37, 3, 3}).channels_last()}, DropoutAttrs{0.4});
  s.add({key(), in({4, 6})}, DropoutAttrs{1}).name("all");
  s.add({key(), in({0, 6, 2})}, DropoutAttrs{0.4}).name("empty");
  s.error({key(), in({4})}, DropoutAttrs{0.4}, kValue, "rank 2");
  s.error({key(), in({4, 2})}, DropoutAttrs{1.4}, kValue, "p in [0, 1]");
  s.error({in({1}), in({4, 2})}, DropoutAttrs{0.4}, kType, "u64");
}
RUTILE_SAMPLES(alpha_dropout) {
  s.add({key(), in({4, 6, 3, 3})}, AlphaDropoutAttrs{0.4}).dtypes(kFloats);
  s.add({key(), in({4, 6, 3, 3}).channels_last()}, AlphaDropoutAttrs{0.4, true});
  s.add({key(), in({7})}, AlphaDropoutAttrs{0}).name("none");
  s.error({key(), in({4})}, AlphaDropoutAttrs{0.4, true}, kValue, "rank 2");
  s.error({key(), in({4, 2})}, AlphaDropoutAttrs{1}, kValue, "below 1");
  s.error({key(), in({3}).as(DType::kI32)}, AlphaDropoutAttrs{}, kType, "floats");
}

}  // namespace
}  // namespace rutile::samples
