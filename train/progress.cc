// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "rutile/core/error.h"
#include "rutile/train/text.h"

namespace rutile::train {
namespace {

constexpr double kFadeSeconds = 8;
constexpr char kClearToEnd[] = "\x1b[K";

bool is_terminal(std::FILE* file) {
  if (::isatty(::fileno(file)) == 0) return false;
  const char* kind = std::getenv("TERM");
  return kind != nullptr && *kind != '\0' && std::string_view(kind) != "dumb";
}

ProgressStyle resolve(const ProgressOptions& options) {
  if (options.style != ProgressStyle::kAuto) return options.style;
  const char* env = std::getenv("RUTILE_PROGRESS");
  const std::string_view wish = env == nullptr ? "" : env;
  if (wish == "0") return ProgressStyle::kOff;
  if (wish == "plain") return ProgressStyle::kPlain;
  if (!wish.empty() && wish != "1") {
    throw_error(ErrorCode::kValue, cat("RUTILE_PROGRESS is 0, 1 or plain, not '", wish, "'"));
  }
  return is_terminal(options.file) ? ProgressStyle::kTerminal : ProgressStyle::kPlain;
}

size_t columns(std::FILE* file) {
  winsize size{};
  if (::ioctl(::fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 80;
  return size.ws_col;
}

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

Progress::Progress(ProgressOptions options) : options_(options) {
  options_.style = resolve(options);
}

void Progress::start(ProgressPhase phase) {
  finish();
  phase_ = std::move(phase);
  last_update_ = last_shown_ = Clock::now();
  updates_ = 0;
  items_ = steps_ = seconds_ = 0;
}

void Progress::measure(const ProgressPoint& point, Clock::time_point now) {
  const double took = std::max(seconds_between(last_update_, now), 1e-9);
  last_update_ = now;
  // The first step compiles; it says nothing about the next ones.
  if (updates_++ == 0) return;
  const double keep = std::exp(-took / kFadeSeconds);
  items_ = items_ * keep + static_cast<double>(point.items);
  steps_ = steps_ * keep + 1;
  seconds_ = seconds_ * keep + took;
}

std::string Progress::line(const ProgressPoint& p) const {
  std::string s = phase_.label;
  if (s.empty() && phase_.epochs > 0) s = cat("epoch ", p.epoch, "/", phase_.epochs);
  s += cat(s.empty() ? "" : "  ", "step ", p.step, "/", phase_.steps);
  if (p.loss) s += cat("  loss ", fixed(*p.loss, 4));
  if (seconds_ > 0) {
    s += cat("  ", readable(items_ / seconds_), " ", phase_.unit, "/s");
    const int64_t left = phase_.total - p.done;
    if (left > 0)
      s += cat("  ", clock_text(static_cast<double>(left) * seconds_ / steps_), " left");
  }
  return s;
}

void Progress::show(const ProgressPoint& point) {
  std::string s = line(point);
  if (options_.style == ProgressStyle::kPlain) {
    s += "\n";
  } else {
    const size_t width = columns(options_.file) - 1;  // a full line would wrap
    if (s.size() > width) s.resize(width);
    s = cat("\r", s, kClearToEnd);
    open_ = true;
  }
  std::fwrite(s.data(), 1, s.size(), options_.file);
  std::fflush(options_.file);
  pending_ = false;
}

void Progress::update(const ProgressPoint& point) {
  if (options_.style == ProgressStyle::kOff) return;
  const auto now = Clock::now();
  measure(point, now);
  latest_ = point;
  pending_ = true;
  const bool plain = options_.style == ProgressStyle::kPlain;
  const double period = plain ? options_.plain_period : options_.terminal_period;
  if (!point.last && seconds_between(last_shown_, now) < period) return;
  last_shown_ = now;
  show(point);
}

void Progress::finish() {
  if (pending_) show(latest_);
  if (open_) {
    std::fputc('\n', options_.file);
    std::fflush(options_.file);
  }
  open_ = false;
}

}  // namespace rutile::train
