// SPDX-License-Identifier: Apache-2.0
// Images of any strides; channels that are neighbours make the inner loop.
#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/grid_taps.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {

namespace {

constexpr int64_t kBlock = 64;  // channels at a time

struct GridPlan : Plan {
  GridShape s;
  int64_t groups = 1;  // of channels, for the gradient by the images
  int64_t sums = 0;    // elements of a task's images in the workspace; 0: it adds to the result
  int threads = 1;
};

// Calls f(image, grid's offset, result's offset in channel 0) for the positions of rows [begin,
// end) of all images, counted over images, depths and heights.
template <class F>
void for_positions(const GridShape& s, int64_t begin, int64_t end, F f) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t h = row % s.out[1], d = row / s.out[1] % s.out[0], n = row / s.out[1] / s.out[0];
    int64_t grid = n * s.grid[0] + d * s.grid[1] + h * s.grid[2];
    int64_t made = n * s.made[0] + d * s.made[2] + h * s.made[3];
    for (int64_t w = 0; w < s.out[2]; ++w, grid += s.grid[3], made += s.made[4]) f(n, grid, made);
  }
}

template <class T>
int pixels_at(const GridShape& s, const T* at, GridPixel* pixels) {
  double coordinates[3] = {0, 0, 0};
  for (int k = 0; k < s.spatial; ++k) coordinates[k] = static_cast<double>(at[k * s.grid[4]]);
  return grid_pixels(s, coordinates, pixels);
}

double ns_per_row(const GridShape& s) {
  return (40 + 4 * static_cast<double>(s.c)) * static_cast<double>(s.out[2]);
}

// The pixels of a position inside a flat image, the weights by the same formulas as grid_pixels();
// 0 for all other positions.
template <class C>
int inner_pixels(const GridShape& s, double column, double row, int64_t* offset, C* weight) {
  const auto place = [&](double v, double n) {
    return s.align_corners ? (v + 1) / 2 * (n - 1) : ((v + 1) * n - 1) / 2;
  };
  const double x = place(column, static_cast<double>(s.in[2]));
  const double y = place(row, static_cast<double>(s.in[1]));
  if (!(x >= 0 && y >= 0 && x < static_cast<double>(s.in[2] - 1) &&
        y < static_cast<double>(s.in[1] - 1))) {
    return 0;
  }
  if (s.mode == GridSampleMode::kNearest) {
    constexpr double kWhole = 0x1.8p52;  // what is added to it loses its fraction
    const auto i = static_cast<int64_t>((y + kWhole) - kWhole);
    const auto j = static_cast<int64_t>((x + kWhole) - kWhole);
    offset[0] = i * s.image[3] + j * s.image[4];
    weight[0] = C(1);
    return 1;
  }
  const auto i = static_cast<int64_t>(y), j = static_cast<int64_t>(x);
  const double down = y - static_cast<double>(i), right = x - static_cast<double>(j);
  const int64_t first = i * s.image[3] + j * s.image[4];
  offset[0] = first;
  offset[1] = first + s.image[4];
  offset[2] = first + s.image[3];
  offset[3] = offset[2] + s.image[4];
  weight[0] = static_cast<C>((1 - down) * (1 - right));
  weight[1] = static_cast<C>((1 - down) * right);
  weight[2] = static_cast<C>(down * (1 - right));
  weight[3] = static_cast<C>(down * right);
  return 4;
}

// What up to kMost neighbouring positions read.
template <class C>
struct Reads {
  static constexpr int64_t kMost = 32;
  int64_t offset[kMost][kMostGridPixels];
  C weight[kMost][kMostGridPixels];
  int count[kMost];
  int same = 0;  // the count of all; -1 where they differ
};

template <class T, class C>
void find_reads(const GridShape& s, const T* grid, int64_t n, Reads<C>* r) {
  const bool flat = s.spatial == 2 && s.mode != GridSampleMode::kBicubic;
  for (int64_t i = 0; i < n; ++i, grid += s.grid[3]) {
    r->count[i] = 0;
    if (flat) {
      r->count[i] = inner_pixels(s, static_cast<double>(grid[0]),
                                 static_cast<double>(grid[s.grid[4]]), r->offset[i], r->weight[i]);
    }
    if (r->count[i] == 0) {
      GridPixel pixels[kMostGridPixels];
      r->count[i] = pixels_at(s, grid, pixels);
      for (int k = 0; k < r->count[i]; ++k) {
        r->offset[i][k] = pixels[k].offset;
        r->weight[i][k] = static_cast<C>(pixels[k].weight);
      }
    }
    r->same = i == 0 || r->same == r->count[i] ? r->count[i] : -1;
  }
}

