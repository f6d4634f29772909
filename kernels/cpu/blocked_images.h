// SPDX-License-Identifier: Apache-2.0
// Images of which 16 channels at a time are neighbours: blocked ones and channels-last ones. Seen
// by loops that exist once per instruction set, too.
#pragma once

#include <cstdint>

namespace rutile {
struct TensorMeta;
}

namespace rutile::kernels {

// Strides in elements.
struct BlockedImages {
  int64_t batch = 0, row = 0, column = 0;
  int64_t run = 16;  // channels that are neighbours
  int64_t run_step = 0;

  // Where block `block` of 16 channels begins in an image.
  int64_t block_offset(int64_t block) const {
    const int64_t channel = block * 16;
    return channel / run * run_step + channel % run;
  }
};

// False for other images, [N, C, H, W].
bool describe(const TensorMeta& m, BlockedImages* images);

}  // namespace rutile::kernels
