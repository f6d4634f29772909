// SPDX-License-Identifier: Apache-2.0
// The geometry of unfold and fold: images [planes, h, w], columns [planes, kh, kw, oh, ow].
#pragma once

#include "rutile/ops/kernel_table.h"
#include "rutile/ops/unfold.h"

namespace rutile::kernels {

struct ColumnShape {
  int64_t planes = 0, h = 0, w = 0, oh = 0, ow = 0;
  Int2 kernel, dilation, pad, stride;

  static ColumnShape of(const CallMeta& call) {
    const bool forward = call.op == &ops::kUnfold;
    const TensorMeta& image = forward ? call.in(0) : call.out();
    ColumnShape s;
    if (forward) {
      s.take(call.as<ops::UnfoldAttrs>());
    } else {
      s.take(call.as<ops::FoldAttrs>());
    }
    const int r = image.rank();
    s.planes = product(image.shape, 0, r - 2);
    s.h = image.dim(r - 2);
    s.w = image.dim(r - 1);
    s.oh = (s.h + 2 * s.pad.h - s.dilation.h * (s.kernel.h - 1) - 1) / s.stride.h + 1;
    s.ow = (s.w + 2 * s.pad.w - s.dilation.w * (s.kernel.w - 1) - 1) / s.stride.w + 1;
    return s;
  }
  int64_t taps() const { return kernel.h * kernel.w; }

 private:
  template <class A>
  void take(const A& a) {
    kernel = a.kernel;
    dilation = a.dilation;
    pad = a.pad;
    stride = a.stride;
  }
};

}  // namespace rutile::kernels