// One channel of n positions; kCount: pixels of each, 0: r says how many.
template <int kCount, class T, class C>
void sample_channel(const Reads<C>& r, const T* image, T* to, int64_t step, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const int count = kCount ? kCount : r.count[i];
    C sum = 0;
    for (int k = 0; k < count; ++k) {
      sum += r.weight[i][k] * static_cast<C>(image[r.offset[i][k]]);
    }
    to[i * step] = static_cast<T>(sum);
  }
}

// Images whose pixels lie closer than their channels: a run of positions in every channel.
template <class T, class C>
Status run_planes(const Plan& base, const KernelArgs& args) {
  const GridShape& s = static_cast<const GridPlan&>(base).s;
  const T* x = static_cast<const T*>(args.in[0]);
  const T* grid = static_cast<const T*>(args.in[1]);
  T* y = static_cast<T*>(args.out[0]);
  parallel_for(0, s.rows(), grain_for(ns_per_row(s)), [&](int64_t begin, int64_t end) {
    Reads<C> r;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t h = row % s.out[1], d = row / s.out[1] % s.out[0];
      const int64_t n = row / s.out[1] / s.out[0];
      for (int64_t w = 0; w < s.out[2]; w += Reads<C>::kMost) {
        const int64_t count = std::min(Reads<C>::kMost, s.out[2] - w);
        find_reads(s, grid + n * s.grid[0] + d * s.grid[1] + h * s.grid[2] + w * s.grid[3], count,
                   &r);
        T* to = y + n * s.made[0] + d * s.made[2] + h * s.made[3] + w * s.made[4];
        const T* image = x + n * s.image[0];
        for (int64_t c = 0; c < s.c; ++c, image += s.image[1], to += s.made[1]) {
          if (r.same == 4) {
            sample_channel<4>(r, image, to, s.made[4], count);
          } else if (r.same == 1) {
            sample_channel<1>(r, image, to, s.made[4], count);
          } else {
            sample_channel<0>(r, image, to, s.made[4], count);
          }
        }
      }
    }
  });
  return Status();
}

template <class T, class C>
Status run_sample(const Plan& base, const KernelArgs& args) {
  const GridShape& s = static_cast<const GridPlan&>(base).s;
  if (s.image[1] > s.image[4]) return run_planes<T, C>(base, args);
  const T* x = static_cast<const T*>(args.in[0]);
  const T* grid = static_cast<const T*>(args.in[1]);
  T* y = static_cast<T*>(args.out[0]);
  parallel_for(0, s.rows(), grain_for(ns_per_row(s)), [&](int64_t begin, int64_t end) {
    GridPixel pixels[kMostGridPixels];
    for_positions(s, begin, end, [&](int64_t n, int64_t at, int64_t made) {
      const int count = pixels_at(s, grid + at, pixels);
      const T* image = x + n * s.image[0];
      for (int64_t first = 0; first < s.c; first += kBlock) {
        const int64_t size = std::min(kBlock, s.c - first);
        C sums[kBlock] = {};
        for (int k = 0; k < count; ++k) {
          const C w = static_cast<C>(pixels[k].weight);
          const T* from = image + pixels[k].offset + first * s.image[1];
          for (int64_t c = 0; c < size; ++c) sums[c] += w * static_cast<C>(from[c * s.image[1]]);
        }
        T* to = y + made + first * s.made[1];
        for (int64_t c = 0; c < size; ++c) to[c * s.made[1]] = static_cast<T>(sums[c]);
      }
    });
  });
  return Status();
}

template <class T, class C>
Status run_grid_grad(const Plan& base, const KernelArgs& args) {
  const GridShape& s = static_cast<const GridPlan&>(base).s;
  const T* dy = static_cast<const T*>(args.in[0]);
  const T* x = static_cast<const T*>(args.in[1]);
  const T* grid = static_cast<const T*>(args.in[2]);
  T* dgrid = static_cast<T*>(args.out[0]);
  parallel_for(0, s.rows(), grain_for(ns_per_row(s)), [&](int64_t begin, int64_t end) {
    GridPixel pixels[kMostGridPixels];
    T* to = dgrid + begin * s.out[2] * s.spatial;
    for_positions(s, begin, end, [&](int64_t n, int64_t at, int64_t made) {
      const int count = pixels_at(s, grid + at, pixels);
      const T* image = x + n * s.image[0];
      const T* g = dy + made;
      double sums[3] = {0, 0, 0};
      for (int k = 0; k < count; ++k) {
        const T* from = image + pixels[k].offset;
        C dot = 0;
        for (int64_t c = 0; c < s.c; ++c) {
          dot += static_cast<C>(g[c * s.made[1]]) * static_cast<C>(from[c * s.image[1]]);
        }
        for (int d = 0; d < s.spatial; ++d)
          sums[d] += static_cast<double>(dot) * pixels[k].slope[d];
      }
      for (int d = 0; d < s.spatial; ++d) *to++ = static_cast<T>(static_cast<C>(sums[d]));
    });
  });
  return Status();
}

