// SPDX-License-Identifier: Apache-2.0
// One libFuzzer program for each reader: what it reads is refused with an Error of the format, or
// is accepted and then gives all of its elements. Anything else is a finding.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "rutile/core/tensor.h"
#include "rutile/io/file.h"

namespace rutile::fuzz {

// Every element is read.
inline void read_all(const Tensor& t) {
  std::vector<uint8_t> bytes(static_cast<size_t>(t.numel()) * dtype_size(t.dtype()));
  t.copy_out(bytes.data(), bytes.size());
  uint64_t sum = 0;
  for (const uint8_t b : bytes) sum += b;
  if (sum == ~uint64_t{0}) std::abort();  // never: the sum is used
}

template <class F>
int run(const uint8_t* data, size_t size, F&& read) {
  try {
    read(io::copy_bytes(data, size, "fuzz"));
  } catch (const Error& e) {
    const bool of_the_format = e.code() == ErrorCode::kValue ||
                               e.code() == ErrorCode::kUnsupported ||
                               e.code() == ErrorCode::kOutOfMemory;
    if (!of_the_format || e.message().empty() || e.message().size() > 4000) std::abort();
  }
  return 0;
}

}  // namespace rutile::fuzz

#define RUTILE_FUZZ(blob)                                                   \
  static void fuzz_one(const ::rutile::Ref<::rutile::io::Blob>& blob);      \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    return ::rutile::fuzz::run(data, size, fuzz_one);                       \
  }                                                                         \
  static void fuzz_one(const ::rutile::Ref<::rutile::io::Blob>& blob)
