// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/blocked_images.h"

#include "rutile/core/meta.h"

namespace rutile::kernels {

bool describe(const TensorMeta& m, BlockedImages* images) {
  const int64_t channels = m.dim(1), pixels = m.dim(2) * m.dim(3);
  if (channels % 16 != 0) return false;
  if (m.layout != kStrided) {
    if (channel_block(m.layout) != 16) return false;
    *images = {channels * pixels, m.dim(3) * 16, 16, 16, pixels * 16};
    return true;
  }
  *images = {m.strides[0], m.strides[2], m.strides[3], channels, 0};
  return m.strides[1] == 1 && m.is_dense();
}

}  // namespace rutile::kernels
