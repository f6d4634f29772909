// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/random.h"

#include "rutile/core/rng.h"
#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/random_math.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

RUTILE_FN uint32_t word(PhiloxKey key, int64_t i) {
  return philox(key, static_cast<uint64_t>(i) / 4)[static_cast<size_t>(i % 4)];
}
RUTILE_FN uint64_t joined(uint32_t high, uint32_t low) {
  return static_cast<uint64_t>(high) << 32 | low;
}
RUTILE_FN uint64_t long_word(PhiloxKey key, int64_t i) {
  const auto b = philox(key, static_cast<uint64_t>(i) / 2);
  return i % 2 ? joined(b[2], b[3]) : joined(b[0], b[1]);
}
template <class C>
RUTILE_FN C unit(PhiloxKey key, int64_t i, int bits) {
  if constexpr (std::is_same_v<C, double>) {
    return static_cast<double>(long_word(key, i) >> 11) * 0x1p-53;
  } else {
    return kernels::word_to_unit(word(key, i), bits);
  }
}
RUTILE_FN float normal(PhiloxKey key, int64_t i, float) {
  const auto b = philox(key, static_cast<uint64_t>(i) / 4);
  const bool second = i & 2;
  float n[2];
  kernels::box_muller(second ? b[2] : b[0], second ? b[3] : b[1], &n[0], &n[1]);
  return i & 1 ? n[1] : n[0];
}
RUTILE_FN double normal(PhiloxKey key, int64_t i, double) {
  const auto a = philox(key, static_cast<uint64_t>(i) / 2 * 2);
  const auto b = philox(key, static_cast<uint64_t>(i) / 2 * 2 + 1);
  double n[2];
  kernels::box_muller(joined(a[0], a[1]), joined(b[0], b[1]), &n[0], &n[1]);
  return i & 1 ? n[1] : n[0];
}
template <class C>
RUTILE_FN C multiply_add(C a, C b, C c) {
  if constexpr (std::is_same_v<C, double>) {
    return __builtin_fma(a, b, c);
  } else {
    return __builtin_fmaf(a, b, c);
  }
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) draw(RUTILE_PARAM RandomArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const PhiloxKey key{*a.key};
  C v = 0;
  switch (a.kind) {
    case RandomKind::kUniform: {
      v = multiply_add(unit<C>(key, i, a.bits), static_cast<C>(a.b), static_cast<C>(a.a));
      const C top = static_cast<C>(a.hi);
      v = top < v ? top : v;
      break;
    }
    case RandomKind::kNormal:
      v = multiply_add(normal(key, i, C()), static_cast<C>(a.b), static_cast<C>(a.a));
      break;
    case RandomKind::kTruncated: {
      const C u = unit<C>(key, i, 24);
      const C z =
          static_cast<C>(1.41421356237309504880) *
          kernels::erfinv(multiply_add(u, static_cast<C>(a.hi - a.lo), static_cast<C>(a.lo)));
      const C from = static_cast<C>(a.from), to = static_cast<C>(a.to);
      v = multiply_add(z < from ? from : to < z ? to : z, static_cast<C>(a.b), static_cast<C>(a.a));
      break;
    }
    default:
      break;
  }
  store<C>(a.type, a.out, i, v);
}

__global__ void __launch_bounds__(kCoverThreads) draw_whole(RUTILE_PARAM RandomArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const PhiloxKey key{*a.key};
  if (a.kind == RandomKind::kBernoulli) {
    store<bool>(a.type, a.out, i, word(key, i) < a.threshold);
    return;
  }
  using Product = unsigned __int128;
  const auto up = static_cast<uint64_t>((Product{long_word(key, i)} * a.range) >> 64);
  store<int64_t>(a.type, a.out, i, static_cast<int64_t>(static_cast<uint64_t>(a.low) + up));
}

// Four elements a thread: one Philox block.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) dropout(RUTILE_PARAM DropoutArgs a) {
  const int64_t block = thread_number();
  const auto words = philox(PhiloxKey{*a.key}, static_cast<uint64_t>(block));
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int64_t i = 4 * block + k;
    if (i >= a.n) return;
    int64_t at[2] = {i, i};
    if (!a.linear) a.index.find(i, at);
    const bool keep = words[static_cast<size_t>(k)] >= a.threshold;
    const C x = load<C>(a.type, a.x, at[1]);
    store<C>(a.type, a.y, at[0], keep ? x * static_cast<C>(a.scale) : C(0));
    put<uint8_t>(a.mask, at[0], keep ? 1 : 0);
  }
}

__global__ void __launch_bounds__(32) next_key(RUTILE_PARAM NextKeyArgs a) {
  if (threadIdx.x != 0) return;
  const uint64_t seed = a.in[0], number = a.in[1];
  *a.key = fold_in(PhiloxKey{seed}, number).value;
  a.out[0] = seed;
  a.out[1] = number + 1;
}

}  // namespace

int launch_random(const RandomArgs& a, Stream stream) {
  const Grid grid = cover(a.n);
  if (a.kind == RandomKind::kInteger || a.kind == RandomKind::kBernoulli) {
    return launch(draw_whole, grid, stream, a);
  }
  return launch(a.type == DType::kF64 ? draw<double> : draw<float>, grid, stream, a);
}

int launch_dropout(const DropoutArgs& a, Stream stream) {
  return launch(a.type == DType::kF64 ? dropout<double> : dropout<float>, cover((a.n + 3) / 4),
                stream, a);
}

int launch_next_key(const NextKeyArgs& a, Stream stream) {
  return launch(next_key, {.threads = 32}, stream, a);
}

}  // namespace rutile::cuda
