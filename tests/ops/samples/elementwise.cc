// SPDX-License-Identifier: Apache-2.0
// Samples of elementwise ops.
#include "rutile/ops/elementwise.h"

#include <array>
#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;

// A function: kInts may not be ready while this file's constants are made.
DTypes bits() {
  DTypes t = kInts;
  t.push_back(DType::kBool);
  return t;
}

// What every op of two inputs refuses.
void shape_errors(SampleList& s) {
  s.error({in({2, 3}), in({4})}, kValue, "broadcast");
  s.error({in({2, 3}), in({3, 2})}, kValue, "broadcast");
}
void two_input_errors(SampleList& s) {
  shape_errors(s);
  s.error({in({2}).as(DType::kC64), in({2}).as(DType::kC64)}, kType, "complex");
}
// What ops take that know complex numbers.
SampleGroup complex_inputs(SampleList& s, const Fill& a = {}, const Fill& b = {}) {
  shape_errors(s);
  return s.complex_binary(a, b);
}
void one_input_errors(SampleList& s) { s.error({in({2}).as(DType::kC64)}, kType, "complex"); }

// ---- Two inputs -------------------------------------------------------------------------------

RUTILE_SAMPLES(add) {
  s.binary(kEveryType).no_second_order("the op is linear");
  s.add({in({2, 3}).as(DType::kBF16), in({3}).as(DType::kF32)}).name("promotion");
  s.add({in({2, 3}).as(DType::kI32), in({3}).as(DType::kF16)}).name("promotion");
  complex_inputs(s).no_second_order("the op is linear");
  s.add({in({2, 3}).as(DType::kF32), in({3}).as(DType::kC64)}).name("promotion");
}
RUTILE_SAMPLES(sub) {
  s.binary(kNumbers).no_second_order("the op is linear");
  complex_inputs(s).no_second_order("the op is linear");
  s.error({bool_in({2}), bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(mul) {
  s.binary(kEveryType);
  complex_inputs(s);
  s.add({in({2, 3}).as(DType::kF64), in({3}).as(DType::kC128)}).name("promotion");
}
RUTILE_SAMPLES(div) {
  s.binary(kFloats, {}, positive());
  s.add({in({7}), in({7}).ints(1, 5)}).dtypes(bits()).name("integers give f32");
  complex_inputs(s, {}, positive());
  s.add({in({7}), in({7}).values({0.1, -3, 2, 1e-3, 1, 0})}).dtypes(kComplexes);
}
// The smallest number divided by -1 among them, never by 0.
void integer_divisions(SampleList& s) {
  s.add({in({15, 1}).filled(extremes()),
         in({1, 9}).values({1, -1, 2, -7, 127, -128, 1e4, -1e19, 1e20})})
      .dtypes({DType::kI64, DType::kI32, DType::kI16, DType::kI8})
      .name("extreme integers");
  s.add({in({15, 1}).filled(extremes()), in({1, 5}).values({1, 2, 3, 255, 1e20})})
      .dtypes({DType::kU64, DType::kU32, DType::kU16, DType::kU8})
      .name("extreme integers");
}
RUTILE_SAMPLES(floor_div) {
  s.binary(kFloats, {}, values({1, 2, 3, 0.7, 2.5}));
  s.add({in({31}), in({31}).values({1, 2, 3, 7})}).dtypes(kInts);
  s.add({in({8}).values({7, -7, 7, -7, 0, 5.5, -5.5, 6}),
         in({8}).values({2, 2, -2, -2, 3, 2, 2, -3})})
      .dtypes({DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kI8});
  integer_divisions(s);
  two_input_errors(s);
  s.error({bool_in({2}), bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(remainder) {
  s.binary(kFloats, uniform(0.1, 0.9), uniform(1, 3)).no_second_order("piecewise linear");
  s.add({in({31}), in({31}).values({1, 2, 3, 7})}).dtypes(kInts);
  s.add({in({8}).values({7, -7, 7, -7, 0, 5.5, -5.5, 6}),
         in({8}).values({2, 2, -2, -2, 3, 2, 2, -4})})
      .dtypes({DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kI8})
      .no_gradient("on the jumps");
  integer_divisions(s);
  two_input_errors(s);
  s.error({bool_in({2}), bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(pow) {
  s.binary(kFloats, positive(), uniform(-1.5, 1.5)).tolerance(DType::kF16, 4e-3);
  s.add({in({9}).values({0, 1, 2, 3, -2}), in({9}).values({0, 1, 2, 3, 5, 4})}).dtypes(kInts);
  s.add({in({6}).values({1, -1, -1, 2, 0, -3}), in({6}).values({-3, -3, -2, -1, -1, -2})})
      .dtypes({DType::kI32, DType::kI64})
      .name("negative powers");
  s.add({in({15, 1}).filled(extremes()), in({1, 15}).filled(extremes())})
      .dtypes(kInts)
      .name("extreme integers");
  complex_inputs(s, positive(), uniform(-1.5, 1.5));
  s.add({in({6}).values({0, 0, 1, 2}), in({6}).values({2, 0, 0, 0, 1, 1})})
      .dtypes(kComplexes)
      .name("of zero")
      .no_gradient("on the branch point");
  s.error({bool_in({2}), bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(maximum) {
  s.binary(kEveryType, distinct(-2, 2), distinct(-1.97, 2.03)).no_second_order("piecewise linear");
  two_input_errors(s);
}
RUTILE_SAMPLES(minimum) {
  s.binary(kEveryType, distinct(-2, 2), distinct(-1.97, 2.03)).no_second_order("piecewise linear");
  two_input_errors(s);
}
RUTILE_SAMPLES(atan2) {
  s.binary(kFloats, away_from({0}, 0.2), away_from({0}, 0.2));
  s.add({in({7}), in({7})}).dtypes(bits()).name("of integers");
  two_input_errors(s);
}

#define RUTILE_PREDICATE_SAMPLES(op)                                      \
  RUTILE_SAMPLES(op) {                                                    \
    s.binary(kEveryType, values({-2, 0, 1, 3, 0.5, 1}), {});              \
    s.add({in({40}).ints(0, 3), in({40}).ints(0, 3)}).dtypes(kEveryType); \
    two_input_errors(s);                                                  \
  }
#define RUTILE_EQUALITY_SAMPLES(op)                                       \
  RUTILE_SAMPLES(op) {                                                    \
    s.binary(kEveryType, values({-2, 0, 1, 3, 0.5, 1}), {});              \
    s.add({in({40}).ints(0, 3), in({40}).ints(0, 3)}).dtypes(kEveryType); \
    complex_inputs(s, values({0, 0, 1}), values({0, 0, 0, 1}));           \
  }
RUTILE_EQUALITY_SAMPLES(equal)
RUTILE_EQUALITY_SAMPLES(not_equal)
RUTILE_EQUALITY_SAMPLES(logical_and)
RUTILE_EQUALITY_SAMPLES(logical_or)
RUTILE_EQUALITY_SAMPLES(logical_xor)
RUTILE_PREDICATE_SAMPLES(less)
RUTILE_PREDICATE_SAMPLES(less_equal)
RUTILE_PREDICATE_SAMPLES(greater)
RUTILE_PREDICATE_SAMPLES(greater_equal)

#define RUTILE_BITS_SAMPLES(op)                                    \
  RUTILE_SAMPLES(op) {                                             \
    s.binary(bits());                                              \
    s.error({in({2}), in({2})}, kType, "integers");                \
    s.error({bool_in({2, 3}), bool_in({4})}, kValue, "broadcast"); \
  }
RUTILE_BITS_SAMPLES(bitwise_and)
RUTILE_BITS_SAMPLES(bitwise_or)
RUTILE_BITS_SAMPLES(bitwise_xor)

RUTILE_SAMPLES(where) {
  s.add({bool_in({2, 3, 5}), in({2, 3, 5}), in({2, 3, 5})})
      .dtypes(kEveryType)
      .no_second_order("the op is linear");
  for (const auto& [c, x, y] : std::vector<std::array<Shape, 3>>{
           {Shape{}, Shape{}, Shape{}},
           {Shape{3, 1}, Shape{1, 5}, Shape{}},
           {Shape{4}, Shape{}, Shape{}},
           {Shape{}, Shape{3}, Shape{2, 3}},
           {Shape{0}, Shape{0}, Shape{1}},
           {Shape{2, 6, 3, 2}, Shape{1, 6, 1, 1}, Shape{2, 6, 3, 2}}}) {
    s.add({bool_in(c), in(x), in(y)}).no_second_order("the op is linear");
  }
  s.add({bool_in({2, 37, 3, 2}).channels_last(), in({2, 37, 3, 2}).channels_last(),
         in({2, 37, 3, 2}).channels_last()})
      .no_second_order("the op is linear");
  s.add({bool_in({4, 5}).transposed(), in({4, 5}).gaps(), in({4, 5}).expanded()})
      .no_second_order("the op is linear");
  s.add({bool_in({67, 1033}), in({67, 1033}), in({67, 1033})})
      .name("long")
      .dtypes(kEveryType)
      .no_gradient("a long run for kernels");
  s.add({bool_in({3, 1}), in({3, 4}), in({4})})
      .dtypes(kComplexes)
      .no_second_order("the op is linear");
  s.error({in({2}), in({2}), in({2})}, kType, "bool");
  s.error({bool_in({2}), in({3}), in({2})}, kValue, "broadcast");
  s.error({bool_in({2}), in({2}), in({2}).as(DType::kF64)}, kType, "one dtype");
}

RUTILE_SAMPLES(cast) {
  s.error({}, CastAttrs{DType::kF32}, kValue, "inputs, got 0");
  for (const DType to : kEveryType) {
    s.add({in({3, 7})}, CastAttrs{to}).dtypes(kEveryType).no_second_order("the op is linear");
    s.add({in({2, 37, 5, 3}).channels_last()}, CastAttrs{to})
        .dtypes({DType::kF32, DType::kBF16})
        .no_second_order("the op is linear");
    s.add({in({33}).values({0, -0.5, 1.99, -3.7, 1e3, -1e3, 3e4, 7e4, -7e4, 5e9, -5e9, 2e19, -2e19,
                            HUGE_VAL, -HUGE_VAL, std::nan("")})},
          CastAttrs{to})
        .dtypes({DType::kF32, DType::kF64, DType::kBF16})
        .name("out of range")
        .no_gradient("values jump");
    s.add({in({67, 1033}).uniform(0, 100)}, CastAttrs{to})
        .dtypes(kEveryType)
        .no_gradient("a long run for kernels");
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({4, 5}).viewed(v)}, CastAttrs{DType::kBF16}).no_second_order("the op is linear");
  }
  for (const DType to : joined(kEveryType, kComplexes)) {
    s.add({in({3, 7})}, CastAttrs{to}).dtypes(kComplexes).no_second_order("the op is linear");
  }
  for (const DType to : kComplexes) {
    s.add({in({3, 7})}, CastAttrs{to}).dtypes(kEveryType).no_second_order("the op is linear");
    s.add({in({3, 4, 5}).transposed()}, CastAttrs{to}).no_second_order("the op is linear");
    s.add({in({2, 0, 3}).gaps()}, CastAttrs{to});
    s.add({in({67, 1033})}, CastAttrs{to}).no_gradient("a long run for kernels");
  }
}

// ---- One input --------------------------------------------------------------------------------

RUTILE_SAMPLES(neg) {
  s.unary(kNumbers).no_second_order("the op is linear");
  s.complex_unary().no_second_order("the op is linear");
  s.error({bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(abs) {
  s.unary(kNumbers, away_from({0})).no_second_order("piecewise linear");
  s.complex_unary();
  s.add({in({4}).values({0, 0, 1, -2})}).dtypes(kComplexes).no_gradient("0 at 0");
  s.error({bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(square) {
  s.unary(kNumbers);
  s.complex_unary();
  s.error({bool_in({2})}, kType, "bool");
}
#define RUTILE_STEP_SAMPLES(op)                                   \
  RUTILE_SAMPLES(op) {                                            \
    s.unary(kNumbers, uniform(-6, 6));                            \
    s.unary(kFloats, values({0.5, 1.5, -0.5, -2.5, 2, -3, 1e8})); \
    one_input_errors(s);                                          \
    s.error({bool_in({2})}, kType, "bool");                       \
  }
RUTILE_STEP_SAMPLES(sign)
RUTILE_STEP_SAMPLES(floor)
RUTILE_STEP_SAMPLES(ceil)
RUTILE_STEP_SAMPLES(round)
RUTILE_STEP_SAMPLES(trunc)

// Functions to floats: also of integers.
#define RUTILE_REAL_FUNCTION_SAMPLES(op, fill)                          \
  RUTILE_SAMPLES(op) {                                                  \
    s.unary(kFloats, fill);                                             \
    s.add({in({5}).values({0, 1})}).dtypes(bits()).name("of integers"); \
    one_input_errors(s);                                                \
  }
#define RUTILE_FUNCTION_SAMPLES(op, fill)                               \
  RUTILE_SAMPLES(op) {                                                  \
    s.unary(kFloats, fill);                                             \
    s.add({in({5}).values({0, 1})}).dtypes(bits()).name("of integers"); \
    s.complex_unary(fill);                                              \
  }
RUTILE_FUNCTION_SAMPLES(exp, {})
RUTILE_FUNCTION_SAMPLES(exp2, {})
RUTILE_FUNCTION_SAMPLES(expm1, {})
RUTILE_FUNCTION_SAMPLES(log, positive())
RUTILE_FUNCTION_SAMPLES(log2, positive())
RUTILE_FUNCTION_SAMPLES(log1p, uniform(-0.8, 3))
RUTILE_FUNCTION_SAMPLES(sqrt, positive())
RUTILE_FUNCTION_SAMPLES(rsqrt, positive())
RUTILE_FUNCTION_SAMPLES(reciprocal, positive())
RUTILE_FUNCTION_SAMPLES(sin, {})
RUTILE_FUNCTION_SAMPLES(cos, {})
RUTILE_FUNCTION_SAMPLES(tan, uniform(-1, 1))
RUTILE_FUNCTION_SAMPLES(asin, uniform(-0.8, 0.8))
RUTILE_FUNCTION_SAMPLES(acos, uniform(-0.8, 0.8))
RUTILE_FUNCTION_SAMPLES(atan, {})
RUTILE_FUNCTION_SAMPLES(sinh, {})
RUTILE_FUNCTION_SAMPLES(cosh, {})
RUTILE_FUNCTION_SAMPLES(tanh, {})
RUTILE_FUNCTION_SAMPLES(asinh, {})
RUTILE_FUNCTION_SAMPLES(acosh, uniform(1.3, 3))
RUTILE_FUNCTION_SAMPLES(atanh, uniform(-0.8, 0.8))
RUTILE_REAL_FUNCTION_SAMPLES(erf, {})
RUTILE_REAL_FUNCTION_SAMPLES(erfc, {})
RUTILE_FUNCTION_SAMPLES(sigmoid, {})

#define RUTILE_ACTIVATION_SAMPLES(op)                    \
  RUTILE_SAMPLES(op) {                                   \
    s.unary(kFloats);                                    \
    s.error({in({5}).as(DType::kI32)}, kType, "floats"); \
    one_input_errors(s);                                 \
  }
RUTILE_SAMPLES(silu) {
  s.unary(kFloats);
  s.complex_unary();
  s.error({in({5}).as(DType::kI32)}, kType, "floats");
}
RUTILE_ACTIVATION_SAMPLES(softplus)

#define RUTILE_CLASS_SAMPLES(op)        \
  RUTILE_SAMPLES(op) {                  \
    s.unary(kEveryType);                \
    s.unary(kFloats, specials());       \
    s.complex_unary();                  \
    s.complex_unary(specials());        \
    s.complex_unary(values({0, 0, 1})); \
  }
RUTILE_CLASS_SAMPLES(logical_not)
RUTILE_CLASS_SAMPLES(isnan)
RUTILE_CLASS_SAMPLES(isinf)
RUTILE_CLASS_SAMPLES(isfinite)

RUTILE_SAMPLES(bitwise_not) {
  s.unary(bits());
  s.error({in({2})}, kType, "integers");
}

// ---- Activations ------------------------------------------------------------------------------

constexpr const char* kPiecewise = "piecewise linear";

RUTILE_SAMPLES(relu) {
  s.unary(kNumbers, away_from({0})).no_second_order(kPiecewise);
  one_input_errors(s);
  s.error({bool_in({2})}, kType, "bool");
}
RUTILE_SAMPLES(relu6) {
  s.unary(kNumbers,
          [] {
            Fill f = away_from({0, 6});
            f.lo = -4, f.hi = 9;
            return f;
          }())
      .no_second_order(kPiecewise);
  one_input_errors(s);
}
Fill around(double lo, double hi, std::vector<double> kinks) {
  Fill f = away_from(std::move(kinks));
  f.lo = lo;
  f.hi = hi;
  return f;
}
RUTILE_SAMPLES(hsigmoid) {
  s.unary(kFloats, around(-5, 5, {-3, 3})).no_second_order(kPiecewise);
  one_input_errors(s);
}
RUTILE_SAMPLES(hswish) {
  s.unary(kFloats, around(-5, 5, {-3, 3}));
  one_input_errors(s);
}
RUTILE_SAMPLES(gelu) {
  s.unary(kFloats, {}, GeluAttrs{});
  s.unary(kFloats, {}, GeluAttrs{GeluApproximate::kTanh});
  one_input_errors(s);
}
RUTILE_SAMPLES(leaky_relu) {
  s.unary(kFloats, away_from({0}), LeakyReluAttrs{0.2}).no_second_order(kPiecewise);
  one_input_errors(s);
}
RUTILE_SAMPLES(elu) {
  s.unary(kFloats, away_from({0}), EluAttrs{1.3});
  one_input_errors(s);
}
RUTILE_SAMPLES(clip) {
  s.unary(kNumbers, around(-2, 2, {-0.7, 1.2}), ClipAttrs{-0.7, 1.2}).no_second_order(kPiecewise);
  s.add({in({9})}, ClipAttrs{.min = 1}).dtypes(kNumbers).no_second_order(kPiecewise);
  s.add({in({9})}, ClipAttrs{.max = 1.5}).dtypes(kNumbers).no_second_order(kPiecewise);
  s.add({in({9})}, ClipAttrs{1, -1}).dtypes(kNumbers).no_second_order(kPiecewise).name("max wins");
  s.add({in({9})}, ClipAttrs{-1e30, 1e30}).dtypes(kNumbers).no_second_order(kPiecewise);
  s.error({in({2})}, ClipAttrs{std::nan(""), 0}, kValue, "NaN");
  s.error({bool_in({2})}, ClipAttrs{0, 1}, kType, "bool");
}

// The gradients take dy and the forward input or output.
#define RUTILE_GRADIENT_SAMPLES(op, dtypes, fill) \
  RUTILE_SAMPLES(op) {                            \
    s.binary(dtypes, {}, fill);                   \
    two_input_errors(s);                          \
  }
RUTILE_GRADIENT_SAMPLES(relu_grad, kNumbers, away_from({0}))
RUTILE_GRADIENT_SAMPLES(relu6_grad, kNumbers, around(-4, 9, {0, 6}))
RUTILE_GRADIENT_SAMPLES(sigmoid_grad, kFloats, uniform(0.1, 0.9))
RUTILE_GRADIENT_SAMPLES(tanh_grad, kFloats, uniform(-0.9, 0.9))
RUTILE_GRADIENT_SAMPLES(silu_grad, kFloats, {})
RUTILE_GRADIENT_SAMPLES(hsigmoid_grad, kFloats, around(-5, 5, {-3, 3}))
RUTILE_GRADIENT_SAMPLES(hswish_grad, kFloats, around(-5, 5, {-3, 3}))
RUTILE_SAMPLES(gelu_grad) {
  s.binary(kFloats, {}, {}, GeluAttrs{});
  s.binary(kFloats, {}, {}, GeluAttrs{GeluApproximate::kTanh});
  two_input_errors(s);
}
RUTILE_SAMPLES(leaky_relu_grad) {
  s.binary(kFloats, {}, away_from({0}), LeakyReluAttrs{0.2});
  two_input_errors(s);
}
RUTILE_SAMPLES(elu_grad) {
  s.binary(kFloats, {}, away_from({0}), EluAttrs{1.3});
  two_input_errors(s);
}
RUTILE_SAMPLES(clip_grad) {
  s.binary(kFloats, {}, around(-2, 2, {-0.7, 1.2}), ClipAttrs{-0.7, 1.2});
  two_input_errors(s);
}

}  // namespace
}  // namespace rutile::samples
