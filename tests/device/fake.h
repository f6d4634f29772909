// SPDX-License-Identifier: Apache-2.0
// The pretended device of the tests, and what its plugin lets them change.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "rutile/core/device_runtime.h"

namespace rutile::fake {

inline constexpr Device kFake{DeviceType::kFake, 0};
inline constexpr Device kOther{DeviceType::kFake, 1};

template <class Fn>
Fn* plugin_function(const char* name) {
  (void)device_runtime(kFake);
  void* self = dlopen("librutile_fake.so", RTLD_NOW | RTLD_NOLOAD);  // by the name it was built as
  void* fn = self ? dlsym(self, name) : nullptr;
  EXPECT_NE(fn, nullptr) << name << ": " << (fn ? "" : dlerror());
  return reinterpret_cast<Fn*>(fn);
}

// Work waits up to so long before it runs.
class DelayScope {
 public:
  explicit DelayScope(int microseconds) { set(microseconds); }
  ~DelayScope() { set(0); }
  DelayScope(const DelayScope&) = delete;
  DelayScope& operator=(const DelayScope&) = delete;

 private:
  static void set(int microseconds) {
    static auto* const fn = plugin_function<void(int)>("rutile_fake_set_delay");
    if (fn) fn(microseconds);
  }
};

// What was queued on all streams since the last call.
struct Queued {
  int64_t kernels = 0, graphs = 0, copies = 0;
};
inline Queued queued() {
  static auto* const fn = plugin_function<void(int64_t*)>("rutile_fake_counts");
  static int64_t before[3] = {};
  int64_t now[3] = {};
  if (fn) fn(now);
  const Queued q{now[0] - before[0], now[1] - before[1], now[2] - before[2]};
  std::copy(now, now + 3, before);
  return q;
}

// The device has no more memory than this.
class MemoryScope {
 public:
  MemoryScope(Device device, int64_t bytes) : device_(device) { set(bytes); }
  ~MemoryScope() { set(0); }
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

 private:
  void set(int64_t bytes) {
    static auto* const fn = plugin_function<void(int, int64_t)>("rutile_fake_set_memory");
    if (fn) fn(device_.index, bytes);
  }
  Device device_;
};

}  // namespace rutile::fake
