// SPDX-License-Identifier: Apache-2.0
// ResNet (He et al., "Deep residual learning for image recognition", 2016), v1.5: the stride stands
// in the 3x3 convolution. Names of parameters are torchvision's. Input [n, channels, h, w] to
// [n, classes]; resnet50() with 1000 classes has 25,557,032 parameters.
#pragma once

#include <array>

#include "rutile/nn/layers.h"

namespace rutile::nn::models {

struct ResNetOptions {
  std::array<int, 4> blocks{3, 4, 6, 3};
  bool bottleneck = true;  // false: two 3x3 convolutions a block (ResNet-18, -34)
  int64_t channels = 3, classes = 1000;
  bool zero_init_residual = false;  // the last norm of each block starts at zero
};

class RUTILE_API ResNet final : public Cell {
 public:
  explicit ResNet(const ResNetOptions& options = {});
  std::string type_name() const override { return "ResNet"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Ptr<Sequential> make_layer(const std::string& name, const ResNetOptions& options, int64_t planes,
                             int blocks, int64_t stride);
  int64_t in_planes_ = 64;
  Ptr<Conv2d> conv1_;
  Ptr<BatchNorm2d> bn1_;
  Ptr<MaxPool2d> maxpool_;
  std::array<Ptr<Sequential>, 4> layers_;
  Ptr<Linear> fc_;
};

struct ResNetHead {
  int64_t channels = 3, classes = 1000;
  bool zero_init_residual = false;
};
RUTILE_API Ptr<ResNet> resnet18(const ResNetHead& options = {});
RUTILE_API Ptr<ResNet> resnet50(const ResNetHead& options = {});

}  // namespace rutile::nn::models
