// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace rutile::train {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                   kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                   kPrime5 = 0x27D4EB2F165667C5u;
constexpr size_t kStripe = 32;

template <class T>
T load(const unsigned char* p) {
  static_assert(std::endian::native == std::endian::little);
  T v;
  std::memcpy(&v, p, sizeof(T));
  return v;
}

uint64_t mix(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

}  // namespace

Checksum::Checksum() : lanes_{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1} {}

void Checksum::stripe(const unsigned char* p) {
  for (int i = 0; i < 4; ++i) lanes_[i] = mix(lanes_[i], load<uint64_t>(p + 8 * i));
}

void Checksum::add(const void* data, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  total_ += bytes;
  if (held_bytes_ > 0) {
    const size_t n = std::min(bytes, kStripe - held_bytes_);
    std::memcpy(held_ + held_bytes_, p, n);
    held_bytes_ += n;
    p += n;
    bytes -= n;
    if (held_bytes_ < kStripe) return;
    stripe(held_);
    held_bytes_ = 0;
  }
  for (; bytes >= kStripe; p += kStripe, bytes -= kStripe) stripe(p);
  if (bytes > 0) std::memcpy(held_, p, bytes);
  held_bytes_ = bytes;
}

uint64_t Checksum::value() const {
  uint64_t h = kPrime5;
  if (total_ >= kStripe) {
    h = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
        std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) h = (h ^ mix(0, lane)) * kPrime1 + kPrime4;
  }
  h += total_;
  const unsigned char* p = held_;
  size_t left = held_bytes_;
  for (; left >= 8; p += 8, left -= 8) {
    h = std::rotl(h ^ mix(0, load<uint64_t>(p)), 27) * kPrime1 + kPrime4;
  }
  if (left >= 4) {
    h = std::rotl(h ^ load<uint32_t>(p) * kPrime1, 23) * kPrime2 + kPrime3;
    p += 4;
    left -= 4;
  }
  for (; left > 0; ++p, --left) h = std::rotl(h ^ *p * kPrime5, 11) * kPrime1;
  h = (h ^ h >> 33) * kPrime2;
  h = (h ^ h >> 29) * kPrime3;
  return h ^ h >> 32;
}

}  // namespace rutile::train
