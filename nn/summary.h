// SPDX-License-Identifier: Apache-2.0
// What a network is made of and what a call of it costs, by Cell.
//
//   std::cout << nn::summary(*net, {x}).text();
//
// A table with a line for each Cell: output, parameters, FLOPs and memory.
#pragma once

#include <string>
#include <vector>

#include "rutile/nn/cell.h"

namespace rutile::nn {

struct SummaryRow {
  std::string path, name, type;  // "layer1.0.conv1", "conv1", "Conv2d"
  int depth = 0;
  std::vector<TensorMeta> outputs;  // of the last call
  int calls = 0;
  // With everything below. Memory: bytes of all results of its ops (views have none of their own);
  // what a step holds at a time is less.
  int64_t parameters = 0, trainable = 0;
  double flops = 0, bytes = 0;
};

struct Summary {
  std::vector<SummaryRow> rows;  // in order of first call; the network itself first
  // A table, and the totals.
  RUTILE_API std::string text() const;
};

// Calls the network once on `inputs` in evaluation mode, without gradients.
RUTILE_API Summary summary(Cell& net, const std::vector<Tensor>& inputs);
// The same on zeros.
RUTILE_API Summary summary(Cell& net, const std::vector<TensorMeta>& inputs);

}  // namespace rutile::nn
