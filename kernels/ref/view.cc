// SPDX-License-Identifier: Apache-2.0
// Reference kernels of the ops that move elements.
#include "rutile/ops/view.h"

#include <cstring>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/pad_source.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/bitcast.h"

namespace rutile::kernels {
namespace {

int64_t offset_of(const TensorMeta& m, const Dims& index) {
  return m.layout == kStrided ? offset_at(m.strides, index)
                              : layout_offset(m.layout, m.shape, index.data());
}

// contiguous, reorder: any placement to any other; what a layout pads becomes zero.
Status run_place(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta &x = p.in[0], &y = p.out[0];
  if (y.layout != kStrided && y.nbytes() > 0)
    std::memset(args.out[0], 0, static_cast<size_t>(y.nbytes()));
  for (Walk w(y.shape, contiguous_strides(y.shape)); !w.done(); w.next()) {
    move_element(y.dtype, args.out[0], offset_of(y, w.index()), args.in[0],
                 offset_of(x, w.index()));
  }
  return Status();
}

Status run_concat(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta& y = p.out[0];
  const int axis = axis_of(p.as<ops::ConcatAttrs>().axis, y.rank());
  int64_t before = 0;
  for (int i = 0; i < p.in.size(); ++i) {
    for (Walk w(p.in[i]); !w.done(); w.next()) {
      Dims at = w.index();
      at[axis] += before;
      move_element(y.dtype, args.out[0], offset_at(y.strides, at), args.in[i], w.offset());
    }
    before += p.in[i].dim(axis);
  }
  return Status();
}

void fill_zero(const TensorMeta& m, void* p) {
  for (Walk w(m); !w.done(); w.next()) {
    dispatch_size(m.dtype, [&](auto id) {
      using T = typename decltype(id)::type;
      static_cast<T*>(p)[w.offset()] = T{};
    });
  }
}

Status run_slice_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::SliceGradAttrs>();
  const TensorMeta &x = p.in[0], &y = p.out[0];
  fill_zero(y, args.out[0]);
  for (Walk w(x); !w.done(); w.next()) {
    Dims at = w.index();
    for (int d = 0; d < a.starts.rank(); ++d) {
      int64_t start = a.starts[d] < 0 ? a.starts[d] + y.shape[d] : a.starts[d];
      start = start < 0 ? 0 : start;
      at[d] = start + at[d] * (a.steps.empty() ? 1 : a.steps[d]);
    }
    move_element(y.dtype, args.out[0], offset_at(y.strides, at), args.in[0], w.offset());
  }
  return Status();
}

// The index in x that padded index `at` shows; false for the constant.
bool padded_source(const Dims& at, const ops::PadAttrs& a, const Shape& x, Dims* from) {
  *from = at;
  for (int d = 0; d < x.rank(); ++d) {
    (*from)[d] = pad_source(at[d] - a.before[d], x[d], a.mode);
    if ((*from)[d] < 0) return false;
  }
  return true;
}

void put_scalar(DType t, void* p, int64_t offset, const Scalar& s) {
  dispatch_all(t, [&](auto id) {
    using T = typename decltype(id)::type;
    if constexpr (std::is_same_v<T, std::complex<float>> ||
                  std::is_same_v<T, std::complex<double>>) {
      static_cast<T*>(p)[offset] = T(static_cast<typename T::value_type>(s.f));
    } else {
      static_cast<T*>(p)[offset] =
          s.kind == Scalar::Kind::kFloat ? convert<T>(s.f) : convert<T>(s.i);
    }
  });
}

Status run_pad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::PadAttrs>();
  const TensorMeta &x = p.in[0], &y = p.out[0];
  for (Walk w(y); !w.done(); w.next()) {
    Dims from;
    if (padded_source(w.index(), a, x.shape, &from)) {
      move_element(y.dtype, args.out[0], w.offset(), args.in[0], offset_at(x.strides, from));
    } else {
      put_scalar(y.dtype, args.out[0], w.offset(), a.value);
    }
  }
  return Status();
}

Status run_pad_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::PadAttrs>();
  const Elements g = input(p, args, 0), d = output(p, args);
  const TensorMeta& x = p.out[0];
  std::vector<double> sums(static_cast<size_t>(x.numel()));
  const Strides plain = contiguous_strides(x.shape);
  for (Walk w(p.in[0]); !w.done(); w.next()) {
    Dims from;
    if (padded_source(w.index(), a, x.shape, &from)) {
      sums[static_cast<size_t>(offset_at(plain, from))] += g.get(w.offset());
    }
  }
  size_t i = 0;
  for (Walk w(x); !w.done(); w.next()) d.put(w.offset(), sums[i++]);
  return Status();
}

Status run_flip(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::FlipAttrs>();
  const TensorMeta &x = p.in[0], &y = p.out[0];
  for (Walk w(x); !w.done(); w.next()) {
    Dims at = w.index();
    for (int d = 0; d < x.rank(); ++d) {
      bool flip = a.axes.empty();
      for (const int64_t axis : a.axes) flip = flip || axis_of(axis, x.rank()) == d;
      if (flip) at[d] = x.shape[d] - 1 - at[d];
    }
    move_element(y.dtype, args.out[0], offset_at(y.strides, at), args.in[0], w.offset());
  }
  return Status();
}

template <bool kLower>
Status run_triangle(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const int64_t k = p.as<ops::TriangleAttrs>().diagonal;
  const TensorMeta &x = p.in[0], &y = p.out[0];
  fill_zero(y, args.out[0]);
  for (Walk w(x); !w.done(); w.next()) {
    const Dims& at = w.index();
    const int64_t above = at.back() - at[at.rank() - 2];
    if (kLower ? above <= k : above >= k) {
      move_element(y.dtype, args.out[0], offset_at(y.strides, at), args.in[0], w.offset());
    }
  }
  return Status();
}

Status run_bitcast(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  int64_t next = 0;
  for (Walk w(p.in[0]); !w.done(); w.next()) {
    move_element(p.in[0].dtype, args.out[0], next++, args.in[0], w.offset());
  }
  if (p.out[0].dtype != DType::kBool) return Status();
  auto* bytes = static_cast<uint8_t*>(args.out[0]);
  for (int64_t i = 0; i < p.out[0].numel(); ++i) bytes[i] = bytes[i] != 0;
  return Status();
}

bool any_placement(const CallMeta& c, Reason* reason) {
  if (c.in(0).dtype == c.out().dtype) return true;
  reason->text = "does not convert";
  return false;
}

}  // namespace

void register_view_ref() {
  for (const OpDef* op : {&ops::kContiguous, &ops::kReorder}) {
    KernelRow row = ref_row<run_place>(*op);
    row.supports = any_placement;
    register_kernel(row);
  }
  register_kernel(ref_row<run_bitcast>(ops::kBitcast));
  register_kernel(ref_row<run_concat>(ops::kConcat));
  register_kernel(ref_row<run_slice_grad>(ops::kSliceGrad));
  register_kernel(ref_row<run_pad>(ops::kPad));
  register_kernel(real_row<run_pad_grad>(ops::kPadGrad));
  register_kernel(ref_row<run_flip>(ops::kFlip));
  register_kernel(ref_row<run_triangle<true>>(ops::kTril));
  register_kernel(ref_row<run_triangle<false>>(ops::kTriu));
}

}  // namespace rutile::kernels
