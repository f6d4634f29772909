// SPDX-License-Identifier: Apache-2.0
// Marks memory that is kept for reuse as unreadable, where AddressSanitizer is on.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define RUTILE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RUTILE_ASAN 1
#endif
#endif
#ifndef RUTILE_ASAN
#define RUTILE_ASAN 0
#endif

#if RUTILE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace rutile {

inline constexpr bool kAddressSanitizer = RUTILE_ASAN;

inline void poison([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#if RUTILE_ASAN
  __asan_poison_memory_region(p, bytes);
#endif
}
inline void unpoison([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#if RUTILE_ASAN
  __asan_unpoison_memory_region(p, bytes);
#endif
}

}  // namespace rutile
