// SPDX-License-Identifier: Apache-2.0
// Copies of one network on many ranks: made equal at the start, and looked at now and then.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rutile/ops/state.h"

namespace rutile::dist {

using NamedStates = std::vector<std::pair<std::string, Ref<State>>>;

// Every State becomes that of the root. Few messages: States of one dtype travel together.
RUTILE_API void broadcast_states(const NamedStates& states, int root = 0,
                                 const std::string& group = "world");

// Error{kRuntime} on every rank, naming the first State that is not the same bits everywhere and
// the ranks that differ from rank 0.
RUTILE_API void check_replicas(const NamedStates& states, const std::string& group = "world");

}  // namespace rutile::dist
