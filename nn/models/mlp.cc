// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/models/mlp.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::nn::models {

Mlp::Mlp(const MlpOptions& o)
    : fc1_(add<Linear>("fc1", o.inputs, o.hidden)),
      fc2_(add<Linear>("fc2", o.hidden, o.hidden)),
      fc3_(add<Linear>("fc3", o.hidden, o.classes)) {}

Tensor Mlp::construct(const Tensor& x) {
  const Tensor flat = x.rank() > 2 ? ops::flatten(x, 1) : x;
  return fc3_(ops::relu(fc2_(ops::relu(fc1_(flat)))));
}

}  // namespace rutile::nn::models
