// SPDX-License-Identifier: Apache-2.0
// The numbers that README.md describes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "rutile/nn/cell.h"

namespace rutile::golden {

inline constexpr int kSketches = 16;

// The JSON file of that name in tests/golden.
nlohmann::json read_golden(const std::string& name);

// The network with its parameters set.
nn::CellPtr build(const std::string& network, DType dtype, bool zero_init_residual);
struct Batch {
  Tensor x, y;
};
Batch make_batch(const std::string& network, int64_t size, int step, DType dtype);

// Sums of the elements (f64) with the signs that belong to `name`.
std::vector<double> sketch(const std::string& name, const std::vector<double>& values);
double norm(const std::vector<double>& values);
// Elements as f64.
std::vector<double> doubles(const Tensor& t);

}  // namespace rutile::golden
