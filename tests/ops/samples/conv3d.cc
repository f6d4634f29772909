// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv3d.h"

#include "rutile/ops/conv1d.h"
#include "rutile/tests/ops/samples/conv_cases.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

using Case = ConvCase<Int3>;

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {"3x3x3", {2, 3, 4, 5, 6}, {4, 3, 3, 3, 3}, 1, 1},
      {"1x1x1", {2, 6, 3, 3, 4}, {37, 6, 1, 1, 1}},
      {"strided", {1, 16, 5, 6, 7}, {16, 16, 2, 2, 2}, 2},
      {"one channel", {1, 1, 4, 3, 3}, {1, 1, 2, 2, 2}},
      {"uneven", {2, 4, 5, 7, 6}, {6, 4, 2, 3, 1}, {1, 2, 3}, {0, 1, 2}, {2, 1, 1}},
      {"flat kernel", {1, 6, 4, 5, 5}, {37, 6, 1, 3, 3}, 1, {0, 1, 1}},
      {"groups", {2, 6, 4, 4, 4}, {4, 3, 3, 3, 3}, 1, 1, 1, 2},
      {"8 groups of 4", {1, 32, 3, 4, 4}, {32, 4, 3, 3, 3}, 1, 1, 1, 8},
      {"depthwise", {2, 16, 4, 4, 5}, {16, 1, 3, 3, 3}, 2, 1, 1, 16},
      {"padding alone", {1, 5, 1, 1, 1}, {7, 5, 3, 3, 3}, 1, 1},
      {"no images", {0, 3, 4, 4, 4}, {4, 3, 3, 3, 3}},
  };
  return list;
}

Shape output_shape(const Case& c) {
  return {c.x[0], c.weight[0], conv_size(c.x[2], c.weight[2], c.stride.d, c.pad.d, c.dilation.d),
          conv_size(c.x[3], c.weight[3], c.stride.h, c.pad.h, c.dilation.h),
          conv_size(c.x[4], c.weight[4], c.stride.w, c.pad.w, c.dilation.w)};
}

}  // namespace

