// SPDX-License-Identifier: Apache-2.0
// Reference kernels of creation, indexing and sorting.
#include "rutile/ops/index.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/ref/comes_before.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

// ---- Creation -----------------------------------------------------------------------------------

Status run_full(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Scalar& v = p.as<ops::FullAttrs>().value;
  const int64_t n = p.out[0].numel();
  dispatch_all(p.out[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    T value{};
    if constexpr (std::is_same_v<T, std::complex<float>> ||
                  std::is_same_v<T, std::complex<double>>) {
      value = T(static_cast<typename T::value_type>(v.f));
    } else {
      value = v.kind == Scalar::Kind::kFloat ? convert<T>(v.f) : convert<T>(v.i);
    }
    std::fill_n(static_cast<T*>(args.out[0]), n, value);
  });
  return Status();
}

Status run_arange(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::ArangeAttrs>();
  const Elements y = output(p, args);
  const bool whole = a.start.kind != Scalar::Kind::kFloat && a.step.kind != Scalar::Kind::kFloat;
  for (int64_t i = 0; i < p.out[0].numel(); ++i) {
    if (whole) {
      y.put_int(i, a.start.i + i * a.step.i);
    } else {
      y.put(i, a.start.f + static_cast<double>(i) * a.step.f);
    }
  }
  return Status();
}

Status run_one_hot(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const int64_t depth = p.as<ops::OneHotAttrs>().depth;
  const Elements ids = input(p, args, 0), y = output(p, args);
  int64_t row = 0;
  for (Walk w(p.in[0]); !w.done(); w.next(), ++row) {
    const int64_t id = ids.get_int(w.offset());
    if (resolve_index(id, depth, false) < 0) {
      return index_out_of_range("index", id, w.index(), depth, false);
    }
    for (int64_t k = 0; k < depth; ++k) y.put_int(row * depth + k, k == id);
  }
  return Status();
}

// ---- Rows ---------------------------------------------------------------------------------------

// Positions that all indices name, in row-major order.
Status resolve_all(const Elements& index, int64_t n, bool wrap, std::vector<int64_t>* out) {
  for (Walk w(index.meta()); !w.done(); w.next()) {
    const int64_t v = index.get_int(w.offset());
    const int64_t at = resolve_index(v, n, wrap);
    if (at < 0) return index_out_of_range("index", v, w.index(), n, wrap);
    out->push_back(at);
  }
  return Status();
}

// x[.., position of index.., ..] for every element of the result: result index to source index.
Dims source_index(const Dims& at, int axis, const Shape& index, const std::vector<int64_t>& rows) {
  int64_t linear = 0;
  Dims from;
  for (int i = 0; i < axis; ++i) from.push_back(at[i]);
  for (int i = 0; i < index.rank(); ++i) linear = linear * index[i] + at[axis + i];
  from.push_back(rows[static_cast<size_t>(linear)]);
  for (int i = axis + index.rank(); i < at.rank(); ++i) from.push_back(at[i]);
  return from;
}

Status gather_rows(const RefPlan& p, const KernelArgs& args, int x_at, int index_at, int axis,
                   bool wrap) {
  const TensorMeta &x = p.in[x_at], &y = p.out[0];
  std::vector<int64_t> rows;
  RUTILE_RETURN_IF_ERROR(resolve_all(input(p, args, index_at), x.dim(axis), wrap, &rows));
  for (Walk w(y); !w.done(); w.next()) {
    const Dims from = source_index(w.index(), axis, p.in[index_at].shape, rows);
    move_element(y.dtype, args.out[0], w.offset(), args.in[x_at], offset_at(x.strides, from));
  }
  return Status();
}

Status run_embedding(const Plan& plan, const KernelArgs& args) {
  return gather_rows(ref_plan(plan), args, 1, 0, 0, false);
}

Status run_gather(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const int axis = axis_of(p.as<ops::GatherAttrs>().axis, p.in[0].rank());
  return gather_rows(p, args, 0, 1, axis, true);
}

// Sums in double, or in 64-bit integers, in row-major order.
class Sums {
 public:
  explicit Sums(const TensorMeta& out)
      : whole_(!is_floating(out.dtype)), strides_(contiguous_strides(out.shape)) {
    whole_ ? ints_.resize(static_cast<size_t>(out.numel()))
           : reals_.resize(static_cast<size_t>(out.numel()));
  }
  void add(const Dims& at, const Elements& x, int64_t offset) {
    const auto i = static_cast<size_t>(offset_at(strides_, at));
    if (whole_) {
      ints_[i] += static_cast<uint64_t>(x.get_int(offset));
    } else {
      reals_[i] += x.get(offset);
    }
  }
  void store(const Elements& out) const {
    size_t i = 0;
    for (Walk w(out.meta()); !w.done(); w.next(), ++i) {
      if (whole_) {
        out.put_int(w.offset(), static_cast<int64_t>(ints_[i]));
      } else {
        out.put(w.offset(), reals_[i]);
      }
    }
  }

 private:
  bool whole_;
  Strides strides_;
  std::vector<double> reals_;
  std::vector<uint64_t> ints_;  // unsigned: wraps
};

Status run_embedding_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::EmbeddingGradAttrs>();
  std::vector<int64_t> rows;
  RUTILE_RETURN_IF_ERROR(resolve_all(input(p, args, 1), a.rows, false, &rows));
  Sums sums(p.out[0]);
  const Elements g = input(p, args, 0);
  for (Walk w(p.in[0]); !w.done(); w.next()) {
    const Dims to = source_index(w.index(), 0, p.in[1].shape, rows);
    if (to[0] != a.padding_idx) sums.add(to, g, w.offset());
  }
  sums.store(output(p, args));
  return Status();
}

