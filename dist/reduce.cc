// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/reduce.h"

#include <algorithm>
#include <complex>
#include <cstring>
#include <type_traits>

namespace rutile::dist {

namespace {

template <class T>
inline constexpr bool kLow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <class T>
inline constexpr bool kIsComplex = false;
template <class T>
inline constexpr bool kIsComplex<std::complex<T>> = true;

template <class F>
auto by_dtype(DType t, F&& f) {
  switch (t) {
    case DType::kBool:
      return f(std::type_identity<bool>{});
    case DType::kU8:
      return f(std::type_identity<uint8_t>{});
    case DType::kU16:
      return f(std::type_identity<uint16_t>{});
    case DType::kU32:
      return f(std::type_identity<uint32_t>{});
    case DType::kU64:
      return f(std::type_identity<uint64_t>{});
    case DType::kI8:
      return f(std::type_identity<int8_t>{});
    case DType::kI16:
      return f(std::type_identity<int16_t>{});
    case DType::kI32:
      return f(std::type_identity<int32_t>{});
    case DType::kI64:
      return f(std::type_identity<int64_t>{});
    case DType::kF16:
      return f(std::type_identity<Half>{});
    case DType::kBF16:
      return f(std::type_identity<BFloat16>{});
    case DType::kF32:
      return f(std::type_identity<float>{});
    case DType::kF64:
      return f(std::type_identity<double>{});
    case DType::kC64:
      return f(std::type_identity<std::complex<float>>{});
    default:
      return f(std::type_identity<std::complex<double>>{});
  }
}

// Integers wrap around.
template <class T>
using Wide = std::conditional_t<
    kLow<T>, float,
    std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, uint64_t, T>>;

template <Reduce kReduce, class T>
T combine(T a, T b) {
  if constexpr (kReduce == Reduce::kMax || kReduce == Reduce::kMin) {
    constexpr bool kMax = kReduce == Reduce::kMax;
    if constexpr (kIsComplex<T>) {
      return a;  // nobody asks for it
    } else if constexpr (kLow<T>) {
      const float x = a, y = b;
      return x != x ? a : y != y ? b : (kMax ? x < y : y < x) ? b : a;
    } else {
      if constexpr (std::is_floating_point_v<T>) {
        if (a != a) return a;
        if (b != b) return b;
      }
      return kMax ? std::max(a, b) : std::min(a, b);
    }
  } else {
    const Wide<T> x = static_cast<Wide<T>>(a), y = static_cast<Wide<T>>(b);
    if constexpr (kReduce == Reduce::kProd) return T(x * y);
    return T(x + y);
  }
}

template <Reduce kReduce, class T>
void reduce_run(void* out, const void* a, const void* b, size_t n) {
  auto* o = static_cast<T*>(out);
  const auto *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
  for (size_t i = 0; i < n; ++i) o[i] = combine<kReduce, T>(x[i], y[i]);
}

template <class T>
ReduceFn function_for(Reduce reduce) {
  switch (reduce) {
    case Reduce::kMax:
      return reduce_run<Reduce::kMax, T>;
    case Reduce::kMin:
      return reduce_run<Reduce::kMin, T>;
    case Reduce::kProd:
      return reduce_run<Reduce::kProd, T>;
    default:
      return reduce_run<Reduce::kSum, T>;
  }
}

}  // namespace

ReduceFn reduce_function(Reduce reduce, DType dtype) {
  return by_dtype(dtype, [&](auto t) { return function_for<typename decltype(t)::type>(reduce); });
}

void divide(void* data, size_t n, DType dtype, int parts) {
  by_dtype(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    auto* x = static_cast<T*>(data);
    if constexpr (kLow<T>) {
      for (size_t i = 0; i < n; ++i) x[i] = T(static_cast<float>(x[i]) / static_cast<float>(parts));
    } else if constexpr (std::is_floating_point_v<T> || kIsComplex<T>) {
      for (size_t i = 0; i < n; ++i) x[i] /= static_cast<T>(parts);
    }
  });
}

void reduce_parts(Reduce reduce, DType dtype, const void* parts, size_t stride, int num_parts,
                  void* out, size_t n) {
  const size_t size = dtype_size(dtype);
  const auto* p = static_cast<const char*>(parts);
  const bool low = is_low_precision(dtype) && (reduce == Reduce::kSum || reduce == Reduce::kMean);
  if (!low) {
    if (out != parts && n > 0) std::memcpy(out, parts, n * size);
    const ReduceFn fn = reduce_function(reduce, dtype);
    for (int r = 1; r < num_parts; ++r) {
      fn(out, out, p + static_cast<size_t>(r) * stride * size, n);
    }
    if (reduce == Reduce::kMean) divide(out, n, dtype, num_parts);
    return;
  }
  const float factor = reduce == Reduce::kMean ? 1.0f / static_cast<float>(num_parts) : 1.0f;
  by_dtype(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    if constexpr (kLow<T>) {
      constexpr size_t kBlock = 1024;
      float sum[kBlock];
      for (size_t first = 0; first < n; first += kBlock) {
        const size_t m = std::min(kBlock, n - first);
        std::fill_n(sum, m, 0.0f);
        for (int r = 0; r < num_parts; ++r) {
          const T* x = reinterpret_cast<const T*>(p) + static_cast<size_t>(r) * stride + first;
          for (size_t i = 0; i < m; ++i) sum[i] += static_cast<float>(x[i]);
        }
        T* o = static_cast<T*>(out) + first;
        for (size_t i = 0; i < m; ++i) o[i] = T(sum[i] * factor);
      }
    }
  });
}

}  // namespace rutile::dist
