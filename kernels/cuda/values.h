// SPDX-License-Identifier: Apache-2.0
// Elements of any dtype read and written in the type that a kernel computes in (float also for f16
// and bf16, double, int64_t, uint64_t or bool): one kernel serves all dtypes. The branch on the
// dtype is the same for all threads.
#pragma once

#include <bit>

#include "rutile/core/dtype.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cuda/device.h"

#if !defined(RUTILE_CUDA_EMULATED)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace rutile::cuda {

// Elements that only move have a type of their size: 1, 2, 4, 8 or 16 bytes.
struct alignas(16) Wide {
  uint64_t v[2];
};
// Calls f(a value of the type of this size) and gives its result.
template <class F>
int by_size(int size, F&& f) {
  switch (size) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    case 8:
      return f(uint64_t{});
    default:
      return f(Wide{});
  }
}

RUTILE_FN float from_bf16(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}
RUTILE_FN uint16_t to_bf16(float f) {
#if defined(__CUDA_ARCH__)
  return __bfloat16_as_ushort(__float2bfloat16_rn(f));
#else
  const uint32_t u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40u);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
#endif
}
RUTILE_FN float from_half(uint16_t b) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(b));
#else
  Half h;
  h.bits = b;
  return static_cast<float>(h);
#endif
}
RUTILE_FN uint16_t to_half(float f) {
#if defined(__CUDA_ARCH__)
  return __half_as_ushort(__float2half_rn(f));
#else
  return Half(f).bits;
#endif
}

template <class T>
RUTILE_FN T at(const void* p, int64_t i) {
  return static_cast<const T*>(p)[i];
}
template <class T>
RUTILE_FN void put(void* p, int64_t i, T v) {
  static_cast<T*>(p)[i] = v;
}

// Every dtype but the complex ones.
template <class C>
RUTILE_NOINLINE C load_any(DType t, const void* p, int64_t i) {
  using kernels::convert;
  switch (t) {
    case DType::kBool:
      return convert<C>(at<uint8_t>(p, i) != 0);
    case DType::kU8:
      return convert<C>(at<uint8_t>(p, i));
    case DType::kU16:
      return convert<C>(at<uint16_t>(p, i));
    case DType::kU32:
      return convert<C>(at<uint32_t>(p, i));
    case DType::kU64:
      return convert<C>(at<uint64_t>(p, i));
    case DType::kI8:
      return convert<C>(at<int8_t>(p, i));
    case DType::kI16:
      return convert<C>(at<int16_t>(p, i));
    case DType::kI32:
      return convert<C>(at<int32_t>(p, i));
    case DType::kI64:
      return convert<C>(at<int64_t>(p, i));
    case DType::kF16:
      return convert<C>(from_half(at<uint16_t>(p, i)));
    case DType::kBF16:
      return convert<C>(from_bf16(at<uint16_t>(p, i)));
    case DType::kF32:
      return convert<C>(at<float>(p, i));
    default:
      return convert<C>(at<double>(p, i));
  }
}
template <class C>
RUTILE_NOINLINE void store_any(DType t, void* p, int64_t i, C v) {
  using kernels::convert;
  switch (t) {
    case DType::kBool:
      return put<uint8_t>(p, i, convert<bool>(v) ? 1 : 0);
    case DType::kU8:
      return put(p, i, convert<uint8_t>(v));
    case DType::kU16:
      return put(p, i, convert<uint16_t>(v));
    case DType::kU32:
      return put(p, i, convert<uint32_t>(v));
    case DType::kU64:
      return put(p, i, convert<uint64_t>(v));
    case DType::kI8:
      return put(p, i, convert<int8_t>(v));
    case DType::kI16:
      return put(p, i, convert<int16_t>(v));
    case DType::kI32:
      return put(p, i, convert<int32_t>(v));
    case DType::kI64:
      return put(p, i, convert<int64_t>(v));
    case DType::kF16:
      return put(p, i, to_half(convert<float>(v)));
    case DType::kBF16:
      return put(p, i, to_bf16(convert<float>(v)));
    case DType::kF32:
      return put(p, i, convert<float>(v));
    default:
      return put(p, i, convert<double>(v));
  }
}

