// SPDX-License-Identifier: Apache-2.0
// What the source of a generated kernel is made of (kernels/cuda/codegen.h): elements in memory and
// in registers, accesses of 16 bytes, what the threads of a block come to together. It compiles by
// NVRTC, which sees no header but these, and as plain C++ for the emulator.
#pragma once

#if defined(__CUDACC_RTC__)
#define RUTILE_DEVICE __device__ __forceinline__
#else
#include "rutile/kernels/cuda/emulator.h"
#define RUTILE_DEVICE __attribute__((always_inline)) inline
#endif

#include "rutile/kernels/convert.h"
#include "rutile/kernels/functors.h"

namespace rutile::generated {

using int64 = long long;

// Elements as they lie in memory; the others are float, double, int and int64.
struct BF16 {
  unsigned short bits;
};
struct F16 {
  unsigned short bits;
};
struct Bool {
  unsigned char byte;
};

// What is computed with.
template <class S>
RUTILE_DEVICE S value(S x) {
  return x;
}
RUTILE_DEVICE bool value(Bool x) { return x.byte != 0; }
RUTILE_DEVICE float value(BF16 x) {
  return std::bit_cast<float>(static_cast<unsigned>(x.bits) << 16);
}

template <class S>
struct Make {
  template <class T>
  static RUTILE_DEVICE S of(T x) {
    return kernels::convert<S>(x);
  }
};
template <>
struct Make<Bool> {
  template <class T>
  static RUTILE_DEVICE Bool of(T x) {
    return {static_cast<unsigned char>(kernels::convert<bool>(x))};
  }
};

#if defined(__CUDACC_RTC__)
RUTILE_DEVICE float value(F16 x) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
  return f;
}
template <>
struct Make<BF16> {
  template <class T>
  static RUTILE_DEVICE BF16 of(T x) {
    BF16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(static_cast<float>(x)));
    return r;
  }
};
template <>
struct Make<F16> {
  template <class T>
  static RUTILE_DEVICE F16 of(T x) {
    F16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(static_cast<float>(x)));
    return r;
  }
};
#else
RUTILE_DEVICE float value(F16 x) {
  Half h;
  h.bits = x.bits;
  return static_cast<float>(h);
}
template <>
struct Make<BF16> {
  template <class T>
  static RUTILE_DEVICE BF16 of(T x) {
    return {BFloat16(static_cast<float>(x)).bits};
  }
};
template <>
struct Make<F16> {
  template <class T>
  static RUTILE_DEVICE F16 of(T x) {
    return {Half(static_cast<float>(x)).bits};
  }
};
#endif

// As a 16-bit float would hold it.
template <class S, class T>
RUTILE_DEVICE float rounded(T x) {
  return value(Make<S>::of(x));
}

// kEach neighbours in accesses of up to 16 bytes: `p` is aligned to them.
template <class S, int kEach>
struct alignas(sizeof(S) * kEach < 16 ? sizeof(S) * kEach : 16) Pack {
  S e[kEach];
};
template <int kEach, class S, class C>
RUTILE_DEVICE void load(const S* p, C* v) {
  const Pack<S, kEach> x = *reinterpret_cast<const Pack<S, kEach>*>(p);
#pragma unroll
  for (int e = 0; e < kEach; ++e) v[e] = value(x.e[e]);
}
template <int kEach, class S, class C>
RUTILE_DEVICE void store(S* p, const C* v) {
  Pack<S, kEach> x;
#pragma unroll
  for (int e = 0; e < kEach; ++e) x.e[e] = Make<S>::of(v[e]);
  *reinterpret_cast<Pack<S, kEach>*>(p) = x;
}
template <class S, class C>
RUTILE_DEVICE void put(S* p, C v) {
  *p = Make<S>::of(v);
}

// Attributes of a functor.
struct Params {
  double p[3];
};

// Below and above all others.
template <class T>
RUTILE_DEVICE T least() {
  if constexpr (std::is_floating_point_v<T>) {
    return -T(__builtin_inf());
  } else {
    return std::numeric_limits<T>::min();
  }
}
template <class T>
RUTILE_DEVICE T most() {
  if constexpr (std::is_floating_point_v<T>) {
    return T(__builtin_inf());
  } else {
    return std::numeric_limits<T>::max();
  }
}

// How results of threads are joined; in the same order every time.
struct Sum {
  template <class T>
  static RUTILE_DEVICE T join(T a, T b) {
    return a + b;
  }
};
struct Max {
  template <class T>
  static RUTILE_DEVICE T join(T a, T b) {
    return kernels::fn::max(a, b);
  }
};
struct Min {
  template <class T>
  static RUTILE_DEVICE T join(T a, T b) {
    return kernels::fn::min(a, b);
  }
};

// Over kLanes neighbouring threads (a power of two), for all of them. All threads of the block must
// come; `room` holds a value per thread.
template <class J, int kLanes, class T>
RUTILE_DEVICE T across(T v, void* room) {
#pragma unroll
  for (int m = (kLanes < 32 ? kLanes : 32) / 2; m > 0; m /= 2) {
    v = J::join(v, __shfl_xor_sync(~0u, v, m));
  }
  if constexpr (kLanes > 32) {
    T* shared = static_cast<T*>(room);
    constexpr int kWarps = kLanes / 32;
    const int t = static_cast<int>(threadIdx.x), first = t / kLanes * kWarps;
    if (t % 32 == 0) shared[t / 32] = v;
    __syncthreads();
    v = shared[first];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) v = J::join(v, shared[first + w]);
    __syncthreads();
  }
  return v;
}

// Over the kMembers threads (a power of two) that are kLanes apart, for the first of them.
template <class J, int kLanes, int kMembers, class T>
RUTILE_DEVICE T over_members(T v, void* room) {
  if constexpr (kMembers > 1) {
    T* shared = static_cast<T*>(room);
    const int t = static_cast<int>(threadIdx.x), member = t / kLanes;
    shared[t] = v;
    __syncthreads();
#pragma unroll
    for (int half = kMembers / 2; half > 0; half /= 2) {
      if (member < half) shared[t] = J::join(shared[t], shared[t + half * kLanes]);
      __syncthreads();
    }
    v = shared[t];
    __syncthreads();
  }
  return v;
}

}  // namespace rutile::generated
