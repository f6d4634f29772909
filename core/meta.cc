// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/meta.h"

namespace rutile {
namespace {

bool follows_order(const TensorMeta& m, const int* order) {
  int64_t step = 1;
  for (int i = m.rank() - 1; i >= 0; --i) {
    const int d = order[i];
    if (m.shape[d] == 0) return true;
    if (m.shape[d] != 1 && m.strides[d] != step) return false;
    step *= m.shape[d];
  }
  return true;
}

uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15u;
  return h ^ (h >> 32);
}

}  // namespace

bool TensorMeta::is_contiguous() const {
  if (layout != kStrided) return false;
  int64_t step = 1;
  bool packed = true;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape[i] == 0) return true;
    packed &= shape[i] == 1 || strides[i] == step;
    // Shapes of refused calls, which messages print, may be too large to count.
    if (__builtin_mul_overflow(step, shape[i], &step)) return false;
  }
  return packed;
}

bool TensorMeta::is_channels_last() const {
  static constexpr int kOrder4[] = {0, 2, 3, 1};
  static constexpr int kOrder5[] = {0, 2, 3, 4, 1};
  if (layout != kStrided || (rank() != 4 && rank() != 5) || is_contiguous()) return false;
  return follows_order(*this, rank() == 4 ? kOrder4 : kOrder5);
}

bool TensorMeta::is_dense() const {
  if (layout != kStrided) return false;
  if (is_contiguous()) return true;
  bool placed[kMaxRank] = {};
  int64_t step = 1;
  for (int n = 0; n < rank(); ++n) {  // places the dimension with the next larger stride
    int next = -1, left = 0;
    for (int d = 0; d < rank(); ++d) {
      if (placed[d] || shape[d] == 1) continue;
      ++left;
      if (strides[d] == step) next = d;
    }
    if (left == 0) return true;
    if (next < 0) return false;
    placed[next] = true;
    step *= shape[next];
  }
  return true;
}

int64_t TensorMeta::nbytes() const {
  const int64_t size = static_cast<int64_t>(dtype_size(dtype));
  if (layout != kStrided) return layout_elements(layout, shape) * size;
  int64_t last = 0;
  for (int i = 0; i < rank(); ++i) {
    if (shape[i] == 0) return 0;
    if (strides[i] > 0) last += (shape[i] - 1) * strides[i];
  }
  return (last + 1) * size;
}

bool same_placement(const TensorMeta& a, const TensorMeta& b) {
  if (a.layout != b.layout || !(a.shape == b.shape)) return false;
  for (int i = 0; a.layout == kStrided && i < a.rank(); ++i) {
    if (a.shape[i] > 1 && a.strides[i] != b.strides[i]) return false;
  }
  return true;
}

std::string to_string(const TensorMeta& m) {
  std::string out = cat(dtype_name(m.dtype), to_string(m.shape));
  if (m.layout != kStrided) {
    out += cat(":", layout_info(m.layout).tag);
  } else if (m.is_channels_last()) {
    out += ":channels_last";
  } else if (!m.is_contiguous()) {
    out += cat(":strides", to_string(m.strides));
  }
  return cat(out, "@", to_string(m.device));
}

uint64_t hash_meta(const TensorMeta& m) {
  uint64_t h = static_cast<uint64_t>(m.dtype) | static_cast<uint64_t>(m.device.type) << 8 |
               static_cast<uint64_t>(m.device.index) << 16 | static_cast<uint64_t>(m.layout) << 24 |
               static_cast<uint64_t>(m.rank()) << 40;
  h = mix(0x243F6A8885A308D3u, h);
  for (const int64_t d : m.shape) h = mix(h, static_cast<uint64_t>(d));
  if (m.layout == kStrided) {
    for (const int64_t s : m.strides) h = mix(h, static_cast<uint64_t>(s));
  }
  return h;
}

}  // namespace rutile
