// SPDX-License-Identifier: Apache-2.0
// Samples of reductions.
#include "rutile/ops/reduce.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

struct AxesCase {
  Shape shape;
  Dims axes;
};
// All, inner, outer, middle, several, of size 1, of nothing.
const std::vector<AxesCase> kAxes = {
    {{}, {}},         {{7}, {}},           {{7}, {0}},
    {{3, 5}, {1}},    {{3, 5}, {0}},       {{3, 5}, {-1, 0}},
    {{2, 3, 4}, {1}}, {{2, 3, 4}, {0, 2}}, {{2, 3, 4}, {-1}},
    {{2, 3, 4}, {}},  {{1, 5, 1}, {0, 2}}, {{2, 6, 3, 5}, {0, 2, 3}},
    {{5, 0}, {0}},    {{0, 4}, {1}},       {{2, 37, 4, 3}, {2, 3}}};

// Cases of an op over `dtypes` with attributes made by with(axes, keepdims).
template <class With>
void over_axes(SampleList& s, const DTypes& dtypes, const Fill& fill, const char* no_second,
               With&& with) {
  const auto done = [&](SampleGroup g) {
    if (*no_second) g.no_second_order(no_second);
  };
  for (const AxesCase& c : kAxes) {
    for (const bool keep : {false, true})
      done(s.add({in(c.shape).filled(fill)}, with(c.axes, keep)));
  }
  done(s.add({in({4, 6}).filled(fill)}, with(Dims{1}, false)).dtypes(dtypes));
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    for (const Dims& axes : {Dims{1}, Dims{2}, Dims{0, 1}}) {
      done(s.add({in({3, 4, 5}).filled(fill).viewed(v)}, with(axes, false)));
    }
  }
  for (const int64_t channels : {1, 6, 32, 37}) {
    const Input x = in({2, channels, 3, 5}).filled(fill).channels_last();
    for (const Dims& axes : {Dims{0, 2, 3}, Dims{1}, Dims{2, 3}})
      done(s.add({x}, with(axes, true)));
  }
  // Long ones, for kernels: all, inner, outer, middle.
  struct Long {
    Shape shape;
    Dims axes;
  };
  for (const auto& [shape, axes] : std::vector<Long>{{{70001}, {}},
                                                     {{67, 1033}, {1}},
                                                     {{1033, 67}, {0}},
                                                     {{4, 19, 17, 33}, {0, 2, 3}},
                                                     {{3, 129, 70}, {1}},
                                                     {{2, 300, 3}, {1}}}) {
    s.add({in(shape).filled(fill)}, with(axes, false))
        .name("long")
        .dtypes(dtypes)
        .tolerance(DType::kF32, 1e-5, 1e-4)
        .tolerance(DType::kF64, 1e-12, 1e-10)
        .tolerance(DType::kF16, 4e-3, 4e-2)
        .tolerance(DType::kBF16, 2e-2, 2e-1)
        .no_gradient("a long run for kernels; the short ones check the gradient");
  }
  s.add({in({8, 37, 12, 5}).filled(fill).channels_last()}, with(Dims{0, 2, 3}, false))
      .name("long channels-last")
      .dtypes(dtypes)
      .tolerance(DType::kF32, 1e-5, 1e-4)
      .tolerance(DType::kF64, 1e-12, 1e-10)
      .tolerance(DType::kF16, 4e-3, 4e-2)
      .tolerance(DType::kBF16, 2e-2, 2e-1)
      .no_gradient("a long run for kernels");
  s.error({in({2, 3})}, with(Dims{2}, false), ErrorCode::kIndex, "axis");
  s.error({in({2, 3})}, with(Dims{-3}, false), ErrorCode::kIndex, "axis");
}
template <class With>
void refuses_two_of_one(SampleList& s, With&& with) {
  s.error({in({2, 3})}, with(Dims{1, -1}, false), ErrorCode::kValue, "twice");
}

