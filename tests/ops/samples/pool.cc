// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/pool.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

constexpr const char* kLinear = "is linear in its floating input";

// Indices that max_pool2d could have given for images of `height` x `width`: one pixel of each
// window, now this one, now that.
Input valid_indices(const Shape& shape, const MaxPool2dAttrs& a, int64_t height, int64_t width) {
  const int r = shape.rank();
  const Int2 stride(a.stride.h ? a.stride.h : a.kernel.h, a.stride.w ? a.stride.w : a.kernel.w);
  const int64_t rows = shape[r - 2], columns = shape[r - 1];
  const int64_t planes = shape[0] * (r == 4 ? shape[1] : 1);
  std::vector<double> v;
  int64_t next = 0;
  for (int64_t p = 0; p < planes; ++p) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        std::vector<int64_t> pixels;
        for (int64_t k = 0; k < a.kernel.h * a.kernel.w; ++k) {
          const int64_t y = i * stride.h - a.pad.h + k / a.kernel.w * a.dilation.h;
          const int64_t x = j * stride.w - a.pad.w + k % a.kernel.w * a.dilation.w;
          if (y >= 0 && y < height && x >= 0 && x < width) pixels.push_back(y * width + x);
        }
        const auto n = static_cast<int64_t>(pixels.size());
        next = next * 5 + 3 + j;
        v.push_back(n == 0 ? -1.0 : static_cast<double>(pixels[static_cast<size_t>(next % n)]));
        next %= 1009;
      }
    }
  }
  if (v.empty()) v.push_back(0);
  return in(shape).as(DType::kI32).values(v);
}

struct MaxCase {
  Shape x;
  MaxPool2dAttrs attrs;
};

// Small images: every branch of windows that stick out, overlap, leave gaps.
const std::vector<MaxCase>& max_cases() {
  static const std::vector<MaxCase> kCases{
      {{2, 3, 6, 7}, {.kernel = 2}},
      {{2, 6, 7, 9}, {.kernel = 3, .stride = 2, .pad = 1}},
      {{1, 37, 5, 8}, {.kernel = 3, .stride = 2, .pad = 1}},
      {{2, 1, 9, 33}, {.kernel = 3, .stride = 1, .pad = 1}},
      {{1, 16, 6, 5}, {.kernel = {2, 3}, .stride = {1, 2}, .pad = {1, 0}}},
      {{3, 7, 8}, {.kernel = 3, .stride = 2, .pad = 1}},
      {{1, 20, 9, 8}, {.kernel = 2, .stride = 3, .dilation = {2, 3}}},
      {{1, 4, 9, 40}, {.kernel = {3, 2}, .stride = {2, 3}, .pad = 1, .dilation = {1, 2}}},
      {{1, 3, 6, 8}, {.kernel = 3, .stride = 2, .ceil_mode = true}},
      {{1, 8, 5, 5}, {.kernel = 2, .stride = 3, .pad = 1, .ceil_mode = true}},
      {{1, 2, 1, 3}, {.kernel = 2, .stride = 1, .pad = 1, .dilation = {2, 1}}},  // empty windows
      {{2, 3, 5, 2}, {.kernel = 4, .stride = 1, .pad = 2}},
      {{0, 3, 4, 4}, {.kernel = 2}},
      {{2, 0, 4, 4}, {.kernel = 2}},
      {{1, 1, 1, 1}, {}},
  };
  return kCases;
}

Shape pooled_shape(const Shape& x, const MaxPool2dAttrs& a) {
  const int r = x.rank();
  Shape y = x;
  const Int2 stride(a.stride.h ? a.stride.h : a.kernel.h, a.stride.w ? a.stride.w : a.kernel.w);
  throw_if_error(pooled_size({x[r - 2], a.kernel.h, stride.h, a.pad.h, a.dilation.h}, a.ceil_mode,
                             "height", &y[r - 2]));
  throw_if_error(pooled_size({x[r - 1], a.kernel.w, stride.w, a.pad.w, a.dilation.w}, a.ceil_mode,
                             "width", &y[r - 1]));
  return y;
}

MaxPool2dGradAttrs grad_attrs(const Shape& x, const MaxPool2dAttrs& a) {
  const int r = x.rank();
  return {x[r - 2], x[r - 1], a.kernel, a.stride, a.pad, a.dilation, a.ceil_mode};
}

const Shape kLong{2, 37, 57, 61};
const MaxPool2dAttrs kStem{.kernel = 3, .stride = 2, .pad = 1};

