// SPDX-License-Identifier: Apache-2.0
// Rows of distributions by rejection and of checks of ranges.
#include "rutile/kernels/cuda/draws.h"

#include <algorithm>

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/distributions.h"
#include "rutile/ops/require.h"

namespace rutile::cuda {
namespace {

template <Draw kDraw>
Status prepare_draw(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<DrawArgs>(launch_draw, [](DrawArgs* a, const KernelArgs& k) {
    a->key = static_cast<const uint64_t*>(k.in[0]);
    a->parameter = k.in[1];
    a->y = k.out[0];
  });
  const TensorMeta& x = c.in(1);
  DrawArgs& a = p->args;
  a.draw = kDraw;
  a.n = x.numel();
  a.in_type = x.dtype;
  a.out_type = c.out().dtype;
  const Strides at[1] = {x.strides};
  a.at = make_indexer<1>(x.shape, at);
  *plan = std::move(p);
  return Status();
}

Status prepare_require(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<RequireArgs>(launch_require, [](RequireArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->y = k.out[0];
    a->fault = fault_slot(k.stream);
  });
  const auto& attrs = c.as<ops::RequireRangeAttrs>();
  const TensorMeta& x = c.in(0);
  RequireArgs& a = p->args;
  const bool by_line = attrs.positive > 0 && x.rank() > 0;
  a.length = by_line ? x.shape.back() : 1;
  a.lines = a.length > 0 ? x.numel() / a.length : 0;
  a.type = x.dtype;
  a.low = attrs.min;
  a.high = attrs.max;
  a.positive = attrs.positive;
  const size_t n = std::min(attrs.what.size(), sizeof(a.name.text) - 1);
  std::copy_n(attrs.what.data(), n, a.name.text);
  const Strides at[1] = {x.strides};
  a.at = make_indexer<1>(x.shape, at);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_draws() {
  add_row(ops::kRandomGamma, "philox", prepare_draw<Draw::kGamma>);
  add_row(ops::kRandomPoisson, "philox", prepare_draw<Draw::kPoisson>);
  add_row(ops::kRequireRange, "check", prepare_require);
}

}  // namespace rutile::cuda
