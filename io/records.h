// SPDX-License-Identifier: Apache-2.0
// Records in a file, as TFRecord and TensorBoard's event files frame them:
//
//   u64 length, u32 masked CRC-32C of these 8 bytes, the record, u32 masked CRC-32C of the record
//
// all little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/io/file.h"

namespace rutile::io {

// The CRC of Castagnoli's polynomial (RFC 3720); `crc` is that of what stands before.
RUTILE_API uint32_t crc32c(const void* data, size_t bytes, uint32_t crc = 0);
// As records hold it: rotated, plus a constant.
RUTILE_API uint32_t masked_crc32c(const void* data, size_t bytes);

// Appends a framed record.
RUTILE_API void append_record(std::string_view record, std::string* out);

// The records of a file; they view the blob. Throws Error{kValue} with the offset for a wrong
// checksum, and for a record that the file does not hold whole unless `whole` is false: then the
// file is one that is being written.
RUTILE_API std::vector<std::string_view> parse_records(const Blob& blob, bool whole = true);

}  // namespace rutile::io
