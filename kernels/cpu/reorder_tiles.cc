// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/reorder_tiles.h"

#include <string_view>

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
  TileDim dims[kMaxRank];  // slowest of the result first
  int rank = 0;
  int64_t tiles = 1, size = 4;  // bytes of an element of the result
  TileFn turn = nullptr;
};

// What stands behind the outer dimensions of a tag: "16b16a".
std::string_view inner_of(const LayoutInfo& info) {
  const std::string_view tag = info.tag;
  return tag.substr(std::min(tag.size(), static_cast<size_t>(info.order.size())));
}

bool form_of(const CallMeta& c, TileForm* form) {
  const TensorMeta &x = c.in(0), &y = c.out();
  if (x.layout == kStrided || y.layout == kStrided || x.dtype != DType::kF32 || x.numel() == 0) {
    return false;
  }
  if (inner_of(layout_info(x.layout)) != "16b16a") return false;
  const std::string_view to = inner_of(layout_info(y.layout));
  if (y.dtype == DType::kF32 && to == "16a16b") {
    *form = TileForm::kTransposed;
  } else if (y.dtype == DType::kBF16 && to == "8b16a2b") {
    *form = TileForm::kPairs;
  } else if (y.dtype == DType::kBF16 && to == "8a16b2a") {
    *form = TileForm::kTransposedPairs;
  } else {
    return false;
  }
  return true;
}

bool supports(const CallMeta& c, Reason* reason) {
  TileForm form;
  if (isa() != Isa::kAvx512) {
    reason->text = "needs AVX-512 with bf16";
  } else if (!form_of(c, &form)) {
    reason->text = "turns f32 tiles 16b16a into 16a16b, or bf16 8b16a2b and 8a16b2a";
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
             static_cast<char*>(args.out[0]) + to * p.size);
    }
  });
  return Status();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<TilesPlan>();
  const TensorMeta &x = c.in(0), &y = c.out();
  for (const int64_t dim : layout_info(y.layout).order) {
    const int d = static_cast<int>(dim);
    const int64_t step = d < 2 ? kTile : 1;
    const int64_t count = (x.shape[d] + step - 1) / step;
    if (count == 1) continue;
    p->dims[p->rank++] = {count, layout_dim_offset(x.layout, x.shape, d, step),
                          layout_dim_offset(y.layout, y.shape, d, step)};
    p->tiles *= count;
  }
  p->size = static_cast<int64_t>(dtype_size(y.dtype));
  TileForm form = TileForm::kTransposed;
  form_of(c, &form);
#if defined(__x86_64__)
  p->turn = avx512::tile_function(form);
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
