// SPDX-License-Identifier: Apache-2.0
// What TensorBoard shows of a training: loss, learning rate, weights, the graph, and what the
// network records of itself (ops/record.h).
//
//   trainer.add(std::make_shared<train::SummaryCallback>("runs/today"));
#pragma once

#include <string>

#include "rutile/io/event_file.h"
#include "rutile/ops/record.h"
#include "rutile/train/trainer.h"

namespace rutile::train {

struct SummaryOptions {
  int64_t every_steps = 10;  // and the first one
  int histograms = 5;        // the first so many parameters
  bool graph = true;         // of a compiled step
  io::EventFileOptions file = {};
};

class RUTILE_API SummaryCallback final : public Callback {
 public:
  explicit SummaryCallback(const std::string& folder, SummaryOptions options = {});
  void on_train_begin(Trainer&) override { ops::start_recording(); }
  void on_step_end(Trainer& trainer, const StepInfo& info) override;
  void on_epoch_end(Trainer& trainer, const StepInfo& last, double mean_loss) override;
  void on_train_end(Trainer&) override;
  io::EventFile& file() { return file_; }

 private:
  SummaryOptions options_;
  io::EventFile file_;
  bool begun_ = false;
};

// Writes values by their kinds: "scalar", "image", "histogram", "tensor"; others are left out.
RUTILE_API void write_recorded(io::EventFile& file, int64_t step,
                               const std::vector<ops::Recorded>& values);

}  // namespace rutile::train
