// SPDX-License-Identifier: Apache-2.0
// Ctrl-C in a job of several ranks: a signal reaches them at different moments of different steps,
// or only some of them. They agree about the step after which all of them stop, so that they can
// write a checkpoint together.
//
//   dist::StopAgreement stop("world");
//   while (!stop.next(interrupted())) step(batch());   // all ranks leave after the same step
//   save_together();
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "rutile/core/interrupt_hold.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

// While one lives, an interrupt ends neither a collective nor a wait for data at once, but only
// after RUTILE_STOP_TIMEOUT seconds (60): the other ranks may hang.
class RUTILE_API StopAgreement {
 public:
  explicit StopAgreement(const std::string& group = "world");
  ~StopAgreement();
  StopAgreement(const StopAgreement&) = delete;
  StopAgreement& operator=(const StopAgreement&) = delete;

  // Before each step, on all ranks: true on all of them if any was asked to stop. Where steps are
  // short the answer is that of the call before, which travelled beside the step: one more is done.
  bool next(bool stop_here);

 private:
  struct Message;
  bool receive();
  std::shared_ptr<Communicator> group_;
  std::unique_ptr<Message> message_;  // at one place while it travels
  bool slow_ = false;                 // steps: on all ranks, by the slowest
  std::chrono::steady_clock::time_point last_;
  InterruptHold hold_;
};

}  // namespace rutile::dist