constexpr auto kSumOver = [](const Dims& axes, bool keep) { return SumAttrs{axes, keep, {}}; };
constexpr auto kReduceOver = [](const Dims& axes, bool keep) { return ReduceAttrs{axes, keep}; };

// Of complex numbers: all, inner, outer and several axes, and a view.
template <class With>
void over_complex(SampleList& s, With&& with) {
  const char* linear = "the op is linear";
  s.add({in({2, 3, 4})}, with(Dims{1}, false)).dtypes(kComplexes).no_second_order(linear);
  for (const Dims& axes : {Dims{}, Dims{-1}, Dims{0, 2}}) {
    s.add({in({2, 3, 4})}, with(axes, true)).dtypes({DType::kC64}).no_second_order(linear);
  }
  s.add({in({})}, with(Dims{}, false)).dtypes({DType::kC64}).no_second_order(linear);
  s.add({in({3, 4, 5}).transposed()}, with(Dims{2}, false))
      .dtypes({DType::kC64})
      .no_second_order(linear);
  s.add({in({67, 1033})}, with(Dims{1}, false))
      .dtypes({DType::kC64})
      .tolerance(DType::kC64, 1e-4)
      .no_gradient("a long run for kernels");
}
RUTILE_SAMPLES(sum) {
  over_axes(s, kEveryType, {}, "", kSumOver);
  refuses_two_of_one(s, kSumOver);
  s.add({in({37, 5})}, SumAttrs{{0}, false, DType::kF32})
      .dtypes({DType::kBF16, DType::kF16, DType::kI32})
      .name("to f32");
  s.error({in({2})}, SumAttrs{{}, false, DType::kI32}, ErrorCode::kType, "cannot sum");
  over_complex(s, kSumOver);
  s.error({in({2}).as(DType::kC64)}, SumAttrs{{}, false, DType::kF32}, ErrorCode::kType,
          "cannot sum");
  s.error({in({1, 1, 1, 1, 1, 1, 1, 2}).as(DType::kC64)}, SumAttrs{}, ErrorCode::kValue,
          "7 dimensions");
}
RUTILE_SAMPLES(mean) {
  over_complex(s, kSumOver);
  over_axes(s, kEveryType, {}, "the op is linear", kSumOver);
  refuses_two_of_one(s, kSumOver);
  s.error({in({2})}, SumAttrs{{}, false, DType::kI32}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(prod) {
  // Near 1, so that long products stay finite.
  const Fill near_one = uniform(0.999, 1.001);
  over_axes(s, kFloats, near_one, "", kReduceOver);
  refuses_two_of_one(s, kReduceOver);
  s.add({in({2, 3, 4})}, ReduceAttrs{{1}}).dtypes(kComplexes);
  s.add({in({2, 3, 2}).transposed()}, ReduceAttrs{{0, 2}, true}).dtypes({DType::kC64});
  s.add({in({5})}, ReduceAttrs{}).dtypes({DType::kC64});
  // Of size 1, so that long products stay finite: the results are joined from several parts.
  std::vector<double> turns;
  for (int i = 0; i < 97; ++i) {
    turns.push_back(std::cos(0.37 * i));
    turns.push_back(std::sin(0.37 * i));
  }
  for (const int64_t axis : {0, 1}) {
    s.add({in(axis ? Shape{2, 5000} : Shape{5000, 2}).filled(values(turns))}, ReduceAttrs{{axis}})
        .dtypes(kComplexes)
        .tolerance(DType::kC64, 1e-3)
        .no_gradient("a long run for kernels");
  }
  s.add({in({4, 3}).ints(-3, 4)}, ReduceAttrs{{1}}).dtypes(kEveryType);
  s.add({in({4, 3}).values({0, 2, 3, 0, 0, 3, 1, 2, 3, -1, 0, 4})}, ReduceAttrs{{1}}).name("zeros");
  s.add({in({2, 3, 2}).values({0, 2, 3, 0, -1, 3, 1, 0, 0, -1, 0, 4})}, ReduceAttrs{{0, 2}})
      .name("zeros");
}
// A reduction of nothing has no extremum.
template <class A>
void refuses_nothing(SampleList& s) {
  s.error({in({3, 0})}, A{{1}, false}, ErrorCode::kValue, "no elements");
  s.error({in({0})}, A{}, ErrorCode::kValue, "no elements");
}
void extremum(SampleList& s) {
  // The empty cases of kAxes that are legal give empty results.
  for (const AxesCase& c : kAxes) {
    if (c.shape.numel() == 0) continue;
    for (const bool keep : {false, true}) {
      s.add({in(c.shape).distinct()}, ReduceAttrs{c.axes, keep})
          .no_second_order("piecewise linear");
    }
  }
  s.add({in({0, 4})}, ReduceAttrs{{1}}).no_second_order("piecewise linear");
  s.add({in({4, 6}).distinct()}, ReduceAttrs{{1}})
      .dtypes(kEveryType)
      .no_second_order("piecewise linear");
  s.add({in({5, 40}).values({1, 5, 2, std::nan(""), 3, 7, 2})}, ReduceAttrs{{1}})
      .dtypes(kFloats)
      .name("NaN")
      .no_gradient("NaN has no slope");
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({3, 4, 5}).distinct().viewed(v)}, ReduceAttrs{{2}})
        .no_second_order("piecewise linear");
    s.add({in({3, 4, 5}).distinct().viewed(v)}, ReduceAttrs{{0, 1}})
        .no_gradient("ties where it is expanded");
  }
  for (const int64_t channels : {1, 6, 32, 37}) {
    s.add({in({2, channels, 3, 5}).distinct().channels_last()}, ReduceAttrs{{0, 2, 3}})
        .no_second_order("piecewise linear");
  }
  for (const auto& [shape, axes] : std::vector<AxesCase>{
           {{70001}, {}}, {{67, 1033}, {1}}, {{1033, 67}, {0}}, {{4, 19, 17, 33}, {0, 2, 3}}}) {
    s.add({in(shape)}, ReduceAttrs{axes})
        .name("long")
        .dtypes(kEveryType)
        .no_gradient("a long run for kernels");
  }
  refuses_nothing<ReduceAttrs>(s);
  s.error({in({2, 3})}, ReduceAttrs{{2}}, ErrorCode::kIndex, "axis");
  s.error({in({2, 3})}, ReduceAttrs{{1, 1}}, ErrorCode::kValue, "twice");
}
RUTILE_SAMPLES(max) { extremum(s); }
RUTILE_SAMPLES(min) { extremum(s); }

