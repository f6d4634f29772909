// SPDX-License-Identifier: Apache-2.0
// Elements and placements of sample inputs, written without the library's own kernels.
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <numeric>

#include "rutile/core/complex.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {

Fill uniform(double lo, double hi) {
  Fill f;
  f.kind = Fill::kUniform;
  f.lo = lo;
  f.hi = hi;
  return f;
}

Fill distinct(double lo, double hi) {
  Fill f = uniform(lo, hi);
  f.kind = Fill::kDistinct;
  return f;
}

Fill values(std::vector<double> v) {
  Fill f;
  f.kind = Fill::kValues;
  f.values = std::move(v);
  return f;
}

Fill away_from(std::vector<double> points, double margin) {
  Fill f;
  f.avoid = std::move(points);
  f.margin = margin;
  return f;
}

Fill specials() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return values({0.0,  -0.0, 1.0,   -1.0, kInf, -kInf, std::nan(""), 0.5,   -2.5,  3e4,
                 -3e4, 1e-3, -1e-3, 1e-6, 11.0, -11.0, 88.0,         -88.0, 100.0, -104.0});
}

Fill extremes() {
  // Beyond a type's range they come out as its ends.
  return values({0, 1, -1, 2, -2, 3, -7, 127, -128, 255, 32767, -32768, 1e5, -1e19, 1e20});
}

Input Input::as(DType t) const {
  Input i = *this;
  i.dtype = t;
  return i;
}

Input Input::filled(Fill f) const {
  Input i = *this;
  i.fill = std::move(f);
  return i;
}

Input Input::viewed(View v) const {
  Input i = *this;
  i.view = v;
  return i;
}

Input Input::constant() const {
  Input i = *this;
  i.differentiable = false;
  return i;
}

Input none() {
  Input i;
  i.absent = true;
  return i;
}

namespace {

// Offset (in elements) of the element at `index`, from the definition of strides and layouts.
int64_t offset_of(const TensorMeta& m, const Dims& index) {
  int64_t offset = 0;
  if (m.layout == kStrided) {
    for (int d = 0; d < m.rank(); ++d) offset += index[d] * m.strides[d];
    return offset;
  }
  const LayoutInfo& info = layout_info(m.layout);
  const auto block_of = [&](int64_t dim, int after) {  // product of its blocks from `after` on
    int64_t product = 1;
    for (int k = after; k < info.block_dims.size(); ++k) {
      if (info.block_dims[k] == dim) product *= info.block_sizes[k];
    }
    return product;
  };
  for (const int64_t d : info.order) {
    const int64_t block = block_of(d, 0);
    const int i = static_cast<int>(d);
    offset = offset * ((m.shape[i] + block - 1) / block) + index[i] / block;
  }
  for (int k = 0; k < info.block_dims.size(); ++k) {
    const int64_t d = info.block_dims[k];
    const int64_t inner = index[static_cast<int>(d)] % block_of(d, 0) / block_of(d, k + 1);
    offset = offset * info.block_sizes[k] + inner % info.block_sizes[k];
  }
  return offset;
}

// Calls fn(offset) for each element in row-major order.
template <class F>
void for_each_element(const TensorMeta& m, F&& fn) {
  Dims index = Dims::filled(m.rank(), 0);
  for (int64_t left = m.numel(); left > 0; --left) {
    fn(offset_of(m, index));
    for (int d = m.rank() - 1; d >= 0; --d) {
      if (++index[d] < m.shape[d]) break;
      index[d] = 0;
    }
  }
}

template <class T>
T element_from(double v) {
  if constexpr (std::is_same_v<T, bool>) {
    return std::floor(v) != 0;
  } else if constexpr (std::is_integral_v<T>) {
    constexpr auto kMin = static_cast<double>(std::numeric_limits<T>::min());
    constexpr auto kMax = static_cast<double>(std::numeric_limits<T>::max());
    if (!(v > kMin)) return std::numeric_limits<T>::min();
    return v >= kMax ? std::numeric_limits<T>::max() : static_cast<T>(std::floor(v));
  } else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return T(static_cast<float>(v));
  } else {
    return static_cast<T>(v);
  }
}

