// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/special.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
const DTypes kDoubles{DType::kF32, DType::kF64};

void two_input_errors(SampleList& s) {
  s.error({in({2, 3}), in({4})}, kValue, "broadcast");
  s.error({in({2}).as(DType::kC64), in({2}).as(DType::kC64)}, kType, "complex");
}
void one_input_errors(SampleList& s) { s.error({in({2}).as(DType::kC64)}, kType, "complex"); }
DTypes bits() { return joined(kInts, {DType::kBool}); }

// ---- Integers ---------------------------------------------------------------------------------

void signs(SampleList& s) {
  s.add({in({31}), in({31}).values({1, 2, 3, 7})}).dtypes(kInts);
  s.add({in({8}).values({7, -7, 7, -7, 0, 5.5, -5.5, 6}),
         in({8}).values({2, 2, -2, -2, 3, 2, 2, -4})})
      .dtypes({DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kI8})
      .no_gradient("on the jumps");
  s.add({in({15, 1}).filled(extremes()), in({1, 9}).values({1, -1, 2, -7, 127, -128, 1e4, -1e19})})
      .dtypes({DType::kI64, DType::kI32, DType::kI16, DType::kI8})
      .name("extreme integers");
  s.error({in({2}).as(DType::kI64), in({2}).as(DType::kI64).values({1, 0})}, kValue, "by zero");
  s.error({bool_in({2}), bool_in({2})}, kType, "bool");
  two_input_errors(s);
}
RUTILE_SAMPLES(trunc_div) {
  s.binary(kFloats, {}, values({1, 2, 3, 0.7, 2.5}));
  signs(s);
}
RUTILE_SAMPLES(fmod) {
  s.binary(kFloats, uniform(0.1, 0.9), uniform(1, 3)).no_second_order("piecewise linear");
  signs(s);
}

#define RUTILE_INTEGER_SAMPLES(op, fill)                                          \
  RUTILE_SAMPLES(op) {                                                            \
    s.binary(kInts, {}, fill);                                                    \
    s.add({in({15, 1}).filled(extremes()), in({1, 15}).filled(extremes())})       \
        .dtypes(kInts)                                                            \
        .name("extreme integers");                                                \
    s.error({in({2}), in({2})}, kType, "integers");                               \
    s.error({bool_in({2}), bool_in({2})}, kType, "integers");                     \
    s.error({in({2}).as(DType::kI32), in({3}).as(DType::kI32)}, kValue, "broad"); \
  }
RUTILE_INTEGER_SAMPLES(gcd, {})
RUTILE_INTEGER_SAMPLES(lcm, {})
RUTILE_INTEGER_SAMPLES(bitwise_left_shift, values({0, 1, 3, 7, 8, 40, 70, -1}))
RUTILE_INTEGER_SAMPLES(bitwise_right_shift, values({0, 1, 3, 7, 8, 40, 70, -1}))

// ---- Two floats -------------------------------------------------------------------------------

#define RUTILE_TWO_SAMPLES(op, first, second)                                            \
  RUTILE_SAMPLES(op) {                                                                   \
    s.binary(kFloats, first, second);                                                    \
    s.add({in({5}).values({0, 1}), in({5}).values({1})}).dtypes(bits()).name("of ints"); \
    two_input_errors(s);                                                                 \
  }
