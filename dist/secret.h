// SPDX-License-Identifier: Apache-2.0
// By what ranks prove that they know the job's secret: HMAC-SHA256 of OpenSSL's libcrypto, which is
// opened when there is a secret, so that nobody else needs it.
#pragma once

#include <string>
#include <string_view>

#include "rutile/core/api.h"
#include "rutile/core/error.h"

namespace rutile::dist {

// Error{kUnsupported} that says what to install if there is no libcrypto.
RUTILE_API Status open_libcrypto();
// 32 bytes. open_libcrypto() has succeeded.
RUTILE_API std::string hmac_sha256(std::string_view key, std::string_view bytes);
// Takes the same time wherever they differ.
bool same_bytes(std::string_view a, std::string_view b);
std::string random_bytes(size_t n);  // from the system

}  // namespace rutile::dist
