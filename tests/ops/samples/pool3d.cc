// SPDX-License-Identifier: Apache-2.0
// Pooling in one and three dimensions.
#include "rutile/ops/pool3d.h"

#include "rutile/ops/pool1d.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

constexpr const char* kLinear = "is linear in its floating input";

// The shape of output 0 for one input of this shape.
template <class A>
Shape result_shape(const OpDef& op, const A& attrs, const Shape& shape) {
  const TensorMeta x(shape, DType::kF32);
  const TensorMeta* const in[] = {&x};
  TensorMeta y[2];
  throw_if_error(op.infer(CallMeta{&op, &attrs, in, {}}, y));
  return y[0].shape;
}

struct AvgCase {
  Shape x;
  AvgPool3dAttrs attrs;
};
const std::vector<AvgCase>& avg_cases() {
  static const std::vector<AvgCase> list{
      {{2, 3, 4, 6, 5}, {.kernel = 2}},
      {{1, 37, 3, 5, 4}, {.kernel = 3, .stride = 2, .pad = 1}},
      {{1, 6, 5, 4, 7}, {.kernel = 3, .stride = 2, .pad = 1, .count_include_pad = false}},
      {{1, 2, 6, 5, 8}, {.kernel = {1, 2, 3}, .stride = {2, 1, 3}, .pad = {0, 1, 1}}},
      {{1, 2, 5, 6, 7}, {.kernel = 2, .stride = 3, .pad = 1, .ceil_mode = true}},
      {{3, 4, 4, 4}, {.kernel = 2, .divisor_override = 3}},
      {{0, 3, 4, 4, 4}, {.kernel = 2}},
      {{2, 0, 4, 4, 4}, {.kernel = 2}},
  };
  return list;
}
AvgPool3dGradAttrs grad_attrs(const Shape& x, const AvgPool3dAttrs& a) {
  const int r = x.rank();
  return {{x[r - 3], x[r - 2], x[r - 1]},
          a.kernel,
          a.stride,
          a.pad,
          a.ceil_mode,
          a.count_include_pad,
          a.divisor_override};
}

}  // namespace

RUTILE_SAMPLES(max_pool3d) {
  for (const MaxPool3dAttrs& a :
       std::vector<MaxPool3dAttrs>{{.kernel = 2},
                                   {.kernel = 3, .stride = 2, .pad = 1},
                                   {.kernel = {1, 2, 3}, .stride = {2, 1, 3}, .pad = {0, 1, 1}},
                                   {.kernel = 2, .stride = 3, .pad = 1, .ceil_mode = true},
                                   {.kernel = 2, .stride = 1, .dilation = {1, 2, 3}}}) {
    for (const Shape& x : {Shape{2, 3, 4, 5, 6}, {1, 37, 3, 3, 4}, {3, 4, 4, 5}, {0, 3, 4, 4, 4}}) {
      s.add({in(x).distinct()}, a).dtypes(kFloats);
    }
  }
  const MaxPool3dAttrs stem{.kernel = 3, .stride = 2, .pad = 1};
  for (const int64_t c : {1, 6, 37}) {
    s.add({in({2, c, 3, 4, 5}).distinct().channels_last()}, stem).dtypes(kFloats);
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 3, 4, 5}).distinct().viewed(v)}, stem)
        .no_gradient("expanded inputs have ties; the others need no second check");
  }
  s.add({in({3, 4, 4, 5}).distinct().channels_last()}, MaxPool3dAttrs{.kernel = {4, 2, 2}});
  s.add({in({1, 2, 2, 3, 2}).distinct()},
        MaxPool3dAttrs{.kernel = int64_t{1} << 30, .stride = 1, .pad = int64_t{1} << 29})
      .name("far more padding than image");
  s.add({in({2, 3, 4, 4, 4})}, stem).dtypes(kInts);
  s.add({in({2, 3, 4, 4, 4}).filled(specials())}, stem)
      .name("special numbers")
      .dtypes(kFloats)
      .no_gradient("infinities and NaN have no difference quotient");
  s.error({in({3, 4, 4})}, stem, ErrorCode::kValue, "[n,c,d,h,w] or [c,d,h,w]");
  s.error({in({1, 1, 4, 4, 4})}, MaxPool3dAttrs{.kernel = 3, .pad = 2}, ErrorCode::kValue,
          "pad must lie in [0, kernel / 2]");
  s.error({in({1, 1, 4, 0, 4})}, stem, ErrorCode::kValue, "positive sizes");
  s.error({bool_in({1, 1, 4, 4, 4})}, stem, ErrorCode::kType, "floating or integer");
}

