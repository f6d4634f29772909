// SPDX-License-Identifier: Apache-2.0
// The pretended device's own clock: each stream's time goes on by what its work takes (processor
// time of kernels, or what the work says), and by waiting for events of others. So it does not
// depend on what else this machine does, and streams run beside each other however few processors
// there are.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "rutile/core/device_plugin.h"

namespace rutile::fake {

// One piece of work; for tests, which read it by this layout.
struct Interval {
  int32_t stream = 0;  // StreamKind
  int32_t waits = 0;   // 1: for another stream
  const char* what = "";
  double begin = 0, end = 0;  // seconds
};

// Where a stream's timeline stands.
struct Place {
  StreamKind kind = StreamKind::kCompute;
  double now = 0;
};

class Timeline {
 public:
  static Timeline& get();
  // Forgets what was; nothing is kept while it is off.
  void set(bool on);
  bool on() const { return on_; }
  std::vector<Interval> intervals();

  // Of the work that runs in this thread.
  class Scope {
   public:
    explicit Scope(Place* place);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Place* const before_;
    double begin_cpu_ = 0;
    int64_t begin_ns_ = 0;
  };
  static void label(const char* what);
  static void spend(double seconds, const char* what);
  static double now();
  static Place* place();  // that this thread's work is on
  static void wait_until(double clock);

 private:
  friend class Scope;
  void add(Place& place, double seconds, bool waits, const char* what);
  std::atomic<bool> on_{false};
  std::mutex mutex_;
  std::vector<Interval> intervals_;
};

}  // namespace rutile::fake
