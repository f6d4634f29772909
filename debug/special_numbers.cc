// SPDX-License-Identifier: Apache-2.0
#include "rutile/debug/special_numbers.h"

#include <algorithm>
#include <vector>

#include "rutile/core/device_runtime.h"
#include "rutile/core/strings.h"

namespace rutile::debug {

namespace {

// A float is special when all bits of its exponent are set, NaN when its fraction is not zero.
struct Format {
  int bytes = 0;
  uint64_t exponent = 0, fraction = 0;
  int per_element = 1;
};

bool format_of(DType t, Format* f) {
  switch (t) {
    case DType::kF16:
      *f = {2, 0x7c00, 0x03ff, 1};
      return true;
    case DType::kBF16:
      *f = {2, 0x7f80, 0x007f, 1};
      return true;
    case DType::kF32:
    case DType::kC64:
      *f = {4, 0x7f800000, 0x007fffff, t == DType::kC64 ? 2 : 1};
      return true;
    case DType::kF64:
    case DType::kC128:
      *f = {8, 0x7ff0000000000000, 0x000fffffffffffff, t == DType::kC128 ? 2 : 1};
      return true;
    default:
      return false;
  }
}

class Counter {
 public:
  Counter(const Format& f, const void* data, bool nan, bool inf)
      : f_(f), data_(static_cast<const char*>(data)), nan_(nan), inf_(inf) {}
  SpecialNumbers found;

  // Elements [first, first + n) of the memory.
  void run(int64_t first, int64_t n) {
    switch (f_.bytes) {
      case 2:
        return scan<uint16_t>(first, n);
      case 4:
        return scan<uint32_t>(first, n);
      default:
        return scan<uint64_t>(first, n);
    }
  }

 private:
  template <class T>
  void scan(int64_t first, int64_t n) {
    const auto* p = reinterpret_cast<const T*>(data_) + first * f_.per_element;
    const T exponent = static_cast<T>(f_.exponent);
    constexpr int64_t kBlock = 1024;
    for (int64_t i = 0; i < n * f_.per_element; i += kBlock) {
      const int64_t end = std::min(i + kBlock, n * f_.per_element);
      bool any = false;
      for (int64_t k = i; k < end; ++k) any |= (p[k] & exponent) == exponent;
      for (int64_t k = i; any && k < end; ++k) {
        if ((p[k] & exponent) == exponent) count(p[k] & f_.fraction, first + k / f_.per_element);
      }
    }
  }
  void count(uint64_t fraction, int64_t at) {
    if (fraction ? !nan_ : !inf_) return;
    ++(fraction ? found.nan : found.inf);
    if (found.first < 0) found.first = at;
  }

  Format f_;
  const char* data_;
  bool nan_, inf_;
};

void walk(const TensorMeta& m, int dim, int64_t offset, Counter* counter) {
  if (dim == m.rank()) return counter->run(offset, 1);
  for (int64_t i = 0; i < m.dim(dim); ++i) walk(m, dim + 1, offset + i * m.strides[dim], counter);
}

}  // namespace

SpecialNumbers count_special(const TensorMeta& meta, const void* data, bool nan, bool inf) {
  Format f;
  if (!data || meta.numel() == 0 || !format_of(meta.dtype, &f)) return {};
  std::vector<char> host;
  if (!(meta.device == kCpu)) {
    host.resize(static_cast<size_t>(meta.nbytes()));
    throw_if_error(copy_bytes(host.data(), kCpu, data, meta.device, host.size()));
    data = host.data();
  }
  Counter counter(f, data, nan, inf);
  if (meta.layout != kStrided) {
    counter.run(0, meta.nbytes() / static_cast<int64_t>(dtype_size(meta.dtype)));
  } else if (meta.is_dense()) {
    counter.run(0, meta.numel());
  } else {
    walk(meta, 0, 0, &counter);
  }
  return counter.found;
}

std::string to_string(const SpecialNumbers& s, const TensorMeta& meta) {
  std::string text;
  if (s.nan) text = cat(s.nan, " nan");
  if (s.inf) text += cat(s.nan ? " and " : "", s.inf, " inf");
  text += cat(" among ", meta.numel(), " elements");
  if (meta.layout == kStrided && meta.is_contiguous() && meta.rank() > 0) {
    Dims index = meta.shape;
    int64_t rest = s.first;
    for (int i = meta.rank(); i-- > 0; rest /= meta.dim(i)) index[i] = rest % meta.dim(i);
    text += cat(", the first at ", index);
  }
  return text;
}

}  // namespace rutile::debug
