// SPDX-License-Identifier: Apache-2.0
// TensorBoard's event files: what a run writes while it trains and `tensorboard --logdir` shows.
//
//   io::EventFile events("runs/today");
//   events.add_scalar("loss", step, 0.25);
//   events.add_histogram("fc.weight", step, w);
//   events.flush();                              // done every few seconds and at the end, too
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "rutile/core/tensor.h"

namespace rutile::io {

struct EventFileOptions {
  std::string prefix = "events";  // of the name: <prefix>.out.tfevents.<seconds>.<host>.<pid>.<n>
  std::string suffix = {};        // behind it
  uint64_t max_bytes = 0;    // > 0: what would make the file larger is left out, with a warning
  double flush_seconds = 5;  // the most that a crash loses
};

// A new file in a folder, which is made where it is missing. Calls from several threads are fine.
// Tensors may have any strides, dtype and device. Errors: kIo where the system refuses, kRuntime
// after close().
class RUTILE_API EventFile {
 public:
  explicit EventFile(const std::string& folder, EventFileOptions options = {});
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void add_scalar(std::string_view tag, int64_t step, double value);
  // Counts in buckets that grow by 10 %; NaN and infinities are not counted.
  void add_histogram(std::string_view tag, int64_t step, const Tensor& values);
  // Images [n,c,h,w] (or one, [c,h,w]) with 1 or 3 channels, n of them side by side, 8 in a row.
  // u8 as it is; others in [0, 1] times 255, and beyond it their range spread over 0 to 255.
  void add_image(std::string_view tag, int64_t step, const Tensor& images);
  // Markdown.
  void add_text(std::string_view tag, int64_t step, std::string_view text);
  // The numbers themselves.
  void add_tensor(std::string_view tag, int64_t step, const Tensor& value);
  // A serialised tensorflow.GraphDef (train/graph_def.h).
  void add_graph(std::string_view graph_def);

  void flush();
  void close();
  const std::string& path() const { return path_; }

 private:
  void add_value(int64_t step, std::string_view value);
  void write(std::string_view event);
  void write_out();

  EventFileOptions options_;
  std::string path_, buffer_;
  std::mutex mutex_;
  uint64_t bytes_ = 0;
  int fd_ = -1;
  bool full_ = false;
  std::chrono::steady_clock::time_point last_flush_;
};

}  // namespace rutile::io
