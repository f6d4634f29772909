// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/unfold.h"

#include "rutile/ops/shuffle.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

constexpr const char* kLinear = "is linear in its input";

struct Case {
  Shape x;
  UnfoldAttrs attrs;
};
const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {{2, 3, 5, 6}, {.kernel = 3, .pad = 1}},
      {{1, 37, 4, 4}, {.kernel = 2, .stride = 2}},
      {{2, 2, 7, 8}, {.kernel = {2, 3}, .dilation = {2, 1}, .pad = {1, 2}, .stride = {1, 3}}},
      {{3, 4, 5}, {.kernel = {4, 1}}},
      {{1, 2, 2, 2}, {.kernel = 1, .pad = 3, .stride = 2}},
      {{1, 2, 1, 2}, {.kernel = 3, .dilation = 2, .pad = 4}},
      {{0, 3, 4, 4}, {.kernel = 2}},
      {{2, 0, 4, 4}, {.kernel = 2}},
  };
  return list;
}

}  // namespace

RUTILE_SAMPLES(unfold) {
  for (const Case& c : cases()) {
    s.add({in(c.x)}, c.attrs).dtypes(kFloats).no_second_order(kLinear);
  }
  const UnfoldAttrs same{.kernel = 3, .pad = 1};
  for (const View v : {View::kChannelsLast, View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 4, 5}).viewed(v)}, same).no_second_order(kLinear);
  }
  s.error({in({4, 4})}, same, ErrorCode::kValue, "[n,c,h,w] or [c,h,w]");
  s.error({in({1, 1, 4, 4})}, UnfoldAttrs{.kernel = 5}, ErrorCode::kValue, "height 4, window 5");
  s.error({in({1, 1, 4, 4})}, UnfoldAttrs{.kernel = 0}, ErrorCode::kValue, "kernel must have");
  s.error({in({1, 1, 4, 4})}, UnfoldAttrs{.stride = 0}, ErrorCode::kValue, "stride must have");
  s.error({in({1, 1, 4, 4})}, UnfoldAttrs{.pad = -1}, ErrorCode::kValue,
          "pad must lie in [0, 1073741824], got -1");
  s.error({in({1, 1, 4, 4}).as(DType::kI32)}, same, ErrorCode::kType, "floating point");
}

RUTILE_SAMPLES(fold) {
  for (const Case& c : cases()) {
    const TensorMeta x(c.x, DType::kF32);
    const TensorMeta* const inputs[] = {&x};
    TensorMeta y;
    throw_if_error(kUnfold.infer(CallMeta{&kUnfold, &c.attrs, inputs, {}}, &y));
    const int r = c.x.rank();
    s.add({in(y.shape)}, FoldAttrs{{c.x[r - 2], c.x[r - 1]},
                                   c.attrs.kernel,
                                   c.attrs.dilation,
                                   c.attrs.pad,
                                   c.attrs.stride})
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  const FoldAttrs two{.output_size = {4, 6}, .kernel = 2, .stride = 2};
  s.add({in({2, 8, 6}).transposed()}, two).no_second_order(kLinear);
  s.add({in({2, 8, 6}).gaps()}, two).no_second_order(kLinear);
  s.error({in({8})}, two, ErrorCode::kValue, "x must have shape");
  s.error({in({2, 7, 6})}, two, ErrorCode::kValue, "a multiple of 4 rows, got 7");
  s.error({in({2, 8, 5})}, two, ErrorCode::kValue, "6 windows for this image, got 5");
  s.error({in({2, 8, 6}).as(DType::kI32)}, two, ErrorCode::kType, "floating point");
}

RUTILE_SAMPLES(pixel_shuffle) {
  for (const Shape& x : {Shape{2, 12, 3, 2}, {4, 2, 5}, {1, 2, 3, 36, 1, 2}, {0, 4, 2, 2}}) {
    s.add({in(x)}, PixelShuffleAttrs{2}).dtypes(kEveryType).no_second_order(kLinear);
  }
  s.add({in({2, 18, 2, 3}).channels_last()}, PixelShuffleAttrs{3}).no_second_order(kLinear);
  s.add({in({2, 4, 2, 3}).gaps()}, PixelShuffleAttrs{1}).no_second_order(kLinear);
  s.error({in({4, 4})}, PixelShuffleAttrs{2}, ErrorCode::kValue, "[...,c,h,w]");
  s.error({in({6, 4, 4})}, PixelShuffleAttrs{2}, ErrorCode::kValue, "does not divide 6 channels");
  s.error({in({4, 4, 4})}, PixelShuffleAttrs{0}, ErrorCode::kValue, "the factor must be");
}

RUTILE_SAMPLES(pixel_unshuffle) {
  for (const Shape& x : {Shape{2, 3, 4, 6}, {1, 2, 4}, {1, 2, 3, 1, 2, 2}, {0, 4, 2, 2}}) {
    s.add({in(x)}, PixelUnshuffleAttrs{2}).dtypes(kEveryType).no_second_order(kLinear);
  }
  s.add({in({2, 2, 6, 3}).channels_last()}, PixelUnshuffleAttrs{3}).no_second_order(kLinear);
  s.error({in({1, 1, 4, 5})}, PixelUnshuffleAttrs{2}, ErrorCode::kValue, "does not divide 5");
  s.error({in({4, 4, 4})}, PixelUnshuffleAttrs{-2}, ErrorCode::kValue, "the factor must be");
}

RUTILE_SAMPLES(depth_to_space) {
  for (const Shape& x : {Shape{2, 12, 3, 2}, {1, 4, 2, 5}, {0, 4, 2, 2}}) {
    s.add({in(x)}, BlockAttrs{2}).dtypes(kEveryType).no_second_order(kLinear);
  }
  s.add({in({2, 18, 2, 3}).channels_last()}, BlockAttrs{3}).no_second_order(kLinear);
  s.error({in({4, 4, 4})}, BlockAttrs{2}, ErrorCode::kValue, "[n,c,h,w]");
  s.error({in({1, 6, 4, 4})}, BlockAttrs{2}, ErrorCode::kValue, "does not divide 6 channels");
}

RUTILE_SAMPLES(space_to_depth) {
  for (const Shape& x : {Shape{2, 3, 4, 6}, {1, 1, 2, 4}, {0, 4, 2, 2}}) {
    s.add({in(x)}, BlockAttrs{2}).dtypes(kEveryType).no_second_order(kLinear);
  }
  s.add({in({2, 2, 6, 3}).gaps()}, BlockAttrs{3}).no_second_order(kLinear);
  s.error({in({1, 1, 4, 5})}, BlockAttrs{2}, ErrorCode::kValue, "does not divide 5");
}

RUTILE_SAMPLES(channel_shuffle) {
  for (const Shape& x : {Shape{2, 12, 3, 2}, {3, 6}, {1, 9, 2, 1, 2}, {0, 3, 2}, {2, 0, 2}}) {
    s.add({in(x)}, ChannelShuffleAttrs{3}).dtypes(kEveryType).no_second_order(kLinear);
  }
  s.add({in({2, 6, 2, 3}).channels_last()}, ChannelShuffleAttrs{2}).no_second_order(kLinear);
  s.error({in({6})}, ChannelShuffleAttrs{2}, ErrorCode::kValue, "[n,c,...]");
  s.error({in({1, 6})}, ChannelShuffleAttrs{4}, ErrorCode::kValue, "does not divide 6 channels");
  s.error({in({1, 6})}, ChannelShuffleAttrs{0}, ErrorCode::kValue, "groups must be positive");
}

}  // namespace rutile::samples
