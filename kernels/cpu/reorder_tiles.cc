// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/reorder_tiles.h"

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/view.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kTile = 16;
constexpr double kTileNs = 60;

// Tiles along a dimension, and the elements from one to the next on both sides.
struct TileDim {
  int64_t count = 1, from = 0, to = 0;
};

struct TilesPlan : Plan {
  TileDim dims[kMaxRank + 2];  // slowest of the result first
  int rank = 0;
  int64_t tiles = 1, size = 4;  // bytes of an element of the result
  int64_t row = 64;             // bytes from one row of a tile's result to the next
  TileFn turn = nullptr;
};

struct TileKind {
  TileForm form = TileForm::kTransposed;
  int64_t block[2] = {kTile, kTile};  // elements of the result's blocks by dimension
  int64_t row = 64;
};

bool has_blocks(const LayoutInfo& info, const Dims& dims, const Dims& sizes) {
  return info.block_dims == dims && info.block_sizes == sizes;
}

// Blocks of several tiles hold no padding; those of one are padded in both layouts.
bool kind_of(const CallMeta& c, TileKind* kind) {
  const TensorMeta &x = c.in(0), &y = c.out();
  if (x.layout == kStrided || y.layout == kStrided || x.dtype != DType::kF32 || x.numel() == 0) {
    return false;
  }
  if (!has_blocks(layout_info(x.layout), {1, 0}, {kTile, kTile})) return false;
  const LayoutInfo& to = layout_info(y.layout);
  if (y.dtype == DType::kF32) return has_blocks(to, {0, 1}, {kTile, kTile});
  if (y.dtype != DType::kBF16 || to.block_dims.rank() != 3 || to.block_sizes[2] != 2) return false;
  const int64_t paired = to.block_dims[0], other = to.block_dims[1];
  if (paired == other || to.block_dims[2] != paired || paired > 1 || other > 1) return false;
  kind->form = paired == 1 ? TileForm::kPairs : TileForm::kTransposedPairs;
  kind->block[paired] = 2 * to.block_sizes[0];
  kind->block[other] = to.block_sizes[1];
  kind->row = kind->block[other] * 2 * static_cast<int64_t>(sizeof(uint16_t));
  for (int d = 0; d < 2; ++d) {
    if (kind->block[d] == kTile) continue;
    if (kind->block[d] % kTile != 0 || x.shape[d] % kind->block[d] != 0) return false;
  }
  return true;
}

bool supports(const CallMeta& c, Reason* reason) {
  TileKind kind;
  if (isa() != Isa::kAvx512) {
    reason->text = "needs AVX-512 with bf16";
  } else if (!kind_of(c, &kind)) {
    reason->text = "turns f32 tiles 16b16a into 16a16b, or into whole blocks of bf16 pairs";
  } else {
    return true;
  }
  return false;
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TilesPlan&>(plan);
  parallel_for(0, p.tiles, grain_for(kTileNs), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t rest = t, from = 0, to = 0;
      for (int d = p.rank - 1; d >= 0; --d) {
        from += rest % p.dims[d].count * p.dims[d].from;
        to += rest % p.dims[d].count * p.dims[d].to;
        rest /= p.dims[d].count;
      }
      p.turn(static_cast<const float*>(args.in[0]) + from,
             static_cast<char*>(args.out[0]) + to * p.size, p.row);
    }
  });
  return Status();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<TilesPlan>();
  const TensorMeta &x = c.in(0), &y = c.out();
  TileKind kind;
  kind_of(c, &kind);
  const auto add = [&](int d, int64_t count, int64_t step) {
    if (count == 1) return;
    p->dims[p->rank++] = {count, layout_dim_offset(x.layout, x.shape, d, step),
                          layout_dim_offset(y.layout, y.shape, d, step)};
    p->tiles *= count;
  };
  for (const int64_t dim : layout_info(y.layout).order) {
    const int d = static_cast<int>(dim);
    const int64_t step = d < 2 ? kind.block[d] : 1;
    add(d, (x.shape[d] + step - 1) / step, step);
  }
  for (const int d : {0, 1}) add(d, kind.block[d] / kTile, kTile);
  p->size = static_cast<int64_t>(dtype_size(y.dtype));
  p->row = kind.row;
#if defined(__x86_64__)
  p->turn = avx512::tile_function(kind.form);
#endif
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_reorder_tiles() {
  register_kernel(
      {.op = &ops::kReorder, .name = "reorder_tiles", .supports = supports, .prepare = prepare});
}

}  // namespace rutile::kernels
