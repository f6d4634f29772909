// SPDX-License-Identifier: Apache-2.0
// Rows of the random ops: tiles of the vector loops, the same bits as the reference kernels.
#include "rutile/kernels/cpu/random.h"
#include "rutile/kernels/cpu/planning.h"

#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/random_params.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

struct RandomPlan : Plan {
  RandomArgs args;
  RandomFn draw = nullptr;
  int64_t n = 0, size = 0;
};

constexpr double kElementNs = 0.5;

template <class F>
void for_tiles(int64_t n, F&& f) {
  parallel_for(0, (n + kRandomTile - 1) / kRandomTile, grain_for(kElementNs * kRandomTile),
               [&](int64_t begin, int64_t end) {
                 for (int64_t t = begin; t < end; ++t)
                   f(t, std::min(kRandomTile, n - t * kRandomTile));
               });
}

Status run_random(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const RandomPlan&>(plan);
  RandomArgs a = p.args;
  a.key = *static_cast<const uint64_t*>(args.in[0]);
  for_tiles(p.n, [&](int64_t tile, int64_t n) {
    p.draw(a, tile, n, static_cast<char*>(args.out[0]) + tile * kRandomTile * p.size);
  });
  return Status();
}

RandomFn choose(const CallMeta& c) {
  const RandomKernels k = RUTILE_CHOOSE_ISA(random_kernels, c.out().dtype);
  if (c.op == &ops::kRandomUniform) return k.uniform;
  if (c.op == &ops::kRandomNormal) return k.normal;
  if (c.op == &ops::kTruncatedNormal) return k.truncated;
  return c.op == &ops::kRandomRandint ? k.integers : k.bernoulli;
}

void fill_args(const CallMeta& c, RandomArgs* r) {
  const auto range = [r](double offset, double scale) {
    r->offset = static_cast<float>(offset);
    r->scale = static_cast<float>(scale);
  };
  if (c.op == &ops::kRandomUniform) {
    const auto& a = c.as<ops::RandomUniformAttrs>();
    range(a.low, a.high - a.low);
    r->bits = unit_bits(a.dtype);
    r->top = static_cast<float>(largest_below(a.high, a.dtype));
  } else if (c.op == &ops::kRandomNormal) {
    const auto& a = c.as<ops::RandomNormalAttrs>();
    range(a.mean, a.std);
  } else if (c.op == &ops::kTruncatedNormal) {
    const auto& a = c.as<ops::TruncatedNormalAttrs>();
    range(a.mean, a.std);
    const double lo = 2 * normal_cdf(a.lower) - 1, hi = 2 * normal_cdf(a.upper) - 1;
    r->lo = static_cast<float>(lo);
    r->range = static_cast<float>(hi - lo);
    r->from = static_cast<float>(a.lower);
    r->to = static_cast<float>(a.upper);
  } else if (c.op == &ops::kRandomRandint) {
    const auto& a = c.as<ops::RandomRandintAttrs>();
    r->low = a.low;
    r->span = static_cast<uint64_t>(a.high) - static_cast<uint64_t>(a.low);
  } else {
    r->threshold = hit_threshold(c.as<ops::RandomBernoulliAttrs>().p);
  }
}

bool supports_random(const CallMeta& c, Reason* reason) {
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  if (!choose(c)) return refuse(reason, cat("has no vector loop for ", c.out().dtype));
  return true;
}

Status prepare_random(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<RandomPlan>();
  p->draw = choose(c);
  p->n = c.out().numel();
  p->size = static_cast<int64_t>(dtype_size(c.out().dtype));
  fill_args(c, &p->args);
  p->run = run_random;
  *plan = std::move(p);
  return Status();
}

// ---- dropout ------------------------------------------------------------------------------------

struct DropoutPlan : RandomPlan {
  DropoutKernels kernels;
  bool row_major = true;  // the result, so that numbers run along memory
  bool copies = false;    // x lies otherwise than y
  CopyPlan x_to_y, mask_to_place;
  RandomFn draw_hits = nullptr;
};

Status run_dropout(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const DropoutPlan&>(plan);
  RandomArgs a = p.args;
  a.key = *static_cast<const uint64_t*>(args.in[0]);
  const char* x = static_cast<const char*>(args.in[1]);
  char* y = static_cast<char*>(args.out[0]);
  bool* mask = static_cast<bool*>(args.out[1]);
  if (p.copies) {
    p.x_to_y.run(x, y);
    x = y;
  }
  if (p.row_major) {
    for_tiles(p.n, [&](int64_t tile, int64_t n) {
      const int64_t at = tile * kRandomTile;
      p.kernels.draw(a, tile, n, x + at * p.size, y + at * p.size, mask + at);
    });
    return Status();
  }
  // The mask in logical order, then in the order of memory.
  bool* drawn = static_cast<bool*>(args.workspace);
  for_tiles(p.n, [&](int64_t tile, int64_t n) {
    p.draw_hits(a, tile, n, drawn + tile * kRandomTile);
    for (int64_t i = 0; i < n; ++i) drawn[tile * kRandomTile + i] ^= true;
  });
  p.mask_to_place.run(drawn, mask);
  for_tiles(p.n, [&](int64_t tile, int64_t n) {
    const int64_t at = tile * kRandomTile;
    p.kernels.apply(a.scale, n, x + at * p.size, mask + at, y + at * p.size);
  });
  return Status();
}

bool supports_dropout(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(1);
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  if (x.layout != kStrided || c.out().layout != kStrided) {
    return refuse(reason, "takes strided tensors");
  }
  const DropoutKernels k = RUTILE_CHOOSE_ISA(dropout_kernels, x.dtype);
  if (!k.draw) return refuse(reason, cat("has no vector loop for ", x.dtype));
  return true;
}

Status prepare_dropout(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DropoutPlan>();
  const TensorMeta &x = c.in(1), &y = c.out();
  const double drop = c.as<ops::DropoutAttrs>().p;
  p->kernels = RUTILE_CHOOSE_ISA(dropout_kernels, x.dtype);
  p->n = y.numel();
  p->size = static_cast<int64_t>(dtype_size(x.dtype));
  p->args.threshold = hit_threshold(drop);
  p->args.scale = static_cast<float>(drop < 1 ? 1 / (1 - drop) : 0);
  p->copies = !same_placement(x, y);
  if (p->copies) p->x_to_y = CopyPlan(x.shape, x.strides, y.strides, static_cast<int>(p->size));
  p->row_major = y.is_contiguous();
  if (!p->row_major) {
    const RandomKernels k = RUTILE_CHOOSE_ISA(random_kernels, DType::kBool);
    p->draw_hits = k.bernoulli;
    p->mask_to_place = CopyPlan(y.shape, contiguous_strides(y.shape), y.strides, 1);
    p->workspace_bytes = static_cast<size_t>(p->n);
  }
  if (!p->copies) p->may_overwrite = 2;
  p->run = run_dropout;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_random_cpu() {
  for (const OpDef* op : {&ops::kRandomUniform, &ops::kRandomNormal, &ops::kTruncatedNormal,
                          &ops::kRandomRandint, &ops::kRandomBernoulli}) {
    register_kernel(
        {.op = op, .name = "simd", .supports = supports_random, .prepare = prepare_random});
  }
  register_kernel({.op = &ops::kDropout,
                   .name = "simd",
                   .supports = supports_dropout,
                   .prepare = prepare_dropout});
}

}  // namespace rutile::kernels
