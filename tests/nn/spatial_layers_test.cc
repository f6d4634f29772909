// SPDX-License-Identifier: Apache-2.0
// Layers on images: numbers of PyTorch 2.15 (float64), shapes, texts, refusals. What the ops behind
// them compute is compared in tests/ops.
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/nn/conv_layers.h"
#include "rutile/nn/image_layers.h"
#include "rutile/nn/norm_layers.h"
#include "rutile/nn/pool_layers.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::nn {
namespace {

using Numbers = std::vector<double>;

Tensor ramp(const Shape& shape) {
  std::vector<double> v(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = (static_cast<double>(i * 7 % 11) - 5) / 4;
  return Tensor::from<double>(v, shape);
}

void expect_near(const Tensor& got, const Numbers& want) {
  const Numbers values = got.to_vector<double>();
  ASSERT_GE(values.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(values[i], want[i], 1e-9) << i;
}

void set_ramps(Cell& cell) {
  cell.to(DType::kF64);
  for (const ParameterPtr& p : cell.parameters()) p->set_value(ramp(p->meta().shape));
}

TEST(SpatialLayers, Convolutions) {
  auto conv = make<Conv1d>(2, 2, 3, Conv1dOptions{.stride = 2, .pad = 1});
  set_ramps(*conv);
  expect_near(conv(ramp({1, 2, 5})), {-3.0625, -0.75, -3.75, -1.0625, 1.75, 0.8125});
  EXPECT_EQ(conv->repr(), "Conv1d(2, 2, kernel=3, stride=2, pad=1)");
  auto deep = make<Conv3d>(4, 6, Int3(1, 3, 3), Conv3dOptions{.groups = 2, .bias = false});
  EXPECT_EQ(deep->weight->meta().shape, (Shape{6, 2, 1, 3, 3}));
  EXPECT_EQ(deep(Tensor::zeros({2, 4, 3, 5, 5})).shape(), (Shape{2, 6, 3, 3, 3}));
  EXPECT_EQ(deep->repr(), "Conv3d(4, 6, kernel=(1, 3, 3), groups=2, bias=false)");
  auto up = make<ConvTranspose1d>(4, 6, 2, ConvTranspose1dOptions{.stride = 2, .groups = 2});
  EXPECT_EQ(up->weight->meta().shape, (Shape{4, 3, 2}));
  EXPECT_EQ(up(Tensor::zeros({2, 4, 5})).shape(), (Shape{2, 6, 10}));
  auto deep_up = make<ConvTranspose3d>(4, 2, 2, ConvTranspose3dOptions{.stride = {1, 2, 2}});
  EXPECT_EQ(deep_up(Tensor::zeros({1, 4, 3, 5, 5})).shape(), (Shape{1, 2, 4, 10, 10}));
  EXPECT_THROW(make<Conv1d>(3, 4, 3, Conv1dOptions{.groups = 2}), Error);
  EXPECT_THROW(make<Conv3d>(3, 4, Int3(1, 0, 1)), Error);
}

TEST(SpatialLayers, Pools) {
  const Tensor line = ramp({2, 3, 8}), image = ramp({2, 3, 8, 6}), volume = ramp({2, 3, 4, 6, 8});
  EXPECT_EQ(make<MaxPool1d>(3, MaxPool1dOptions{.stride = 2})(line).shape(), (Shape{2, 3, 3}));
  EXPECT_EQ(make<AvgPool1d>(2)(line).shape(), (Shape{2, 3, 4}));
  auto pool = make<MaxPool3d>(2, MaxPool3dOptions{.stride = {1, 2, 2}});
  EXPECT_EQ(pool(volume).shape(), (Shape{2, 3, 3, 3, 4}));
  EXPECT_EQ(pool->repr(), "MaxPool3d(kernel=[2,2,2], stride=[1,2,2])");
  EXPECT_EQ(make<AvgPool3d>(Int3(1, 2, 2))(volume).shape(), (Shape{2, 3, 4, 3, 4}));
  EXPECT_EQ(make<MaxPool2d>(2, Pool2dOptions{.stride = 3, .ceil_mode = true})(image).shape(),
            (Shape{2, 3, 3, 2}));
  EXPECT_EQ(make<MaxPool2d>(2, Pool2dOptions{.stride = 1, .dilation = 3})(image).shape(),
            (Shape{2, 3, 5, 3}));
  EXPECT_EQ(make<LpPool2d>(2, LpPool2dOptions{.norm_type = 3})(image).shape(), (Shape{2, 3, 4, 3}));
  EXPECT_EQ(make<AdaptiveAvgPool2d>(3)(image).shape(), (Shape{2, 3, 3, 3}));
  EXPECT_EQ(make<AdaptiveMaxPool1d>(5)(line).shape(), (Shape{2, 3, 5}));
  EXPECT_EQ(make<AdaptiveMaxPool3d>(Int3(1, 2, 3))(volume).shape(), (Shape{2, 3, 1, 2, 3}));
  const auto [y, indices] = ops::max_pool2d_with_indices(image, {.kernel = 2});
  const Tensor back = make<MaxUnpool2d>(2)(y, indices);
  EXPECT_EQ(back.shape(), image.shape());
  expect_near(ops::max_pool2d(back, {.kernel = 2}), ops::relu(y).to_vector<double>());
}

TEST(SpatialLayers, InstanceNormTracksWhatPyTorchTracks) {
  auto norm =
      make<InstanceNorm1d>(2, InstanceNormOptions{.affine = true, .track_running_stats = true});
  set_ramps(*norm);
  norm->bias->set_value(ramp({2}) + 1.0);
  const Tensor x = ramp({3, 2, 5});
  norm(x);
  norm(x * 2.0);
  const StateDict states = norm->state_dict();
  expect_near(states.at("running_mean"), {-0.0145, 0.02416666666666666});
  expect_near(states.at("running_var"), {1.2152708333333335, 1.1478958333333333});
  norm->eval();
  expect_near(norm(x), {1.1509235580487631, -0.8333874306888617, 0.3005045628754953,
                        -1.6838064258621295, -0.5499144322977725, 1.1387138269044947});
  EXPECT_EQ(norm->repr(), "InstanceNorm1d(2, affine=true, track_running_stats=true)");
  EXPECT_TRUE(make<InstanceNorm3d>(4)->parameters().empty());
}

template <class Norm>
void expect_one_image_as_a_batch(const Shape& image, const Shape& other, const char* message) {
  auto norm = make<Norm>(4, InstanceNormOptions{.affine = true, .track_running_stats = true});
  set_ramps(*norm);
  const Tensor x = ramp(image);
  for (const bool training : {true, false}) {
    norm->train(training);
    const Tensor one = norm(x);
    EXPECT_EQ(one.shape(), image);
    expect_near(one, norm(ops::expand_dims(x, 0)).template to_vector<double>());
  }
  EXPECT_RUTILE_ERROR(norm(ramp(other)), kValue, message);
  EXPECT_RUTILE_ERROR(norm(ramp({4})), kValue, "expects [n,4,");
}

TEST(SpatialLayers, InstanceNormsTakeOneImage) {
  expect_one_image_as_a_batch<InstanceNorm1d>({4, 5}, {5, 4},
                                              "[InstanceNorm1d] expects [n,4,l] or [4,l], got");
  expect_one_image_as_a_batch<InstanceNorm2d>({4, 5, 3}, {5, 4, 3},
                                              "expects [n,4,h,w] or [4,h,w], got f64[5,4,3]");
  expect_one_image_as_a_batch<InstanceNorm3d>({4, 2, 5, 3}, {2, 4, 5, 3},
                                              "expects [n,4,d,h,w] or [4,d,h,w]");
  expect_near(make<InstanceNorm1d>(2)(ramp({2, 3})),
              {-1.1624650770221965, 1.2787115847244162, -0.11624650770221967, 1.2247356859083902,
               0.0, -1.2247356859083902});
  expect_near(make<InstanceNorm2d>(2)(ramp({2, 3, 2})),
              {-1.3930421357319775, 0.6965210678659888, -0.49751504847570627, 1.59204815512226,
               0.398012038780565, -0.79602407756113, 1.3619598544864238, 0.15132887272071374,
               -1.059302109044996, 1.059302109044996, -0.15132887272071374, -1.3619598544864238});
}

TEST(SpatialLayers, GroupNorm) {
  auto norm = make<GroupNorm>(2, 4);
  norm->to(DType::kF64);
  expect_near(norm(ramp({1, 4, 2})),
              {-1.3130570841643319, 0.5252228336657327, -0.5252228336657327, 1.3130570841643319,
               0.19999744004915102, -1.3999820803440566, 1.3999820803440568, -0.1999974400491509});
  EXPECT_EQ(norm->repr(), "GroupNorm(2, 4)");
  EXPECT_THROW(make<GroupNorm>(3, 4), Error);
  EXPECT_EQ(make<BatchNorm1d>(4)(Tensor::zeros({3, 4})).shape(), (Shape{3, 4}));
  EXPECT_EQ(make<BatchNorm3d>(4)(Tensor::zeros({3, 4, 2, 2, 2})).shape(), (Shape{3, 4, 2, 2, 2}));
  EXPECT_EQ(make<LocalResponseNorm>(3)(Tensor::zeros({1, 4, 5})).shape(), (Shape{1, 4, 5}));
}

TEST(SpatialLayers, SizesAndPadding) {
  const Tensor image = ramp({1, 4, 2, 3});
  EXPECT_EQ(make<Upsample>(UpsampleOptions{.scale_factor = 2})(image).shape(), (Shape{1, 4, 4, 6}));
  EXPECT_EQ(make<PixelShuffle>(2)(image).shape(), (Shape{1, 1, 4, 6}));
  EXPECT_EQ(make<PixelUnshuffle>(1)(image).shape(), image.shape());
  EXPECT_EQ(make<ChannelShuffle>(2)(image).shape(), image.shape());
  const Tensor columns = make<Unfold>(2, UnfoldOptions{.pad = 1})(image);
  EXPECT_EQ(columns.shape(), (Shape{1, 16, 12}));
  EXPECT_EQ(make<Fold>(Int2(2, 3), 2, FoldOptions{.pad = 1})(columns).shape(), image.shape());
  expect_near(make<ReflectionPad2d>(Dims{1, 2, 0, 1})(ramp({1, 1, 2, 3})),
              {0.5, -1.25, 0.5, -0.5, 0.5, -1.25, 0.25, 1.25, 0.25, -0.75, 0.25, 1.25, 0.5, -1.25,
               0.5, -0.5, 0.5, -1.25});
  EXPECT_EQ(make<ReplicationPad1d>(2)(ramp({1, 2, 3})).shape(), (Shape{1, 2, 7}));
  EXPECT_EQ(make<CircularPad3d>(1)(ramp({1, 1, 2, 2, 2})).shape(), (Shape{1, 1, 4, 4, 4}));
  auto constant = make<ConstantPad1d>(1, 7.5);
  expect_near(constant(ramp({1, 1, 1})), {7.5, -1.25, 7.5});
  EXPECT_EQ(constant->repr(), "ConstantPad1d([1,1], value=7.5)");
  EXPECT_THROW(make<ZeroPad2d>(Dims{1, 2, 3}), Error);
  EXPECT_THROW(make<ZeroPad2d>(1)(ramp({3})), Error);
}

}  // namespace
}  // namespace rutile::nn
