// SPDX-License-Identifier: Apache-2.0
// Between the row of Winograd's convolution and its loops, which exist once per instruction set. A
// block is 16 channels that are neighbours.
#pragma once

#include <cstdint>

#include "rutile/kernels/cpu/blocked_images.h"

namespace rutile::kernels {

// A 3x3 convolution with stride 1 from images [n][in block][h][w][16] to [n][out
// block][oh][ow][16].
struct WinogradShape {
  int64_t n = 0, h = 0, w = 0, oh = 0, ow = 0, pad_h = 0, pad_w = 0;
  int64_t in_blocks = 0, out_blocks = 0;
  BlockedImages x, y;
  // Of the weight, [3 * 3 taps][16 in][16 out] for a pair of blocks: elements from one block of
  // input, or output, channels to the next.
  int64_t weight_in = 0, weight_out = 0;
  bool flipped = false;  // the taps from the last to the first
  int64_t workers = 1;

  int64_t tile_rows() const { return (oh + 1) / 2; }
  int64_t tile_columns() const { return (ow + 1) / 2; }
  int64_t tiles() const { return n * tile_rows() * tile_columns(); }
};

// y = max(0, conv(x, weight) + bias + residual) or without the maximum; bias and residual may be
// null, the residual lies as y does and may be y.
struct WinogradArgs {
  const float *x = nullptr, *weight = nullptr, *bias = nullptr, *residual = nullptr;
  float* y = nullptr;
  bool relu = false;
};

struct WinogradKernels {
  int64_t (*workspace)(const WinogradShape&) = nullptr;  // bytes
  void (*run)(const WinogradShape&, const WinogradArgs&, void* workspace) = nullptr;
};
// The gradient by the weight, of the shape of the forward convolution.
struct WinogradWeightGradKernels {
  int64_t (*workspace)(const WinogradShape&) = nullptr;  // bytes
  void (*run)(const WinogradShape&, const float* dy, const float* x, float* dw,
              void* workspace) = nullptr;
};
namespace avx2 {
WinogradKernels conv_winograd();
WinogradWeightGradKernels conv_winograd_weight_grad();
}  // namespace avx2
namespace avx512 {
WinogradKernels conv_winograd();
WinogradWeightGradKernels conv_winograd_weight_grad();
}  // namespace avx512

}  // namespace rutile::kernels