void logical(SampleList& s, double rare) {
  over_axes(s, kEveryType, values({rare, 1, 1, 0, 1, 1, 1, 1, 0}), "", kReduceOver);
  refuses_two_of_one(s, kReduceOver);
  s.add({in({4, 3}).ints(0, 2)}, ReduceAttrs{{1}}).dtypes(kComplexes);
}
RUTILE_SAMPLES(any) { logical(s, 0); }
RUTILE_SAMPLES(all) { logical(s, 1); }

RUTILE_SAMPLES(norm) {
  s.add({in({3, 4}).away_from({0})}, ReduceAttrs{{1}}).dtypes(kComplexes);
  over_axes(s, kFloats, away_from({0}), "", kReduceOver);
  refuses_two_of_one(s, kReduceOver);
  s.error({in({2}).as(DType::kI32)}, ReduceAttrs{}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(logsumexp) {
  over_axes(s, kFloats, {}, "", kReduceOver);
  refuses_two_of_one(s, kReduceOver);
  s.add({in({4, 3}).values(
            {1e4, 1e4, 1e4, -1e4, -1e4, -1e4, HUGE_VAL, 0, 1, -HUGE_VAL, -HUGE_VAL, -HUGE_VAL})},
        ReduceAttrs{{1}})
      .dtypes({DType::kF32, DType::kF64})
      .name("far out")
      .no_gradient("infinite values");
  s.add({in({3, 5})}, ReduceAttrs{{1}}).dtypes(kComplexes);
  s.add({in({3, 5}).ints(0, 9)}, ReduceAttrs{{0}}).dtypes(kInts).name("integers");
  s.add({bool_in({3, 5})}, ReduceAttrs{{0}}).name("bool");
}

template <int kCorrection>
constexpr auto kVarOver = [](const Dims& axes, bool keep) {
  return VarAttrs{axes, keep, kCorrection};
};
RUTILE_SAMPLES(var) {
  s.add({in({4, 6})}, VarAttrs{{1}}).dtypes(kComplexes);
  over_axes(s, kFloats, {}, "", kVarOver<0>);
  s.add({in({4, 6}).uniform(100, 101)}, VarAttrs{{1}}).dtypes({DType::kF32, DType::kF64});
  s.add({in({3, 1})}, VarAttrs{{1}}).name("NaN").no_gradient("NaN: one element, divisor 0");
  s.error({in({2}).as(DType::kI32)}, VarAttrs{}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(std) {
  s.add({in({4, 6})}, VarAttrs{{1}}).dtypes(kComplexes);
  for (const AxesCase& c : kAxes) {
    if (c.shape.numel() < 3 || c.shape == Shape{1, 5, 1}) continue;
    s.add({in(c.shape).distinct()}, VarAttrs{c.axes, false, 1});
    s.add({in(c.shape).distinct()}, VarAttrs{c.axes, true, 0});
  }
  s.add({in({4, 6})}, VarAttrs{{1}}).dtypes(kFloats);
  s.error({in({2, 3})}, VarAttrs{{2}}, ErrorCode::kIndex, "axis");
  s.error({in({2}).as(DType::kI32)}, VarAttrs{}, ErrorCode::kType, "floats");
}

void arg_extremum(SampleList& s) {
  for (const bool keep : {false, true}) {
    s.add({in({})}, ArgAttrs{{}, keep});
    s.add({in({3, 5})}, ArgAttrs{{1}, keep});
    s.add({in({3, 5})}, ArgAttrs{{0}, keep});
    s.add({in({2, 3, 4})}, ArgAttrs{{-2}, keep});
    s.add({in({2, 3, 4})}, ArgAttrs{{}, keep});
  }
  s.add({in({0, 4})}, ArgAttrs{{1}});
  s.add({in({6, 40}).ints(0, 5)}, ArgAttrs{{1}}).dtypes(kEveryType).name("ties: the first");
  s.add({in({5, 40}).values({1, 5, 2, 3, std::nan(""), 7, 2})}, ArgAttrs{{1}}).dtypes(kFloats);
  s.add({in({67, 1033})}, ArgAttrs{{1}}).dtypes(kEveryType).name("long");
  s.add({in({1033, 67})}, ArgAttrs{{0}}).dtypes(kEveryType).name("long");
  s.add({in({3, 4, 5}).gaps()}, ArgAttrs{{2}});
  s.add({in({3, 4, 5}).transposed()}, ArgAttrs{{1}});
  refuses_nothing<ArgAttrs>(s);
  s.error({in({2, 3})}, ArgAttrs{{0, 1}}, ErrorCode::kValue, "one axis");
  s.error({in({2, 3})}, ArgAttrs{{2}}, ErrorCode::kIndex, "axis");
}
RUTILE_SAMPLES(argmax) { arg_extremum(s); }
RUTILE_SAMPLES(argmin) { arg_extremum(s); }

RUTILE_SAMPLES(cumsum) {
  for (const bool exclusive : {false, true}) {
    for (const bool reverse : {false, true}) {
      s.add({in({2, 3, 4})}, CumsumAttrs{1, exclusive, reverse})
          .dtypes(joined(kEveryType, kComplexes))
          .no_second_order("the op is linear");
      s.add({in({7})}, CumsumAttrs{-1, exclusive, reverse}).no_second_order("the op is linear");
      s.add({in({3, 4}).gaps()}, CumsumAttrs{0, exclusive, reverse})
          .no_second_order("the op is linear");
    }
  }
  s.add({in({0, 4})}, CumsumAttrs{0}).no_second_order("the op is linear");
  s.add({in({13, 3001})}, CumsumAttrs{1})
      .dtypes(kFloats)
      .tolerance(DType::kF32, 1e-4)
      .tolerance(DType::kF16, 1e-2, 1e-1)
      .tolerance(DType::kBF16, 3e-2, 3e-1)
      .no_gradient("a long run for kernels");
  s.error({in({2, 3})}, CumsumAttrs{2}, ErrorCode::kIndex, "axis");
  s.add({in({})}, CumsumAttrs{0}).name("number").no_second_order("the op is linear");
  s.error({in({})}, CumsumAttrs{1}, ErrorCode::kIndex, "axis 1");
}

RUTILE_SAMPLES(sum_to_shape) {
  for (const auto& [from, to] : std::vector<AxesCase>{{{2, 3}, {3}},
                                                      {{2, 3}, {2, 1}},
                                                      {{2, 3}, {}},
                                                      {{2, 3}, {2, 3}},
                                                      {{4, 2, 6, 3}, {6, 1}},
                                                      {{4, 2, 6, 3}, {1, 2, 1, 3}},
                                                      {{5, 0, 3}, {3}},
                                                      {{3, 70001}, {1, 1}},
                                                      {{1033, 67}, {67}}}) {
    s.add({in(from)}, SumToShapeAttrs{to, {}})
        .dtypes(kEveryType)
        .tolerance(DType::kF32, 1e-5, 1e-4)
        .tolerance(DType::kF64, 1e-12, 1e-10)
        .tolerance(DType::kF16, 4e-3, 4e-2)
        .tolerance(DType::kBF16, 2e-2, 2e-1)
        .no_second_order("the op is linear");
  }
  s.add({in({8, 6}).as(DType::kBF16)}, SumToShapeAttrs{{6}, DType::kF32})
      .no_second_order("the op is linear");
  s.error({in({2, 3})}, SumToShapeAttrs{{2}, {}}, ErrorCode::kValue, "broadcast");
  s.error({in({2, 3})}, SumToShapeAttrs{{1, 2, 3}, {}}, ErrorCode::kValue, "broadcast");
  s.error({in({2, 3})}, SumToShapeAttrs{{-1, 3}, {}}, ErrorCode::kValue, "");
}

RUTILE_SAMPLES(broadcast_to) {
  s.add({in({3})}, BroadcastToAttrs{{2, 3}, {}})
      .dtypes(kEveryType)
      .no_second_order("the op is linear");
  s.add({in({})}, BroadcastToAttrs{{2, 3}, {}}).no_second_order("the op is linear");
  s.add({in({2, 1, 3})}, BroadcastToAttrs{{4, 2, 5, 3}, {}}).no_second_order("the op is linear");
  s.add({in({2, 3})}, BroadcastToAttrs{{2, 5, 3, 4}, {1, -1}}).no_second_order("the op is linear");
  s.add({in({2, 1})}, BroadcastToAttrs{{2, 5, 3}, {1}}).no_second_order("the op is linear");
  s.add({in({1, 3})}, BroadcastToAttrs{{0, 3}, {}}).no_second_order("the op is linear");
  s.add({in({4, 5}).transposed()}, BroadcastToAttrs{{3, 4, 5}, {}})
      .no_second_order("the op is linear");
  s.error({in({3})}, BroadcastToAttrs{{2, 4}, {}}, ErrorCode::kValue, "broadcast");
  s.error({in({2, 3})}, BroadcastToAttrs{{3}, {}}, ErrorCode::kValue, "fewer");
  s.error({in({3})}, BroadcastToAttrs{{-1, 3}, {}}, ErrorCode::kValue, "");
  s.error({in({3})}, BroadcastToAttrs{{2, 3}, {0, 1}}, ErrorCode::kValue, "axes");
  s.error({in({3})}, BroadcastToAttrs{{2, 3}, {5}}, ErrorCode::kIndex, "axis");
}

}  // namespace
}  // namespace rutile::samples
