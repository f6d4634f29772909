// SPDX-License-Identifier: Apache-2.0
// Every element of the columns, one at a time.
#include <vector>

#include "rutile/kernels/columns.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

struct ColumnRef : RefPlan {
  ColumnShape s;
};

// Calls f(row-major element of the columns, row-major pixel of the images, -1 in the padding).
template <class F>
void for_each_element(const ColumnShape& s, F f) {
  int64_t element = 0;
  for (int64_t plane = 0; plane < s.planes; ++plane) {
    for (int64_t kh = 0; kh < s.kernel.h; ++kh) {
      for (int64_t kw = 0; kw < s.kernel.w; ++kw) {
        for (int64_t i = 0; i < s.oh; ++i) {
          for (int64_t j = 0; j < s.ow; ++j, ++element) {
            const int64_t row = i * s.stride.h - s.pad.h + kh * s.dilation.h;
            const int64_t column = j * s.stride.w - s.pad.w + kw * s.dilation.w;
            const bool in = row >= 0 && row < s.h && column >= 0 && column < s.w;
            f(element, in ? (plane * s.h + row) * s.w + column : -1);
          }
        }
      }
    }
  }
}

// Offset of an element counted row-major.
int64_t offset_of(const TensorMeta& m, int64_t linear) { return Walk(m, linear).offset(); }

Status run_unfold(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ColumnRef&>(base);
  const Elements x = input(p, args, 0), y = output(p, args);
  for_each_element(p.s, [&](int64_t element, int64_t pixel) {
    y.put(offset_of(p.out[0], element), pixel < 0 ? 0 : x.get(offset_of(p.in[0], pixel)));
  });
  return Status();
}

Status run_fold(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ColumnRef&>(base);
  const Elements x = input(p, args, 0), y = output(p, args);
  std::vector<double> sums(static_cast<size_t>(p.out[0].numel()), 0.0);
  for_each_element(p.s, [&](int64_t element, int64_t pixel) {
    if (pixel >= 0) sums[static_cast<size_t>(pixel)] += x.get(offset_of(p.in[0], element));
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    y.put(offset_of(p.out[0], static_cast<int64_t>(i)), sums[i]);
  }
  return Status();
}

template <RunFn kRun>
Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ColumnRef>();
  p->in = {call.in(0)};
  p->out = {call.out()};
  p->s = ColumnShape::of(call);
  p->run = run_ref<kRun>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_unfold_ref() {
  register_kernel(
      {.op = &ops::kUnfold, .name = "ref", .prepare = prepare<run_unfold>, .reference = true});
  register_kernel(
      {.op = &ops::kFold, .name = "ref", .prepare = prepare<run_fold>, .reference = true});
}

}  // namespace rutile::kernels
