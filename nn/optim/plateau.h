// SPDX-License-Identifier: Apache-2.0
// A learning rate that shrinks when a measure stops getting better. Unlike a Schedule it depends on
// what happens, so it is told after each epoch or evaluation.
//
//   optim::ReduceOnPlateau plateau(optimizer, {.factor = 0.5, .patience = 3});
//   for (int epoch = 0; epoch < 90; ++epoch) plateau.observe(validation_loss(epoch));
#pragma once

#include <memory>
#include <vector>

#include "rutile/nn/optim/optimizer.h"

namespace rutile::nn::optim {

struct PlateauOptions {
  double factor = 0.1;
  int64_t patience = 10;    // observations without gain that are borne
  double threshold = 1e-4;  // what counts as gain: a part of the best one, or
  bool absolute = false;    // a difference
  bool larger_is_better = false;
  int64_t cooldown = 0;  // observations after a reduction that do not count
  double min_lr = 0;
  double eps = 1e-8;  // a smaller change of the rate is not made
};

// The same decisions as PyTorch's ReduceLROnPlateau. Not for an optimizer with a schedule, which
// would write over the rate (Error{kValue}).
class RUTILE_API ReduceOnPlateau {
 public:
  explicit ReduceOnPlateau(std::shared_ptr<Optimizer> optimizer, PlateauOptions options = {});
  // Takes the next value of the measure; true if the rate was reduced. NaN is no gain.
  bool observe(double value);
  double best() const { return best_->concrete().item(); }
  // "best", "waited", "cooling": for checkpoints.
  std::vector<NamedState> named_states() const;

 private:
  bool better(double value) const;
  std::shared_ptr<Optimizer> optimizer_;
  PlateauOptions options_;
  Ref<State> best_, waited_, cooling_;
};

}  // namespace rutile::nn::optim
