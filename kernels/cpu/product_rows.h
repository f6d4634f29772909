// SPDX-License-Identifier: Apache-2.0
// Vector loops of product_of_others.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct ProductRows {
  // By element of each row the product of the row's others.
  void (*f32)(const void* x, void* y, int64_t rows, int64_t n) = nullptr;
  void (*f64)(const void* x, void* y, int64_t rows, int64_t n) = nullptr;
};
namespace avx2 {
ProductRows product_rows();
}
namespace avx512 {
ProductRows product_rows();
}

}  // namespace rutile::kernels