template <class T>
inline constexpr bool kIsComplex = false;
template <class R>
inline constexpr bool kIsComplex<std::complex<R>> = true;

// Calls f(T{}) with the element type.
template <class F>
void with_type(DType t, F&& f) {
  switch (t) {
    case DType::kBool:
      return f(bool{});
    case DType::kU8:
      return f(uint8_t{});
    case DType::kU16:
      return f(uint16_t{});
    case DType::kU32:
      return f(uint32_t{});
    case DType::kU64:
      return f(uint64_t{});
    case DType::kI8:
      return f(int8_t{});
    case DType::kI16:
      return f(int16_t{});
    case DType::kI32:
      return f(int32_t{});
    case DType::kI64:
      return f(int64_t{});
    case DType::kF16:
      return f(Half{});
    case DType::kBF16:
      return f(BFloat16{});
    case DType::kF32:
      return f(float{});
    case DType::kF64:
      return f(double{});
    case DType::kC64:
      return f(std::complex<float>{});
    case DType::kC128:
      return f(std::complex<double>{});
  }
}

Fill resolved(const Fill& fill, DType t) {
  if (fill.kind != Fill::kDefault || is_floating(t)) return fill;
  Fill f = fill;
  f.kind = Fill::kUniform;
  f.lo = is_signed_int(t) ? -5 : 0;
  f.hi = t == DType::kBool ? 2 : is_signed_int(t) ? 5 : 10;
  return f;
}

double moved_away(double v, const Fill& f, bool integral) {
  for (const double p : f.avoid) {
    const double d = v - p;
    if (std::abs(d) > f.margin) continue;
    v = integral ? (p + 1 < f.hi ? p + 1 : p - 1) : p + std::copysign(f.margin + std::abs(d), d);
  }
  return v;
}

std::vector<double> draw(const Fill& fill, DType t, int64_t n, PhiloxKey key) {
  const Fill f = resolved(fill, t);
  const bool integral = !is_floating(t);
  std::vector<double> out(static_cast<size_t>(n));
  if (f.kind == Fill::kDistinct) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = f.lo + (static_cast<double>(i) + 0.5) * (f.hi - f.lo) / static_cast<double>(n);
    }
    for (size_t i = out.size(); i > 1; --i) std::swap(out[i - 1], out[philox(key, i)[0] % i]);
    return out;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (f.kind == Fill::kValues) {
      out[i] = f.values[i % f.values.size()];
      continue;
    }
    const auto w = philox(key, i);
    double v = f.lo + uniform_f64(w[0], w[1]) * (f.hi - f.lo);
    if (integral) v = std::max(std::floor(v), std::ceil(f.lo));
    out[i] = moved_away(v, f, integral);
  }
  return out;
}

// Strides, first element and memory of a view.
struct ViewPlan {
  Strides strides;
  int64_t first = 0, elements = 0;
};

ViewPlan plan_view(const Shape& shape, View view) {
  const int rank = shape.rank();
  ViewPlan p{contiguous_strides(shape), 0, shape.numel()};
  if (rank == 0) return p;
  Dims order;
  switch (view) {
    case View::kContiguous:
      break;
    case View::kChannelsLast:
      if (rank < 3) break;
      for (int d = 0; d < rank; ++d) {
        if (d != 1) order.push_back(d);
      }
      order.push_back(1);
      p.strides = ordered_strides(shape, order);
      break;
    case View::kTransposed:
      if (rank < 2) break;
      for (int d = 0; d < rank - 2; ++d) order.push_back(d);
      order.push_back(rank - 1);
      order.push_back(rank - 2);
      p.strides = ordered_strides(shape, order);
      break;
    case View::kSwapped:
      if (rank < 3) break;
      for (int d = 0; d < rank; ++d) order.push_back(d == 1 ? 2 : d == 2 ? 1 : d);
      p.strides = ordered_strides(shape, order);
      break;
    case View::kGaps: {
      int64_t stride = 2;
      for (int d = rank - 1; d >= 0; --d) {
        p.strides[d] = stride;
        stride *= shape[d] + 1;
      }
      p.first = 3;
      p.elements = shape.numel() == 0 ? 0 : p.first + stride;
      break;
    }
    case View::kTight: {
      int64_t stride = 2;
      for (int d = rank - 1; d >= 0; --d) {
        p.strides[d] = stride;
        stride = d == rank - 1 ? 2 * shape[d] - 1 : stride * shape[d];
      }
      p.elements = shape.numel() == 0 ? 0 : stride;
      break;
    }
    case View::kExpanded:
      p.strides[0] = 0;
      break;
  }
  return p;
}

}  // namespace

