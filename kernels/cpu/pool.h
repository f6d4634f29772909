// SPDX-License-Identifier: Apache-2.0
// Between the pooling rows and their vector kernels, which exist once per instruction set.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct PoolRange {
  int32_t begin, end;
};

// Rows or columns. A stride of 0 stands for windows of different sizes: taps are numbers of pixels
// then.
struct PoolWindows {
  int64_t in = 0, out = 0;  // pixels
  int64_t kernel = 1, stride = 1, pad = 0, dilation = 1;
  const PoolRange* taps = nullptr;    // of each window: its elements that lie on pixels
  const PoolRange* covers = nullptr;  // of each pixel: the windows between the first and last on it
  const float* share = nullptr;       // of each window: 1 / its part of the divisor
};

// How the elements lie: `images` images of rows x columns pixels, `channels` elements in a pixel.
// Row-major planes have one, channels-last tensors all, blocked layouts those of a block (an image
// per block).
struct PoolShape {
  PoolWindows rows, columns;
  int64_t images = 0, channels = 1;
  int64_t blocks = 1, last_block = 0;  // images of a batch entry, channels of the last one
  int64_t workspace = 0;               // floats per thread
};

// Floats of a line of pixels with padding around for every vector that windows take from it.
int64_t pool_line(const PoolShape& s);

struct PoolKernels {
  void (*max)(const PoolShape&, const void* x, void* y, int32_t* indices, float* workspace,
              int threads);
  void (*max_grad)(const PoolShape&, const void* dy, const int32_t* indices, void* dx,
                   float* workspace, int threads);
  void (*average)(const PoolShape&, const void* x, void* y, float* workspace, int threads);
  void (*average_grad)(const PoolShape&, const void* dy, void* dx, float* workspace, int threads);
  void (*global)(const PoolShape&, const void* x, void* y, int threads);
  void (*global_grad)(const PoolShape&, const void* dy, void* dx, int threads);
};

namespace avx2 {
PoolKernels pool_f32();
PoolKernels pool_bf16();
}  // namespace avx2
namespace avx512 {
PoolKernels pool_f32();
PoolKernels pool_bf16();
}  // namespace avx512

}  // namespace rutile::kernels
