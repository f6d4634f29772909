// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/interrupt.h"

#include <csignal>

#include <atomic>
#include <chrono>
#include <cstdint>

#include "rutile/core/error.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/core/seconds_setting.h"

namespace rutile {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler uses it");

std::atomic<bool (*)()> g_source{nullptr};

std::atomic<bool> g_deferred{false};  // the source told of one that was held, and tells it once

std::atomic<int> g_holds{0};
std::atomic<int64_t> g_seen_ns{0};  // when somebody asked first about a held interrupt; 0: nobody

// Throws where the variable is wrong, and only then: who holds has asked first.
double hold_seconds() {
  static const double seconds = seconds_setting("RUTILE_STOP_TIMEOUT", 0, 60, 0);
  return seconds;
}

bool held() {
  if (g_holds == 0) return false;
  const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::steady_clock::now().time_since_epoch())
                          .count();
  int64_t seen = 0;
  if (g_seen_ns.compare_exchange_strong(seen, now)) seen = now;
  return static_cast<double>(now - seen) * 1e-9 < hold_seconds();
}

void on_signal(int number) {
  if (g_signal.exchange(number) == 0) return;
  // The default action, so that the parent sees a death by this signal.
  std::signal(number, SIG_DFL);
  std::raise(number);
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // readers of files need not know
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // Not if nohup has it ignored.
  struct sigaction hangup = {};
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
    sigaction(SIGHUP, &action, nullptr);
  }
}

bool interrupted() { return g_signal.load(std::memory_order_relaxed) != 0; }

void check_interrupt() {
  const int number = g_signal.load(std::memory_order_relaxed);
  if (number == 0) return;
  throw_error(ErrorCode::kInterrupted, number == SIGTERM  ? "interrupted by SIGTERM"
                                       : number == SIGHUP ? "interrupted by SIGHUP"
                                                          : "interrupted by Ctrl-C");
}

bool stop_requested() {
  using Clock = std::chrono::steady_clock;
  static thread_local Clock::time_point next{};
  if (interrupted() || g_deferred.exchange(false)) return true;
  const Clock::time_point now = Clock::now();
  if (now < next) return false;
  next = now + std::chrono::milliseconds(20);
  bool (*const source)() = g_source.load();
  return source && source();
}

InterruptHold::InterruptHold() {
  hold_seconds();
  ++g_holds;
}
InterruptHold::~InterruptHold() {
  if (--g_holds == 0) g_seen_ns = 0;
}

bool stop_within_step() {
  if (!stop_requested()) return false;
  if (!held()) return true;
  if (!interrupted()) g_deferred = true;
  return false;
}

void check_interrupt_within_step() {
  if (interrupted() && !held()) check_interrupt();
}

void set_interrupt_source(bool (*arrived)()) {
  g_source.store(arrived);
  g_deferred = false;
}

void clear_interrupt() {
  g_signal.store(0);
  g_deferred = false;
}

}  // namespace rutile
