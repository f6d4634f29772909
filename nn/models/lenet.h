// SPDX-License-Identifier: Apache-2.0
// LeNet-5 with ReLU and max pooling (LeCun et al., 1998): [n, channels, 32, 32] to [n, classes].
#pragma once

#include "rutile/nn/layers.h"

namespace rutile::nn::models {

struct LeNetOptions {
  int64_t channels = 1, classes = 10;
};

class RUTILE_API LeNet final : public Cell {
 public:
  explicit LeNet(const LeNetOptions& options = {});
  std::string type_name() const override { return "LeNet"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Ptr<Conv2d> conv1_, conv2_;
  Ptr<Linear> fc1_, fc2_, fc3_;
};

}  // namespace rutile::nn::models
