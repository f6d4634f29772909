// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/stop.h"

namespace rutile::dist {

namespace {

using Clock = std::chrono::steady_clock;

// A message to all ranks and back takes 0.1 to 0.3 ms.
constexpr double kSlowStepSeconds = 0.05;

}  // namespace

struct StopAgreement::Message {
  double value[2] = {};  // stop; seconds of the last step
  bool travels = false;
};

StopAgreement::StopAgreement(const std::string& group)
    : group_(communicator(group)), message_(std::make_unique<Message>()), last_(Clock::now()) {}

StopAgreement::~StopAgreement() {
  // The group reads the message until it has come back.
  if (message_->travels && !group_->wait(message_->value).ok()) group_->drain();
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

}  // namespace rutile::dist
