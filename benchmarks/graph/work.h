// SPDX-License-Identifier: Apache-2.0
// The networks that the programs train, on random batches.
#pragma once

#include <memory>
#include <string>

#include "rutile/nn/train_step.h"

namespace rutile::bench {

struct Work {
  nn::CellPtr net;
  std::shared_ptr<nn::optim::Optimizer> optimizer;
  Tensor x, y;
  int64_t items = 0;  // images or tokens in a step
};

// "resnet50", "lenet", "mlp" or "gpt"; `size` is the image's (the number of tokens of a gpt).
Work make_work(const std::string& network, int64_t batch, int64_t size);
nn::TrainStep make_step(const Work& work, bool bf16, const std::string& passes_off = {});

// The limit of each network of docs/benchmarks.md and what is above it, as Markdown: printed, or
// put between the markers of `page`.
void write_limits(const std::string& page);

}  // namespace rutile::bench
