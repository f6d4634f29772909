// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/records.h"

#include "rutile/tests/fuzz/target.h"

namespace {

using rutile::io::Blob;

// The records one after the other.
std::string joined(const Blob& blob, bool whole) {
  std::string all;
  for (const std::string_view record : rutile::io::parse_records(blob, whole)) all += record;
  return all;
}

}  // namespace

RUTILE_FUZZ(blob) {
  using namespace rutile;
  if (blob->size() >= 3) {
    // Checksums that fit come from writing: the input as records of a few bytes, one byte changed.
    const std::string text(reinterpret_cast<const char*>(blob->data()), blob->size());
    const size_t step = static_cast<uint8_t>(text[0]) + 1;
    std::string file;
    for (size_t i = 0; i < text.size(); i += step) io::append_record(text.substr(i, step), &file);
    if (joined(*io::copy_bytes(file.data(), file.size(), "framed"), true) != text) std::abort();
    const size_t at = (static_cast<uint8_t>(text[1]) * 251 + static_cast<uint8_t>(text[2]));
    file[at % file.size()] ^= 1;
    try {
      joined(*io::copy_bytes(file.data(), file.size(), "damaged"), true);
      std::abort();
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kValue) throw;
    }
  }
  joined(*blob, false);
  joined(*blob, true);
}
