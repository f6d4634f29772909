// SPDX-License-Identifier: Apache-2.0
// Several hooks at a time over ops and sessions of a thread. They may end in any order, and their
// owners in any thread: the thread's list holds them, and forgets what has ended.
#pragma once

#include <atomic>
#include <memory>

#include "rutile/graph/exec/session.h"
#include "rutile/ops/call.h"

namespace rutile::graph {

class Observer : public RunHook, public SessionHook {
 public:
  // Nothing is called any more. Any thread, also behind the end of the one that observes.
  void end() { ended_.store(true, std::memory_order_release); }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> ended_{false};
};

// Behind those that observe the calling thread already.
void start_observer(std::shared_ptr<Observer> observer);
// Ends it, and takes it out of the calling thread's list if it is there.
void end_observer(Observer& observer);
// The calling thread's newest one that is wanted and has not ended; null without one.
Observer* find_observer(bool (*wanted)(const Observer&));

}  // namespace rutile::graph
