// SPDX-License-Identifier: Apache-2.0
// Which op this thread queues on a device, for errors in data that show when somebody waits. Set by
// what runs plans, read by plugins while they queue.
#pragma once

#include <string>

#include "rutile/core/api.h"

namespace rutile {

struct RunningOp {
  const char* name = nullptr;
  // The Cell's path or the origin, from what `at` and `in` point to.
  std::string (*place)(const void* at, const void* in) = nullptr;
  const void *at = nullptr, *in = nullptr;
};
// The thread's own.
RUTILE_API RunningOp& running_op();
// "gather in Cell Net.table"; empty where nothing was set.
RUTILE_API std::string running_op_text();

// Puts back what was set before.
class RunningOpScope {
 public:
  explicit RunningOpScope(const RunningOp& now) : before_(running_op()) { running_op() = now; }
  ~RunningOpScope() { running_op() = before_; }
  RunningOpScope(const RunningOpScope&) = delete;
  RunningOpScope& operator=(const RunningOpScope&) = delete;

 private:
  RunningOp before_;
};

}  // namespace rutile
