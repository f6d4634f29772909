// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/protobuf.h"

#include "rutile/tests/fuzz/target.h"

namespace {

using rutile::io::ProtoReader;

// Every field as all that its wire type may be.
uint64_t walk(ProtoReader in, int depth) {
  uint64_t sum = 0;
  while (in.next()) {
    if (in.wire() == ProtoReader::Wire::kVarint) sum += in.varint();
    if (in.wire() != ProtoReader::Wire::kBytes) continue;
    for (const char c : in.text()) sum += static_cast<uint8_t>(c);
    try {
      ProtoReader packed = in.message();
      for (uint64_t v; packed.next_packed(&v);) sum += v;
    } catch (const rutile::Error&) {
    }
    try {
      if (depth > 0) sum += walk(in.message(), depth - 1);
    } catch (const rutile::Error&) {
    }
  }
  return sum;
}

}  // namespace

RUTILE_FUZZ(blob) {
  if (walk(ProtoReader(blob->data(), blob->size(), blob->name()), 4) == ~uint64_t{0}) std::abort();
}