RUTILE_SAMPLES(conv3d) {
  for (const Case& c : cases()) {
    const auto a = attrs_of_case<Conv3dAttrs>(c);
    sum_tolerance(s.add({in(c.x), in(c.weight), in({c.weight[0]})}, a).name(c.name));
  }
  Conv3dAttrs same;
  same.pad = 1;
  const Shape x{2, 6, 3, 4, 5}, weight{4, 6, 3, 3, 3};
  sum_tolerance(s.add({in(x).channels_last(), in(weight)}, same).name("without bias"));
  sum_tolerance(s.add({in(x).transposed(), in(weight).channels_last()}, same));
  sum_tolerance(s.add({in(x).gaps(), in(weight).gaps(), in({4}).gaps()}, same));
  sum_tolerance(s.add({in(x).expanded(), in(weight)}, same));
  complex_tolerance(s.add({in(x), in(weight), in({4})}, same));
  s.error({in({1, 3, 8, 8}), in({4, 3, 3, 3, 3})}, ErrorCode::kValue, "x expects rank 5 (NCDHW)");
  s.error({in({1, 3, 8, 8, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue,
          "weight expects rank 5 (OIDHW)");
  s.error({in({1, 2, 8, 8, 8}), in({4, 3, 3, 3, 3})}, ErrorCode::kValue, "3 input channels, got 2");
  s.error({in({1, 3, 2, 8, 8}), in({4, 3, 3, 3, 3})}, ErrorCode::kValue, "spans 3 in depth");
  s.error({in({1, 3, 8, 8, 8}), in({4, 3, 3, 3, 3}), in({3})}, ErrorCode::kValue,
          "bias expects shape [4]");
  Conv3dAttrs bad;
  bad.stride = {1, 0, 1};
  s.error({in({1, 3, 8, 8, 8}), in({4, 3, 3, 3, 3})}, bad, ErrorCode::kValue, "stride");
}

RUTILE_SAMPLES(conv3d_input_grad) {
  for (const Case& c : cases()) {
    auto a = attrs_of_case<Conv3dInputGradAttrs>(c);
    a.input_shape = c.x;
    sum_tolerance(s.add({in(output_shape(c)), in(c.weight)}, a).name(c.name));
  }
  Conv3dInputGradAttrs a;
  a.input_shape = {1, 3, 4, 5, 5};
  a.out_dtype = DType::kF32;
  s.add({in({1, 4, 2, 3, 3}).as(DType::kBF16), in({4, 3, 3, 3, 3}).as(DType::kBF16)}, a)
      .name("f32 result");
  a.out_dtype = {};
  complex_tolerance(s.add({in({1, 4, 2, 3, 3}), in({4, 3, 3, 3, 3})}, a));
  s.error({in({1, 4, 2, 3, 4}), in({4, 3, 3, 3, 3})}, a, ErrorCode::kValue,
          "dy expects shape [1,4,2,3,3]");
  a.input_shape = {1, 3, 8, 8};
  s.error({in({1, 4, 6, 6, 6}), in({4, 3, 3, 3, 3})}, a, ErrorCode::kValue, "rank 5");
}

RUTILE_SAMPLES(conv3d_weight_grad) {
  for (const Case& c : cases()) {
    auto a = attrs_of_case<Conv3dWeightGradAttrs>(c);
    a.weight_shape = c.weight;
    sum_tolerance(s.add({in(output_shape(c)), in(c.x)}, a).name(c.name));
  }
  Conv3dWeightGradAttrs a;
  a.weight_shape = {4, 3, 3, 3, 3};
  a.out_dtype = DType::kF32;
  s.add({in({1, 4, 2, 3, 3}).as(DType::kBF16), in({1, 3, 4, 5, 5}).as(DType::kBF16)}, a)
      .name("f32 result")
      .tolerance(DType::kF32, 1e-4);
  a.out_dtype = {};
  complex_tolerance(s.add({in({1, 4, 2, 3, 3}), in({1, 3, 4, 5, 5})}, a));
  a.weight_shape = {4, 3, 3, 3};
  s.error({in({1, 4, 2, 3, 3}), in({1, 3, 4, 5, 5})}, a, ErrorCode::kValue, "rank 5");
}

RUTILE_SAMPLES(conv_transpose3d) {
  struct Transposed {
    const char* name;
    Shape x, weight;
    Int3 stride{1}, pad{0}, output_pad{0}, dilation{1};
    int64_t groups = 1;
  };
  for (const Transposed& c : std::vector<Transposed>{
           {"doubling", {2, 6, 2, 3, 4}, {6, 3, 2, 2, 2}, 2},
           {"uneven", {1, 5, 3, 2, 3}, {5, 4, 3, 2, 1}, {2, 1, 2}, {1, 0, 0}, {1, 0, 1}, {1, 2, 1}},
           {"groups", {2, 6, 3, 3, 3}, {6, 2, 3, 3, 3}, 2, 1, 1, 1, 2},
           {"output_pad from the stride",
            {1, 3, 2, 3, 3},
            {3, 4, 2, 2, 2},
            1,
            {1, 0, 0},
            {1, 0, 2},
            {2, 1, 3}},
           {"no images", {0, 3, 4, 4, 4}, {3, 4, 3, 3, 3}},
       }) {
    const ConvTranspose3dAttrs a{c.stride, c.pad, c.output_pad, c.dilation, c.groups};
    sum_tolerance(s.add({in(c.x), in(c.weight), in({c.weight[1] * c.groups})}, a).name(c.name));
  }
  ConvTranspose3dAttrs two;
  two.stride = 2;
  sum_tolerance(s.add({in({2, 6, 2, 3, 4}).channels_last(), in({6, 4, 3, 3, 3}).gaps()}, two));
  complex_tolerance(s.add({in({1, 4, 2, 3, 3}), in({4, 3, 3, 3, 3}), in({3})}, two));
  s.error({in({3, 8, 8, 8}), in({4, 3, 3, 3, 3})}, ErrorCode::kValue, "x expects rank 5");
  s.error({in({1, 3, 8, 8, 8}), in({4, 3, 3, 3, 3})}, ErrorCode::kValue, "4 input channels, got 3");
  two.output_pad = 2;
  s.error({in({1, 4, 8, 8, 8}), in({4, 3, 3, 3, 3})}, two, ErrorCode::kValue, "output_pad");
}

RUTILE_SAMPLES(conv1d) {
  struct Sequence {
    const char* name;
    Shape x, weight;
    int64_t stride = 1, pad = 0, dilation = 1, groups = 1;
  };
  for (const Sequence& c : std::vector<Sequence>{
           {"3", {2, 3, 8}, {4, 3, 3}, 1, 1},
           {"1", {2, 6, 5}, {37, 6, 1}},
           {"strided, dilated", {1, 6, 17}, {8, 6, 4}, 2, 3, 2},
           {"one channel", {1, 1, 6}, {1, 1, 2}},
           {"groups", {2, 6, 9}, {4, 3, 3}, 2, 1, 1, 2},
           {"depthwise", {2, 37, 9}, {37, 1, 3}, 1, 1, 1, 37},
           {"no sequences", {0, 3, 5}, {4, 3, 3}},
       }) {
    const Conv1dAttrs a{c.stride, c.pad, c.dilation, c.groups};
    sum_tolerance(s.add({in(c.x), in(c.weight), in({c.weight[0]})}, a).name(c.name));
  }
  sum_tolerance(s.add({in({2, 6, 7}).transposed(), in({4, 6, 3})}).name("without bias"));
  complex_tolerance(s.add({in({2, 6, 7}), in({4, 6, 3}), in({4})}));
  sum_tolerance(s.add({in({2, 6, 7}).gaps(), in({4, 6, 3}).gaps(), in({4}).gaps()}));
  s.error({in({3, 8}), in({4, 3, 3})}, ErrorCode::kValue, "x expects rank 3 (NCW)");
  s.error({in({1, 3, 8}), in({4, 3, 3, 3})}, ErrorCode::kValue, "weight expects rank 3 (OIW)");
  s.error({in({1, 3, 2}), in({4, 3, 3})}, ErrorCode::kValue, "spans 3 in length");
}

RUTILE_SAMPLES(conv_transpose1d) {
  struct Sequence {
    const char* name;
    Shape x, weight;
    int64_t stride = 1, pad = 0, output_pad = 0, dilation = 1, groups = 1;
  };
  for (const Sequence& c : std::vector<Sequence>{
           {"doubling", {2, 6, 5}, {6, 3, 2}, 2},
           {"to an odd size", {2, 5, 4}, {5, 4, 4}, 3, 1, 2},
           {"output_pad from the stride", {2, 3, 5}, {3, 2, 3}, 2, 1, 3, 4},
           {"groups", {2, 6, 4}, {6, 2, 3}, 2, 1, 1, 1, 2},
           {"no sequences", {0, 3, 5}, {3, 4, 3}},
       }) {
    const ConvTranspose1dAttrs a{c.stride, c.pad, c.output_pad, c.dilation, c.groups};
    sum_tolerance(s.add({in(c.x), in(c.weight), in({c.weight[1] * c.groups})}, a).name(c.name));
  }
  sum_tolerance(s.add({in({2, 6, 7}).transposed(), in({6, 4, 3})}).name("without bias"));
  complex_tolerance(s.add({in({2, 6, 7}), in({6, 4, 3}), in({4})}));
  s.error({in({3, 8}), in({4, 3, 3})}, ErrorCode::kValue, "x expects rank 3 (NCW)");
  s.error({in({1, 4, 8}), in({4, 3, 3})}, ConvTranspose1dAttrs{.output_pad = 1}, ErrorCode::kValue,
          "output_pad");
}

}  // namespace rutile::samples
