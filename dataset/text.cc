// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "rutile/dataset/utf8.h"
#include "rutile/io/file.h"

namespace rutile::dataset {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;

void append_utf8(std::string* out, char32_t c) {
  const auto put = [out](char32_t b) { out->push_back(static_cast<char>(b)); };
  const auto tail = [&](int shift) { put(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), tail(0);
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), tail(6), tail(0);
  } else {
    put(0xF0 | c >> 18), tail(12), tail(6), tail(0);
  }
}

template <class F>
void each_symbol(std::string_view text, TextUnit unit, F&& f) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t start = at;
    char32_t c = static_cast<unsigned char>(text[at]);
    if (unit == TextUnit::kByte) {
      ++at;
    } else if (!next_code_point(text, &at, &c)) {
      throw_error(ErrorCode::kValue, cat("the text is not valid UTF-8 at offset ", start));
    }
    f(c, start);
  }
}

}  // namespace

Vocabulary::Vocabulary(std::string_view text, TextUnit unit) : unit_(unit) {
  std::vector<bool> seen(unit == TextUnit::kByte ? 256 : 0x110000, unit == TextUnit::kByte);
  if (unit == TextUnit::kCharacter) {
    each_symbol(text, unit, [&](char32_t c, size_t) { seen[c] = true; });
  }
  for (size_t c = 0; c < seen.size(); ++c) {
    if (seen[c]) symbols_.push_back(static_cast<char32_t>(c));
  }
}

std::vector<int32_t> Vocabulary::encode(std::string_view text) const {
  std::array<int32_t, 128> ascii;
  ascii.fill(-1);
  for (size_t i = 0; i < symbols_.size() && symbols_[i] < 128; ++i) {
    ascii[symbols_[i]] = static_cast<int32_t>(i);
  }
  std::vector<int32_t> tokens;
  tokens.reserve(text.size());
  each_symbol(text, unit_, [&](char32_t c, size_t at) {
    int32_t token = c < 128 ? ascii[c] : -1;
    if (c >= 128) {
      const auto it = std::lower_bound(symbols_.begin(), symbols_.end(), c);
      if (it != symbols_.end() && *it == c) token = static_cast<int32_t>(it - symbols_.begin());
    }
    if (token < 0) {
      std::string shown;
      append_utf8(&shown, c);
      throw_error(ErrorCode::kValue, cat("the character '", shown, "' at offset ", at,
                                         " is not in the vocabulary of ", size()));
    }
    tokens.push_back(token);
  });
  return tokens;
}

std::string Vocabulary::decode(std::span<const int32_t> tokens) const {
  std::string out;
  for (const int32_t t : tokens) {
    if (t < 0 || t >= size()) {
      throw_error(ErrorCode::kIndex, cat("token ", t, " is not in the vocabulary of ", size()));
    }
    if (unit_ == TextUnit::kByte) {
      out.push_back(static_cast<char>(symbols_[t]));
    } else {
      append_utf8(&out, symbols_[t]);
    }
  }
  return out;
}

TextSource::TextSource(std::string_view text, const std::string& name, const TextOptions& o)
    : name_(name),
      vocabulary_(o.pairs ? std::string_view() : text, o.unit),
      pairs_(o.pairs),
      tokens_(pairs_ ? pairs_->encode(text) : vocabulary_.encode(text)),
      window_(o.window),
      stride_(o.stride == 0 ? o.window : o.stride) {
  if (o.window < 1 || o.window > 1 << 24 || o.stride < 0) {
    throw_error(ErrorCode::kValue,
                cat("a text window of ", o.window, " with stride ", o.stride, " is not possible"));
  }
  if (!(0 <= o.begin && o.begin < o.end && o.end <= 1)) {
    throw_error(ErrorCode::kValue,
                cat("a part of a text lies in [0, 1], got [", o.begin, ", ", o.end, "]"));
  }
  const auto n = static_cast<double>(tokens_.size());
  first_ = static_cast<int64_t>(std::llround(n * o.begin));
  const int64_t available = static_cast<int64_t>(std::llround(n * o.end)) - first_;
  if (available < window_ + 1) {
    throw_error(ErrorCode::kValue,
                cat("the text has ", available, " tokens in this part, a window of ", window_,
                    " needs ", window_ + 1));
  }
  size_ = (available - window_ - 1) / stride_ + 1;
}

void TextSource::read(int64_t index, Sample* out) const {
  const int32_t* p = tokens_.data() + first_ + index * stride_;
  out->add(p, DType::kI32, {window_});
  out->add(p + 1, DType::kI32, {window_});
}

std::string TextSource::describe(int64_t index) const {
  return cat("tokens from ", first_ + index * stride_, " of '", name_, "'");
}

std::shared_ptr<const TextSource> text_file(const std::string& path, const TextOptions& options) {
  const Ref<io::Blob> blob = io::read_file(path, kMaxTextBytes);
  const std::string_view text(reinterpret_cast<const char*>(blob->data()), blob->size());
  try {
    return std::make_shared<TextSource>(text, path, options);
  } catch (const Error& e) {
    throw_error(e.code(), cat("'", path, "': ", e.message()));
  }
}

}  // namespace rutile::dataset
