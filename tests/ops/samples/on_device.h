// SPDX-License-Identifier: Apache-2.0
// Samples run on a device: forward, and the gradient by the tape.
#pragma once

#include <vector>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {

std::vector<Tensor> moved(const std::vector<Tensor>& in, Device device);
// The op's results. What it writes in place is copied before.
std::vector<Tensor> run_sample(const Sample& s, const std::vector<Tensor>& in);
// Whether the tape can differentiate the sample.
bool has_gradient(const Sample& s);
// Gradients of sum <c, y> by the differentiable inputs, c fixed, y the first output that has one.
std::vector<Tensor> gradient_of(const Sample& s, const std::vector<Tensor>& in);

}  // namespace rutile::samples
