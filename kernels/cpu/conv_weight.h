// SPDX-License-Identifier: Apache-2.0
// Between the row of the weight gradient and its loops, which exist once per instruction set. A
// block is 16 channels that are neighbours.
#pragma once

#include <cstdint>

#include "rutile/kernels/cpu/blocked_images.h"

namespace rutile::kernels {

struct ConvWeightShape {
  int64_t n = 0, h = 0, w = 0, oh = 0, ow = 0, kh = 0, kw = 0;
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dil_h = 1, dil_w = 1;
  int64_t in_blocks = 0, out_blocks = 0;
  int64_t workers = 1;
  BlockedImages x, dy;
  int64_t taps() const { return kh * kw; }
};

struct ConvWeightKernels {
  int64_t (*workspace)(const ConvWeightShape&) = nullptr;  // bytes
  // dw f32, [out block][in block][tap][16 in][16 out].
  void (*run)(const ConvWeightShape&, const void* dy, const void* x, float* dw,
              void* workspace) = nullptr;
  bool pairs_images = false;  // takes two at a time
};
namespace avx2 {
ConvWeightKernels conv_weight_f32();
ConvWeightKernels conv_weight_bf16();
}  // namespace avx2
namespace avx512 {
ConvWeightKernels conv_weight_f32();
ConvWeightKernels conv_weight_bf16();
}  // namespace avx512

}  // namespace rutile::kernels