RUTILE_SAMPLES(max_pool2d) {
  for (const MaxCase& c : max_cases()) {
    SampleGroup group = s.add({in(c.x).distinct()}, c.attrs).dtypes(kFloats);
    if (c.attrs.dilation.h > 1 && c.attrs.pad.h > 0) {
      group.no_gradient("windows without pixels give -inf, which has no difference quotient");
    }
  }
  s.add({in({2, 6, 7, 9})}, kStem).dtypes(kInts);
  // Ties, also between zeros of both signs: the first one counts.
  for (const Shape& shape : {Shape{2, 5, 9, 11}, Shape{1, 37, 9, 11}}) {
    s.add({in(shape).values({0.0, -0.0, -1.0, 1.0, 0.0, 1.0, -1.0})}, kStem)
        .name("ties")
        .dtypes(kFloats)
        .no_gradient("ties have no derivative");
    s.add({in(shape).filled(specials())}, kStem)
        .name("special numbers")
        .dtypes(kFloats)
        .no_gradient("infinities and NaN have no difference quotient");
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 5, 7}).distinct().viewed(v)}, kStem)
        .no_gradient("expanded inputs have ties; the others need no second check");
  }
  for (const int64_t c : {1, 6, 37}) {
    s.add({in({2, c, 7, 6}).distinct().channels_last()}, kStem).dtypes(kFloats);
  }
  s.add({in(kLong)}, kStem).name("long").dtypes(kFloats).no_gradient("ties are likely");
  s.add({in({1, 3, 40, 70})}, MaxPool2dAttrs{.kernel = 2})
      .name("long")
      .no_gradient("ties are likely");
  const auto image = in({1, 2, 4, 4});
  const auto refused = [&](const MaxPool2dAttrs& a, const char* message) {
    s.error({image}, a, ErrorCode::kValue, message);
  };
  refused({.kernel = 0}, "kernel must lie in [1, 1073741824], got 0");
  refused({.kernel = 2, .stride = -1}, "stride must lie in [0, 1073741824], got -1");
  refused({.kernel = 2, .pad = 2}, "pad must lie in [0, kernel / 2]");
  refused({.kernel = 2, .pad = -1}, "pad must lie in [0, kernel / 2]");
  refused({.kernel = 2, .dilation = 0}, "dilation must lie in [1, 1073741824], got 0");
  refused({.kernel = int64_t{1} << 62},
          "kernel must lie in [1, 1073741824], got 4611686018427387904");
  refused({.kernel = 5}, "larger than the padded image");
  s.error({in({4, 4})}, MaxPool2dAttrs{.kernel = 2}, ErrorCode::kValue, "[n,c,h,w] or [c,h,w]");
  s.error({in({1, 1, 0, 4})}, MaxPool2dAttrs{.kernel = 2}, ErrorCode::kValue, "must have pixels");
  s.error({bool_in({1, 1, 4, 4})}, MaxPool2dAttrs{.kernel = 2}, ErrorCode::kType,
          "floating or integer");
}

RUTILE_SAMPLES(max_pool2d_grad) {
  for (const MaxCase& c : max_cases()) {
    const Shape y = pooled_shape(c.x, c.attrs);
    const int r = c.x.rank();
    s.add({in(y), valid_indices(y, c.attrs, c.x[r - 2], c.x[r - 1])}, grad_attrs(c.x, c.attrs))
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({2, 6, 4, 5}), valid_indices({2, 6, 4, 5}, kStem, 7, 9)},
        grad_attrs({2, 6, 7, 9}, kStem))
      .dtypes(kInts);
  s.add({in({2, 37, 4, 5}), in({2, 37, 4, 5}).as(DType::kI32).ints(-3, 70)},
        grad_attrs({2, 37, 7, 9}, kStem))
      .name("indices from anywhere")
      .dtypes(kFloats);
  s.add(
       {in({2, 6, 4, 5}).channels_last(), valid_indices({2, 6, 4, 5}, kStem, 7, 9).channels_last()},
       grad_attrs({2, 6, 7, 9}, kStem))
      .dtypes(kFloats);
  s.add({in({2, 6, 4, 5}).gaps(), valid_indices({2, 6, 4, 5}, kStem, 7, 9).channels_last()},
        grad_attrs({2, 6, 7, 9}, kStem));
  const Shape y = pooled_shape(kLong, kStem);
  s.add({in(y), valid_indices(y, kStem, kLong[2], kLong[3])}, grad_attrs(kLong, kStem))
      .name("long")
      .dtypes(kFloats)
      .no_gradient("a long run for kernels; the short ones check the gradient");
  const auto indices = in({1, 2, 2, 2}).as(DType::kI32);
  s.error({in({1, 2, 2, 2}), indices}, MaxPool2dGradAttrs{.height = 9, .width = 4, .kernel = 2},
          ErrorCode::kValue, "dy expects shape [1,2,4,2]");
  s.error({in({1, 2, 2, 2}), indices}, MaxPool2dGradAttrs{.height = 0, .width = 4, .kernel = 2},
          ErrorCode::kValue, "height must lie in [1, 1073741824]");
  s.error({in({1, 2, 2, 2}), in({1, 2, 2, 2}).as(DType::kI64)},
          MaxPool2dGradAttrs{.height = 4, .width = 4, .kernel = 2}, ErrorCode::kType,
          "must be i32");
  s.error({in({1, 2, 2, 2}), in({1, 1, 2, 2}).as(DType::kI32)},
          MaxPool2dGradAttrs{.height = 4, .width = 4, .kernel = 2}, ErrorCode::kValue,
          "indices expects shape");
}

