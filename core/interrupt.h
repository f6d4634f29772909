// SPDX-License-Identifier: Apache-2.0
// Ctrl-C for programs that want to stop between two steps.
//
//   install_interrupt_handler();
//   while (step < steps) {
//     check_interrupt();   // throws Error{kInterrupted}
//     ++step;
//   }
#pragma once

#include "rutile/core/api.h"

namespace rutile {

// From now on the first SIGINT, SIGTERM or SIGHUP (a terminal that was closed) only raises a flag;
// a second one kills the process.
RUTILE_API void install_interrupt_handler();
RUTILE_API bool interrupted();
// Throws Error{kInterrupted} if a signal arrived.
RUTILE_API void check_interrupt();
// For long loops that give Status: as interrupted(), and what a language around the library has
// seen of signals, asked every 20 ms at most. Costs a look at the clock.
RUTILE_API bool stop_requested();
// That language's question, asked in the thread that loops; null: none.
RUTILE_API void set_interrupt_source(bool (*arrived)());
// Lowers the flag, and the next signal is a first one again.
RUTILE_API void clear_interrupt();

}  // namespace rutile
