// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/post_ops.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using ops::Activation;
using ops::Conv2dActAttrs;
using ops::LinearActAttrs;

constexpr Activation kActivations[] = {
    Activation::kNone,    Activation::kRelu, Activation::kRelu6,
    Activation::kSigmoid, Activation::kSilu, Activation::kHswish,
    Activation::kTanh,    Activation::kGelu, Activation::kGeluTanh};

// The kernel rounds once, the composition after each op.
void tolerance(SampleGroup group, Activation act = Activation::kSilu) {
  for (const Activation kinked : {Activation::kRelu, Activation::kRelu6, Activation::kHswish}) {
    if (act == kinked) group.no_gradient("differences across the activation's kinks say nothing");
  }
  group.dtypes(kFloats)
      .tolerance(DType::kF32, 1e-4)
      .tolerance(DType::kF64, 1e-11)
      .tolerance(DType::kBF16, 6e-2)
      .tolerance(DType::kF16, 1e-2);
}

RUTILE_SAMPLES(conv2d_act) {
  for (const Activation act : kActivations) {
    Conv2dActAttrs a;
    a.pad = 1;
    a.act = act;
    tolerance(s.add({in({2, 16, 5, 4}), in({32, 16, 3, 3}), in({32}), in({2, 32, 5, 4})}, a)
                  .name("residual"),
              act);
    tolerance(s.add({in({2, 6, 5, 4}), in({37, 6, 3, 3})}, a).name("activation alone"), act);
  }
  Conv2dActAttrs a;
  a.act = Activation::kSilu;
  for (const int64_t c : {1, 6, 37}) {
    tolerance(s.add({in({2, c, 4, 3}).channels_last(), in({c, c, 1, 1}), in({c}),
                     in({2, c, 4, 3}).channels_last()},
                    a));
    tolerance(s.add({in({2, c, 4, 3}), in({c, c, 1, 1}), in({c}), in({2, c, 4, 3}).gaps()}, a));
    tolerance(s.add({in({2, c, 4, 3}), in({c, c, 1, 1}), in({c}), in({2, c, 4, 3}).expanded()}, a));
    // Strides that oneDNN does not describe.
    tolerance(s.add({in({4, c, 4, 2}), in({c, c, 1, 1}), in({c}), in({4, c, 4, 2}).tight()}, a));
    tolerance(s.add({in({4, c, 4, 2}).tight(), in({c, c, 1, 1}).tight(), in({c})}, a));
  }
  Conv2dActAttrs depthwise = a;
  depthwise.groups = 6;
  tolerance(s.add({in({2, 6, 4, 4}), in({6, 1, 3, 3}), in({6}), in({2, 6, 2, 2})}, depthwise));
  tolerance(s.add({in({0, 3, 5, 5}), in({4, 3, 3, 3}), in({4}), in({0, 4, 3, 3})}, a));
  for (const DType t : {DType::kBF16, DType::kF16}) {
    s.add({in({1, 4, 5, 5}).as(t), in({4, 4, 3, 3}).as(t), in({4}).as(DType::kF32),
           in({1, 4, 3, 3}).as(t)},
          a)
        .name("bias in f32")
        .tolerance(DType::kF32, 6e-2);
  }
  s.error({in({1, 3, 8, 8}), in({4, 3, 3, 3}), in({3})}, ErrorCode::kValue,
          "bias expects shape [4]");
  s.error({in({1, 3, 8, 8}), in({4, 3, 3, 3}), in({4}), in({1, 4, 8, 8})}, ErrorCode::kValue,
          "residual expects");
  s.error({in({1, 3, 8, 8}), in({4, 3, 3, 3}).as(DType::kF64)}, ErrorCode::kType, "one dtype");
  s.error({in({1, 3, 8, 8}).as(DType::kI32), in({4, 3, 3, 3}).as(DType::kI32)}, ErrorCode::kType,
          "floating");
}

RUTILE_SAMPLES(linear_act) {
  for (const Activation act : kActivations) {
    LinearActAttrs a;
    a.act = act;
    tolerance(s.add({in({33, 40}), in({37, 40}), in({37}), in({33, 37})}, a).name("residual"), act);
    tolerance(s.add({in({5, 6}), in({7, 6})}, a).name("activation alone"), act);
  }
  LinearActAttrs a;
  a.act = Activation::kSilu;
  tolerance(s.add({in({3, 17, 20}), in({30, 20}), in({30}), in({3, 17, 30})}, a));
  tolerance(
      s.add({in({64, 33}).gaps(), in({40, 33}).transposed(), in({40}), in({64, 40}).gaps()}, a));
  tolerance(s.add({in({0, 6}), in({7, 6}), in({7}), in({0, 7})}, a));
  tolerance(s.add({in({6}), in({7, 6}), in({7}), in({7})}, a));
  s.add({in({33, 40}).as(DType::kBF16), in({37, 40}).as(DType::kBF16), in({37}).as(DType::kF32)}, a)
      .name("bias in f32")
      .tolerance(DType::kF32, 6e-2);
  s.error({in({5, 6}), in({7, 6}), in({7}), in({5, 6})}, ErrorCode::kValue, "residual expects");
  s.error({in({5, 6}), in({7, 5})}, ErrorCode::kValue, "");
}

}  // namespace
}  // namespace rutile::samples