RUTILE_SAMPLES(avg_pool3d) {
  for (const AvgCase& c : avg_cases()) {
    s.add({in(c.x)}, c.attrs).dtypes(kFloats).no_second_order(kLinear);
  }
  const AvgPool3dAttrs two{.kernel = 2};
  for (const View v : {View::kChannelsLast, View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 4, 5, 6}).viewed(v)}, two).dtypes(kFloats).no_second_order(kLinear);
  }
  s.error({in({3, 4, 4})}, two, ErrorCode::kValue, "[n,c,d,h,w] or [c,d,h,w]");
  s.error({in({1, 1, 1, 4, 4})}, two, ErrorCode::kValue, "larger than the padded image: depth");
  s.add({in({1, 1, 4, 4, 4})}, AvgPool3dAttrs{.kernel = 2, .divisor_override = -3})
      .no_second_order(kLinear);
  s.error({in({1, 1, 4, 4, 4}).as(DType::kI32)}, two, ErrorCode::kType, "floating point");
}

RUTILE_SAMPLES(avg_pool3d_grad) {
  for (const AvgCase& c : avg_cases()) {
    s.add({in(result_shape(kAvgPool3d, c.attrs, c.x))}, grad_attrs(c.x, c.attrs))
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({2, 6, 2, 2, 3}).channels_last()}, grad_attrs({2, 6, 4, 5, 6}, {.kernel = 2}))
      .dtypes(kFloats)
      .no_second_order(kLinear);
  s.error({in({2, 6, 2, 2, 2})}, grad_attrs({2, 6, 4, 5, 6}, {.kernel = 2}), ErrorCode::kValue,
          "dy expects shape [2,6,2,2,3]");
}

RUTILE_SAMPLES(max_pool1d) {
  const MaxPool1dAttrs stem{.kernel = 3, .stride = 2, .pad = 1};
  for (const Shape& x : {Shape{2, 3, 8}, {1, 37, 9}, {6, 7}, {0, 3, 5}, {1, 1, 1}}) {
    s.add({in(x).distinct()}, stem).dtypes(kFloats);
  }
  s.add({in({2, 5, 9}).distinct()}, MaxPool1dAttrs{.kernel = 2, .stride = 3, .ceil_mode = true});
  s.add({in({2, 5, 9}).distinct()}, MaxPool1dAttrs{.kernel = 3, .stride = 1, .dilation = 2});
  s.add({in({2, 5, 9})}, stem).dtypes(kInts);
  s.add({in({2, 5, 9}).distinct().transposed()}, stem);
  s.error({in({4})}, stem, ErrorCode::kValue, "[n,c,l] or [c,l]");
  s.error({in({1, 1, 2})}, MaxPool1dAttrs{.kernel = 3}, ErrorCode::kValue, "length 2, window 3");
  s.error({in({1, 1, 4})}, MaxPool1dAttrs{.kernel = 0}, ErrorCode::kValue,
          "kernel must lie in [1, 1073741824], got 0");
  s.error({bool_in({1, 1, 4})}, stem, ErrorCode::kType, "floating or integer");
}

RUTILE_SAMPLES(avg_pool1d) {
  for (const AvgPool1dAttrs& a :
       std::vector<AvgPool1dAttrs>{{.kernel = 2},
                                   {.kernel = 3, .stride = 2, .pad = 1},
                                   {.kernel = 3, .stride = 2, .pad = 1, .count_include_pad = false},
                                   {.kernel = 2, .stride = 3, .ceil_mode = true}}) {
    for (const Shape& x : {Shape{2, 37, 9}, {6, 7}, {0, 3, 5}}) {
      s.add({in(x)}, a).dtypes(kFloats).no_second_order(kLinear);
    }
  }
  s.add({in({2, 5, 9}).transposed()}, AvgPool1dAttrs{.kernel = 3}).no_second_order(kLinear);
  s.error({in({4})}, AvgPool1dAttrs{.kernel = 2}, ErrorCode::kValue, "[n,c,l] or [c,l]");
  s.error({in({1, 1, 4})}, AvgPool1dAttrs{.kernel = 3, .pad = 2}, ErrorCode::kValue,
          "pad must lie in [0, kernel / 2]");
  s.error({in({1, 1, 4}).as(DType::kI32)}, AvgPool1dAttrs{.kernel = 2}, ErrorCode::kType,
          "floating point");
}

}  // namespace rutile::samples
