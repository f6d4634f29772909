// SPDX-License-Identifier: Apache-2.0
// Maximum pooling over any windows, and ops that read and write by its positions, one element at a
// time.
#include <cmath>
#include <vector>

#include "rutile/kernels/axis_taps.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/adaptive_pool.h"
#include "rutile/ops/pool3d.h"
#include "rutile/ops/unpool.h"

namespace rutile::kernels {
namespace {

struct MaxRef : RefPlan {
  std::vector<AxisTaps> axes;
};

// Looks at the taps of dimensions `axis` and later; `position` counts pixels row-major.
struct Largest {
  const MaxRef& p;
  const Elements& x;
  const Dims& out;
  Dims in;
  double value = -INFINITY;
  int64_t integer = 0, position = -1;

  void look(size_t axis, int64_t at) {
    if (axis == p.axes.size()) {
      take(at);
      return;
    }
    const AxisTaps& t = p.axes[axis];
    const int dim = in.rank() - static_cast<int>(p.axes.size() - axis);
    const auto o = static_cast<size_t>(out[dim]);
    for (int64_t k = t.first[o]; k < t.first[o + 1]; ++k) {
      in[dim] = t.pixel[static_cast<size_t>(k)];
      look(axis + 1, at * t.in + in[dim]);
    }
  }
  void take(int64_t at) {
    if (is_floating(x.meta().dtype)) {
      const double v = x.at(in);
      if (position >= 0 && !(v > value) && !std::isnan(v)) return;
      value = v;
    } else {
      const int64_t v = x.int_at(in);
      const bool more = x.meta().dtype == DType::kU64
                            ? static_cast<uint64_t>(v) > static_cast<uint64_t>(integer)
                            : v > integer;
      if (position >= 0 && !more) return;
      integer = v;
    }
    position = at;
  }
};

Status run_max(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const MaxRef&>(base);
  const Elements x = input(p, args, 0), y = output(p, args, 0), indices = output(p, args, 1);
  for (Walk w(p.out[0]); !w.done(); w.next()) {
    Largest l{p, x, w.index(), w.index()};
    l.look(0, 0);
    if (is_floating(x.meta().dtype)) {
      y.put(w.offset(), l.value);
    } else {
      y.put_int(w.offset(), l.integer);
    }
    indices.set_int(w.index(), l.position);
  }
  return Status();
}

Status prepare_max(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MaxRef>();
  p->in = {call.in(0)};
  p->out = {call.out(0), call.out(1)};
  p->axes = window_taps(call);
  p->run = run_max;
  *plan = std::move(p);
  return Status();
}

// `at` with its last `spatial` entries those of pixel `position` of an image of `shape`.
Dims image_index(Dims at, const Shape& shape, int spatial, int64_t position) {
  for (int d = shape.rank() - 1; d >= shape.rank() - spatial; --d) {
    at[d] = position % shape[d];
    position /= shape[d];
  }
  return at;
}

Status check(int64_t position, int64_t pixels) {
  if (position >= -1 && position < pixels) return Status();
  return Status(ErrorCode::kIndex, cat("index ", position, " is out of range [0, ", pixels, ")"));
}

Status run_gather(const Plan& base, const KernelArgs& args) {
  const RefPlan& p = ref_plan(base);
  const int spatial = static_cast<int>(p.as<ops::PoolGatherAttrs>().spatial);
  const Elements x = input(p, args, 0), indices = input(p, args, 1), y = output(p, args);
  const Shape& shape = p.in[0].shape;
  const int64_t pixels = product(shape, shape.rank() - spatial, shape.rank());
  for (Walk w(p.in[1]); !w.done(); w.next()) {
    const int64_t position = indices.get_int(w.offset());
    RUTILE_RETURN_IF_ERROR(check(position, pixels));
    y.set(w.index(), position < 0 ? 0 : x.at(image_index(w.index(), shape, spatial, position)));
  }
  return Status();
}

Status run_scatter(const Plan& base, const KernelArgs& args) {
  const RefPlan& p = ref_plan(base);
  const auto& a = p.as<ops::PoolScatterAttrs>();
  const Elements v = input(p, args, 0), indices = input(p, args, 1), y = output(p, args);
  const Shape& shape = p.out[0].shape;
  const int spatial = a.size.rank();
  const int64_t pixels = product(shape, shape.rank() - spatial, shape.rank());
  std::vector<double> sums(static_cast<size_t>(shape.numel()), 0.0);
  const Strides strides = contiguous_strides(shape);
  for (Walk w(p.in[0]); !w.done(); w.next()) {
    const int64_t position = indices.int_at(w.index());
    RUTILE_RETURN_IF_ERROR(check(position, pixels));
    if (position < 0) continue;
    double& sum = sums[static_cast<size_t>(
        offset_at(strides, image_index(w.index(), shape, spatial, position)))];
    sum = (a.add ? sum : 0) + v.get(w.offset());
  }
  for (Walk w(p.out[0]); !w.done(); w.next()) {
    y.put(w.offset(), sums[static_cast<size_t>(offset_at(strides, w.index()))]);
  }
  return Status();
}

}  // namespace

void register_pool_index_ref() {
  for (const OpDef* op : {&ops::kMaxPool3d, &ops::kAdaptiveMaxPool1d, &ops::kAdaptiveMaxPool2d,
                          &ops::kAdaptiveMaxPool3d}) {
    register_kernel({.op = op, .name = "ref", .prepare = prepare_max, .reference = true});
  }
  register_kernel(ref_row<run_gather>(ops::kPoolGather));
  register_kernel(ref_row<run_scatter>(ops::kPoolScatter));
}

}  // namespace rutile::kernels
