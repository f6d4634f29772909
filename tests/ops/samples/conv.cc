// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv.h"

#include "rutile/tests/ops/samples/conv_cases.h"

namespace rutile::samples {
namespace {

using ops::Conv2dAttrs;
using ops::Conv2dInputGradAttrs;
using ops::Conv2dWeightGradAttrs;

using Case = ConvCase<Int2>;

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {"3x3", {2, 3, 8, 7}, {4, 3, 3, 3}, 1, 1},
      {"1x1", {2, 6, 5, 5}, {37, 6, 1, 1}},
      {"1x1 strided", {2, 37, 7, 6}, {6, 37, 1, 1}, 2},
      {"one channel", {1, 1, 6, 5}, {1, 1, 2, 2}},
      {"one pixel", {3, 5, 1, 1}, {4, 5, 1, 1}},
      {"one pixel, padded", {2, 17, 1, 1}, {33, 17, 3, 3}, 1, 1},
      {"stem", {1, 3, 19, 18}, {8, 3, 7, 7}, 2, 3},
      {"uneven", {2, 4, 9, 8}, {6, 4, 2, 3}, {1, 2}, {1, 2}, {2, 1}},
      {"stride above the kernel", {2, 16, 11, 10}, {16, 16, 2, 2}, 3},
      {"dilated", {1, 16, 9, 9}, {16, 16, 3, 3}, 1, 2, 2},
      {"groups", {2, 6, 7, 7}, {4, 3, 3, 3}, 2, 1, 1, 2},
      {"32 channels in 2 groups", {1, 32, 6, 6}, {32, 16, 3, 3}, 1, 1, 1, 2},
      {"8 groups of 4", {2, 32, 6, 5}, {32, 4, 3, 3}, 1, 1, 1, 8},
      {"6 groups of 2 to 4", {2, 12, 7, 6}, {24, 2, 3, 2}, 2, 1, 1, 6},
      {"2 groups of 8 to 4", {1, 16, 5, 5}, {8, 8, 3, 3}, 1, 1, 2, 2},
      {"depthwise", {2, 6, 8, 8}, {6, 1, 3, 3}, 2, 1, 1, 6},
      {"depthwise, doubling", {1, 3, 4, 4}, {6, 1, 3, 3}, 1, 0, 1, 3},
      {"depthwise of 37", {1, 37, 5, 6}, {37, 1, 3, 3}, 1, 1, 1, 37},
      {"depthwise 5x5 of 32", {3, 32, 7, 9}, {32, 1, 5, 5}, 1, 2, 1, 32},
      {"depthwise, uneven", {2, 40, 9, 16}, {40, 1, 7, 9}, {2, 1}, {3, 4}, {1, 2}, 40},
      {"depthwise of few pixels", {2, 16, 2, 1}, {16, 1, 3, 3}, 2, 1, 1, 16},
      {"37 to 6", {2, 37, 9, 9}, {6, 37, 3, 3}, 2, 1},
      {"64 to 48", {2, 64, 6, 6}, {48, 64, 3, 3}, 1, 1},
      {"huge distances", {1, 2, 4, 3}, {3, 2, 1, 1}, int64_t{1} << 30, 0, (int64_t{1} << 31) - 1},
      {"no images", {0, 3, 5, 5}, {4, 3, 3, 3}},
  };
  return list;
}

Shape output_shape(const Case& c) {
  return {c.x[0], c.weight[0], conv_size(c.x[2], c.weight[2], c.stride.h, c.pad.h, c.dilation.h),
          conv_size(c.x[3], c.weight[3], c.stride.w, c.pad.w, c.dilation.w)};
}

}  // namespace