RUTILE_TWO_SAMPLES(hypot, away_from({0}, 0.2), away_from({0}, 0.2))
RUTILE_SAMPLES(logaddexp) {
  s.binary(kFloats);
  s.add({in({5}).values({0, 1}), in({5}).values({1})}).dtypes(bits()).name("of ints");
  s.complex_binary(distinct(-2, 2), distinct(-1.97, 2.03));
  s.error({in({2, 3}), in({4})}, kValue, "broadcast");
  s.add({in({2}).values({1, 3}), in({2}).values({1, 3})}).dtypes(kComplexes).name("twice the same");
}
RUTILE_TWO_SAMPLES(logaddexp2, {}, {})
RUTILE_TWO_SAMPLES(xlogy, away_from({0}), positive())
RUTILE_TWO_SAMPLES(xlog1py, away_from({0}), positive())
RUTILE_SAMPLES(ldexp) {
  s.binary(kFloats, {}, {});
  s.add({in({5}).values({0, 1}), in({5}).values({1})}).dtypes(bits()).name("of ints");
  s.add({in({2, 3}), in({3})}).dtypes(kComplexes);
  s.error({in({2, 3}), in({4})}, kValue, "broadcast");
}
RUTILE_SAMPLES(copysign) {
  s.binary(kFloats, away_from({0}), away_from({0})).no_second_order("piecewise linear");
  s.add({in({5}).values({0, 1}), in({5}).values({1})}).dtypes(bits()).name("of ints");
  two_input_errors(s);
}
RUTILE_SAMPLES(float_power) {
  s.binary(kFloats, positive(), uniform(-1.5, 1.5));
  s.add({in({4}).values({1, 2, 3}), in({4}).values({0, 1, 2})}).dtypes(bits());
  s.add({in({2, 3}).uniform(0.5, 1.5), in({3})}).dtypes(kComplexes);
  s.error({in({2, 3}), in({4})}, kValue, "broadcast");
}
RUTILE_SAMPLES(nextafter) {
  s.binary(kDoubles);
  s.add({in({6}).values({0, 1, 1, -0.0, HUGE_VAL, 3}),
         in({6}).values({1, 1, 2, -1, 0, std::nan("")})})
      .dtypes(kDoubles);
  s.error({in({2}).as(DType::kBF16), in({2}).as(DType::kBF16)}, kType, "f32 or f64");
  s.error({in({2}), in({3})}, kValue, "broadcast");
}
RUTILE_SAMPLES(heaviside) {
  s.binary(kNumbers, values({-2, 0, 1, 3, -0.5, 0}), {});
  s.add({in({4}).values({std::nan(""), HUGE_VAL, 0, -0.0}), in({4})});
  s.error({bool_in({2}), bool_in({2})}, kType, "bool");
  two_input_errors(s);
}
RUTILE_SAMPLES(isclose) {
  s.add({in({3, 4}), in({3, 4})}, IscloseAttrs{.rtol = 0.1, .atol = 0.5}).dtypes(kComplexes);
  s.add({in({3, 4}), in({3, 4})}, IscloseAttrs{.rtol = 0.1, .atol = 0.5}).dtypes(kEveryType);
  s.add({in({9}).filled(specials()), in({9}).filled(specials())}, IscloseAttrs{});
  s.add({in({9}).filled(specials()), in({1}).values({std::nan("")})},
        IscloseAttrs{.equal_nan = true});
  s.add({in({4}).values({1, 1, 1, HUGE_VAL}), in({4}).values({1.0000101, 1.00001, 1.1, -HUGE_VAL})},
        IscloseAttrs{})
      .dtypes(kDoubles);
  s.add({in({0, 2}), in({1, 2})}, IscloseAttrs{}).name("empty");
  s.error({in({2}), in({2})}, IscloseAttrs{.rtol = -1}, kValue, "rtol");
  s.error({in({2}), in({3})}, IscloseAttrs{}, kValue, "broadcast");
}

// ---- Three ------------------------------------------------------------------------------------

