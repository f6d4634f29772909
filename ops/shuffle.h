// SPDX-License-Identifier: Apache-2.0
// Elements moved between channels and pixels, and between groups of channels.
//
//   Tensor y = ops::pixel_shuffle(x, 2);   // f32[8,64,28,28] -> f32[8,16,56,56]
//
// Any dtype. kValue where the factor is below 1 or does not divide what it must.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct PixelShuffleAttrs {
  int64_t upscale_factor = 1;
  RUTILE_REFLECT(upscale_factor)
};
// Shi et al., "Real-time single image and video super-resolution", 2016: x [..., c r r, h, w] ->
// [..., c, h r, w r]; y[c, i r + a, j r + b] = x[(c r + a) r + b, i, j].
extern RUTILE_API const OpDef kPixelShuffle;
RUTILE_API Tensor pixel_shuffle(Arg x, int64_t upscale_factor);

struct PixelUnshuffleAttrs {
  int64_t downscale_factor = 1;
  RUTILE_REFLECT(downscale_factor)
};
// Its inverse.
extern RUTILE_API const OpDef kPixelUnshuffle;
RUTILE_API Tensor pixel_unshuffle(Arg x, int64_t downscale_factor);

struct BlockAttrs {
  int64_t block_size = 2;
  RUTILE_REFLECT(block_size)
};
// As TensorFlow, ONNX (DCR) and MindSpore order the channels: x [n, r r c, h, w] -> [n, c, h r,
// w r]; y[c, i r + a, j r + b] = x[(a r + b) c' + c, i, j] with c' channels in y.
extern RUTILE_API const OpDef kDepthToSpace;
RUTILE_API Tensor depth_to_space(Arg x, int64_t block_size = 2);
// Its inverse.
extern RUTILE_API const OpDef kSpaceToDepth;
RUTILE_API Tensor space_to_depth(Arg x, int64_t block_size = 2);

struct ChannelShuffleAttrs {
  int64_t groups = 1;
  RUTILE_REFLECT(groups)
};
// Zhang et al., "ShuffleNet", 2018: channels [groups, c / groups] become [c / groups, groups]; x
// [n, c, ...].
extern RUTILE_API const OpDef kChannelShuffle;
RUTILE_API Tensor channel_shuffle(Arg x, int64_t groups);

}  // namespace rutile::ops
