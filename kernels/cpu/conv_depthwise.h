// SPDX-License-Identifier: Apache-2.0
// Between the row of the depthwise weight gradient and its loops, which exist once per instruction
// set. Channels are taken in blocks of 16 neighbours.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct DepthwiseShape {
  int64_t n = 0, h = 0, w = 0, oh = 0, ow = 0, kh = 0, kw = 0;
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dil_h = 1, dil_w = 1;
  int64_t blocks = 0;
  int64_t parts = 1;  // of the images, summed apart
  int64_t workers = 1;
  // Strides in elements; of a pixel's 16 channels 1.
  struct Image {
    int64_t batch = 0, block = 0, row = 0, column = 0;
  };
  Image x, dy;

  int64_t taps() const { return kh * kw; }
  // Of x, for one row of dy.
  int64_t padded_width() const { return (ow - 1) * stride_w + (kw - 1) * dil_w + 1; }
};

struct DepthwiseKernels {
  int64_t (*floats)(const DepthwiseShape&) = nullptr;  // of workspace a worker
  // sums [part][block][tap][16].
  void (*run)(const DepthwiseShape&, const void* dy, const void* x, float* sums,
              float* workspace) = nullptr;
};
namespace avx2 {
DepthwiseKernels depthwise_f32();
DepthwiseKernels depthwise_bf16();
}  // namespace avx2
namespace avx512 {
DepthwiseKernels depthwise_f32();
DepthwiseKernels depthwise_bf16();
}  // namespace avx512

}  // namespace rutile::kernels