RUTILE_SAMPLES(lerp) {
  for (const double w : {0.1, 1.2}) {  // from either end
    s.add({in({3, 5}), in({3, 5}), in({5}).uniform(w, w + 0.2)}).dtypes(kComplexes);
  }
  s.add({in({3, 5}), in({3, 5}), in({3, 5}).uniform(-0.4, 0.4)}).dtypes(kFloats);
  s.add({in({3, 5}), in({5}), in({3, 1}).uniform(0.6, 1.4)});
  s.add({in({2, 37, 3, 2}).channels_last(), in({37, 1, 1}), in({}).values({0.3})});
  s.add({in({0, 2}), in({2}), in({})}).name("empty");
  s.error({in({3}), in({2}), in({})}, kValue, "broadcast");
  s.error({in({3}).as(DType::kI32), in({3}).as(DType::kI32), in({3}).as(DType::kI32)}, kType,
          "floats");
}
RUTILE_SAMPLES(addcmul) {
  s.add({in({3, 5}), in({5}), in({3, 1})}, ScaledAttrs{0.7}).dtypes(kComplexes);
  s.add({in({3, 5}), in({3, 5}), in({3, 5})}, ScaledAttrs{0.7}).dtypes(kFloats);
  s.add({in({3, 5}), in({3, 5}), in({3, 5})}, ScaledAttrs{2}).dtypes(kInts);
  s.add({in({5}), in({3, 1}), in({})}, ScaledAttrs{});
  s.add({in({0}), in({1}), in({})}, ScaledAttrs{}).name("empty");
  s.error({in({3}), in({2}), in({})}, ScaledAttrs{}, kValue, "broadcast");
  s.error({bool_in({3}), bool_in({3}), bool_in({3})}, ScaledAttrs{}, kType, "bool");
}
RUTILE_SAMPLES(addcdiv) {
  s.add({in({3, 5}), in({5}), in({3, 1}).positive()}, ScaledAttrs{0.7}).dtypes(kComplexes);
  s.add({in({3, 5}), in({3, 5}), in({3, 5}).positive()}, ScaledAttrs{0.7}).dtypes(kFloats);
  s.add({in({5}), in({3, 1}), in({}).positive()}, ScaledAttrs{});
  s.add({in({0}), in({1}), in({})}, ScaledAttrs{}).name("empty");
  s.error({in({3}), in({2}), in({})}, ScaledAttrs{}, kValue, "broadcast");
  s.error({in({3}).as(DType::kI32), in({3}).as(DType::kI32), in({3}).as(DType::kI32)},
          ScaledAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(clamp) {
  constexpr const char* kLinear = "piecewise linear";
  s.add({in({4, 9}).distinct(-2, 2), in({4, 9}).uniform(-1.5, -0.51), in({4, 9}).uniform(0.5, 1.5)})
      .dtypes(kEveryType)
      .no_second_order(kLinear);
  s.add({in({4, 9}).distinct(-2, 2), in({9}).distinct(-1.03, 1.04)}).no_second_order(kLinear);
  s.add({in({4, 9}).distinct(-2, 2), none(), in({4, 1}).distinct(-1.03, 1.04)})
      .no_second_order(kLinear);
  s.add({in({4}).distinct(-2, 2), in({}).values({1.03}), in({}).values({-1.04})})
      .no_second_order(kLinear)
      .name("crossed");
  s.add({in({0, 3}), in({3}), in({1})}).name("empty");
  s.error({in({3})}, kValue, "min or max");
  s.error({in({3}), in({2})}, kValue, "broadcast");
}

// ---- One --------------------------------------------------------------------------------------

#define RUTILE_FUNCTION_SAMPLES(op, fill)                               \
  RUTILE_SAMPLES(op) {                                                  \
    s.unary(kFloats, fill);                                             \
    s.add({in({5}).values({0, 1})}).dtypes(bits()).name("of integers"); \
    one_input_errors(s);                                                \
  }
RUTILE_SAMPLES(log10) {
  s.unary(kFloats, positive());
  s.add({in({5}).values({0, 1})}).dtypes(bits()).name("of integers");
  s.complex_unary(positive());
}
RUTILE_FUNCTION_SAMPLES(cbrt, positive())
RUTILE_SAMPLES(sinc) {
  s.unary(kFloats, away_from({0}, 0.2));
  s.add({in({5}).values({0, 1})}).dtypes(bits()).name("of integers");
  s.complex_unary(away_from({0}, 0.2));
  s.add({in({3}).values({0})}).dtypes(kComplexes).name("at zero");
}
RUTILE_FUNCTION_SAMPLES(deg2rad, {})
RUTILE_FUNCTION_SAMPLES(rad2deg, {})
RUTILE_FUNCTION_SAMPLES(erfinv, uniform(-0.8, 0.8))
RUTILE_FUNCTION_SAMPLES(lgamma, uniform(0.3, 5))
RUTILE_FUNCTION_SAMPLES(digamma, uniform(0.3, 5))
RUTILE_FUNCTION_SAMPLES(i0, uniform(-12, 12))
RUTILE_FUNCTION_SAMPLES(i1, uniform(-12, 12))

RUTILE_SAMPLES(polygamma) {
  s.unary(kFloats, uniform(0.5, 5), PolygammaAttrs{1}).tolerance(DType::kF16, 4e-3);
  s.add({in({9}).uniform(-2.4, -2.2)}, PolygammaAttrs{1}).tolerance(DType::kF64, 1e-11);
  s.add({in({9}).uniform(0.5, 5)}, PolygammaAttrs{0});
  s.add({in({9}).uniform(0.5, 5)}, PolygammaAttrs{3}).dtypes(kDoubles);
  s.add({in({5}).values({0, 1})}, PolygammaAttrs{2}).dtypes(bits());
  s.error({in({2})}, PolygammaAttrs{-1}, kValue, "expects n");
  s.error({in({2}).as(DType::kC64)}, PolygammaAttrs{1}, kType, "complex");
}
RUTILE_SAMPLES(logit) {
  s.add({in({3, 7}).uniform(0.1, 0.9)}, LogitAttrs{}).dtypes(kFloats);
  s.add({in({3, 7}).uniform(-0.5, 1.5)}, LogitAttrs{0.1}).dtypes(kFloats).no_gradient("kinks");
  s.add({in({2, 6, 3, 3}).uniform(0.1, 0.9).channels_last()}, LogitAttrs{});
  s.add({in({5}).values({0, 1})}, LogitAttrs{0.25}).dtypes(bits());
  s.add({in({0})}, LogitAttrs{}).name("empty");
  s.error({in({2})}, LogitAttrs{0.6}, kValue, "at most 0.5");
}
RUTILE_SAMPLES(frac) {
  s.unary(kFloats, away_from({-1, 0, 1})).no_second_order("piecewise linear");
  one_input_errors(s);
  s.error({in({2}).as(DType::kI32)}, kType, "floats");
}
#define RUTILE_TEST_SAMPLES(op)             \
  RUTILE_SAMPLES(op) {                      \
    s.unary(kNumbers);                      \
    s.unary(kFloats, specials());           \
    one_input_errors(s);                    \
    s.error({bool_in({2})}, kType, "bool"); \
  }
RUTILE_TEST_SAMPLES(signbit)
RUTILE_TEST_SAMPLES(isposinf)
RUTILE_TEST_SAMPLES(isneginf)

RUTILE_SAMPLES(nan_to_num) {
  s.unary(kNumbers, {}, NanToNumAttrs{}).no_second_order("piecewise linear");
  s.add({in({9}).filled(specials())}, NanToNumAttrs{.nan = 1, .posinf = 2, .neginf = -3})
      .dtypes(kFloats)
      .no_gradient("jumps");
  one_input_errors(s);
  s.error({bool_in({2})}, NanToNumAttrs{}, kType, "bool");
}

}  // namespace
}  // namespace rutile::samples
