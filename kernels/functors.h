// SPDX-License-Identifier: Apache-2.0
// What the elementwise ops compute, one functor each, usable by host and device code. A functor takes
// values of a compute type: float (also for f16 and bf16), double, int64_t and uint64_t or the
// native integer types, bool. Functors are always inlined, so that code for one instruction set
// never leaks into another.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define RUTILE_FN __host__ __device__ __forceinline__
#else
#define RUTILE_FN [[gnu::always_inline]] inline
#endif

namespace rutile::kernels {

// The compute types that a functor is instantiated for.
enum class Domain : uint8_t {
  kReal,     // every type, bool included
  kNumber,   // every type but bool
  kFloat,    // float and double; integers are converted to float first
};

template <class T>
inline constexpr bool kIsFloat = std::is_floating_point_v<T>;

struct Add {
  static constexpr Domain kDomain = Domain::kReal;
  template <class T>
  RUTILE_FN T operator()(T a, T b) const {
    if constexpr (std::is_same_v<T, bool>) {
      return a | b;
    } else {
      return static_cast<T>(a + b);
    }
  }
};
struct Sub {
  static constexpr Domain kDomain = Domain::kNumber;
  template <class T>
  RUTILE_FN T operator()(T a, T b) const {
    return static_cast<T>(a - b);
  }
};
struct Mul {
  static constexpr Domain kDomain = Domain::kReal;
  template <class T>
  RUTILE_FN T operator()(T a, T b) const {
    if constexpr (std::is_same_v<T, bool>) {
      return a & b;
    } else {
      return static_cast<T>(a * b);
    }
  }
};
struct Div {
  static constexpr Domain kDomain = Domain::kFloat;
  template <class T>
  RUTILE_FN T operator()(T a, T b) const {
    return a / b;
  }
};
struct LessEqual {
  static constexpr Domain kDomain = Domain::kReal;
  template <class T>
  RUTILE_FN bool operator()(T a, T b) const {
    return a <= b;
  }
};
struct Neg {
  static constexpr Domain kDomain = Domain::kNumber;
  template <class T>
  RUTILE_FN T operator()(T x) const {
    return static_cast<T>(-x);
  }
};
struct Relu {
  static constexpr Domain kDomain = Domain::kNumber;
  template <class T>
  RUTILE_FN T operator()(T x) const {
    return x <= T(0) ? T(0) : x;
  }
};
struct ReluGrad {
  static constexpr Domain kDomain = Domain::kNumber;
  template <class T>
  RUTILE_FN T operator()(T dy, T y) const {
    return y <= T(0) ? T(0) : dy;
  }
};
struct Where {
  static constexpr Domain kDomain = Domain::kReal;
  template <class T>
  RUTILE_FN T operator()(T cond, T x, T y) const {
    return cond != T(0) ? x : y;
  }
};

}  // namespace rutile::kernels
