// SPDX-License-Identifier: Apache-2.0
// Checks gradients against central differences in float64. For authors of ops and of functions with
// custom gradients.
//
//   Status s = check_gradients(
//       [](const std::vector<Tensor>& x) { return std::vector<Tensor>{ops::mul(x[0], x[1])}; },
//       {a, b});                                   // f64 tensors
//   if (!s.ok()) puts(s.message().c_str());        // "input 1, element [0,2]: the gradient is ..."
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rutile/core/error.h"
#include "rutile/core/tensor.h"

namespace rutile {

struct GradCheckOptions {
  // Differences are f(x +- h d) and f(x +- 2h d): their error is of order h^4.
  double step = 1e-4;
  double rtol = 1e-6, atol = 1e-7;
  // Single elements compared per input (all of a smaller one); beyond them `directions` random
  // directions cover every element at once.
  int max_elements = 16;
  int directions = 2;
  // Also checks the gradient's own gradient, by the inputs and by the outputs' gradients.
  bool second_order = false;
  uint64_t seed = 1;
};

// `fn` maps `inputs` (floating, all f64, any strides) to tensors; the check is of sum_i <c_i, y_i>
// with random c_i over its floating outputs. It must be deterministic and smooth around the inputs.
// Error kValue names the first input and element that disagree; errors of fn are passed on.
RUTILE_API Status
check_gradients(const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& fn,
                const std::vector<Tensor>& inputs, const GradCheckOptions& options = {});

}  // namespace rutile
