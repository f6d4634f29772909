// SPDX-License-Identifier: Apache-2.0
// What all programs do with a network and data: train, save, resume, test, report.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rutile/apps/support/data.h"
#include "rutile/apps/support/options.h"
#include "rutile/nn/optim/optimizer.h"

namespace rutile::apps {

struct Work {
  std::string network;  // "ResNet-50"
  nn::CellPtr net;
  nn::LossFn loss;
  std::shared_ptr<nn::optim::Optimizer> optimizer;  // with its schedule
  std::string unit = "images";
  int64_t items_per_sample = 1;
  std::function<void()> before_last_line = {};  // prints something more
};

// Prints the table of the run and, where there is a test set, a last line "test accuracy: 0.8712".
void train_and_report(const Options& options, Data& data, const Work& work);

}  // namespace rutile::apps
