// SPDX-License-Identifier: Apache-2.0
// Evaluation over a whole data set, the last batch of fewer samples included.
//
//   nn::EvalStep eval(net, {.mode = nn::Mode::kGraph});
//   train::Evaluation e = train::evaluate(eval, test_pipeline, {.loss = nn::CrossEntropyLoss()});
//   e.accuracy;   // of all 10,000 images
#pragma once

#include <vector>

#include "rutile/dataset/pipeline.h"
#include "rutile/nn/train_step.h"
#include "rutile/train/metrics.h"
#include "rutile/train/progress.h"

namespace rutile::train {

struct EvaluateOptions {
  nn::LossFn loss = {};  // none: no mean loss
  // Updated besides accuracy; not owned. They are reset at the begin.
  std::vector<Metric*> metrics = {};
  Progress* progress = nullptr;  // shows it
  std::string unit = "images";
  int64_t items_per_sample = 1;
};

struct Evaluation {
  double accuracy = 0;
  double loss = 0;  // mean over samples; NaN without EvaluateOptions::loss
  int64_t samples = 0;
  double seconds = 0;
};

// One epoch of `data` from its begin. Throws Error{kInterrupted} after an interrupt.
RUTILE_API Evaluation evaluate(nn::EvalStep& step, dataset::Pipeline& data,
                               const EvaluateOptions& options = {});

}  // namespace rutile::train
