// SPDX-License-Identifier: Apache-2.0
// A random order of n things without a table: any place of it is computed on its own, so that a
// resumed run starts anywhere at once.
#pragma once

#include <cmath>
#include <cstdint>

#include "rutile/core/rng.h"

namespace rutile::dataset {

// A Feistel network over numbers written as (left, right) with left < rows, right < columns,
// rows * columns >= n; results beyond n go through it again (Black and Rogaway, "Ciphers with
// arbitrary finite domains", CT-RSA 2002).
class Permutation {
 public:
  // 1 <= n <= 2^60.
  Permutation(int64_t n, PhiloxKey key) : n_(static_cast<uint64_t>(n)) {
    rows_ = static_cast<uint64_t>(std::sqrt(static_cast<double>(n)));
    if (rows_ == 0) rows_ = 1;
    columns_ = (n_ + rows_ - 1) / rows_;
    for (int i = 0; i < kRounds; ++i) keys_[i] = fold_in(key, static_cast<uint64_t>(i)).value;
  }
  // What stands at place i, 0 <= i < n.
  int64_t operator()(int64_t i) const {
    uint64_t x = static_cast<uint64_t>(i);
    do {
      uint64_t left = x / columns_, right = x % columns_;
      for (int r = 0; r < kRounds; r += 2) {
        left = add(left, mix(right, keys_[r]), rows_);
        right = add(right, mix(left, keys_[r + 1]), columns_);
      }
      x = left * columns_ + right;
    } while (x >= n_);
    return static_cast<int64_t>(x);
  }

 private:
  static constexpr int kRounds = 10;

  // A 32-bit hash of `value` under `key` (the finalizer of splitmix64).
  static uint64_t mix(uint64_t value, uint64_t key) {
    uint64_t z = value * 0x9E3779B97F4A7C15u ^ key;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) >> 32;
  }
  // (value + hash scaled to [0, modulus)) mod modulus.
  static uint64_t add(uint64_t value, uint64_t hash, uint64_t modulus) {
    const uint64_t sum = value + (hash * modulus >> 32);
    return sum < modulus ? sum : sum - modulus;
  }

  uint64_t n_, rows_, columns_;
  uint64_t keys_[kRounds];
};

}  // namespace rutile::dataset
