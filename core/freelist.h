// SPDX-License-Identifier: Apache-2.0
// Blocks of one size kept per thread: taking or giving one back costs a few nanoseconds. Blocks may
// be given back on another thread; what exceeds a thread's share moves to a common store in
// batches, and what exceeds that goes back to the system.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>

#include "rutile/core/sanitizer.h"

namespace rutile {

template <size_t kSize, size_t kAlign>
class FreeList {
 public:
  static void* take() {
    if constexpr (kAddressSanitizer) return from_system();  // else it could not see use after free
    Local& local = local_;
    if (local.head == nullptr && !refill(&local)) return from_system();
    Node* n = local.head;
    local.head = n->next;
    --local.count;
    return n;
  }

  static void give(void* p) noexcept {
    Local& local = local_;
    if (kAddressSanitizer || local.state == State::kDead) return to_system(p);
    if (local.count == kMaxLocal || local.state == State::kNew) make_room(&local);
    push(p, &local.head);
    ++local.count;
  }

 private:
  static constexpr int kMaxLocal = 128;
  static constexpr int kBatch = kMaxLocal / 2;
  static constexpr int kMaxCommon = 4096;
  static_assert(kSize >= sizeof(void*) && kSize % kAlign == 0);

  struct Node {
    Node* next;
  };
  enum class State : unsigned char { kNew, kLive, kDead };
  // Constant-initialised and trivially destroyed, so that access needs no guard.
  struct Local {
    Node* head = nullptr;
    int count = 0;
    State state = State::kNew;
  };
  // Empties the list when its thread ends; what comes after that goes to the system.
  struct AtExit {
    ~AtExit() {
      flush(&local_, local_.count);
      local_.state = State::kDead;
    }
  };
  struct Common {
    std::mutex mutex;
    Node* head = nullptr;
    int count = 0;
  };

  static void* from_system() { return ::operator new(kSize, std::align_val_t(kAlign)); }
  static void to_system(void* p) noexcept { ::operator delete(p, std::align_val_t(kAlign)); }
  static void push(void* p, Node** head) { *head = ::new (p) Node{*head}; }

  static Common& common() {
    static Common* const c = new Common;  // outlives every thread
    return *c;
  }

  static bool refill(Local* local) {
    if (local->state == State::kDead) return false;
    enter(local);
    Common& c = common();
    std::lock_guard lock(c.mutex);
    while (local->count < kBatch && c.head != nullptr) {
      Node* n = c.head;
      c.head = n->next;
      --c.count;
      push(n, &local->head);
      ++local->count;
    }
    return local->head != nullptr;
  }

  static void enter(Local* local) {
    if (local->state == State::kLive) return;
    thread_local AtExit at_exit;
    (void)at_exit;
    local->state = State::kLive;
  }

  static void make_room(Local* local) noexcept {
    enter(local);
    if (local->count == kMaxLocal) flush(local, kBatch);
  }

  static void flush(Local* local, int n) noexcept {
    if (n == 0) return;
    Common& c = common();
    std::lock_guard lock(c.mutex);
    for (; n > 0; --n) {
      Node* node = local->head;
      local->head = node->next;
      --local->count;
      if (c.count < kMaxCommon) {
        push(node, &c.head);
        ++c.count;
      } else {
        to_system(node);
      }
    }
  }

  static inline constinit thread_local Local local_;
};

}  // namespace rutile
