// SPDX-License-Identifier: Apache-2.0
// Pooling, one window at a time.
#include <algorithm>

#include "rutile/kernels/extremes.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/pool.h"

namespace rutile::kernels {
namespace {

using namespace rutile::ops;

// Elements of an image tensor by plane (all leading dimensions), row and column.
template <class T>
class Images {
 public:
  Images(const TensorMeta& m, void* p) : m_(m), p_(static_cast<T*>(p)), rank_(m.rank()) {}
  int64_t planes() const { return m_.dim(0) * (rank_ == 4 ? m_.dim(1) : 1); }
  int64_t height() const { return m_.dim(rank_ - 2); }
  int64_t width() const { return m_.dim(rank_ - 1); }
  T& at(int64_t plane, int64_t row, int64_t column) const {
    int64_t offset = row * m_.strides[rank_ - 2] + column * m_.strides[rank_ - 1];
    if (rank_ == 4) {
      offset += plane / m_.dim(1) * m_.strides[0] + plane % m_.dim(1) * m_.strides[1];
    } else {
      offset += plane * m_.strides[0];
    }
    return p_[offset];
  }

 private:
  TensorMeta m_;
  T* p_;
  int rank_;
};

// The pixels [row, column] that a window covers, those in the padding left out.
struct Geometry {
  Int2 kernel, stride, pad, dilation;
  int64_t height, width;

  template <class A>
  static Geometry of(const A& a, int64_t height, int64_t width) {
    Geometry g{a.kernel, a.stride, a.pad, Int2(1), height, width};
    if constexpr (requires { a.dilation; }) g.dilation = a.dilation;
    if (g.stride.h == 0) g.stride.h = g.kernel.h;
    if (g.stride.w == 0) g.stride.w = g.kernel.w;
    return g;
  }
  template <class F>
  void for_each_pixel(int64_t row, int64_t column, F&& f) const {
    for (int64_t i = 0; i < kernel.h; ++i) {
      const int64_t y = row * stride.h - pad.h + i * dilation.h;
      if (y < 0 || y >= height) continue;
      for (int64_t j = 0; j < kernel.w; ++j) {
        const int64_t x = column * stride.w - pad.w + j * dilation.w;
        if (x >= 0 && x < width) f(y, x);
      }
    }
  }
};

// Calls f(plane, row, column) for each element.
template <class T, class F>
void for_each_element(const Images<T>& m, F&& f) {
  for (int64_t p = 0; p < m.planes(); ++p) {
    for (int64_t i = 0; i < m.height(); ++i) {
      for (int64_t j = 0; j < m.width(); ++j) f(p, i, j);
    }
  }
}

template <class F>
auto dispatch_numeric(DType t, F&& f) {
  return is_floating(t) ? dispatch_float(t, f) : dispatch_int(t, f);
}

Status run_max_pool(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  dispatch_numeric(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> x(p.in[0], args.in[0]), y(p.out[0], args.out[0]);
    const Images<int32_t> indices(p.out[1], args.out[1]);
    const Geometry g = Geometry::of(p.as<MaxPool2dAttrs>(), x.height(), x.width());
    for_each_element(y, [&](int64_t plane, int64_t row, int64_t column) {
      T largest = smallest<T>();
      int64_t index = -1;
      g.for_each_pixel(row, column, [&](int64_t i, int64_t j) {
        const T v = x.at(plane, i, j);
        if (index < 0 || v > largest || is_nan(v)) {
          largest = v;
          index = i * g.width + j;
        }
      });
      y.at(plane, row, column) = largest;
      indices.at(plane, row, column) = static_cast<int32_t>(index);
    });
  });
  return Status();
}

// Adds up in dx what f(plane, add) gives to add(row, column, value), a plane at a time.
template <class A, class T, class F>
void accumulate(const Images<T>& dx, void* workspace, F&& f) {
  A* sums = static_cast<A*>(workspace);
  const int64_t w = dx.width();
  for (int64_t plane = 0; plane < dx.planes(); ++plane) {
    std::fill_n(sums, dx.height() * w, A(0));
    f(plane, [&](int64_t i, int64_t j, A v) {
      A& sum = sums[i * w + j];
      if constexpr (std::is_integral_v<A>) {  // integers wrap
        sum = static_cast<A>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(v));
      } else {
        sum += v;
      }
    });
    for (int64_t i = 0; i < dx.height(); ++i) {
      for (int64_t j = 0; j < w; ++j) dx.at(plane, i, j) = convert<T>(sums[i * w + j]);
    }
  }
}

