// SPDX-License-Identifier: Apache-2.0
// What came out of a run: as a table for people, as JSON for programs.
//
//   std::fputs(train::table(report).c_str(), stdout);
//   train::write_json("run.json", report);
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "rutile/core/api.h"

namespace rutile::train {

// Numbers that there are not are NaN; they are null in JSON and left out of the table.
struct RunReport {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::string program, network, dataset, precision, mode;
  int64_t parameters = 0, batch_size = 0, image_size = 0, threads = 0, epochs = 0;
  std::string unit = "images";
  int64_t steps = 0;  // measured ones
  int64_t total_steps = 0;
  double items_per_second = kNone;  // by the median step time
  double best_items_per_second = kNone;
  double step_ms = kNone;
  double first_step_s = kNone;
  double input_wait = kNone;  // share of the training time spent waiting for batches
  double peak_rss_mb = kNone, arena_mb = kNone;  // MiB
  double device_peak_mb = kNone;                 // MiB that tensors held on a device
  double kernels_per_step = kNone;
  double final_loss = kNone, test_loss = kNone, test_accuracy = kNone;
  double train_seconds = kNone, test_seconds = kNone, total_seconds = kNone;
  std::string checkpoint;
};

// One row a line, the title first.
RUTILE_API std::string table(const RunReport& report);
// One object; keys are the fields' names.
RUTILE_API std::string json(const RunReport& report);
// Replaces the file at once; throws Error{kIo}, {kNotFound}.
RUTILE_API void write_json(const std::string& path, const RunReport& report);

// Most memory this process has had so far, in MiB.
RUTILE_API double peak_rss_mb();

}  // namespace rutile::train
