// SPDX-License-Identifier: Apache-2.0
// Rematerialisation: memory for time. What backward reads is computed again beside its use instead
// of being kept since forward.
#pragma once

#include <string>
#include <string_view>

#include "rutile/graph/pass/pass.h"

namespace rutile::graph {

struct Remat {
  enum class Kind : uint8_t {
    kOff,
    kCheap,   // what memory bounds and frees at least a sixth of the bytes that rebuilding it moves
    kBudget,  // what frees most per millisecond, until the arena fits `bytes`
  };
  Kind kind = Kind::kOff;
  int64_t bytes = 0;
};
// "" and "off", "cheap", or a size: "900MB", "1.5GB", "943718400". Error kValue for anything else.
RUTILE_API Status parse_remat(std::string_view text, Remat* remat);

struct RematReport {
  int rebuilt = 0;                            // values
  int64_t bytes_before = 0, bytes_after = 0;  // most bytes alive at a time, workspaces not counted
  std::string dropped;                        // why the pass was dropped; empty if it was not
  double ms = 0;                              // estimated extra time of a step
};

// Stands in remat.cc, whose head says what it does. Results are the same bits with and without it.
RUTILE_API Status rematerialize(Graph& g, const Remat& how, RematReport* report);

}  // namespace rutile::graph
