// SPDX-License-Identifier: Apache-2.0
// Runs that leave no trace: explain and debug::verify replay steps that write States.
#pragma once

#include <utility>
#include <vector>

#include "rutile/graph/exec/program.h"

namespace rutile::graph {

// Holds the elements of all States that the program writes: runs then work on copies, and the end
// of the scope puts back what was held.
class StateGuard {
 public:
  explicit StateGuard(const Program& p) : p_(p), held_(p.graph->states.size()) {
    for (size_t i = 0; i < held_.size(); ++i) {
      const StateSlot& s = p.graph->states[i];
      if (p.state_written[i])
        held_[i] = s.state->elements(placement_of(p.graph->meta(s.in)), false);
    }
  }
  ~StateGuard() {
    for (size_t i = 0; i < held_.size(); ++i) {
      if (held_[i].defined()) p_.graph->states[i].state->wrote(std::move(held_[i]));
    }
  }
  StateGuard(const StateGuard&) = delete;
  StateGuard& operator=(const StateGuard&) = delete;

 private:
  const Program& p_;
  std::vector<Tensor> held_;
};

}  // namespace rutile::graph
