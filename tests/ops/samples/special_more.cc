// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/special_more.h"

#include <cmath>
#include <utility>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
DTypes bits() { return joined(kInts, {DType::kBool}); }

#define RUTILE_EXTREMUM_SAMPLES(op)                                                                \
  RUTILE_SAMPLES(op) {                                                                             \
    s.binary(kEveryType, distinct(), distinct(-2.013, 2.014)).no_second_order("piecewise linear"); \
    s.error({in({2, 3}), in({4})}, kValue, "broadcast");                                           \
    s.error({in({2}).as(DType::kC64), in({2}).as(DType::kC64)}, kType, "complex");                 \
  }
RUTILE_EXTREMUM_SAMPLES(fmax)
RUTILE_EXTREMUM_SAMPLES(fmin)

// By the second input alone.
void order_samples(SampleList& s, const Fill& first, const Fill& second) {
  s.add({in({3, 5}).filled(first).constant(), in({3, 5}).filled(second)}).dtypes(kFloats);
  s.add({in({3, 1}).filled(first).constant(), in({4}).filled(second)});
  s.add({in({67, 103}).filled(first).constant(), in({67, 103}).filled(second)})
      .no_gradient("a long run for kernels")
      .dtypes({DType::kF32, DType::kF64});
  s.add({in({20, 1}).filled(specials()).constant(), in({1, 20}).filled(specials())})
      .no_gradient("infinities and NaN have no difference quotient")
      .dtypes(kFloats);
  s.add({in({2, 6, 3, 2}).filled(first).constant().channels_last(),
         in({2, 6, 3, 2}).filled(second).channels_last()});
  s.add({in({4}).values({2, 3}), in({4}).values({1, 2, 5})}).dtypes(kInts).name("ints");
  s.add({bool_in({4}), bool_in({4})}).name("bool");
  s.add({in({0, 2}).constant(), in({2})}).name("empty");
  s.error({in({2, 3}), in({4})}, kValue, "broadcast");
  s.error({in({2}).as(DType::kC64), in({2}).as(DType::kC64)}, kType, "complex");
}
// By both, on every branch: the series, the fraction, the expansion for large orders.
void gamma_samples(SampleList& s) {
  constexpr const char* kOrder = "no second derivative by the order";
  order_samples(s, uniform(0.2, 4), uniform(0.2, 6));
  for (const auto& [a, x] :
       {std::pair(uniform(0.05, 1), uniform(0.05, 3)), std::pair(uniform(1, 30), uniform(0.5, 40)),
        std::pair(uniform(200, 240), uniform(200, 240))}) {
    s.add({in({3, 5}).filled(a), in({3, 5}).filled(x)})
        .dtypes({DType::kF32, DType::kF64})
        .no_second_order(kOrder);
  }
  s.add({in({3, 1}).positive(), in({4}).positive()}).no_second_order(kOrder);
}
RUTILE_SAMPLES(igamma) { gamma_samples(s); }
RUTILE_SAMPLES(igammac) { gamma_samples(s); }
RUTILE_SAMPLES(igamma_grad_a) { order_samples(s, uniform(0.2, 4), uniform(0.2, 6)); }
RUTILE_SAMPLES(zeta) { order_samples(s, uniform(1.3, 4), uniform(0.5, 6)); }

#define RUTILE_FUNCTION_SAMPLES(op, fill)                               \
  RUTILE_SAMPLES(op) {                                                  \
    s.unary(kFloats, fill);                                             \
    s.add({in({5}).values({0, 1})}).dtypes(bits()).name("of integers"); \
    s.error({in({2}).as(DType::kC64)}, kType, "complex");               \
  }
RUTILE_FUNCTION_SAMPLES(ndtr, {})
RUTILE_FUNCTION_SAMPLES(log_ndtr, uniform(-4, 2))
RUTILE_FUNCTION_SAMPLES(ndtri, uniform(0.05, 0.95))
RUTILE_FUNCTION_SAMPLES(erfcx, uniform(-1, 4))
RUTILE_FUNCTION_SAMPLES(entr, positive())
RUTILE_FUNCTION_SAMPLES(i0e, away_from({0}))
RUTILE_FUNCTION_SAMPLES(i1e, away_from({0}))
RUTILE_FUNCTION_SAMPLES(bessel_j0, uniform(0.2, 9))
RUTILE_FUNCTION_SAMPLES(bessel_j1, uniform(0.2, 9))
RUTILE_FUNCTION_SAMPLES(bessel_y0, uniform(0.5, 9))
RUTILE_FUNCTION_SAMPLES(bessel_y1, uniform(0.5, 9))
RUTILE_FUNCTION_SAMPLES(bessel_k0, uniform(0.5, 5))
RUTILE_FUNCTION_SAMPLES(bessel_k1, uniform(0.5, 5))
RUTILE_FUNCTION_SAMPLES(bessel_k0e, uniform(0.5, 5))
RUTILE_FUNCTION_SAMPLES(bessel_k1e, uniform(0.5, 5))

RUTILE_SAMPLES(mvlgamma) {
  s.add({in({3, 7}).uniform(2, 5)}, MvlgammaAttrs{3}).dtypes(kFloats);
  s.add({in({2, 6, 3, 3}).uniform(2, 5).channels_last()}, MvlgammaAttrs{1});
  s.add({in({5}).values({3, 4})}, MvlgammaAttrs{2}).dtypes(kInts);
  s.add({bool_in({3})}, MvlgammaAttrs{1});
  s.add({in({0, 2})}, MvlgammaAttrs{2}).name("empty");
  s.error({in({2})}, MvlgammaAttrs{0}, kValue, "expects p");
  s.error({in({2}).as(DType::kC64)}, MvlgammaAttrs{1}, kType, "complex");
}

#define RUTILE_FREXP_SAMPLES(op)                                               \
  RUTILE_SAMPLES(op) {                                                         \
    s.unary(kFloats, uniform(0.55, 0.95)).no_second_order("piecewise linear"); \
    s.add({in({4}).values({1e-310, -3e-320, 0x1p1023, 1})})                    \
        .dtypes({DType::kF64})                                                 \
        .name("subnormal")                                                     \
        .no_gradient("out of range");                                          \
    s.error({in({2}).as(DType::kI32)}, kType, "floats");                       \
  }
RUTILE_FREXP_SAMPLES(frexp)
RUTILE_FREXP_SAMPLES(frexp_mantissa)
RUTILE_FREXP_SAMPLES(frexp_exponent)

}  // namespace
}  // namespace rutile::samples
