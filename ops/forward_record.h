// SPDX-License-Identifier: Apache-2.0
// A function that is called for its result and then again for its gradient, as MindSpore's steps
// do: loss = net(x); grads = grad(net)(x). The second run is the first one once more: running
// statistics count once, dropout draws the same masks, and in a trace both become the same nodes.
#pragma once

#include <functional>
#include <unordered_map>

#include "rutile/core/ref.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/state.h"

namespace rutile::ops {

class RUTILE_API ForwardRecord {
 public:
  // Runs fn and notes the States that it touches.
  void run(const std::function<void()>& fn);
  // Whether fn wrote any.
  bool wrote() const { return wrote_; }
  // Whether all are as fn left them.
  bool current() const;
  // Runs fn again: the States that the first run wrote are what they were before it, and what is
  // written to them stays inside.
  void replay(const std::function<void()>& fn) const;

 private:
  friend class Noting;
  struct Touched {
    Ref<State> state;
    Tensor before, after;  // of a written one
    Tensor seen;           // in a trace: what was read of the others
    bool written = false;
  };
  std::unordered_map<State*, Touched> states_;
  bool wrote_ = false;
  uint64_t writes_ = 0;  // of all States, after the run; 0 in a trace
};

}  // namespace rutile::ops
