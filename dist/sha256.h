// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) and HMAC (RFC 2104), by which ranks prove that they know the job's secret.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "rutile/core/api.h"

namespace rutile::dist {

using Digest = std::array<unsigned char, 32>;

RUTILE_API Digest sha256(std::string_view bytes);
RUTILE_API Digest hmac_sha256(std::string_view key, std::string_view bytes);
// Takes the same time wherever they differ.
bool same_digest(std::string_view a, std::string_view b);
std::string random_bytes(size_t n);  // from the system

}  // namespace rutile::dist
