// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/evaluate.h"

#include <chrono>

#include "rutile/core/interrupt_hold.h"

namespace rutile::train {

Evaluation evaluate(nn::EvalStep& step, dataset::Pipeline& data, const EvaluateOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const int64_t batches = data.batches_per_epoch();
  Accuracy accuracy;
  Mean loss;
  Evaluation result;
  for (Metric* m : options.metrics) m->reset();
  if (options.progress) {
    options.progress->start(
        {.label = "test", .steps = batches, .total = batches, .unit = options.unit});
  }
  data.seek(0, 0);
  dataset::Batch batch;
  for (int64_t i = 0; i < batches && data.next(&batch); ++i) {
    check_interrupt_within_step();
    const Tensor outputs = step(batch.x());
    accuracy.update(outputs, batch.labels());
    for (Metric* m : options.metrics) m->update(outputs, batch.labels());
    if (options.loss) loss.add(options.loss(outputs, batch.labels()).item(), batch.size());
    result.samples += batch.size();
    if (options.progress) {
      options.progress->update({.step = i + 1,
                                .done = i + 1,
                                .items = batch.size() * options.items_per_sample,
                                .last = i + 1 == batches});
    }
  }
  if (options.progress) options.progress->finish();
  result.accuracy = accuracy.value();
  result.loss = loss.value();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace rutile::train