RUTILE_SAMPLES(max_pool2d_gather) {
  for (const MaxCase& c : max_cases()) {
    const int r = c.x.rank();
    s.add({in(c.x), valid_indices(pooled_shape(c.x, c.attrs), c.attrs, c.x[r - 2], c.x[r - 1])},
          c.attrs)
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({2, 37, 7, 9}), in({2, 37, 4, 5}).as(DType::kI32).ints(-3, 70)}, kStem)
      .name("indices from anywhere")
      .dtypes(kNumbers);
  s.add(
       {in({2, 6, 7, 9}).channels_last(), valid_indices({2, 6, 4, 5}, kStem, 7, 9).channels_last()},
       kStem)
      .dtypes(kFloats);
  s.error({in({1, 2, 4, 4}), in({1, 2, 3, 2}).as(DType::kI32)}, MaxPool2dAttrs{.kernel = 2},
          ErrorCode::kValue, "indices expects shape [1,2,2,2]");
}

struct AvgCase {
  Shape x;
  AvgPool2dAttrs attrs;
};

const std::vector<AvgCase>& avg_cases() {
  static const std::vector<AvgCase> kCases{
      {{2, 3, 6, 7}, {.kernel = 2}},
      {{2, 6, 7, 9}, {.kernel = 3, .stride = 2, .pad = 1}},
      {{1, 37, 5, 8}, {.kernel = 3, .stride = 2, .pad = 1, .count_include_pad = false}},
      {{2, 1, 9, 33}, {.kernel = 3, .stride = 1, .pad = 1}},
      {{1, 16, 6, 5}, {.kernel = {2, 3}, .stride = {1, 2}, .pad = {1, 0}}},
      {{3, 7, 8}, {.kernel = 3, .stride = 2, .pad = 1, .divisor_override = 4}},
      {{1, 20, 9, 40}, {.kernel = 2, .stride = 3}},
      {{1, 3, 6, 8}, {.kernel = 3, .stride = 2, .ceil_mode = true}},
      {{1, 8, 6, 6}, {.kernel = 3, .stride = 2, .pad = 1, .ceil_mode = true}},
      {{1, 8, 6, 6},
       {.kernel = 3, .stride = 2, .pad = 1, .ceil_mode = true, .count_include_pad = false}},
      {{2, 3, 5, 2}, {.kernel = 4, .stride = 1, .pad = 2}},
      {{0, 3, 4, 4}, {.kernel = 2}},
      {{1, 1, 1, 1}, {}},
  };
  return kCases;
}

Shape pooled_shape(const Shape& x, const AvgPool2dAttrs& a) {
  return pooled_shape(x, MaxPool2dAttrs{a.kernel, a.stride, a.pad, 1, a.ceil_mode});
}

AvgPool2dGradAttrs grad_attrs(const Shape& x, const AvgPool2dAttrs& a) {
  const int r = x.rank();
  return {x[r - 2],          x[r - 1], a.kernel, a.stride, a.pad, a.ceil_mode, a.count_include_pad,
          a.divisor_override};
}

const AvgPool2dAttrs kAvgStem{.kernel = 3, .stride = 2, .pad = 1};

