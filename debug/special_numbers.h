// SPDX-License-Identifier: Apache-2.0
// Counts NaNs and infinities in memory.
#pragma once

#include <cstdint>
#include <string>

#include "rutile/core/meta.h"

namespace rutile::debug {

struct SpecialNumbers {
  int64_t nan = 0, inf = 0;
  int64_t first = -1;  // offset of the first one in memory, in elements
};

// Of a tensor's elements; none for integers and bool.
SpecialNumbers count_special(const TensorMeta& meta, const void* data, bool nan, bool inf);
// "1 nan and 2 inf among 30 elements, the first at [0,3]"
std::string to_string(const SpecialNumbers& s, const TensorMeta& meta);

}  // namespace rutile::debug
