// SPDX-License-Identifier: Apache-2.0
// One line that shows where a run stands. On a terminal it is updated in place; elsewhere it is a
// plain line every few seconds and one at the end, without control characters.
//
//   train::Progress progress;
//   progress.start({.epochs = 3, .steps = 937, .total = 2811, .unit = "images"});
//   progress.update({.epoch = 1, .step = 12, .done = 12, .items = 64, .loss = 0.7});
//   progress.finish();
//   // epoch 1/3  step 12/937  loss 0.7000  352 images/s  8:11 left
//
// RUTILE_PROGRESS=0 shows nothing, =plain plain lines also on a terminal, =1 is the default.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "rutile/core/api.h"

namespace rutile::train {

enum class ProgressStyle : uint8_t { kAuto, kOff, kPlain, kTerminal };

struct ProgressOptions {
  std::FILE* file = stdout;
  ProgressStyle style = ProgressStyle::kAuto;  // by RUTILE_PROGRESS and what the file is
  double plain_period = 10;                    // seconds between two plain lines
  double terminal_period = 0.1;
};

// What is about to be done.
struct ProgressPhase {
  std::string label = "";  // instead of "epoch 1/3": "test"
  int64_t epochs = 0;      // 0: epochs are not shown
  int64_t steps = 0;       // of an epoch
  int64_t total = 0;       // steps of all epochs, for the time left
  std::string unit = "items";
};

struct ProgressPoint {
  int64_t epoch = 0;  // from 1
  int64_t step = 0;   // done in this epoch
  int64_t done = 0;   // of ProgressPhase::total
  int64_t items = 0;  // of this step
  std::optional<double> loss = {};
  bool last = false;  // of the epoch or phase: shown at once
};

// One thread at a time. A file that cannot be written to is no error.
class RUTILE_API Progress {
 public:
  // Throws Error{kValue} for a RUTILE_PROGRESS that it does not know.
  explicit Progress(ProgressOptions options = {});
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void start(ProgressPhase phase);
  void update(const ProgressPoint& point);
  // Leaves the line as it stands and goes to the next; done by the destructor, too. Anything else
  // that prints calls it before.
  void finish();
  ProgressStyle style() const { return options_.style; }

 private:
  using Clock = std::chrono::steady_clock;
  void measure(const ProgressPoint& point, Clock::time_point now);
  std::string line(const ProgressPoint& point) const;
  void show(const ProgressPoint& point);

  ProgressOptions options_;
  ProgressPhase phase_;
  ProgressPoint latest_;
  Clock::time_point last_update_, last_shown_;
  int updates_ = 0;
  bool open_ = false;     // the cursor stands in a line
  bool pending_ = false;  // latest_ is not shown yet
  // Sums over the last seconds, older ones fading out.
  double items_ = 0, steps_ = 0, seconds_ = 0;
};

}  // namespace rutile::train