RUTILE_SAMPLES(avg_pool2d) {
  for (const AvgCase& c : avg_cases()) {
    s.add({in(c.x)}, c.attrs).dtypes(kFloats).no_second_order(kLinear);
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 5, 7}).viewed(v)}, kAvgStem).no_second_order(kLinear);
  }
  for (const int64_t c : {1, 6, 37}) {
    s.add({in({2, c, 7, 6}).channels_last()}, kAvgStem).dtypes(kFloats).no_second_order(kLinear);
  }
  s.add({in(kLong)}, kAvgStem).name("long").dtypes(kFloats).no_gradient("a long run for kernels");
  s.add({in({1, 1, 4, 4})}, AvgPool2dAttrs{.kernel = 2, .divisor_override = -2})
      .no_second_order(kLinear);
  s.error({in({1, 1, 4, 4})}, AvgPool2dAttrs{.kernel = 3, .pad = 2}, ErrorCode::kValue,
          "pad must lie in [0, kernel / 2]");
  s.error({in({1, 1, 4, 4}).as(DType::kI32)}, AvgPool2dAttrs{.kernel = 2}, ErrorCode::kType,
          "must be floating point");
}

RUTILE_SAMPLES(upsample_nearest2d) {
  using ops::UpsampleNearest2dAttrs;
  for (const Shape& x :
       {Shape{2, 3, 4, 5}, {1, 37, 3, 2}, {1, 16, 1, 1}, {3, 4, 5}, {0, 2, 3, 3}}) {
    s.add({in(x)}, UpsampleNearest2dAttrs{2}).dtypes(kFloats).no_second_order(kLinear);
  }
  s.add({in({2, 6, 3, 4}).channels_last()}, UpsampleNearest2dAttrs{{3, 1}})
      .dtypes(kFloats)
      .no_second_order(kLinear);
  s.add({in({2, 6, 3, 4}).gaps()}, UpsampleNearest2dAttrs{{1, 2}}).no_second_order(kLinear);
  s.error({in({4, 4})}, UpsampleNearest2dAttrs{2}, ErrorCode::kValue, "rank 3 or 4");
  s.error({in({1, 1, 4, 4})}, UpsampleNearest2dAttrs{{0, 2}}, ErrorCode::kValue, "scale expects");
  s.error({in({1, 1, 4, 4})}, UpsampleNearest2dAttrs{int64_t{1} << 40}, ErrorCode::kValue,
          "scale expects");
}

RUTILE_SAMPLES(avg_pool2d_grad) {
  for (const AvgCase& c : avg_cases()) {
    s.add({in(pooled_shape(c.x, c.attrs))}, grad_attrs(c.x, c.attrs))
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  for (const int64_t c : {1, 6, 37}) {
    s.add({in({2, c, 4, 3}).channels_last()}, grad_attrs({2, c, 7, 6}, kAvgStem))
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({2, 6, 4, 5}).gaps()}, grad_attrs({2, 6, 7, 9}, kAvgStem)).no_second_order(kLinear);
  s.add({in(pooled_shape(kLong, kAvgStem))}, grad_attrs(kLong, kAvgStem))
      .name("long")
      .dtypes(kFloats)
      .no_gradient("a long run for kernels");
  s.error({in({1, 2, 2, 2})}, AvgPool2dGradAttrs{.height = 9, .width = 4, .kernel = 2},
          ErrorCode::kValue, "dy expects shape [1,2,4,2]");
}

RUTILE_SAMPLES(global_avg_pool) {
  for (const Shape& shape :
       {Shape{2, 3, 5, 7}, Shape{3, 5, 7}, Shape{1, 1, 1, 1}, Shape{0, 3, 2, 2}, Shape{2, 0, 2, 2},
        Shape{2, 37, 7, 7}, Shape{1, 16, 3, 40}, Shape{2, 20, 1, 1}}) {
    s.add({in(shape)}).dtypes(kFloats).no_second_order(kLinear);
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 5, 7}).viewed(v)}).no_second_order(kLinear);
  }
  for (const int64_t c : {1, 6, 37}) {
    s.add({in({2, c, 7, 6}).channels_last()}).dtypes(kFloats).no_second_order(kLinear);
  }
  s.add({in({2, 37, 56, 56}).uniform(0, 3)})
      .name("long")
      .dtypes(kFloats)
      .no_gradient("a long run for kernels");
  s.error({in({2, 3})}, ErrorCode::kValue, "[n,c,h,w] or [c,h,w]");
  s.error({in({2, 3, 0, 4})}, ErrorCode::kValue, "must have pixels");
  s.error({in({2, 3, 4, 4}).as(DType::kI32)}, ErrorCode::kType, "floating point");
}

