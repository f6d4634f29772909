// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/summary.h"

#include <utility>

#include "rutile/train/graph_def.h"

namespace rutile::train {

void write_recorded(io::EventFile& file, int64_t step, const std::vector<ops::Recorded>& values) {
  for (const ops::Recorded& r : values) {
    if (r.kind == "scalar") {
      file.add_scalar(r.tag, step, r.value.item());
    } else if (r.kind == "image") {
      file.add_image(r.tag, step, r.value);
    } else if (r.kind == "histogram") {
      file.add_histogram(r.tag, step, r.value);
    } else if (r.kind == "tensor") {
      file.add_tensor(r.tag, step, r.value);
    }
  }
}

SummaryCallback::SummaryCallback(const std::string& folder, SummaryOptions options)
    : options_(std::move(options)), file_(folder, options_.file) {
  if (options_.every_steps <= 0) {
    throw_error(ErrorCode::kValue, cat("every_steps must be positive, got ", options_.every_steps));
  }
}

void SummaryCallback::on_step_end(Trainer& trainer, const StepInfo& info) {
  if (!begun_ && options_.graph) {
    graph::Compiled* compiled = trainer.step().compiled();
    if (compiled) file_.add_graph(graph_def(*compiled->session().program().graph));
  }
  const std::vector<ops::Recorded> recorded = ops::take_recorded();
  const bool due = !begun_ || info.step % options_.every_steps == 0;
  begun_ = true;
  if (!due) return;
  file_.add_scalar("loss", info.step, info.loss);
  file_.add_scalar("learning_rate", info.step, info.lr);
  write_recorded(file_, info.step, recorded);
  int left = options_.histograms;
  for (const auto& [name, parameter] : trainer.step().net().named_parameters()) {
    if (left-- <= 0) break;
    file_.add_histogram(name, info.step, parameter->value());
  }
}

void SummaryCallback::on_epoch_end(Trainer&, const StepInfo& last, double mean_loss) {
  file_.add_scalar("epoch_loss", last.epoch + 1, mean_loss);
  file_.flush();
}

void SummaryCallback::on_train_end(Trainer&) {
  ops::stop_recording();
  file_.flush();
}

}  // namespace rutile::train
