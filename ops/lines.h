// SPDX-License-Identifier: Apache-2.0
// Numbers as lines: ops along an axis take a 0-d tensor as one line of one element with axis 0 or
// -1, as NumPy and PyTorch do. Their infer is wrapped in infer_lines; their kernels see [1] (see
// make_plan in kernel_table.cc).
#pragma once

#include "rutile/core/meta.h"
#include "rutile/core/small_vector.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// A call whose 0-d tensors have become [1].
class RUTILE_API LineCall {
 public:
  explicit LineCall(const CallMeta& c);
  LineCall(const LineCall&) = delete;
  LineCall& operator=(const LineCall&) = delete;
  const CallMeta& call() const { return call_; }

 private:
  SmallVector<TensorMeta, 6> inputs_, outputs_;
  SmallVector<const TensorMeta*, 6> pointers_;
  CallMeta call_;
};

// A line with one element is a number again.
void lines_to_numbers(const CallMeta& c, TensorMeta* out);

template <InferFn kInfer>
Status infer_lines(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).rank() > 0) return kInfer(c, out);
  const LineCall lines(c);
  RUTILE_RETURN_IF_ERROR(kInfer(lines.call(), out));
  lines_to_numbers(c, out);
  return Status();
}

// A call of one of these ops with a number as its first input.
RUTILE_API bool is_line_of_number(const CallMeta& c);

}  // namespace rutile::ops
