// SPDX-License-Identifier: Apache-2.0
// A multi-layer perceptron: 784 - 512 - 512 - 10 with ReLU. Input [n, ...] is flattened.
#pragma once

#include "rutile/nn/layers.h"

namespace rutile::nn::models {

struct MlpOptions {
  int64_t inputs = 784, hidden = 512, classes = 10;
};

class RUTILE_API Mlp final : public Cell {
 public:
  explicit Mlp(const MlpOptions& options = {});
  std::string type_name() const override { return "Mlp"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Ptr<Linear> fc1_, fc2_, fc3_;
};

}  // namespace rutile::nn::models
