// SPDX-License-Identifier: Apache-2.0
// The host's caching allocator.
//
// A request is rounded up to a size class (eight per octave), and a block serves only its class.
// Small blocks go through a cache per thread, everything else through one list per class. Blocks of
// 2 MiB and more are mapped on huge pages. What is cached stays below the highest number of live
// bytes so far (at least 64 MiB); beyond it the blocks freed longest ago go back to the system.
// Statistics count whole blocks: live and cached bytes add up to what the system gave.
#pragma once

#include <cstddef>
#include <string>

#include "rutile/core/allocator.h"

namespace rutile {

RUTILE_API Allocator& cpu_allocator();

namespace detail {

// Bytes of the block that serves a request of 1 to 2^47 bytes.
RUTILE_API size_t cpu_block_bytes(size_t requested);
// Asks the system for the pages of a large block, on all threads at once: their first touch costs
// about a second a GiB, and kernels that touch them one after the other wait for it longer.
RUTILE_API void touch_pages(void* p, size_t bytes) noexcept;
// 1.50 GiB
RUTILE_API std::string format_bytes(int64_t bytes);

}  // namespace detail
}  // namespace rutile
