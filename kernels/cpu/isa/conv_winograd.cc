// SPDX-License-Identifier: Apache-2.0
// 3x3 convolutions by Winograd's F(2x2, 3x3): each tile of 2x2 results comes from 4x4 pixels by 16
// products a channel instead of 36. The maps before and after the products only add, subtract and
// halve, so the result is as exact as that of the direct sum.
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015: with pixels d, weights
// g and all sums over the channels in the middle, Y = A'[ (G g G') * (B' d B) ]A.
#include "rutile/kernels/cpu/conv_winograd.h"

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/tile_gemm.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kBlock = 16;
constexpr int kPoints = 16;              // products of a tile
constexpr int64_t kTiles = kGroup * 16;  // at most at a time: their values stay in the second cache
constexpr int64_t kDepthAtOnce = 128;    // a panel of it stays in the first cache

// All values of one point lie together; a line more between the points keeps them out of each
// other's place in the cache.
int64_t spread(int64_t values) { return values + 16; }
int64_t plane(int64_t tiles, int64_t channels) { return spread(tiles * channels); }

// Where a worker and all together keep their values, in floats.
struct Cut {
  int64_t in, out, panels, weights, tiles, per_worker;
  explicit Cut(const WinogradShape& s)
      : in(s.in_blocks * kBlock),
        out(s.out_blocks * kBlock),
        panels((out + kPanel - 1) / kPanel),
        weights(kPoints * spread(panels * in * kPanel)),
        tiles(round_up((s.tiles() + s.workers - 1) / s.workers, kGroup)) {
    if (tiles > kTiles) tiles = kTiles;
    per_worker = kPoints * (plane(tiles, in) + plane(tiles, out));
  }
};

// G g G' for a block of input and of output channels: to[point][panel][in][kPanel].
void map_weights(const WinogradShape& s, const Cut& cut, const float* weight, int64_t in_block,
                 int64_t out_block, float* to) {
  const float* from = weight + in_block * s.weight_in + out_block * s.weight_out;
  const int64_t column = out_block * kBlock, step = spread(cut.panels * cut.in * kPanel);
  to += (column / kPanel * cut.in + in_block * kBlock) * kPanel + column % kPanel;
  for (int64_t i = 0; i < kBlock; ++i, from += kBlock, to += kPanel) {
    V16 half[4][3];
    for (int c = 0; c < 3; ++c) {
      V16 g[3];
      for (int r = 0; r < 3; ++r) {
        const int tap = r * 3 + c;
        g[r] = load(from + (s.flipped ? 8 - tap : tap) * kBlock * kBlock);
      }
      half[0][c] = g[0];
      half[1][c] = (g[0] + g[1] + g[2]) * 0.5f;
      half[2][c] = (g[0] - g[1] + g[2]) * 0.5f;
      half[3][c] = g[2];
    }
    for (int r = 0; r < 4; ++r) {
      const V16* g = half[r];
      store(to + (r * 4 + 0) * step, g[0]);
      store(to + (r * 4 + 1) * step, (g[0] + g[1] + g[2]) * 0.5f);
      store(to + (r * 4 + 2) * step, (g[0] - g[1] + g[2]) * 0.5f);
      store(to + (r * 4 + 3) * step, g[2]);
    }
  }
}

// Place of a tile.
struct Tile {
  int64_t image, row, column;
  Tile(const WinogradShape& s, int64_t t)
      : image(t / s.tile_columns() / s.tile_rows()),
        row(t / s.tile_columns() % s.tile_rows()),
        column(t % s.tile_columns()) {}
  void next(const WinogradShape& s) {
    if (++column < s.tile_columns()) return;
    column = 0;
    if (++row < s.tile_rows()) return;
    row = 0;
    ++image;
  }
};

// B' d for one column of four pixels.
struct Column {
  V16 v[4];
};
RUTILE_INLINE Column map_column(V16 a, V16 b, V16 c, V16 d) { return {a - c, b + c, c - b, b - d}; }

// The columns of a tile at `from`, [4][4] pixels of which those outside the image are 0.
RUTILE_INLINE void map_border(const WinogradShape& s, const float* from, int64_t i, int64_t j,
                              Column* half) {
  alignas(64) static constexpr float kZeros[kBlock] = {};
  for (int c = 0; c < 4; ++c) {
    V16 d[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const bool row = static_cast<uint64_t>(i + r) < static_cast<uint64_t>(s.h);
      const bool column = static_cast<uint64_t>(j + c) < static_cast<uint64_t>(s.w);
      // An address from a table instead of a branch, which no processor foresees.
      const float* at[] = {kZeros, from + r * s.x.row + c * s.x.column};
      d[r] = load(at[row & column]);
    }
    half[c] = map_column(d[0], d[1], d[2], d[3]);
  }
}

