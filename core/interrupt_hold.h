// SPDX-License-Identifier: Apache-2.0
// Who stops only between two steps, because others have to stop there, too, holds interrupts back:
// what waits or loops within a step then goes on, and interrupted() tells the holder.
#pragma once

#include "rutile/core/api.h"

namespace rutile {

// An interrupt is held for RUTILE_STOP_TIMEOUT seconds (60) from the first time that somebody asks.
class RUTILE_API InterruptHold {
 public:
  InterruptHold();
  ~InterruptHold();
  InterruptHold(const InterruptHold&) = delete;
  InterruptHold& operator=(const InterruptHold&) = delete;
};

// For loops within a step that give Status: stop_requested(), but false while it is held.
RUTILE_API bool stop_within_step();
// Throws Error{kInterrupted} if a signal arrived that is not held.
RUTILE_API void check_interrupt_within_step();

}  // namespace rutile