// One plane of 64-bit sums as workspace.
template <RunFn kRun>
KernelRow grad_row(const OpDef& op) {
  KernelRow row = ref_row<kRun>(op);
  row.prepare = [](const CallMeta& c, std::unique_ptr<Plan>* plan) {
    const TensorMeta& dx = c.out();
    RUTILE_RETURN_IF_ERROR(prepare_ref<kRun>(c, plan));
    const int64_t pixels = dx.dim(dx.rank() - 2) * dx.dim(dx.rank() - 1);
    (*plan)->workspace_bytes = dx.numel() == 0 ? 0 : static_cast<size_t>(pixels) * 8;
    return Status();
  };
  return row;
}

Status run_max_pool_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  dispatch_numeric(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> dy(p.in[0], args.in[0]), dx(p.out[0], args.out[0]);
    const Images<int32_t> indices(p.in[1], args.in[1]);
    const Geometry g = Geometry::of(p.as<MaxPool2dGradAttrs>(), dx.height(), dx.width());
    accumulate<Acc<T>>(dx, args.workspace, [&](int64_t plane, auto&& add) {
      for (int64_t row = 0; row < dy.height(); ++row) {
        for (int64_t column = 0; column < dy.width(); ++column) {
          const int64_t index = indices.at(plane, row, column);
          g.for_each_pixel(row, column, [&](int64_t i, int64_t j) {
            if (index == i * g.width + j) add(i, j, convert<Acc<T>>(dy.at(plane, row, column)));
          });
        }
      }
    });
  });
  return Status();
}

Status run_max_pool_gather(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  dispatch_numeric(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> x(p.in[0], args.in[0]), y(p.out[0], args.out[0]);
    const Images<int32_t> indices(p.in[1], args.in[1]);
    const Geometry g = Geometry::of(p.as<MaxPool2dAttrs>(), x.height(), x.width());
    for_each_element(y, [&](int64_t plane, int64_t row, int64_t column) {
      T v = convert<T>(0.0);
      g.for_each_pixel(row, column, [&](int64_t i, int64_t j) {
        if (indices.at(plane, row, column) == i * g.width + j) v = x.at(plane, i, j);
      });
      y.at(plane, row, column) = v;
    });
  });
  return Status();
}

// What the sum over one window is divided by.
template <class A>
double divisor(const A& a, const Geometry& g, int64_t row, int64_t column) {
  if (a.divisor_override) return static_cast<double>(a.divisor_override);
  // The window's extent on one axis, cut off behind the padding or behind the data.
  const auto extent = [](int64_t begin, int64_t kernel, int64_t size, int64_t pad, bool padded) {
    int64_t end = std::min(begin + kernel, size + pad);
    if (!padded) {
      begin = std::max<int64_t>(begin, 0);
      end = std::min(end, size);
    }
    return end - begin;
  };
  const bool padded = a.count_include_pad;
  return static_cast<double>(
      extent(row * g.stride.h - g.pad.h, g.kernel.h, g.height, g.pad.h, padded) *
      extent(column * g.stride.w - g.pad.w, g.kernel.w, g.width, g.pad.w, padded));
}

