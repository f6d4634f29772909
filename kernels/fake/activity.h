// SPDX-License-Identifier: Apache-2.0
// What the pretended device says of its work (core/device_activity.h).
#pragma once

#include <cstdint>

namespace rutile::fake {

bool recording_activity();
// What this thread queues, or runs, belongs to; 0: nothing.
uint64_t& activity_op();
// A number for what this thread runs of one launch; 0: each piece of work is one of its own.
uint64_t& activity_launch();
uint64_t next_launch();
// One piece of work of a stream, named as its kernel; null: a copy or a fill.
void record_activity(const char* what, int64_t stream, int64_t start_ns);
int64_t activity_now();
void register_activity();

}  // namespace rutile::fake
