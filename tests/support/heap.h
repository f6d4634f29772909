// SPDX-License-Identifier: Apache-2.0
// Counts what a test program takes from the heap by operator new; heap.cc of that program defines
// the operators.
#pragma once

#include <cstdint>

namespace rutile {
int64_t heap_requests();
}  // namespace rutile
