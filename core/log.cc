// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "rutile/core/error.h"

namespace rutile {
namespace {

constexpr std::string_view kNames[] = {"dispatch", "recompiles", "passes",     "fusion",
                                       "memory",   "dataset",    "checkpoint", "sync"};
constexpr uint32_t kUnread = 1u << 31;  // RUTILE_LOG has not been looked at
std::atomic<uint32_t> g_topics{kUnread};

void write_line(std::string_view kind, std::string_view message) {
  std::string line = cat("[rutile ", kind, "] ", message, "\n");
  const char* p = line.data();
  size_t left = line.size();
  while (left > 0) {  // one write, unless the system cuts it short
    const ssize_t n = ::write(STDERR_FILENO, p, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    p += n;
    left -= static_cast<size_t>(n);
  }
}

// The topics of `list`; `unknown` gets the first name that is none.
uint32_t parse_topics(std::string_view list, std::string* unknown) {
  uint32_t bits = 0;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view name = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
    while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
    if (name.empty()) continue;
    uint32_t bit = 0;
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if (name == kNames[i]) bit = 1u << i;
    }
    if (bit == 0 && unknown->empty()) *unknown = name;
    bits |= bit;
  }
  return bits;
}

std::string unknown_topic(std::string_view name) {
  std::string known;
  for (const std::string_view n : kNames) known += cat(known.empty() ? "" : ", ", n);
  return cat("unknown log topic '", name, "'; known topics: ", known);
}

uint32_t read_environment() {
  const char* env = std::getenv("RUTILE_LOG");
  std::string unknown;
  const uint32_t bits = parse_topics(env ? env : "", &unknown);
  uint32_t expected = kUnread;
  const bool first = g_topics.compare_exchange_strong(expected, bits);
  if (!first) return expected;
  if (!unknown.empty()) log_warning(cat("RUTILE_LOG: ", unknown_topic(unknown)));
  return bits;
}

}  // namespace

bool log_enabled(LogTopic topic) {
  uint32_t bits = g_topics.load(std::memory_order_relaxed);
  if (bits & kUnread) [[unlikely]]
    bits = read_environment();
  return (bits >> static_cast<int>(topic)) & 1u;
}

void set_log_topics(std::string_view comma_separated) {
  std::string unknown;
  const uint32_t bits = parse_topics(comma_separated, &unknown);
  if (!unknown.empty()) throw_error(ErrorCode::kValue, unknown_topic(unknown));
  g_topics.store(bits);
}

void log_line(LogTopic topic, std::string_view message) {
  if (log_enabled(topic)) write_line(kNames[static_cast<int>(topic)], message);
}

void log_warning(std::string_view message) { write_line("warning", message); }

}  // namespace rutile
