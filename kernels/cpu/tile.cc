// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/tile.h"

#include "rutile/kernels/cpu/isa.h"

namespace rutile::kernels {
namespace {

const TileTable* make_table() {
#if defined(__x86_64__)
  if (isa() == Isa::kBaseline) return nullptr;
  auto* t = new TileTable();  // for the life of the process
  if (isa() == Isa::kAvx512) {
    avx512::fill_unary(t);
    avx512::fill_binary(t);
    avx512::fill_pairs(t);
    avx512::fill_convert(t);
  } else {
    avx2::fill_unary(t);
    avx2::fill_binary(t);
    avx2::fill_pairs(t);
    avx2::fill_convert(t);
  }
  return t;
#else
  return nullptr;
#endif
}

}  // namespace

const TileTable* tile_table() {
  static const TileTable* const t = make_table();
  return t;
}

}  // namespace rutile::kernels