// The usual dtypes of C inline, the others behind a call.
template <class C>
RUTILE_FN C load(DType t, const void* p, int64_t i) {
  if constexpr (std::is_same_v<C, float>) {
    if (t == DType::kF32) return at<float>(p, i);
    if (t == DType::kBF16) return from_bf16(at<uint16_t>(p, i));
    if (t == DType::kF16) return from_half(at<uint16_t>(p, i));
    if (t == DType::kBool) return at<uint8_t>(p, i) != 0;
  } else if constexpr (std::is_same_v<C, double>) {
    if (t == DType::kF64) return at<double>(p, i);
  } else if constexpr (std::is_same_v<C, int64_t>) {
    if (t == DType::kI64) return at<int64_t>(p, i);
    if (t == DType::kI32) return at<int32_t>(p, i);
  } else if constexpr (std::is_same_v<C, bool>) {
    if (t == DType::kBool) return at<uint8_t>(p, i) != 0;
  }
  return load_any<C>(t, p, i);
}
template <class C>
RUTILE_FN void store(DType t, void* p, int64_t i, C v) {
  if constexpr (std::is_same_v<C, float>) {
    if (t == DType::kF32) return put(p, i, v);
    if (t == DType::kBF16) return put(p, i, to_bf16(v));
    if (t == DType::kF16) return put(p, i, to_half(v));
  } else if constexpr (std::is_same_v<C, double>) {
    if (t == DType::kF64) return put(p, i, v);
  } else if constexpr (std::is_same_v<C, int64_t>) {
    if (t == DType::kI64) return put(p, i, v);
    if (t == DType::kI32) return put(p, i, static_cast<int32_t>(v));
  } else if constexpr (std::is_same_v<C, bool>) {
    if (t == DType::kBool) return put<uint8_t>(p, i, v ? 1 : 0);
  }
  store_any<C>(t, p, i, v);
}

// Eight neighbours in 16-byte accesses: `i` is a multiple of 8 and p is aligned to 16 bytes.
struct alignas(16) Words {
  uint32_t w[4];
};
inline constexpr int kVector = 8;

template <class C>
RUTILE_FN void load_vector(DType t, const void* p, int64_t i, C (&v)[kVector]) {
  if constexpr (std::is_same_v<C, float>) {
    if (t == DType::kF32) {
      for (int h = 0; h < 2; ++h) {
        const Words x = static_cast<const Words*>(p)[i / 4 + h];
        for (int k = 0; k < 4; ++k) v[4 * h + k] = std::bit_cast<float>(x.w[k]);
      }
      return;
    }
    if (t == DType::kBF16 || t == DType::kF16) {
      const Words x = static_cast<const Words*>(p)[i / 8];
      for (int k = 0; k < 4; ++k) {
        const auto low = static_cast<uint16_t>(x.w[k]), high = static_cast<uint16_t>(x.w[k] >> 16);
        v[2 * k] = t == DType::kBF16 ? from_bf16(low) : from_half(low);
        v[2 * k + 1] = t == DType::kBF16 ? from_bf16(high) : from_half(high);
      }
      return;
    }
  }
  for (int k = 0; k < kVector; ++k) v[k] = load<C>(t, p, i + k);
}
template <class C>
RUTILE_FN void store_vector(DType t, void* p, int64_t i, const C (&v)[kVector]) {
  if constexpr (std::is_same_v<C, float>) {
    if (t == DType::kF32) {
      for (int h = 0; h < 2; ++h) {
        Words x;
        for (int k = 0; k < 4; ++k) x.w[k] = std::bit_cast<uint32_t>(v[4 * h + k]);
        static_cast<Words*>(p)[i / 4 + h] = x;
      }
      return;
    }
    if (t == DType::kBF16 || t == DType::kF16) {
      Words x;
      for (int k = 0; k < 4; ++k) {
        const uint32_t low = t == DType::kBF16 ? to_bf16(v[2 * k]) : to_half(v[2 * k]);
        const uint32_t high = t == DType::kBF16 ? to_bf16(v[2 * k + 1]) : to_half(v[2 * k + 1]);
        x.w[k] = low | high << 16;
      }
      static_cast<Words*>(p)[i / 8] = x;
      return;
    }
  } else if constexpr (std::is_same_v<C, bool>) {
    if (t == DType::kBool) {
      uint32_t w[2] = {};
      for (int k = 0; k < kVector; ++k)
        w[k / 4] |= static_cast<uint32_t>(v[k] ? 1 : 0) << 8 * (k % 4);
      static_cast<uint2*>(p)[i / 8] = uint2{w[0], w[1]};
      return;
    }
  }
  for (int k = 0; k < kVector; ++k) store<C>(t, p, i + k, v[k]);
}

}  // namespace rutile::cuda