RUTILE_SAMPLES(global_avg_pool_grad) {
  for (const Shape& shape : {Shape{2, 3, 1, 1}, Shape{3, 1, 1}, Shape{0, 3, 1, 1},
                             Shape{2, 37, 1, 1}, Shape{1, 16, 1, 1}, Shape{2, 6, 1, 1}}) {
    s.add({in(shape)}, PlaneSizeAttrs{5, 7}).dtypes(kFloats).no_second_order(kLinear);
  }
  s.add({in({2, 6, 1, 1}).channels_last()}, PlaneSizeAttrs{3, 3}).no_second_order(kLinear);
  s.add({in({3, 6, 1, 1}).gaps()}, PlaneSizeAttrs{3, 3}).no_second_order(kLinear);
  s.add({in({2, 6, 1, 1})}, PlaneSizeAttrs{3, 5, true}).dtypes(kFloats).no_second_order(kLinear);
  s.add({in({2, 37, 1, 1})}, PlaneSizeAttrs{56, 56})
      .name("long")
      .dtypes(kFloats)
      .no_gradient("a long run for kernels");
  s.error({in({2, 3, 1, 2})}, PlaneSizeAttrs{5, 7}, ErrorCode::kValue,
          "dy expects shape [2,3,1,1]");
  s.error({in({2, 3, 1, 1})}, PlaneSizeAttrs{0, 7}, ErrorCode::kValue,
          "height must lie in [1, 1073741824]");
}

RUTILE_SAMPLES(adaptive_avg_pool2d) {
  for (const Int2 size : {Int2(1, 1), Int2(3, 2), Int2(7, 5), Int2(9, 11)}) {
    s.add({in({2, 3, 7, 5})}, AdaptiveAvgPool2dAttrs{size})
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({3, 7, 5}).gaps()}, AdaptiveAvgPool2dAttrs{2}).no_second_order(kLinear);
  s.add({in({1, 6, 7, 5}).channels_last()}, AdaptiveAvgPool2dAttrs{2}).no_second_order(kLinear);
  s.add({in({0, 3, 7, 5})}, AdaptiveAvgPool2dAttrs{2});
  for (const int64_t channels : {6, 32, 37}) {
    s.add({in({3, channels, 23, 37})}, AdaptiveAvgPool2dAttrs{{6, 19}})
        .name("long")
        .dtypes(kFloats)
        .no_gradient("a long run for kernels");
    s.add({in({3, channels, 23, 37}).channels_last()}, AdaptiveAvgPool2dAttrs{{6, 19}})
        .name("long channels-last")
        .dtypes(kFloats)
        .no_gradient("a long run for kernels");
  }
  s.error({in({2, 3, 7, 5})}, AdaptiveAvgPool2dAttrs{{0, 2}}, ErrorCode::kValue,
          "output_size must have positive sizes up to 1073741824, got [0,2]");
}

RUTILE_SAMPLES(adaptive_avg_pool2d_grad) {
  for (const Shape& dy :
       {Shape{2, 3, 3, 2}, Shape{2, 1, 9, 11}, Shape{3, 1, 1}, Shape{0, 3, 2, 2}}) {
    s.add({in(dy)}, PlaneSizeAttrs{7, 5}).dtypes(kFloats).no_second_order(kLinear);
  }
  s.add({in({1, 6, 3, 2}).channels_last()}, PlaneSizeAttrs{7, 5}).no_second_order(kLinear);
  for (const int64_t channels : {6, 32, 37}) {
    s.add({in({3, channels, 6, 19})}, PlaneSizeAttrs{23, 37})
        .name("long")
        .dtypes(kFloats)
        .no_gradient("a long run for kernels");
    s.add({in({3, channels, 6, 19}).channels_last()}, PlaneSizeAttrs{23, 37, true})
        .name("long channels-last")
        .dtypes(kFloats)
        .no_gradient("a long run for kernels");
  }
  s.error({in({2, 3, 3, 2})}, PlaneSizeAttrs{-1, 5}, ErrorCode::kValue,
          "height must lie in [1, 1073741824]");
}

}  // namespace
}  // namespace rutile::samples