Status run_avg_pool(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<AvgPool2dAttrs>();
  dispatch_float(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> x(p.in[0], args.in[0]), y(p.out[0], args.out[0]);
    const Geometry g = Geometry::of(a, x.height(), x.width());
    for_each_element(y, [&](int64_t plane, int64_t row, int64_t column) {
      double sum = 0;
      g.for_each_pixel(row, column,
                       [&](int64_t i, int64_t j) { sum += convert<double>(x.at(plane, i, j)); });
      y.at(plane, row, column) = convert<T>(sum / divisor(a, g, row, column));
    });
  });
  return Status();
}

Status run_avg_pool_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<AvgPool2dGradAttrs>();
  dispatch_float(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> dy(p.in[0], args.in[0]), dx(p.out[0], args.out[0]);
    const Geometry g = Geometry::of(a, dx.height(), dx.width());
    accumulate<double>(dx, args.workspace, [&](int64_t plane, auto&& add) {
      for (int64_t row = 0; row < dy.height(); ++row) {
        for (int64_t column = 0; column < dy.width(); ++column) {
          const double share =
              convert<double>(dy.at(plane, row, column)) / divisor(a, g, row, column);
          g.for_each_pixel(row, column, [&](int64_t i, int64_t j) { add(i, j, share); });
        }
      }
    });
  });
  return Status();
}

// Adaptive windows; the global ones are those of one output pixel.
struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};
Range adaptive(int64_t i, int64_t outputs, int64_t inputs) {
  return {i * inputs / outputs, ((i + 1) * inputs + outputs - 1) / outputs};
}

Status run_adaptive(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  dispatch_float(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> x(p.in[0], args.in[0]), y(p.out[0], args.out[0]);
    for_each_element(y, [&](int64_t plane, int64_t row, int64_t column) {
      const Range rows = adaptive(row, y.height(), x.height());
      const Range columns = adaptive(column, y.width(), x.width());
      double sum = 0;
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        for (int64_t j = columns.begin; j < columns.end; ++j) {
          sum += convert<double>(x.at(plane, i, j));
        }
      }
      const double count = static_cast<double>(rows.size() * columns.size());
      y.at(plane, row, column) = convert<T>(sum / count);
    });
  });
  return Status();
}

Status run_adaptive_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  dispatch_float(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const Images<T> dy(p.in[0], args.in[0]), dx(p.out[0], args.out[0]);
    accumulate<double>(dx, args.workspace, [&](int64_t plane, auto&& add) {
      for (int64_t row = 0; row < dy.height(); ++row) {
        const Range rows = adaptive(row, dy.height(), dx.height());
        for (int64_t column = 0; column < dy.width(); ++column) {
          const Range columns = adaptive(column, dy.width(), dx.width());
          const double share = convert<double>(dy.at(plane, row, column)) /
                               static_cast<double>(rows.size() * columns.size());
          for (int64_t i = rows.begin; i < rows.end; ++i) {
            for (int64_t j = columns.begin; j < columns.end; ++j) add(i, j, share);
          }
        }
      }
    });
  });
  return Status();
}

}  // namespace

void register_pool_ref() {
  register_kernel(ref_row<run_max_pool>(kMaxPool2d));
  register_kernel(grad_row<run_max_pool_grad>(kMaxPool2dGrad));
  register_kernel(ref_row<run_max_pool_gather>(kMaxPool2dGather));
  register_kernel(ref_row<run_avg_pool>(kAvgPool2d));
  register_kernel(grad_row<run_avg_pool_grad>(kAvgPool2dGrad));
  register_kernel(ref_row<run_adaptive>(kGlobalAvgPool));
  register_kernel(grad_row<run_adaptive_grad>(kGlobalAvgPoolGrad));
  register_kernel(ref_row<run_adaptive>(kAdaptiveAvgPool2d));
  register_kernel(grad_row<run_adaptive_grad>(kAdaptiveAvgPool2dGrad));
}

}  // namespace rutile::kernels
