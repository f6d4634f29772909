// SPDX-License-Identifier: Apache-2.0
// Reading and writing at coordinates, in the order of the index.
#include "rutile/ops/scatter.h"

#include <vector>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

// NaN wins among the extremes, integers wrap.
template <class T>
T combined(ScatterReduce reduce, T old, T next) {
  switch (reduce) {
    case ScatterReduce::kNone:
      break;
    case ScatterReduce::kAdd:
      return fn::add(old, next);
    case ScatterReduce::kMul:
      return fn::mul(old, next);
    case ScatterReduce::kMax:
      return fn::max(old, next);
    case ScatterReduce::kMin:
      return fn::min(old, next);
  }
  return next;
}

void copy_to_output(const RefPlan& p, const KernelArgs& args) {
  int64_t i = 0;
  for (Walk w(p.in[0]); !w.done(); w.next(), ++i) {
    move_element(p.out[0].dtype, args.out[0], i, args.in[0], w.offset());
  }
}

// The result while it is made: 16-bit floats are combined in f32 and rounded once.
template <class T>
class Target {
 public:
  Target(ScatterReduce reduce, void* y, int64_t n) : reduce_(reduce), y_(static_cast<T*>(y)) {
    if constexpr (kNarrow) {
      for (int64_t i = 0; i < n; ++i) wide_.push_back(static_cast<float>(y_[i]));
    }
  }
  ~Target() {
    if constexpr (kNarrow) {
      for (size_t i = 0; i < wide_.size(); ++i) y_[i] = convert<T>(wide_[i]);
    }
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  void put(int64_t at, T next) {
    if constexpr (kNarrow) {
      float& old = wide_[static_cast<size_t>(at)];
      old = combined(reduce_, old, static_cast<float>(next));
    } else if constexpr (std::is_same_v<T, Bytes16>) {
      y_[at] = next;
    } else {
      y_[at] = combined(reduce_, y_[at], next);
    }
  }

 private:
  static constexpr bool kNarrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
  ScatterReduce reduce_;
  T* y_;
  std::vector<float> wide_;
};

// Calls f(type) with the type to combine in; any type of that size where nothing is combined.
template <class F>
void dispatch_combined(ScatterReduce reduce, DType t, F&& f) {
  if (reduce == ScatterReduce::kNone) return dispatch_size(t, f);
  dispatch_number(t, f);
}

Status run_scatter(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::ScatterAttrs>();
  const TensorMeta& x = p.in[0];
  const int axis = axis_of(a.axis, x.rank());
  const Elements index = input(p, args, 1);
  copy_to_output(p, args);
  Status status;
  dispatch_combined(a.reduce, x.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    Target<T> y(a.reduce, args.out[0], x.numel());
    const T* src = static_cast<const T*>(args.in[2]);
    Walk from(p.in[2]);
    for (Walk w(p.in[1]); !w.done(); w.next(), from.next()) {
      const int64_t v = index.get_int(w.offset());
      Dims to = w.index();
      to[axis] = resolve_index(v, x.dim(axis), true);
      if (to[axis] < 0) {
        status = index_out_of_range("index", v, w.index(), x.dim(axis), true);
        return;
      }
      y.put(offset_at(p.out[0].strides, to), src[from.offset()]);
    }
  });
  return status;
}

// Offset in elements of the place that row `row` of the indices names; strides are those of x.
Status resolve_row(const Elements& indices, const Dims& row, const TensorMeta& x, int64_t* offset) {
  Dims at = row;
  *offset = 0;
  for (int64_t k = 0; k < indices.meta().shape.back(); ++k) {
    const int d = static_cast<int>(k);
    at[at.rank() - 1] = k;
    const int64_t v = indices.int_at(at);
    const int64_t place = resolve_index(v, x.dim(d), true);
    if (place < 0) return index_out_of_range("index", v, at, x.dim(d), true);
    *offset += place * x.strides[d];
  }
  return Status();
}

// Calls f(offset of the named place in `x`, number of the row) for each row of the indices.
template <class F>
Status for_rows(const Elements& indices, const TensorMeta& x, F&& f) {
  Shape rows = indices.meta().shape;
  rows[rows.rank() - 1] = 1;
  int64_t number = 0;
  for (Walk w(rows, indices.meta().strides); !w.done(); w.next(), ++number) {
    int64_t offset = 0;
    RUTILE_RETURN_IF_ERROR(resolve_row(indices, w.index(), x, &offset));
    f(offset, number);
  }
  return Status();
}

// The dimensions of x from k on, as they lie.
void slice_of(const TensorMeta& x, int64_t k, Shape* shape, Strides* strides) {
  for (int i = static_cast<int>(k); i < x.rank(); ++i) {
    shape->push_back(x.shape[i]);
    strides->push_back(x.strides[i]);
  }
}

Status run_gather_nd(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta& x = p.in[0];
  Shape shape;
  Strides strides;
  slice_of(x, p.in[1].shape.back(), &shape, &strides);
  int64_t to = 0;
  return for_rows(input(p, args, 1), x, [&](int64_t offset, int64_t) {
    for (Walk w(shape, strides); !w.done(); w.next(), ++to) {
      move_element(x.dtype, args.out[0], to, args.in[0], offset + w.offset());
    }
  });
}

Status run_tensor_scatter(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const ScatterReduce reduce = p.as<ops::TensorScatterAttrs>().reduce;
  const TensorMeta &y = p.out[0], &updates = p.in[2];
  copy_to_output(p, args);
  const int64_t size = product(y.shape, static_cast<int>(p.in[1].shape.back()), y.rank());
  Status status;
  dispatch_combined(reduce, y.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    Target<T> out(reduce, args.out[0], y.numel());
    const T* src = static_cast<const T*>(args.in[2]);
    Walk from(updates);
    status = for_rows(input(p, args, 1), y, [&](int64_t offset, int64_t) {
      for (int64_t i = 0; i < size; ++i, from.next()) {
        out.put(offset + i, src[from.offset()]);
      }
    });
  });
  return status;
}

}  // namespace

void register_scatter_ref() {
  register_kernel(ref_row<run_scatter>(ops::kScatter));
  register_kernel(ref_row<run_gather_nd>(ops::kGatherNd));
  register_kernel(ref_row<run_tensor_scatter>(ops::kTensorScatter));
}

}  // namespace rutile::kernels
