// SPDX-License-Identifier: Apache-2.0
// Tensor::repr, in NumPy's manner.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "rutile/core/element.h"
#include "rutile/core/tensor.h"

namespace rutile {
namespace {

constexpr int64_t kSummaryBeyond = 1000;
constexpr int64_t kEdge = 3;  // elements shown at either end of a summarised dimension
constexpr int kPrecision = 4;
constexpr size_t kLineWidth = 80;

struct NumberFormat {
  bool scientific = false;
  int decimals = 0;
};

// Decimals that %.4f needs to show `v`, without trailing zeros.
int decimals_of(double v) {
  char buf[400];
  const int n = std::snprintf(buf, sizeof(buf), "%.*f", kPrecision, v);
  int zeros = 0;
  while (zeros < kPrecision && buf[n - 1 - zeros] == '0') ++zeros;
  return kPrecision - zeros;
}

NumberFormat choose_format(const std::vector<double>& values) {
  double smallest = HUGE_VAL, largest = 0;
  bool whole = true;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    whole &= v == std::trunc(v);
    largest = std::max(largest, std::abs(v));
    if (v != 0) smallest = std::min(smallest, std::abs(v));
  }
  NumberFormat f;
  if (largest == 0) return f;
  // As NumPy: no fixed point for huge, tiny or very different numbers.
  f.scientific = largest >= 1e8 || (!whole && (smallest < 1e-4 || largest / smallest > 1e5));
  for (const double v : values) {
    if (std::isfinite(v) && !f.scientific) f.decimals = std::max(f.decimals, decimals_of(v));
  }
  if (f.scientific) f.decimals = kPrecision;
  return f;
}

std::string format_number(double v, NumberFormat f) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char buf[400];
  std::snprintf(buf, sizeof(buf), f.scientific ? "%.*e" : "%.*f", f.decimals, v);
  return buf;
}

std::string format_element(const Element& e, NumberFormat f) {
  switch (e.kind) {
    case Element::Kind::kBool:
      return e.i ? "True" : "False";
    case Element::Kind::kSigned:
      return std::to_string(e.i);
    case Element::Kind::kUnsigned:
      return std::to_string(e.u);
    case Element::Kind::kFloat:
      return format_number(e.re, f);
    case Element::Kind::kComplex:
      break;
  }
  const std::string im = format_number(e.im, f);
  return cat(format_number(e.re, f), im[0] == '-' ? "" : "+", im, "j");
}

class Printer {
 public:
  Printer(const TensorMeta& m, const void* data)
      : meta_(m), data_(static_cast<const char*>(data)), summarised_(m.numel() > kSummaryBeyond) {
    collect(0, 0);
    format();
  }

  std::string print(const std::string& prefix, const std::string& suffix) {
    std::string line = prefix;
    size_t next = 0;
    append(0, &next, 0, /*one_line=*/true, &line);
    line += suffix;
    if (line.size() <= kLineWidth) return line;
    for (const std::string& t : texts_) width_ = std::max(width_, t.size());
    line = prefix;
    next = 0;
    append(0, &next, prefix.size(), /*one_line=*/false, &line);
    return line + suffix;
  }

 private:
  bool cut(int d) const { return summarised_ && meta_.shape[d] > 2 * kEdge; }

  int64_t share(int d, int64_t i) const {
    return meta_.layout == kStrided ? meta_.strides[d] * i
                                    : layout_dim_offset(meta_.layout, meta_.shape, d, i);
  }

  void collect(int d, int64_t offset) {
    if (d == meta_.rank()) {
      const int64_t size = static_cast<int64_t>(dtype_size(meta_.dtype));
      elements_.push_back(load_element(meta_.dtype, data_ + offset * size));
      return;
    }
    for (int64_t i = 0; i < meta_.shape[d]; ++i) {
      if (cut(d) && i == kEdge) i = meta_.shape[d] - kEdge;
      collect(d + 1, offset + share(d, i));
    }
  }

  void format() {
    std::vector<double> numbers;
    if (is_floating(meta_.dtype) || is_complex(meta_.dtype)) {
      for (const Element& e : elements_) {
        numbers.push_back(e.re);
        if (e.kind == Element::Kind::kComplex) numbers.push_back(e.im);
      }
    }
    const NumberFormat f = choose_format(numbers);
    for (const Element& e : elements_) texts_.push_back(format_element(e, f));
  }

  void append(int d, size_t* next, size_t indent, bool one_line, std::string* out) const {
    if (d == meta_.rank()) {
      const std::string& text = texts_[(*next)++];
      if (!one_line) out->append(width_ - text.size(), ' ');
      *out += text;
      return;
    }
    *out += '[';
    for (int64_t i = 0; i < meta_.shape[d]; ++i) {
      if (i > 0) separate(d, indent + 1, one_line, out);
      if (cut(d) && i == kEdge) {
        *out += "...";
        separate(d, indent + 1, one_line, out);
        i = meta_.shape[d] - kEdge;
      }
      append(d + 1, next, indent + 1, one_line, out);
    }
    *out += ']';
  }

  void separate(int d, size_t indent, bool one_line, std::string* out) const {
    *out += ',';
    const size_t line =
        out->size() - (out->rfind('\n') == std::string::npos ? 0 : out->rfind('\n') + 1);
    const bool innermost = d == meta_.rank() - 1;
    if (one_line || (innermost && line + 1 + width_ < kLineWidth)) {
      *out += ' ';
    } else {
      // A blank line between matrices, as in NumPy.
      out->append(static_cast<size_t>(std::max(1, meta_.rank() - 1 - d)), '\n');
      out->append(indent, ' ');
    }
  }

  const TensorMeta& meta_;
  const char* data_;
  const bool summarised_;
  std::vector<Element> elements_;  // those that are shown
  std::vector<std::string> texts_;
  size_t width_ = 0;
};

std::string spaced(const Dims& d) {
  std::string out = "[";
  for (int i = 0; i < d.rank(); ++i) out += cat(i > 0 ? ", " : "", d[i]);
  return out + "]";
}

}  // namespace

std::string Tensor::repr() const {
  if (!defined()) return "Tensor()";
  const TensorMeta& m = meta();
  std::string suffix = cat(", shape=", spaced(m.shape), ", dtype=", dtype_name(m.dtype));
  if (m.device != kCpu) suffix += cat(", device=", to_string(m.device));
  suffix += ")";
  if (is_symbolic()) return cat("Tensor(<traced>", suffix);
  if (m.numel() == 0) return cat("Tensor([]", suffix);
  if (m.device != kCpu) {
    const Tensor host = empty(m.shape, m.dtype);
    try {
      copy_out(host.impl()->data, static_cast<size_t>(host.meta().nbytes()));
    } catch (const Error&) {  // who prints a tensor looks for an error and shall not get another
      return cat("Tensor(...", suffix);
    }
    return Printer(host.meta(), host.impl()->data).print("Tensor(", suffix);
  }
  return Printer(m, impl_->data).print("Tensor(", suffix);
}

}  // namespace rutile
