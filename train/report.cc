// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/report.h"

#include <sys/resource.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "rutile/core/strings.h"
#include "rutile/io/file.h"
#include "rutile/train/text.h"

namespace rutile::train {
namespace {

constexpr size_t kNameWidth = 18;

class Rows {
 public:
  explicit Rows(const std::string& title) : text_(title + "\n") {}
  void add(const std::string& name, const std::string& value) {
    if (value.empty()) return;
    text_ += cat("  ", name, std::string(kNameWidth - std::min(name.size(), kNameWidth - 1), ' '),
                 value, "\n");
  }
  // Nothing for what is no number.
  void add(const std::string& name, double number, const std::string& text) {
    if (!std::isnan(number)) add(name, text);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string times(const RunReport& r) {
  std::string parts;
  const auto add = [&parts](double seconds, const char* what) {
    if (std::isnan(seconds)) return;
    parts += cat(parts.empty() ? "" : ", ", what, " ", fixed(seconds, 1), " s");
  };
  add(r.train_seconds, "training");
  add(r.test_seconds, "evaluation");
  if (std::isnan(r.total_seconds)) return parts;
  const std::string all = cat(fixed(r.total_seconds, 1), " s");
  return parts.empty() ? all : cat(all, " (", parts, ")");
}

}  // namespace

std::string table(const RunReport& r) {
  Rows rows(cat(r.network, " on ", r.dataset));
  rows.add("parameters", grouped(r.parameters));
  const bool low = r.precision == "bf16" || r.precision == "fp16";
  rows.add("precision", low ? r.precision + ", fp32 master weights" : r.precision);
  rows.add("mode", cat(r.mode, ", ", r.threads, r.threads == 1 ? " thread" : " threads"));
  rows.add("batch size", grouped(r.batch_size));
  if (r.epochs > 0) rows.add("epochs", grouped(r.epochs));
  rows.add("steps", r.steps == r.total_steps
                        ? grouped(r.total_steps)
                        : cat(grouped(r.total_steps), " (", grouped(r.steps), " measured)"));
  rows.add(
      r.unit + "/s", r.items_per_second,
      cat(readable(r.items_per_second), " median, ", readable(r.best_items_per_second), " best"));
  rows.add("step", r.step_ms, cat(readable(r.step_ms), " ms"));
  rows.add("first step", r.first_step_s, cat(fixed(r.first_step_s, 2), " s"));
  rows.add("input wait", r.input_wait, cat(fixed(100 * r.input_wait, 1), " %"));
  rows.add("peak memory", r.peak_rss_mb, cat(readable(r.peak_rss_mb), " MiB"));
  rows.add("device memory", r.device_peak_mb, cat(readable(r.device_peak_mb), " MiB"));
  rows.add("arena", r.arena_mb, cat(readable(r.arena_mb), " MiB"));
  rows.add("kernels per step", r.kernels_per_step, fixed(r.kernels_per_step, 0));
  rows.add("final loss", r.final_loss, fixed(r.final_loss, 4));
  rows.add("test loss", r.test_loss, fixed(r.test_loss, 4));
  rows.add("test accuracy", r.test_accuracy, fixed(r.test_accuracy, 4));
  rows.add("time", times(r));
  rows.add("checkpoint", r.checkpoint);
  return rows.text();
}

std::string json(const RunReport& r) {
  nlohmann::ordered_json j;  // writes null for what is no number
  j["program"] = r.program;
  j["network"] = r.network;
  j["dataset"] = r.dataset;
  j["precision"] = r.precision;
  j["mode"] = r.mode;
  j["batch_size"] = r.batch_size;
  j["image_size"] = r.image_size;
  j["threads"] = r.threads;
  j["parameters"] = r.parameters;
  j["items"] = r.unit;
  j["items_per_second"] = r.items_per_second;
  j["best_items_per_second"] = r.best_items_per_second;
  j["step_ms"] = r.step_ms;
  j["first_step_s"] = r.first_step_s;
  j["steps"] = r.steps;
  j["total_steps"] = r.total_steps;
  j["input_wait"] = r.input_wait;
  j["final_loss"] = r.final_loss;
  j["test_loss"] = r.test_loss;
  j["test_accuracy"] = r.test_accuracy;
  j["train_seconds"] = r.train_seconds;
  j["test_seconds"] = r.test_seconds;
  j["total_seconds"] = r.total_seconds;
  j["peak_rss_mb"] = r.peak_rss_mb;
  j["device_peak_mb"] = r.device_peak_mb;
  j["arena_mb"] = r.arena_mb;
  j["kernels_per_step"] = r.kernels_per_step;
  if (!r.checkpoint.empty()) j["checkpoint"] = r.checkpoint;
  // Names of folders may be no UTF-8.
  return j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void write_json(const std::string& path, const RunReport& report) {
  const std::string text = json(report);
  io::atomic_write(path, [&text](io::FileWriter& out) { out.write(text); });
}

double peak_rss_mb() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace rutile::train
