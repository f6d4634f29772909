// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/text.h"

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  using namespace rutile;
  const std::string_view text(reinterpret_cast<const char*>(blob->data()), blob->size());
  for (const auto unit : {dataset::TextUnit::kByte, dataset::TextUnit::kCharacter}) {
    const dataset::TextSource source(text, "fuzz", {.window = 4, .unit = unit});
    dataset::Sample sample;
    for (int64_t i = 0; i < source.size(); ++i) {
      sample.clear();
      source.read(i, &sample);
    }
    if (source.vocabulary().decode(source.vocabulary().encode(text)) != text) std::abort();
  }
}
