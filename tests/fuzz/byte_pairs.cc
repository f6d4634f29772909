// SPDX-License-Identifier: Apache-2.0
// vocab.json, a zero byte, merges.txt.
#include "rutile/dataset/byte_pairs.h"

#include <algorithm>

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  using namespace rutile;
  const std::string_view text(reinterpret_cast<const char*>(blob->data()), blob->size());
  const size_t end = std::min(text.find('\0'), text.size());
  const std::string_view merges = text.substr(std::min(end + 1, text.size()));
  const dataset::BytePairs pairs(text.substr(0, end), merges);
  for (const std::string_view part : {merges, std::string_view("the 'll  12\n\xff")}) {
    if (pairs.decode(pairs.encode(part)) != part) std::abort();
  }
}