Status run_index_add(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::IndexAddAttrs>();
  std::vector<int64_t> rows;
  RUTILE_RETURN_IF_ERROR(resolve_all(input(p, args, 1), a.size, true, &rows));
  Sums sums(p.out[0]);
  const Elements x = input(p, args, 0);
  for (Walk w(p.in[0]); !w.done(); w.next()) {
    sums.add(source_index(w.index(), static_cast<int>(a.axis), p.in[1].shape, rows), x, w.offset());
  }
  sums.store(output(p, args));
  return Status();
}

// ---- Elements -----------------------------------------------------------------------------------

Status run_take_along_axis(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::TakeAlongAttrs>();
  const TensorMeta &x = p.in[0], &y = p.out[0];
  const int axis = axis_of(a.axis, x.rank());
  const Elements index = input(p, args, 1);
  for (Walk w(p.in[1]); !w.done(); w.next()) {
    const int64_t v = index.get_int(w.offset());
    Dims from = w.index();
    from[axis] = resolve_index(v, x.dim(axis), a.wrap);
    if (from[axis] < 0) return index_out_of_range("index", v, w.index(), x.dim(axis), a.wrap);
    move_element(y.dtype, args.out[0], offset_at(y.strides, w.index()), args.in[0],
                 offset_at(x.strides, from));
  }
  return Status();
}

Status run_scatter_add(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::TakeAlongAttrs>();
  const TensorMeta& x = p.in[0];
  const int axis = axis_of(a.axis, x.rank());
  Sums sums(p.out[0]);
  const Elements in = input(p, args, 0), index = input(p, args, 1), src = input(p, args, 2);
  for (Walk w(x); !w.done(); w.next()) sums.add(w.index(), in, w.offset());
  for (Walk w(p.in[1]); !w.done(); w.next()) {
    const int64_t v = index.get_int(w.offset());
    Dims to = w.index();
    to[axis] = resolve_index(v, x.dim(axis), a.wrap);
    if (to[axis] < 0) return index_out_of_range("index", v, w.index(), x.dim(axis), a.wrap);
    sums.add(to, src, offset_at(p.in[2].strides, w.index()));
  }
  sums.store(output(p, args));
  return Status();
}

// ---- Order --------------------------------------------------------------------------------------

// The first k elements along the axis in (stable) order.
Status sort_axis(const RefPlan& p, const KernelArgs& args, int axis, int64_t k, bool descending) {
  const TensorMeta& x = p.in[0];
  const Elements indices = output(p, args, 1);
  Shape outer = x.shape;
  outer[axis] = std::min<int64_t>(outer[axis], 1);
  const auto n = static_cast<size_t>(x.dim(axis));
  dispatch_real(x.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const T* in = static_cast<const T*>(args.in[0]);
    T* values = static_cast<T*>(args.out[0]);
    for (Walk w(outer, x.strides); !w.done(); w.next()) {
      auto at = [&](int64_t i) { return in[w.offset() + i * x.strides[axis]]; };
      std::vector<int64_t> order(n);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return descending ? comes_before(at(b), at(a)) : comes_before(at(a), at(b));
      });
      for (int64_t i = 0; i < k; ++i) {
        Dims to = w.index();
        to[axis] = i;
        values[offset_at(p.out[0].strides, to)] = at(order[static_cast<size_t>(i)]);
        indices.set_int(to, order[static_cast<size_t>(i)]);
      }
    }
  });
  return Status();
}

Status run_topk(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::TopkAttrs>();
  return sort_axis(p, args, axis_of(a.axis, p.in[0].rank()), a.k, a.largest);
}

Status run_sort(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::SortAttrs>();
  const int axis = axis_of(a.axis, p.in[0].rank());
  return sort_axis(p, args, axis, p.in[0].dim(axis), a.descending);
}

Status run_nonzero(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta& x = p.in[0];
  int64_t* rows = static_cast<int64_t*>(args.out[0]);
  std::fill_n(rows, p.out[0].numel(), -1);
  int64_t count = 0;
  dispatch_all(x.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const T* in = static_cast<const T*>(args.in[0]);
    for (Walk w(x); !w.done(); w.next()) {
      bool zero = false;
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
        zero = static_cast<float>(in[w.offset()]) == 0;
      } else {
        zero = in[w.offset()] == T(0);
      }
      if (zero) continue;
      for (int d = 0; d < x.rank(); ++d) *rows++ = w.index()[d];
      ++count;
    }
  });
  *static_cast<int64_t*>(args.out[1]) = count;
  return Status();
}

}  // namespace

void register_index_ref() {
  register_kernel(ref_row<run_full>(ops::kFull));
  register_kernel(ref_row<run_arange>(ops::kArange));
  register_kernel(ref_row<run_one_hot>(ops::kOneHot));
  register_kernel(ref_row<run_embedding>(ops::kEmbedding));
  register_kernel(ref_row<run_embedding_grad>(ops::kEmbeddingGrad));
  register_kernel(ref_row<run_gather>(ops::kGather));
  register_kernel(real_row<run_index_add>(ops::kIndexAdd));
  register_kernel(ref_row<run_take_along_axis>(ops::kTakeAlongAxis));
  register_kernel(real_row<run_scatter_add>(ops::kScatterAdd));
  register_kernel(ref_row<run_topk>(ops::kTopk));
  register_kernel(ref_row<run_sort>(ops::kSort));
  register_kernel(ref_row<run_nonzero>(ops::kNonzero));
}

}  // namespace rutile::kernels
