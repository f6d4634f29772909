// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/models/lenet.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/view.h"

namespace rutile::nn::models {

LeNet::LeNet(const LeNetOptions& o)
    : conv1_(add<Conv2d>("conv1", o.channels, 6, 5)),
      conv2_(add<Conv2d>("conv2", 6, 16, 5)),
      fc1_(add<Linear>("fc1", 400, 120)),
      fc2_(add<Linear>("fc2", 120, 84)),
      fc3_(add<Linear>("fc3", 84, o.classes)) {}

Tensor LeNet::construct(const Tensor& x) {
  Tensor y = ops::max_pool2d(ops::relu(conv1_(x)), {.kernel = 2});
  y = ops::max_pool2d(ops::relu(conv2_(y)), {.kernel = 2});
  return fc3_(ops::relu(fc2_(ops::relu(fc1_(ops::flatten(y, 1))))));
}

}  // namespace rutile::nn::models
