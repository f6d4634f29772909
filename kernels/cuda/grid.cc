// SPDX-License-Identifier: Apache-2.0
// Rows of grid_sample and its gradients.
#include "rutile/kernels/cuda/grid.h"

#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/sort_room.h"
#include "rutile/kernels/grid_taps.h"

namespace rutile::cuda {
namespace {

GridArgs grid_args(const CallMeta& c) {
  const kernels::GridShape s = kernels::GridShape::of(c);
  GridArgs a;
  a.image = s;
  a.n = s.n;
  a.c = s.c;
  for (int i = 0; i < 3; ++i) a.out[i] = s.out[i];
  for (int i = 0; i < 5; ++i) a.made[i] = s.made[i], a.grid[i] = s.grid[i];
  a.type = c.in(0).dtype;
  a.grid_type = c.in(c.op == &ops::kGridSampleGridGrad ? 2 : 1).dtype;
  return a;
}

Status prepare_sample(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<GridArgs>(launch_grid, [](GridArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->at = k.in[1];
    a->y = k.out[0];
  });
  p->args = grid_args(c);
  *plan = std::move(p);
  return Status();
}

Status prepare_grid_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<GridArgs>(launch_grid, [](GridArgs* a, const KernelArgs& k) {
    a->dy = k.in[0];
    a->x = k.in[1];
    a->at = k.in[2];
    a->y = k.out[0];
  });
  GridArgs& a = p->args;
  a = grid_args(c);
  a.kind = GridKind::kGridGrad;
  const TensorMeta& d = c.out();
  const int spatial = d.rank() - 2;
  a.dgrid[0] = d.strides[0];
  for (int i = 0; i < spatial; ++i) a.dgrid[4 - spatial + i] = d.strides[i + 1];
  a.dgrid[4] = d.strides[d.rank() - 1];
  *plan = std::move(p);
  return Status();
}

struct SpreadPlan : Plan {
  FillArgs fill;
  GridKeysArgs keys;
  SortRoom room{0};
  int bits = 0;
  size_t weights() const { return (room.bytes() + 255) / 256 * 256; }  // behind the sort's room
};

Status run_spread(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const SpreadPlan&>(plan);
  FillArgs f = p.fill;
  f.out = k.out[0];
  RUTILE_RETURN_IF_ERROR(launch_status(launch_fill(f, k.stream)));
  GridKeysArgs a = p.room.writing(p.keys, k.workspace);
  a.grid.dy = k.in[0];
  a.grid.at = k.in[1];
  a.grid.y = k.out[0];
  a.weights = reinterpret_cast<double*>(static_cast<char*>(k.workspace) + p.weights());
  RUTILE_RETURN_IF_ERROR(launch_status(launch_grid_keys(a, k.stream)));
  RUTILE_RETURN_IF_ERROR(p.room.sort(k.workspace, p.bits, k.stream));
  return launch_status(launch_grid_spread(p.room.reading(a, k.workspace), k.stream));
}

int pixels_each(const GridArgs& a) {
  const int along = a.image.mode == GridSampleMode::kNearest    ? 1
                    : a.image.mode == GridSampleMode::kBilinear ? 2
                                                                : 4;
  int each = 1;
  for (int i = 0; i < a.image.spatial; ++i) each *= along;
  return each;
}

Status prepare_input_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<SpreadPlan>();
  p->run = run_spread;
  const TensorMeta& dx = c.out();
  GridKeysArgs& a = p->keys;
  a.grid = grid_args(c);
  a.each = pixels_each(a.grid);
  a.n = a.grid.n * a.grid.out[0] * a.grid.out[1] * a.grid.out[2] * a.each;
  p->fill = make_fill(dx.shape, dx.strides, size_of(dx.dtype));
  p->room = SortRoom(a.n);
  p->bits = key_bits(dx.numel());
  p->workspace_bytes = p->weights() + 8 * static_cast<size_t>(a.n);
  *plan = std::move(p);
  return Status();
}

bool supports_input_grad(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.out().is_dense()) return true;
  reason->text = "writes results without gaps";
  return false;
}

}  // namespace

void register_grid() {
  add_row(ops::kGridSample, "positions", prepare_sample);
  add_row(ops::kGridSampleGridGrad, "positions", prepare_grid_grad);
  add_row(ops::kGridSampleInputGrad, "sorted", prepare_input_grad, supports_input_grad);
}

}  // namespace rutile::cuda