// B' d B of the tiles [first, last) and blocks [block0, block1), to[point][tile][channels], the
// points `step` apart.
void map_pixels(const WinogradShape& s, int64_t block0, int64_t block1, int64_t step,
                const float* x, int64_t first, int64_t last, float* to) {
  const int64_t channels = (block1 - block0) * kBlock, row = s.x.row, column = s.x.column;
  for (int64_t block = block0; block < block1; ++block) {
    const float* images = x + s.x.block_offset(block);
    Tile tile(s, first);
    for (int64_t t = first; t < last; ++t, tile.next(s)) {
      const int64_t i = tile.row * 2 - s.pad_h, j = tile.column * 2 - s.pad_w;
      const float* from = images + tile.image * s.x.batch + i * row + j * column;
      Column half[4];
      if (i >= 0 && j >= 0 && i + 4 <= s.h && j + 4 <= s.w) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          const float* p = from + c * column;
          half[c] = map_column(load(p), load(p + row), load(p + 2 * row), load(p + 3 * row));
        }
      } else {
        map_border(s, from, i, j, half);
      }
      float* out = to + (t - first) * channels + (block - block0) * kBlock;
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const Column v = map_column(half[0].v[r], half[1].v[r], half[2].v[r], half[3].v[r]);
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) store(out + (r * 4 + c) * step, v.v[c]);
      }
    }
  }
}

// The sums over the channels, of `n` tiles.
void multiply(const Cut& cut, const float* pixels, const float* weights, int64_t n, float* to) {
  for (int64_t point = 0; point < kPoints; ++point) {
    const float* a = pixels + point * plane(cut.tiles, cut.in);
    const float* b = weights + point * spread(cut.panels * cut.in * kPanel);
    float* c = to + point * plane(cut.tiles, cut.out);
    for (int64_t d = 0; d < cut.in; d += kDepthAtOnce) {
      const int64_t depth = cut.in - d < kDepthAtOnce ? cut.in - d : kDepthAtOnce;
      for (int64_t p = 0; p < cut.panels; ++p) {
        const int64_t columns = cut.out - p * kPanel < kPanel ? cut.out - p * kPanel : kPanel;
        for (int64_t r = 0; r < n; r += kGroup) {
          const int64_t rows = n - r < kGroup ? n - r : kGroup;
          multiply<Singles>(rows, columns, a + r * cut.in + d, cut.in, 1,
                            b + (p * cut.in + d) * kPanel, depth, c + r * cut.out + p * kPanel,
                            cut.out, d > 0);
        }
      }
    }
  }
}

// A' m A of the tiles [first, last), and what comes behind it.
template <bool kPlain>
void map_results(const WinogradShape& s, const Cut& cut, const float* from, int64_t first,
                 int64_t last, const WinogradArgs& args) {
  const int64_t step = plane(cut.tiles, cut.out), row = s.y.row;
  for (int64_t block = 0; block < s.out_blocks; ++block) {
    const int64_t offset = s.y.block_offset(block);
    const V16 bias = args.bias ? load(args.bias + block * kBlock) : V16{};
    const auto put = [&](int64_t at, V16 v) {
      if (!kPlain) {
        v += bias;
        if (args.residual) v += load(args.residual + at);
        if (args.relu) v = max0(v);
      }
      store(args.y + at, v);
    };
    Tile tile(s, first);
    for (int64_t t = first; t < last; ++t, tile.next(s)) {
      const float* m = from + (t - first) * cut.out + block * kBlock;
      V16 half[2][4];
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        const V16 a = load(m + c * step), b = load(m + (4 + c) * step);
        const V16 d = load(m + (8 + c) * step), e = load(m + (12 + c) * step);
        half[0][c] = a + b + d;
        half[1][c] = b - d - e;
      }
      const int64_t i = tile.row * 2, j = tile.column * 2;
      const int64_t at = offset + tile.image * s.y.batch + i * row + j * s.y.column;
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        if (i + r >= s.oh) break;
        const V16* v = half[r];
        put(at + r * row, v[0] + v[1] + v[2]);
        if (j + 1 < s.ow) put(at + r * row + s.y.column, v[1] - v[2] - v[3]);
      }
    }
  }
}

// The first tile of a worker: they share whole groups.
int64_t first_tile(const WinogradShape& s, int64_t worker) {
  const int64_t groups = (s.tiles() + kGroup - 1) / kGroup;
  const int64_t tile = groups * worker / s.workers * kGroup;
  return tile < s.tiles() ? tile : s.tiles();
}

