// SPDX-License-Identifier: Apache-2.0
// Logging. RUTILE_LOG names what to show: RUTILE_LOG=dispatch,recompiles,passes. Quiet by default:
// only warnings and errors, on standard error. docs/debugging.md lists the topics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/core/api.h"

namespace rutile {

enum class LogTopic : uint8_t {
  kDispatch,
  kRecompiles,
  kPasses,
  kFusion,
  kMemory,
  kDataset,
  kCheckpoint,
  kSync  // every op waits for its device, so that its errors name it
};

// True if the user asked for the topic: guard expensive messages with it.
RUTILE_API bool log_enabled(LogTopic topic);
// Replaces the topics by a list as in RUTILE_LOG; an unknown name is an error that lists the known.
RUTILE_API void set_log_topics(std::string_view comma_separated);
RUTILE_API void log_line(LogTopic topic, std::string_view message);
RUTILE_API void log_warning(std::string_view message);

}  // namespace rutile