RUTILE_SAMPLES(conv2d) {
  for (const Case& c : cases()) {
    const auto a = attrs_of_case<Conv2dAttrs>(c);
    sum_tolerance(s.add({in(c.x), in(c.weight), in({c.weight[0]})}, a).name(c.name));
  }
  Conv2dAttrs in_groups;
  in_groups.groups = 4;
  sum_tolerance(s.add({in({1, 16, 5, 4}), in({16, 4, 3, 3}).channels_last()}, in_groups));
  sum_tolerance(s.add({in({1, 16, 5, 4}).channels_last(), in({16, 4, 3, 3}).gaps()}, in_groups));
  Conv2dAttrs same;
  same.pad = 1;
  sum_tolerance(s.add({in({2, 6, 5, 4}), in({4, 6, 3, 3})}, same).name("without bias"));
  sum_tolerance(s.add({in({2, 6, 5, 4}).channels_last(), in({4, 6, 3, 3})}, same));
  sum_tolerance(s.add({in({2, 6, 5, 4}).transposed(), in({4, 6, 3, 3}).channels_last()}, same));
  sum_tolerance(s.add({in({2, 6, 5, 4}).gaps(), in({4, 6, 3, 3}).gaps(), in({4}).gaps()}, same));
  sum_tolerance(s.add({in({2, 6, 5, 4}).expanded(), in({4, 6, 3, 3}).expanded()}, same));
  complex_tolerance(s.add({in({2, 6, 5, 4}), in({4, 6, 3, 3}), in({4}).gaps()}, same));
  complex_tolerance(
      s.add({in({1, 16, 5, 4}).gaps(), in({16, 4, 3, 3}).channels_last()}, in_groups));
  s.add({in({1, 4, 5, 5}).as(DType::kBF16), in({4, 4, 3, 3}).as(DType::kF32)}, same)
      .name("promotes")
      .tolerance(DType::kF32, 1e-4);

  s.error({in({3, 8, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue, "x expects rank 4");
  s.error({in({1, 3, 8, 8}), in({4, 3, 3})}, ErrorCode::kValue, "weight expects rank 4");
  s.error({in({1, 32, 8, 8}), in({4, 64, 3, 3})}, ErrorCode::kValue,
          "weight expects 64 input channels, got 32");
  s.error({in({1, 3, 8, 8}), in({4, 3, 3, 3}), in({3})}, ErrorCode::kValue,
          "bias expects shape [4]");
  s.error({in({1, 3, 2, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue, "spans 3 in height");
  s.error({in({1, 0, 8, 8}), in({4, 0, 3, 3})}, ErrorCode::kValue, "no channels");
  s.error({in({1, 3, 8, 8}), in({4, 3, 0, 3})}, ErrorCode::kValue,
          "weight's kernel must lie in [1, 2147483647], got 0");
  s.error({in({1, 4, 8, 8}), in({4, 4, 3, 3})}, Conv2dAttrs{.groups = int64_t{1} << 62},
          ErrorCode::kValue, "groups must lie in [1, 2147483647], got 4611686018427387904");
  s.error({in({1, 3, 8, 8}).as(DType::kI32), in({4, 3, 3, 3}).as(DType::kI32)}, ErrorCode::kType,
          "floating");
  const auto bad = [&](auto set, std::string_view message) {
    Conv2dAttrs a;
    set(a);
    s.error({in({1, 4, 8, 8}), in({4, 4, 3, 3})}, a, ErrorCode::kValue, message);
  };
  bad([](Conv2dAttrs& a) { a.stride = {0, 1}; }, "stride");
  bad([](Conv2dAttrs& a) { a.pad = {1, -1}; }, "pad");
  bad([](Conv2dAttrs& a) { a.dilation = 0; }, "dilation");
  bad([](Conv2dAttrs& a) { a.groups = 0; }, "groups");
  bad([](Conv2dAttrs& a) { a.groups = 3; }, "input channels");
  bad([](Conv2dAttrs& a) { a.pad = int64_t{1} << 62; }, "pad");
}

RUTILE_SAMPLES(conv2d_input_grad) {
  for (const Case& c : cases()) {
    auto a = attrs_of_case<Conv2dInputGradAttrs>(c);
    a.input_shape = c.x;
    sum_tolerance(s.add({in(output_shape(c)), in(c.weight)}, a).name(c.name));
  }
  Conv2dInputGradAttrs a;
  a.input_shape = {1, 3, 8, 8};
  a.out_dtype = DType::kF32;
  s.add({in({1, 4, 6, 6}).as(DType::kBF16), in({4, 3, 3, 3}).as(DType::kBF16)}, a)
      .name("f32 result");
  a.out_dtype = {};
  s.add({in({1, 4, 6, 6}).channels_last(), in({4, 3, 3, 3})}, a).dtypes(kFloats);
  s.add({in({1, 4, 6, 6}).transposed(), in({4, 3, 3, 3}).gaps()}, a).dtypes(kFloats);
  complex_tolerance(s.add({in({1, 4, 6, 6}), in({4, 3, 3, 3})}, a));
  s.error({in({1, 4, 5, 6}), in({4, 3, 3, 3})}, a, ErrorCode::kValue, "dy expects shape [1,4,6,6]");
  a.input_shape = {1, 3, 8};
  s.error({in({1, 4, 6, 6}), in({4, 3, 3, 3})}, a, ErrorCode::kValue, "rank 4");
  a.input_shape = {1, 3, -8, 8};
  s.error({in({1, 4, 6, 6}), in({4, 3, 3, 3})}, a, ErrorCode::kValue, "negative");
  a.input_shape = {1, 3, 8, 8};
  a.out_dtype = DType::kI32;
  s.error({in({1, 4, 6, 6}), in({4, 3, 3, 3})}, a, ErrorCode::kType, "out_dtype");
}

RUTILE_SAMPLES(conv_transpose2d) {
  struct Transposed {
    const char* name;
    Shape x, weight;
    Int2 stride{1}, pad{0}, output_pad{0}, dilation{1};
    int64_t groups = 1;
  };
  for (const Transposed& c : std::vector<Transposed>{
           {"doubling", {2, 6, 5, 4}, {6, 3, 2, 2}, 2},
           {"one channel", {1, 1, 4, 5}, {1, 1, 3, 3}, 2, 1},
           {"to an odd size", {2, 5, 4, 3}, {5, 4, 2, 2}, 2, 0, 1},
           {"uneven", {1, 37, 3, 4}, {37, 6, 3, 2}, {2, 1}, {1, 0}, {1, 0}, {1, 2}},
           {"groups", {2, 6, 4, 4}, {6, 2, 3, 3}, 2, 1, 1, 1, 2},
           {"depthwise", {1, 16, 5, 5}, {16, 1, 4, 4}, 2, 1, 0, 1, 16},
           {"64 to 48", {2, 64, 6, 6}, {64, 48, 3, 3}, 1, 1},
           {"output_pad from the stride", {2, 3, 4, 5}, {3, 4, 3, 2}, {1, 2}, {2, 0}, {1, 2}, 3},
           {"no images", {0, 3, 5, 5}, {3, 4, 3, 3}},
       }) {
    const ops::ConvTranspose2dAttrs a{c.stride, c.pad, c.output_pad, c.dilation, c.groups};
    sum_tolerance(s.add({in(c.x), in(c.weight), in({c.weight[1] * c.groups})}, a).name(c.name));
  }
  ops::ConvTranspose2dAttrs two;
  two.stride = 2;
  sum_tolerance(s.add({in({2, 6, 5, 4}), in({6, 4, 3, 3})}, two).name("without bias"));
  complex_tolerance(s.add({in({2, 6, 5, 4}), in({6, 4, 3, 3}), in({4})}, two));
  sum_tolerance(s.add({in({2, 6, 5, 4}).channels_last(), in({6, 4, 3, 3}).gaps()}, two));
  s.error({in({3, 8, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue, "x expects rank 4");
  s.error({in({1, 4, 8, 8}), in({4, 3, 3})}, ErrorCode::kValue, "weight expects rank 4");
  s.error({in({1, 3, 8, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue, "4 input channels, got 3");
  s.error({in({1, 4, 8, 8}), in({4, 3, 3, 3}), in({4})}, ErrorCode::kValue,
          "bias expects shape [3]");
  s.error({in({1, 4, 0, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue, "at least one pixel in height");
  s.error({in({1, 4, 8, 8}).as(DType::kI32), in({4, 3, 3, 3}).as(DType::kI32)}, ErrorCode::kType,
          "floating");
  const auto bad = [&](auto set, std::string_view message) {
    ops::ConvTranspose2dAttrs a;
    set(a);
    s.error({in({1, 4, 8, 8}), in({4, 4, 3, 3})}, a, ErrorCode::kValue, message);
  };
  bad([](auto& a) { a.stride = {0, 1}; }, "stride");
  bad([](auto& a) { a.pad = {1, -1}; }, "pad");
  bad([](auto& a) { a.pad = 9; }, "the result would have");
  bad([](auto& a) { a.output_pad = 1; }, "output_pad");
  bad([](auto& a) { a.dilation = 0; }, "dilation");
  bad([](auto& a) { a.groups = 3; }, "groups");
  bad([](auto& a) { a.stride = int64_t{1} << 62; }, "too large");
}

RUTILE_SAMPLES(conv2d_weight_grad) {
  for (const Case& c : cases()) {
    auto a = attrs_of_case<Conv2dWeightGradAttrs>(c);
    a.weight_shape = c.weight;
    sum_tolerance(s.add({in(output_shape(c)), in(c.x)}, a).name(c.name));
  }
  Conv2dWeightGradAttrs a;
  a.weight_shape = {4, 3, 3, 3};
  for (const DType t : {DType::kBF16, DType::kF16}) {
    a.out_dtype = DType::kF32;
    s.add({in({1, 4, 6, 6}).as(t), in({1, 3, 8, 8}).as(t)}, a)
        .name("f32 result")
        .tolerance(DType::kF32, 1e-4);
  }
  a.out_dtype = {};
  s.add({in({1, 4, 6, 6}).channels_last(), in({1, 3, 8, 8}).channels_last()}, a).dtypes(kFloats);
  s.add({in({1, 4, 6, 6}).transposed(), in({1, 3, 8, 8}).gaps()}, a).dtypes(kFloats);
  complex_tolerance(s.add({in({1, 4, 6, 6}), in({1, 3, 8, 8}).transposed()}, a));
  a.out_dtype = DType::kF32;
  s.error({in({1, 4, 6, 6}).as(DType::kC64), in({1, 3, 8, 8}).as(DType::kC64)}, a, ErrorCode::kType,
          "out_dtype is for real numbers");
  Conv2dWeightGradAttrs depthwise;
  depthwise.weight_shape = {32, 1, 3, 3};
  depthwise.groups = 32;
  depthwise.pad = 1;
  for (const DType t : {DType::kBF16, DType::kF32}) {
    depthwise.out_dtype = DType::kF32;
    const Input image = in({2, 32, 5, 6}).channels_last().as(t);
    s.add({image, image}, depthwise).name("depthwise, f32 result").tolerance(DType::kF32, 1e-4);
  }
  // Few pixels, many weights: products over all images at once.
  struct Small {
    Shape dy, x, weight;
    int64_t stride, pad;
  };
  for (const Small& c :
       std::vector<Small>{{{5, 96, 1, 1}, {5, 64, 1, 1}, {96, 64, 3, 3}, 1, 1},
                          {{5, 80, 1, 1}, {5, 64, 2, 2}, {80, 64, 3, 3}, 2, 1},
                          {{3, 48, 2, 3}, {3, 80, 2, 3}, {48, 80, 3, 3}, 1, 1},
                          {{33, 160, 2, 2}, {33, 224, 2, 2}, {160, 224, 1, 1}, 1, 0},
                          {{7, 256, 2, 2}, {7, 256, 4, 4}, {256, 256, 1, 1}, 2, 0},
                          {{9, 130, 2, 1}, {9, 57, 2, 1}, {130, 57, 3, 3}, 1, 1},
                          {{3, 80, 2, 1}, {3, 32, 2, 1}, {80, 32, 3, 5}, 3, 2},
                          {{1, 16, 2, 2}, {1, 32, 3, 2}, {16, 32, 5, 4}, 3, 3}}) {
    Conv2dWeightGradAttrs small;
    small.weight_shape = c.weight;
    small.stride = c.stride;
    small.pad = c.pad;
    for (const bool last : {false, true}) {
      const Input dy = last ? in(c.dy).channels_last() : in(c.dy);
      const Input x = last ? in(c.x).channels_last() : in(c.x);
      small.out_dtype = {};
      sum_tolerance(s.add({dy, x}, small).name("few pixels").no_gradient("a long run for kernels"));
      small.out_dtype = DType::kF32;
      s.add({dy.as(DType::kBF16), x.as(DType::kBF16)}, small)
          .name("few pixels")
          .tolerance(DType::kF32, 1e-4)
          .no_gradient("a long run for kernels");
    }
  }
  s.error({in({1, 4, 6, 6}), in({1, 3, 9, 8})}, a, ErrorCode::kValue, "dy expects shape");
  a.weight_shape = {4, 3, 3};
  s.error({in({1, 4, 6, 6}), in({1, 3, 8, 8})}, a, ErrorCode::kValue, "weight expects rank 4");
}

}  // namespace rutile::samples
