// SPDX-License-Identifier: Apache-2.0
// IDX files, the format of MNIST (yann.lecun.com/exdb/mnist): two zero bytes, a type code, the
// rank, the sizes as 32-bit big-endian numbers, then the elements, big-endian, row-major.
#pragma once

#include <string>

#include "rutile/core/tensor.h"
#include "rutile/io/file.h"

namespace rutile::io {

// Reads a plain or gzipped file. dtype u8, i8, i16, i32, f32 or f64, at most kMaxRank dimensions.
// Throws Error{kValue} for anything that is not exactly one IDX array.
//
//   Tensor images = io::read_idx("train-images-idx3-ubyte.gz");  // u8[60000,28,28]
RUTILE_API Tensor read_idx(const std::string& path);
RUTILE_API Tensor parse_idx(const Ref<Blob>& blob);

}  // namespace rutile::io
