// SPDX-License-Identifier: Apache-2.0
// CIFAR-10, binary version (cs.toronto.edu/~kriz/cifar.html): records of one label byte and 3,072
// bytes of a 32x32 image, the red plane first, then green, then blue.
#pragma once

#include <string>

#include "rutile/core/tensor.h"
#include "rutile/io/file.h"

namespace rutile::io {

inline constexpr int64_t kCifarImageBytes = 3 * 32 * 32;
inline constexpr int64_t kCifarRecordBytes = 1 + kCifarImageBytes;
inline constexpr int kCifar10Classes = 10;

// The records as u8[n,3073], n >= 1: column 0 is the label, below 10, the rest the image [3,32,32].
// The tensor views the blob. Throws Error{kValue} for a size that is no multiple of 3,073 bytes and
// for a label out of range, with its offset.
RUTILE_API Tensor read_cifar10(const std::string& path);
RUTILE_API Tensor parse_cifar10(const Ref<Blob>& blob);

}  // namespace rutile::io