void run(const WinogradShape& s, const WinogradArgs& args, void* workspace) {
  const Cut cut(s);
  const bool plain = !args.bias && !args.residual && !args.relu;
  const auto finish = plain ? map_results<true> : map_results<false>;
  float* weights = static_cast<float*>(workspace);
  parallel_for(0, s.workers, 1, [&](int64_t begin, int64_t end) {
    const int64_t pairs = s.in_blocks * s.out_blocks;
    for (int64_t i = pairs * begin / s.workers; i < pairs * end / s.workers; ++i) {
      map_weights(s, cut, args.weight, i % s.in_blocks, i / s.in_blocks, weights);
    }
  });
  parallel_for(0, s.workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      float* pixels = weights + cut.weights + w * cut.per_worker;
      float* sums = pixels + kPoints * plane(cut.tiles, cut.in);
      const int64_t stop = first_tile(s, w + 1);
      for (int64_t t = first_tile(s, w); t < stop; t += cut.tiles) {
        const int64_t last = t + cut.tiles < stop ? t + cut.tiles : stop;
        map_pixels(s, 0, s.in_blocks, plane(cut.tiles, cut.in), args.x, t, last, pixels);
        multiply(cut, pixels, weights, last - t, sums);
        finish(s, cut, sums, t, last, args);
      }
    }
  });
}

int64_t workspace(const WinogradShape& s) {
  const Cut cut(s);
  return (cut.weights + s.workers * cut.per_worker) * static_cast<int64_t>(sizeof(float));
}

// ---- Gradient by the weight: dW = G' [ sum over the tiles of (A dy A') * (B' d B) ] G ----

// The blocks of input channels [in0, in1) and panels of output channels [panel0, panel1) of a task,
// and where a worker keeps its values, in floats. Tasks share no result.
struct GradCut {
  int64_t panels, in_parts, out_parts, most_in, most_panels;
  explicit GradCut(const WinogradShape& s)
      : panels((s.out_blocks * kBlock + kPanel - 1) / kPanel),
        in_parts(s.in_blocks < s.workers ? s.in_blocks : s.workers),
        out_parts((s.workers + in_parts - 1) / in_parts) {
    if (out_parts > panels) out_parts = panels;
    most_in = (s.in_blocks + in_parts - 1) / in_parts * kBlock;
    most_panels = (panels + out_parts - 1) / out_parts;
  }
  int64_t pixels() const { return kPoints * plane(kTiles, most_in); }
  int64_t results() const { return kPoints * plane(kTiles, most_panels * kPanel); }
  int64_t sums() const { return kPoints * spread(most_panels * most_in * kPanel); }
  int64_t per_worker() const { return pixels() + results() + sums(); }
};

struct GradTask {
  int64_t in0, in1, panel0, panel1;
  GradTask(const WinogradShape& s, const GradCut& cut, int64_t task)
      : in0(s.in_blocks * (task % cut.in_parts) / cut.in_parts),
        in1(s.in_blocks * (task % cut.in_parts + 1) / cut.in_parts),
        panel0(cut.panels * (task / cut.in_parts) / cut.out_parts),
        panel1(cut.panels * (task / cut.in_parts + 1) / cut.out_parts) {}
  int64_t in() const { return (in1 - in0) * kBlock; }
};

// A dy A' of the tiles [first, last): to[point][panel][tile][kPanel].
void map_gradients(const WinogradShape& s, const GradTask& task, const float* dy, int64_t first,
                   int64_t last, float* to) {
  const int64_t row = s.y.row, next = s.y.column,
                step = plane(kTiles, (task.panel1 - task.panel0) * kPanel);
  constexpr int64_t kBlocks = kPanel / kBlock;
  for (int64_t block = task.panel0 * kBlocks; block < task.panel1 * kBlocks && block < s.out_blocks;
       ++block) {
    const int64_t column = block * kBlock - task.panel0 * kPanel;
    float* out = to + column / kPanel * kTiles * kPanel + column % kPanel;
    const float* images = dy + s.y.block_offset(block);
    Tile tile(s, first);
    for (int64_t t = first; t < last; ++t, tile.next(s), out += kPanel) {
      const int64_t i = tile.row * 2, j = tile.column * 2;
      const float* from = images + tile.image * s.y.batch + i * row + j * next;
      const bool below = i + 1 < s.oh, right = j + 1 < s.ow;
      const V16 a = load(from), b = right ? load(from + next) : V16{};
      const V16 c = below ? load(from + row) : V16{};
      const V16 d = below && right ? load(from + row + next) : V16{};
      const V16 half[4][2] = {{a, b}, {a + c, b + d}, {a - c, b - d}, {-c, -d}};
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const V16 u = half[r][0], v = half[r][1];
        store(out + (r * 4 + 0) * step, u);
        store(out + (r * 4 + 1) * step, u + v);
        store(out + (r * 4 + 2) * step, u - v);
        store(out + (r * 4 + 3) * step, -v);
      }
    }
  }
}

