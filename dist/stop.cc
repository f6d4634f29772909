// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/stop.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "rutile/core/interrupt.h"

namespace rutile::dist {

namespace {

using Clock = std::chrono::steady_clock;

// A message to all ranks and back takes 0.1 to 0.3 ms.
constexpr double kSlowStepSeconds = 0.05;

std::atomic<int> agreements{0};
std::atomic<int64_t> stop_seen_ns{0};  // 0: no interrupt was seen by who waits

double patience() {
  static const double seconds = [] {
    const char* text = std::getenv("RUTILE_STOP_TIMEOUT");
    char* end = nullptr;
    const double v = text ? std::strtod(text, &end) : 0;
    return text && end != text && *end == 0 && v >= 0 ? v : 60.0;
  }();
  return seconds;
}

}  // namespace

struct StopAgreement::Message {
  double value[2] = {};  // stop; seconds of the last step
  bool travels = false;
};

StopAgreement::StopAgreement(const std::string& group)
    : group_(communicator(group)), message_(std::make_unique<Message>()), last_(Clock::now()) {
  ++agreements;
}

StopAgreement::~StopAgreement() {
  // The group reads the message until it has come back.
  if (message_->travels && !group_->wait(message_->value).ok()) group_->drain();
  if (--agreements == 0) stop_seen_ns = 0;
}

bool StopAgreement::receive() {
  message_->travels = false;
  if (Status s = group_->wait(message_->value); !s.ok()) {
    group_->drain();
    throw_error(s.code(), s.message());
  }
  slow_ = message_->value[1] >= kSlowStepSeconds;
  return message_->value[0] > 0;
}

bool StopAgreement::next(bool stop_here) {
  if (group_->size() == 1) return stop_here;
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  if (message_->travels && receive()) return true;
  message_->value[0] = stop_here ? 1 : 0;
  message_->value[1] = seconds;
  throw_if_error(group_->start({.kind = CollectiveKind::kAllReduce,
                                .reduce = Reduce::kMax,
                                .dtype = DType::kF64,
                                .shape = {2},
                                .in = message_->value,
                                .out = message_->value}));
  message_->travels = true;
  return slow_ && receive();
}

bool interrupt_breaks_groups() {
  if (!stop_requested()) return false;
  if (agreements == 0) return true;
  const int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  int64_t seen = 0;
  if (stop_seen_ns.compare_exchange_strong(seen, now)) return patience() <= 0;
  return static_cast<double>(now - seen) * 1e-9 >= patience();
}

}  // namespace rutile::dist