Tensor make_tensor(const Input& input, DType dtype, PhiloxKey key) {
  if (input.absent) return Tensor();
  const ViewPlan view = plan_view(input.shape, input.view);
  TensorMeta meta(input.shape, dtype);
  meta.strides = view.strides;
  Tensor base = Tensor::empty({std::max<int64_t>(view.elements, 1)}, dtype);
  // All bits set: NaN for floats, so that reading a gap shows.
  std::memset(base.mutable_data(), 0xFF, static_cast<size_t>(base.meta().nbytes()));
  const int parts = is_complex(dtype) ? 2 : 1;
  const std::vector<double> v =
      draw(input.fill, real_dtype(dtype), parts * input.shape.numel(), key);
  with_type(dtype, [&](auto t) {
    using T = decltype(t);
    T* p = static_cast<T*>(base.mutable_data()) + view.first;
    size_t i = 0;
    for_each_element(meta, [&](int64_t offset) {
      if constexpr (kIsComplex<T>) {
        using R = typename T::value_type;
        p[offset] = T(static_cast<R>(v[i]), static_cast<R>(v[i + 1]));
        i += 2;
      } else {
        p[offset] = element_from<T>(v[i++]);
      }
    });
  });
  char* first = static_cast<char*>(base.mutable_data()) +
                view.first * static_cast<int64_t>(dtype_size(dtype));
  Ref<RefCounted> owner = base.impl()->owner;
  if (!owner) owner = base.ref();
  return Tensor::view_of(std::move(owner), first, meta);
}

Tensor place(const Tensor& t, const TensorMeta& like) {
  TensorMeta meta = t.meta();
  meta.strides = like.strides;
  meta.layout = like.layout;
  Tensor out = Tensor::empty(meta);
  if (t.numel() == 0) return out;
  const size_t size = dtype_size(meta.dtype);
  char* to = static_cast<char*>(out.mutable_data());
  const char* from = static_cast<const char*>(t.data());
  std::memset(to, 0, static_cast<size_t>(meta.nbytes()));
  std::vector<int64_t> offsets;
  for_each_element(t.meta(), [&](int64_t o) { offsets.push_back(o); });
  size_t i = 0;
  for_each_element(meta, [&](int64_t o) {
    std::memcpy(to + o * static_cast<int64_t>(size),
                from + offsets[i++] * static_cast<int64_t>(size), size);
  });
  return out;
}

std::vector<double> to_doubles(const Tensor& t) {
  std::vector<double> out;
  if (t.numel() == 0) return out;
  out.reserve(static_cast<size_t>(t.numel()));
  with_type(t.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* p = static_cast<const T*>(t.data());
    for_each_element(t.meta(), [&](int64_t o) {
      if constexpr (kIsComplex<T>) {
        out.push_back(p[o].real());
        out.push_back(p[o].imag());
      } else {
        out.push_back(static_cast<double>(p[o]));
      }
    });
  });
  return out;
}

bool padding_is_zero(const Tensor& t) {
  if (t.meta().layout == kStrided || t.numel() == 0) return true;
  const size_t size = dtype_size(t.dtype());
  std::vector<unsigned char> bytes(static_cast<size_t>(t.meta().nbytes()));
  std::memcpy(bytes.data(), t.data(), bytes.size());
  for_each_element(t.meta(), [&](int64_t o) {
    std::memset(bytes.data() + static_cast<size_t>(o) * size, 0, size);
  });
  // The sign of a floating zero does not matter.
  const size_t sign = is_floating(t.dtype()) ? size - 1 : size;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != 0 && !(i % size == sign && bytes[i] == 0x80)) return false;
  }
  return true;
}

}  // namespace rutile::samples