// A task owns some channels of an image, so that nobody else adds to them.
template <class T, class C>
void spread_task(const GridPlan& p, int64_t task, const T* dy, const T* grid, T* dx, C* sums) {
  const GridShape& s = p.s;
  const int64_t n = task / p.groups, first = s.c * (task % p.groups) / p.groups;
  const int64_t count = s.c * (task % p.groups + 1) / p.groups - first;
  const int64_t pixels_in = s.in[0] * s.in[1] * s.in[2];
  // Sums lie row-major, [pixel, channel].
  GridShape rows = s;
  rows.image[2] = s.in[1] * s.in[2] * count;
  rows.image[3] = s.in[2] * count;
  rows.image[4] = count;
  std::fill_n(sums, pixels_in * count, C(0));
  GridPixel pixels[kMostGridPixels];
  const int64_t rows_per_image = s.out[0] * s.out[1];
  for_positions(s, n * rows_per_image, (n + 1) * rows_per_image,
                [&](int64_t, int64_t at, int64_t made) {
                  const int taps = pixels_at(rows, grid + at, pixels);
                  if (!spreads(pixels, taps)) return;
                  const T* g = dy + made + first * s.made[1];
                  for (int k = 0; k < taps; ++k) {
                    const C w = static_cast<C>(pixels[k].weight);
                    C* to = sums + pixels[k].offset;
                    for (int64_t c = 0; c < count; ++c)
                      to[c] += w * static_cast<C>(g[c * s.made[1]]);
                  }
                });
  T* image = dx + n * s.image[0] + first * s.image[1];
  for (int64_t i = 0; i < pixels_in; ++i) {
    T* to = image + i / s.in[2] / s.in[1] * s.image[2] + i / s.in[2] % s.in[1] * s.image[3] +
            i % s.in[2] * s.image[4];
    for (int64_t c = 0; c < count; ++c) to[c * s.image[1]] = static_cast<T>(sums[i * count + c]);
  }
}

template <class T, class C>
Status run_input_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const GridPlan&>(base);
  const int64_t tasks = p.s.n * p.groups;
  parallel_for(0, p.threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t task = tasks * t / p.threads; task < tasks * (t + 1) / p.threads; ++task) {
        spread_task(p, task, static_cast<const T*>(args.in[0]), static_cast<const T*>(args.in[1]),
                    static_cast<T*>(args.out[0]), static_cast<C*>(args.workspace) + t * p.sums);
      }
    }
  });
  return Status();
}

bool supports(const CallMeta& call, Reason* reason) {
  for (const TensorMeta* m : call.inputs) {
    if (m->layout == kStrided && m->numel() > 0) continue;
    return refuse(reason, "takes strided tensors with elements");
  }
  if (call.out().numel() > 0) return true;
  return refuse(reason, "the result is empty");
}

template <class T, class C>
RunFn pick(const OpDef* op) {
  if (op == &ops::kGridSample) return run_sample<T, C>;
  return op == &ops::kGridSampleGridGrad ? run_grid_grad<T, C> : run_input_grad<T, C>;
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<GridPlan>();
  p->s = GridShape::of(call);
  const GridShape& s = p->s;
  if (call.op == &ops::kGridSampleInputGrad) {
    const double work = ns_per_row(s) * static_cast<double>(s.rows());
    const int threads = threads_for(work);
    // Groups of channels only where there are not images enough: each finds the pixels anew.
    p->groups = std::min<int64_t>(s.c, (threads + s.n - 1) / s.n);
    p->threads = static_cast<int>(std::min<int64_t>(threads, s.n * p->groups));
    const int64_t channels = (s.c + p->groups - 1) / p->groups;
    p->sums = s.in[0] * s.in[1] * s.in[2] * channels;
    const size_t element = call.in(0).dtype == DType::kF64 ? sizeof(double) : sizeof(float);
    p->workspace_bytes = element * static_cast<size_t>(p->sums * p->threads);
  }
  p->run = dispatch_float(call.in(0).dtype, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    return pick<T, Acc<T>>(call.op);
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_grid_sample_cpu() {
  for (const OpDef* op :
       {&ops::kGridSample, &ops::kGridSampleInputGrad, &ops::kGridSampleGridGrad}) {
    register_kernel({.op = op, .name = "grid_sample", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
