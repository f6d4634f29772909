// SPDX-License-Identifier: Apache-2.0
// PNG files (w3.org/TR/png), written.
#pragma once

#include <cstdint>
#include <string>

#include "rutile/core/api.h"

namespace rutile::io {

// The file of an image with 8 bits a channel: `pixels` row by row, channels together; 1 (grey),
// 2 (grey, alpha), 3 (RGB) or 4 (RGBA) of them. Error{kValue} for sizes of 0 or less and another
// number of channels.
RUTILE_API std::string encode_png(const uint8_t* pixels, int64_t width, int64_t height,
                                  int channels);

}  // namespace rutile::io
