// SPDX-License-Identifier: Apache-2.0
// Shared by what prints the IR, and its parser.
#pragma once

#include <string>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

inline constexpr int64_t kMaxPrintedConstant = 16;

// "f32[2,3]" with the placement behind it where it is not row-major.
std::string meta_text(const TensorMeta& m);
// Element i in row-major order of a small tensor.
double element_as_double(const Tensor& t, int64_t i);

// "layer1.0.bn1 (resnet.cc:71)": the Cell, or else the op as the user called it, and the line.
std::string origin_text(const Graph& g, const Node& n);

}  // namespace rutile::graph
