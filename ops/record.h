// SPDX-License-Identifier: Apache-2.0
// Values that a program gives away while it runs, in compiled functions too: what a summary of the
// training shows of a network's inside.
//
//   ops::start_recording();
//   step(x, y);  // somewhere in it: ops::record("scalar", "norm", v)
//   for (const ops::Recorded& r : ops::take_recorded()) use(r.tag, r.value);
//   ops::stop_recording();
#pragma once

#include <string>
#include <vector>

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile::ops {

struct RecordAttrs {
  std::string kind, tag;
  RUTILE_REFLECT(kind, tag)
};
extern RUTILE_API const OpDef kRecord;
// Keeps a copy of x under its kind and tag, where anybody records; the latest one of each. Returns
// whether it did, bool []. It runs although nobody reads its result, in the order of the program.
RUTILE_API Tensor record(RecordAttrs attrs, Arg x);

struct Recorded {
  std::string kind, tag;
  Tensor value;  // row-major
};
// As often as stop_recording(): several may record at a time, and share what is recorded.
RUTILE_API void start_recording();
RUTILE_API void stop_recording();
// What was recorded since the last call, in the order in which the tags came first. Any thread.
RUTILE_API std::vector<Recorded> take_recorded();

// What the kernel calls: the elements of `x` lie at `data`. False if nobody records.
RUTILE_API bool keep_recorded(const RecordAttrs& attrs, const TensorMeta& x, const void* data);

}  // namespace rutile::ops