// Adds the products of `n` tiles to sums[point][panel][in][kPanel], or puts them there.
void multiply_gradients(const WinogradShape& s, const GradTask& task, const float* pixels,
                        const float* gradients, int64_t n, bool add, float* sums) {
  const int64_t in = task.in(), panels = task.panel1 - task.panel0;
  for (int64_t point = 0; point < kPoints; ++point) {
    const float* a = pixels + point * plane(kTiles, in);
    for (int64_t p = 0; p < panels; ++p) {
      const float* b = gradients + point * plane(kTiles, panels * kPanel) + p * kTiles * kPanel;
      float* c = sums + point * spread(panels * in * kPanel) + p * in * kPanel;
      const int64_t left = s.out_blocks * kBlock - (task.panel0 + p) * kPanel;
      const int64_t columns = left < kPanel ? left : kPanel;
      for (int64_t r = 0; r < in; r += kGroup) {
        const int64_t rows = in - r < kGroup ? in - r : kGroup;
        multiply<Singles>(rows, columns, a + r, 1, in, b, n, c + r * kPanel, kPanel, add);
      }
    }
  }
}

// G' s G of all pairs of channels of a task.
void map_sums(const WinogradShape& s, const GradTask& task, const float* sums, float* dw) {
  const int64_t in = task.in(), panels = task.panel1 - task.panel0;
  const int64_t step = spread(panels * in * kPanel);
  for (int64_t o = task.panel0 * kPanel; o < task.panel1 * kPanel && o < s.out_blocks * kBlock;
       o += kBlock) {
    const int64_t column = o - task.panel0 * kPanel;
    const float* from = sums + column / kPanel * in * kPanel + column % kPanel;
    for (int64_t i = 0; i < in; ++i, from += kPanel) {
      V16 half[3][4];
      for (int c = 0; c < 4; ++c) {
        const V16 b = load(from + (4 + c) * step) * 0.5f, d = load(from + (8 + c) * step) * 0.5f;
        half[0][c] = load(from + c * step) + b + d;
        half[1][c] = b - d;
        half[2][c] = b + d + load(from + (12 + c) * step);
      }
      float* to = dw + (task.in0 + i / kBlock) * s.weight_in + o / kBlock * s.weight_out +
                  i % kBlock * kBlock;
      for (int r = 0; r < 3; ++r, to += 3 * kBlock * kBlock) {
        const V16 b = half[r][1] * 0.5f, d = half[r][2] * 0.5f;
        store(to, half[r][0] + b + d);
        store(to + kBlock * kBlock, b - d);
        store(to + 2 * kBlock * kBlock, b + d + half[r][3]);
      }
    }
  }
}

void run_weight_grad(const WinogradShape& s, const float* dy, const float* x, float* dw,
                     void* workspace) {
  const GradCut cut(s);
  parallel_for(0, s.workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      float* pixels = static_cast<float*>(workspace) + w * cut.per_worker();
      float *gradients = pixels + cut.pixels(), *sums = gradients + cut.results();
      for (int64_t i = w; i < cut.in_parts * cut.out_parts; i += s.workers) {
        const GradTask task(s, cut, i);
        for (int64_t t = 0; t < s.tiles(); t += kTiles) {
          const int64_t last = t + kTiles < s.tiles() ? t + kTiles : s.tiles();
          map_pixels(s, task.in0, task.in1, plane(kTiles, task.in()), x, t, last, pixels);
          map_gradients(s, task, dy, t, last, gradients);
          multiply_gradients(s, task, pixels, gradients, last - t, t > 0, sums);
        }
        map_sums(s, task, sums, dw);
      }
    }
  });
}

int64_t weight_grad_workspace(const WinogradShape& s) {
  return s.workers * GradCut(s).per_worker() * static_cast<int64_t>(sizeof(float));
}

}  // namespace

WinogradKernels conv_winograd() { return {workspace, run}; }
WinogradWeightGradKernels conv_winograd_weight_grad() {
  return {weight_grad_workspace, run_weight_grad};
}

}  // namespace rutile::kernels::RUTILE_ISA
