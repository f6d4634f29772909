// SPDX-License-Identifier: Apache-2.0
// Errors in data that a kernel finds (an index out of range, a division by zero): the first one is
// written to memory that the host reads when it next waits for the stream.
#pragma once

#include "rutile/kernels/cuda/device.h"

namespace rutile::cuda {

enum class FaultKind : int32_t {
  kNone,
  kIndex,
  kLabel,
  kDivision,
  kRange,
  kPivot,
  // Of a matrix: `value` is the pivot, `position` its place in a batch of `limit` (0: no batch).
  kSingular,
  kNotPositive,
  kNotFinite,
  kNoConvergence,
  // Of an operand with a name.
  kNumber,
  kFewPositive
};

struct FaultName {
  char text[32] = {};
};

struct FaultReport {
  FaultKind kind = FaultKind::kNone;
  int32_t source = 0;                    // FaultSlot::source
  int32_t wraps = 0;                     // negative indices count from the end
  int64_t value = 0;                     // what was found,
  int64_t position = 0;                  // at which element of the operand, in row-major order,
  int64_t limit = 0;                     // and how many there are
  double number = 0, low = 0, high = 0;  // a number, and where it should lie
  FaultName name;
};

// Of one device. `taken` lies on the device, the report in pinned memory of the host.
struct FaultSlot {
  int* taken = nullptr;
  FaultReport* report = nullptr;
  int32_t source = 0;  // which op the kernel was queued for: fault_source() of its text

  RUTILE_FN void raise([[maybe_unused]] FaultKind kind, [[maybe_unused]] int64_t value,
                       [[maybe_unused]] int64_t position, [[maybe_unused]] int64_t limit,
                       [[maybe_unused]] bool wraps) const {
#if defined(__CUDA_ARCH__) || defined(RUTILE_CUDA_EMULATED)
    if (taken == nullptr || atomicCAS(taken, 0, 1) != 0) return;
    volatile FaultReport* r = report;
    r->source = source;
    r->wraps = wraps;
    r->value = value;
    r->position = position;
    r->limit = limit;
    __threadfence_system();
    r->kind = kind;
#endif
  }
  // `name` expects numbers from low to high, and has another.
  RUTILE_FN void raise_number([[maybe_unused]] double number, [[maybe_unused]] double low,
                              [[maybe_unused]] double high,
                              [[maybe_unused]] const FaultName& name) const {
#if defined(__CUDA_ARCH__) || defined(RUTILE_CUDA_EMULATED)
    if (taken == nullptr || atomicCAS(taken, 0, 1) != 0) return;
    volatile FaultReport* r = report;
    r->source = source;
    r->number = number;
    r->low = low;
    r->high = high;
    set_name(name);
    __threadfence_system();
    r->kind = FaultKind::kNumber;
#endif
  }
  // `name` expects `wanted` positive numbers or more in a line, and has fewer.
  RUTILE_FN void raise_few([[maybe_unused]] int64_t positive, [[maybe_unused]] int64_t wanted,
                           [[maybe_unused]] const FaultName& name) const {
#if defined(__CUDA_ARCH__) || defined(RUTILE_CUDA_EMULATED)
    if (taken == nullptr || atomicCAS(taken, 0, 1) != 0) return;
    volatile FaultReport* r = report;
    r->source = source;
    r->value = positive;
    r->limit = wanted;
    set_name(name);
    __threadfence_system();
    r->kind = FaultKind::kFewPositive;
#endif
  }
  RUTILE_FN void set_name(const FaultName& name) const {
    volatile char* const to = report->name.text;
    for (size_t i = 0; i < sizeof(name.text); ++i) to[i] = name.text[i];
  }
  // The place that index `v` means; reports one out of range and gives 0, which is there unless the
  // axis is empty: -1 then.
  RUTILE_FN int64_t resolve(int64_t v, int64_t position, int64_t n, bool wraps,
                            FaultKind kind = FaultKind::kIndex) const {
    const int64_t i = v < 0 && wraps ? v + n : v;
    if (i >= 0 && i < n) return i;
    raise(kind, v, position, n, wraps);
    return n > 0 ? 0 : -1;
  }
};

// The slot of the device that the stream belongs to, for the op that this thread queues.
FaultSlot fault_slot(Stream stream);

}  // namespace rutile::cuda
