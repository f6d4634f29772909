// SPDX-License-Identifier: Apache-2.0
// Between the elementwise kernels and their inner loops, which exist once per instruction set. A
// tile is a short contiguous run of elements of a tile type; 16-bit floats become f32 tiles on the
// way in.
#pragma once

#include <cstdint>

#include "rutile/core/dtype.h"

namespace rutile::kernels {

// The functors by number.
enum class Fn : uint8_t {
#define RUTILE_UNARY(op, functor) k##functor,
#define RUTILE_BINARY(op, functor) k##functor,
#define RUTILE_TERNARY(op, functor) k##functor,
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  kCount,
};
inline constexpr int kNumFns = static_cast<int>(Fn::kCount);

enum class TileType : uint8_t { kF32, kF64, kI32, kI64, kBool, kNone };
inline constexpr int kNumTileTypes = 5;
constexpr int64_t tile_size(TileType t) {
  constexpr int64_t kSize[] = {4, 8, 4, 8, 1, 0};
  return kSize[static_cast<int>(t)];
}
// kNone for dtypes that the tiles do not know.
constexpr TileType tile_type(DType t) {
  switch (t) {
    case DType::kF16:
    case DType::kBF16:
    case DType::kF32:
      return TileType::kF32;
    case DType::kF64:
      return TileType::kF64;
    case DType::kI32:
      return TileType::kI32;
    case DType::kI64:
      return TileType::kI64;
    case DType::kBool:
      return TileType::kBool;
    default:
      return TileType::kNone;
  }
}

// Applies a functor to n elements of each input. out may be one of the inputs.
using TileFn = void (*)(const void* const* in, void* out, int64_t n, const double* params);
// Converts n elements.
using ConvertFn = void (*)(const void* from, void* to, int64_t n);

struct TileTable {
  // By functor, type of its inputs (of the last ones for where, whose first is bool), and which
  // inputs are one element for all (bit i: input i). Null where the functor or variant does not
  // exist.
  TileFn fn[kNumFns][kNumTileTypes][8];
  // Two steps on f32 as one: add, sub or mul of the first two inputs, then add the third, subtract
  // it, subtract from it, multiply by it, or relu (the third input is read but not used). The last
  // index as above.
  TileFn pair[3][5][8];
  // Null for types that tiles cannot load (besides the tile types u8 to u32, i8, i16, f16 and bf16
  // are known).
  ConvertFn convert[kNumDTypes][kNumDTypes];
  // Writes bytes past the caches; `to` is a multiple of 64. Without bytes: waits until all that the
  // thread wrote so can be read by others.
  void (*stream)(const void* from, void* to, int64_t bytes);
  // f32 tile to f32 tile, rounded to the type.
  TileFn round_f16, round_bf16;
};

// Of this machine; null without AVX2.
const TileTable* tile_table();

namespace avx2 {
void fill_unary(TileTable* t);
void fill_binary(TileTable* t);
void fill_pairs(TileTable* t);
void fill_convert(TileTable* t);
}  // namespace avx2
namespace avx512 {
void fill_unary(TileTable* t);
void fill_binary(TileTable* t);
void fill_pairs(TileTable* t);
void fill_convert(TileTable* t);
}  // namespace avx512

}  // namespace rutile::kernels
