// SPDX-License-Identifier: Apache-2.0
// Products of pairs of bf16 in the tiles of AMX: sixteen rows, up to a panel of columns. Operands
// lie as tile_gemm.h packs them. Only for files in this folder.
#pragma once

#include "rutile/kernels/cpu/isa/tile_gemm.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

#if defined(__AVX512BF16__)
#define RUTILE_AMX __attribute__((target("amx-tile,amx-bf16")))

// All tiles are whole: rows and depths are filled up.
struct AmxPairs {
  using Lane = uint32_t;
  static constexpr int64_t kDepth = 2, kStep = 16, kRows = 16;

  // A thread multiplies within such a scope only.
  class Scope {
   public:
    RUTILE_AMX Scope() { _tile_loadconfig(&kConfig); }
    RUTILE_AMX ~Scope() { _tile_release(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    struct Config {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    alignas(64) static const Config kConfig;
  };
};
alignas(64) const AmxPairs::Scope::Config AmxPairs::Scope::kConfig;

template <int kCount>
RUTILE_AMX void multiply_amx(const uint32_t* a, int64_t a_row, const uint32_t* b, int64_t depth,
                             float* c, int64_t c_row, bool add) {
  // GCC 12's intrinsics do not say that they read and write memory.
  asm volatile("" ::: "memory");
  // Tiles 0 to 3: sums; 4: left; 5 to 7 and 5 again: right.
  const auto left = static_cast<size_t>(a_row) * 4, right = static_cast<size_t>(kPanel) * 4;
  const auto to = static_cast<size_t>(c_row) * 4;
  if (add) {
    _tile_loadd(0, c, to);
    if constexpr (kCount > 1) _tile_loadd(1, c + 16, to);
    if constexpr (kCount > 2) _tile_loadd(2, c + 32, to);
    if constexpr (kCount > 3) _tile_loadd(3, c + 48, to);
  } else {
    _tile_zero(0);
    if constexpr (kCount > 1) _tile_zero(1);
    if constexpr (kCount > 2) _tile_zero(2);
    if constexpr (kCount > 3) _tile_zero(3);
  }
  for (int64_t k = 0; k < depth; k += AmxPairs::kStep, b += AmxPairs::kStep * kPanel) {
    _tile_loadd(4, a + k, left);
    _tile_loadd(5, b, right);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (kCount > 1) {
      _tile_loadd(6, b + 16, right);
      _tile_dpbf16ps(1, 4, 6);
    }
    if constexpr (kCount > 2) {
      _tile_loadd(7, b + 32, right);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (kCount > 3) {
      _tile_loadd(5, b + 48, right);
      _tile_dpbf16ps(3, 4, 5);
    }
  }
  _tile_stored(0, c, to);
  if constexpr (kCount > 1) _tile_stored(1, c + 16, to);
  if constexpr (kCount > 2) _tile_stored(2, c + 32, to);
  if constexpr (kCount > 3) _tile_stored(3, c + 48, to);
  asm volatile("" ::: "memory");
}

// c = a b, or added to c: sixteen rows, whatever `rows` are wanted, and whole vectors of columns.
template <>
RUTILE_INLINE void multiply<AmxPairs>(int64_t, int64_t columns, const uint32_t* a, int64_t a_row,
                                      int64_t, const uint32_t* b, int64_t depth, float* c,
                                      int64_t c_row, bool add) {
  using Multiply =
      void (*)(const uint32_t*, int64_t, const uint32_t*, int64_t, float*, int64_t, bool);
  static constexpr Multiply kTable[] = {multiply_amx<1>, multiply_amx<2>, multiply_amx<3>,
                                        multiply_amx<4>};
  kTable[(columns - 1) / kWidth](a, a_row, b, depth, c, c_row, add);
}

#undef RUTILE_AMX
#endif

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
