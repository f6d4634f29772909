// SPDX-License-Identifier: Apache-2.0
// Images as tasks: a plane of a row-major tensor, or some channels of a channels-last one.
#pragma once

#include <algorithm>

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// Row-major and channels-last agree for images of one channel or one pixel.
inline bool lies_last(const TensorMeta& m, int spatial) {
  return m.rank() == spatial + 2 &&
         (m.is_channels_last() ||
          (m.is_contiguous() && (m.dim(1) == 1 || product(m.shape, 2, m.rank()) == 1)));
}

// All row-major, or all channels-last.
inline bool placed_alike(const CallMeta& call, int spatial, Reason* reason) {
  bool plain = true, last = true;
  const auto see = [&](const TensorMeta& m) {
    plain = plain && m.is_contiguous();
    last = last && lies_last(m, spatial);
  };
  for (const TensorMeta* m : call.inputs) see(*m);
  for (const TensorMeta& m : call.outputs) see(m);
  if (plain || last) return true;
  reason->text = "takes row-major and channels-last images, all alike";
  return false;
}

struct ChannelWalk {
  static constexpr int64_t kMost = 16;  // channels of a task
  int64_t planes = 0;                   // row-major: leading dimensions together
  int64_t images = 0, channels = 1;     // channels-last
  bool last = false;

  static ChannelWalk of(const CallMeta& call, int spatial) {
    const TensorMeta &x = call.in(0), &y = call.out();
    ChannelWalk w;
    w.last = x.rank() == spatial + 2 && !(x.is_contiguous() && y.is_contiguous());
    w.planes = product(x.shape, 0, x.rank() - spatial);
    w.channels = w.last ? x.dim(1) : 1;
    w.images = w.last ? x.dim(0) : w.planes;
    return w;
  }
  int64_t groups() const { return (channels + kMost - 1) / kMost; }
  int64_t tasks() const { return images * groups(); }
  // Of a task, for images of so many pixels: the first element, and how many channels there are.
  // The next pixel lies `channels` further.
  int64_t offset(int64_t task, int64_t pixels) const {
    return task / groups() * pixels * channels + task % groups() * kMost;
  }
  int64_t count(int64_t task) const { return std::min(kMost, channels - task % groups() * kMost); }
};

}  // namespace rutile::kernels
