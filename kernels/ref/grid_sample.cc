// SPDX-License-Identifier: Apache-2.0
// One position and channel at a time.
#include <vector>

#include "rutile/kernels/grid_taps.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

struct GridRef : RefPlan {
  GridShape s;
};

// Calls f(image, grid index of the position, its pixels) for every position.
template <class F>
void for_each_position(const GridRef& p, const Elements& grid, F f) {
  Shape positions = grid.meta().shape;
  positions.pop_back();
  for (Walk w(positions, contiguous_strides(positions)); !w.done(); w.next()) {
    Dims at = w.index();
    at.push_back(0);
    double coordinates[3] = {0, 0, 0};
    for (int k = 0; k < p.s.spatial; ++k) {
      at[at.rank() - 1] = k;
      coordinates[k] = grid.at(at);
    }
    GridPixel pixels[kMostGridPixels];
    const int count = grid_pixels(p.s, coordinates, pixels);
    f(at[0], w.index(), std::span<const GridPixel>(pixels, static_cast<size_t>(count)));
  }
}

// The element of the result of channel c at a position.
Dims made_index(const Dims& position, int64_t c) {
  Dims at{position[0], c};
  for (int i = 1; i < position.rank(); ++i) at.push_back(position[i]);
  return at;
}

Status run_sample(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const GridRef&>(base);
  const Elements x = input(p, args, 0), grid = input(p, args, 1), y = output(p, args);
  for_each_position(p, grid, [&](int64_t n, const Dims& at, std::span<const GridPixel> pixels) {
    for (int64_t c = 0; c < p.s.c; ++c) {
      double sum = 0;
      for (const GridPixel& pixel : pixels) {
        sum += pixel.weight * x.get(n * p.s.image[0] + c * p.s.image[1] + pixel.offset);
      }
      y.set(made_index(at, c), sum);
    }
  });
  return Status();
}

Status run_input_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const GridRef&>(base);
  const Elements dy = input(p, args, 0), grid = input(p, args, 1), dx = output(p, args);
  // By offset in dx, which is dense.
  std::vector<double> sums(static_cast<size_t>(p.out[0].numel()), 0.0);
  for_each_position(p, grid, [&](int64_t n, const Dims& at, std::span<const GridPixel> pixels) {
    if (!spreads(pixels.data(), static_cast<int>(pixels.size()))) return;
    for (int64_t c = 0; c < p.s.c; ++c) {
      const double g = dy.at(made_index(at, c));
      for (const GridPixel& pixel : pixels) {
        sums[static_cast<size_t>(n * p.s.image[0] + c * p.s.image[1] + pixel.offset)] +=
            pixel.weight * g;
      }
    }
  });
  for (size_t i = 0; i < sums.size(); ++i) dx.put(static_cast<int64_t>(i), sums[i]);
  return Status();
}

Status run_grid_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const GridRef&>(base);
  const Elements dy = input(p, args, 0), x = input(p, args, 1), grid = input(p, args, 2),
                 dgrid = output(p, args);
  for_each_position(p, grid, [&](int64_t n, const Dims& at, std::span<const GridPixel> pixels) {
    double sums[3] = {0, 0, 0};
    for (int64_t c = 0; c < p.s.c; ++c) {
      const double g = dy.at(made_index(at, c));
      for (const GridPixel& pixel : pixels) {
        const double v = x.get(n * p.s.image[0] + c * p.s.image[1] + pixel.offset);
        for (int k = 0; k < p.s.spatial; ++k) sums[k] += g * v * pixel.slope[k];
      }
    }
    Dims to = at;
    to.push_back(0);
    for (int k = 0; k < p.s.spatial; ++k) {
      to[to.rank() - 1] = k;
      dgrid.set(to, sums[k]);
    }
  });
  return Status();
}

template <RunFn kRun>
void add_row(const OpDef& op) {
  KernelRow row;
  row.op = &op;
  row.name = "ref";
  row.reference = true;
  row.prepare = [](const CallMeta& call, std::unique_ptr<Plan>* plan) {
    auto p = std::make_unique<GridRef>();
    for (const TensorMeta* m : call.inputs) p->in.push_back(*m);
    p->out = {call.out()};
    p->s = GridShape::of(call);
    p->run = run_ref<kRun>;
    *plan = std::move(p);
    return Status();
  };
  register_kernel(row);
}

}  // namespace

void register_grid_sample_ref() {
  add_row<run_sample>(ops::kGridSample);
  add_row<run_input_grad>(ops::kGridSampleInputGrad);
  add_row<run_grid_grad>(ops::kGridSampleGridGrad);
}

}  // namespace rutile::kernels
