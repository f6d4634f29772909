// SPDX-License-Identifier: Apache-2.0
// First values and checks that layers share.
#pragma once

#include <string>

#include "rutile/nn/layers.h"

namespace rutile::nn {

// PyTorch's default: uniform within 1 / sqrt(fan_in), for weight and bias.
Tensor default_weight(const Shape& shape);
Tensor default_bias(int64_t size, const Shape& weight);
// From `init` where there is one; Error{kValue} if it gives another shape.
Tensor first_weight(const Shape& shape, const WeightInit& init,
                    Tensor (*otherwise)(const Shape&) = default_weight);
Tensor value_or_none(const ParameterPtr& p);
// Error{kValue} "[type] what must be positive" otherwise.
void need_positive(const char* type, const char* what, int64_t v);
// Error{kValue} "[type] what | in Cell ..." of the Cell that is being called.
[[noreturn]] void refuse(const std::string& type, const std::string& what);
// Channels, kernel and groups of a convolution.
void check_conv(const char* type, int64_t in, int64_t out, const Dims& kernel, int64_t groups);

}  // namespace rutile::nn
