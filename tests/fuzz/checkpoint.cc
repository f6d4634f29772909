// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/checkpoint.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  // An index finds one file, by any name: what one of two ranks wrote.
  const auto open = [](const std::string&) {
    static constexpr std::string_view kHeader =
        R"({"__metadata__":{"format":"rutile checkpoint shard 1","step":"7",)"
        R"("checksum":"ef46db3751d8e999"}})";
    const uint64_t length = kHeader.size();
    std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
    bytes += kHeader;
    return rutile::io::copy_bytes(bytes.data(), bytes.size(), "rank");
  };
  for (const auto& [name, tensor] : rutile::train::parse_checkpoint(blob, open).values) {
    rutile::fuzz::read_all(tensor);
  }
}
