// SPDX-License-Identifier: Apache-2.0
// Writing a file of states, for checkpoints of one file and of several.
#pragma once

#include <string>
#include <vector>

#include "rutile/train/checkpoint.h"
#include "rutile/train/checkpoint_format.h"

namespace rutile::train {

// Metadata get format, step and checksum; returns the checksum.
uint64_t write_states(const std::string& path, const std::vector<nn::NamedState>& states,
                      Metadata metadata, const char* format, int64_t step);

}  // namespace rutile::train
