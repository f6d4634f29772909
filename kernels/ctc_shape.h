// SPDX-License-Identifier: Apache-2.0
// What the kernels of CTC share: where sequences lie, and lengths and classes that come from data.
#pragma once

#include <algorithm>
#include <cstdint>

#include "rutile/kernels/index_range.h"
#include "rutile/ops/ctc.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct CtcShape {
  int64_t steps = 0, n = 0, classes = 0, blank = 0;
  int64_t step_stride = 0, n_stride = 0, class_stride = 0;  // of log_probs
  bool padded = false;  // targets are [n, room], else one after the other
  int64_t room = 0;     // the longest target that there may be
  int64_t labels = 0;   // elements of targets
  bool wide_targets = false, wide_inputs = false, wide_lengths = false;  // i64, else i32

  int64_t places() const { return 2 * room + 1; }
};

// From input `first` on.
inline CtcShape ctc_shape(const CallMeta& c, int first) {
  const TensorMeta &x = c.in(first), &targets = c.in(first + 1);
  const bool one = x.rank() == 2;
  CtcShape s;
  s.steps = x.dim(0);
  s.n = one ? 1 : x.dim(1);
  s.classes = x.shape.back();
  s.blank = c.as<ops::CtcNllAttrs>().blank;
  s.step_stride = x.strides[0];
  s.n_stride = one ? 0 : x.strides[1];
  s.class_stride = x.strides[x.rank() - 1];
  s.padded = targets.rank() == 2;
  s.room = targets.shape.back();
  s.labels = targets.numel();
  s.wide_targets = targets.dtype == DType::kI64;
  s.wide_inputs = c.in(first + 2).dtype == DType::kI64;
  s.wide_lengths = c.in(first + 3).dtype == DType::kI64;
  return s;
}

inline int64_t int_at(const void* p, bool wide, int64_t i) {
  return wide ? static_cast<const int64_t*>(p)[i] : static_cast<const int32_t*>(p)[i];
}

// The operands of a run; rows of targets and lengths are dense.
struct CtcData {
  const void *targets, *inputs, *lengths;
  int64_t input_length(const CtcShape& s, int64_t i) const {
    return int_at(inputs, s.wide_inputs, i);
  }
  int64_t length(const CtcShape& s, int64_t i) const { return int_at(lengths, s.wide_lengths, i); }
  int64_t label(const CtcShape& s, int64_t at) const { return int_at(targets, s.wide_targets, at); }
};

// Checks lengths and classes and finds where each target starts.
inline Status ctc_starts(const CtcShape& s, const CtcData& d, int64_t* starts) {
  int64_t at = 0;
  for (int64_t i = 0; i < s.n; ++i) {
    const int64_t steps = d.input_length(s, i), length = d.length(s, i);
    if (steps < 0 || steps > s.steps) {
      return index_out_of_range("input length", steps, {i}, s.steps + 1, false);
    }
    const int64_t room = s.padded ? s.room : s.labels - at;
    if (length < 0 || length > room) {
      return index_out_of_range("target length", length, {i}, room + 1, false);
    }
    starts[i] = s.padded ? i * s.room : at;
    at += length;
    for (int64_t k = 0; k < length; ++k) {
      const int64_t v = d.label(s, starts[i] + k);
      if (v < 0 || v >= s.classes) return index_out_of_range("class", v, {i, k}, s.classes, false);
    }
  }
  return Status();
}

}  // namespace rutile::kernels
