// SPDX-License-Identifier: Apache-2.0
// XXH64 (github.com/Cyan4973/xxHash), a fast checksum: a damaged file is told from a whole one.
//
//   train::Checksum sum;
//   sum.add(data, bytes);
//   uint64_t h = sum.value();   // that of all bytes so far
#pragma once

#include <cstddef>
#include <cstdint>

#include "rutile/core/api.h"

namespace rutile::train {

class RUTILE_API Checksum {
 public:
  Checksum();
  void add(const void* data, size_t bytes);
  uint64_t value() const;

 private:
  void stripe(const unsigned char* p);
  uint64_t lanes_[4];
  unsigned char held_[32];  // the begin of a stripe
  size_t held_bytes_ = 0;
  uint64_t total_ = 0;
};

}  // namespace rutile::train
