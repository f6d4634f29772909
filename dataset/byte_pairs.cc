// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/byte_pairs.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "rutile/core/error.h"
#include "rutile/dataset/utf8.h"
#include "rutile/io/file.h"

namespace rutile::dataset {
namespace {

constexpr int64_t kMostTokens = 1 << 22;
constexpr uint64_t kMaxFileBytes = 256 << 20;
constexpr size_t kLongPiece = 1 << 13;  // bytes that are merged together

struct CodeRange {
  char32_t first, last;
};
#include "rutile/dataset/unicode_classes.inc"

template <size_t n>
bool in_ranges(const CodeRange (&ranges)[n], char32_t c) {
  const CodeRange* at =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t v, const CodeRange& r) { return v < r.first; });
  return at != std::begin(ranges) && c <= at[-1].last;
}

enum class Kind : uint8_t { kLetter, kNumber, kSpace, kOther };

Kind kind_of(char32_t c) {
  if (c < 0x80) {
    const char32_t lower = c | 0x20;
    if (lower >= 'a' && lower <= 'z') return Kind::kLetter;
    if (c >= '0' && c <= '9') return Kind::kNumber;
    return c == ' ' || (c >= 9 && c <= 13) ? Kind::kSpace : Kind::kOther;
  }
  const bool space = c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
                     c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
  if (space) return Kind::kSpace;
  if (in_ranges(kLetters, c)) return Kind::kLetter;
  return in_ranges(kNumbers, c) ? Kind::kNumber : Kind::kOther;
}

// What stands at `at`, and where it ends; a byte that is no UTF-8 is a sign of its own.
Kind next_kind(std::string_view s, size_t at, size_t* end) {
  char32_t c = 0;
  *end = at;
  if (next_code_point(s, end, &c)) return kind_of(c);
  *end = at + 1;
  return Kind::kOther;
}

// 's, 't, 're, 've, 'm, 'll, 'd: their length at `at`, or 0.
size_t contraction(std::string_view s, size_t at) {
  for (const std::string_view c : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (s.substr(at, c.size()) == c) return c.size();
  }
  return 0;
}

// GPT-2 writes bytes as printable characters: those that are none move behind 255.
std::vector<char32_t> alphabet() {
  std::vector<char32_t> of(256);
  char32_t next = 256;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    of[b] = printable ? b : next++;
  }
  return of;
}

// The bytes that a token's text stands for.
class Alphabet {
 public:
  Alphabet() {
    const std::vector<char32_t> of = alphabet();
    for (size_t b = 0; b < of.size(); ++b) byte_[of[b]] = static_cast<unsigned char>(b);
  }
  // False for a character that is not of the alphabet.
  bool bytes(std::string_view text, std::string* out) const {
    out->clear();
    for (size_t at = 0; at < text.size();) {
      char32_t c = 0;
      if (!next_code_point(text, &at, &c)) return false;
      const auto b = byte_.find(c);
      if (b == byte_.end()) return false;
      out->push_back(static_cast<char>(b->second));
    }
    return true;
  }

 private:
  std::unordered_map<char32_t, unsigned char> byte_;
};

uint64_t pair_key(int32_t a, int32_t b) {
  return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b);
}

}  // namespace

BytePairs::BytePairs(std::string_view vocab, std::string_view merges) {
  const nlohmann::json all = nlohmann::json::parse(vocab, nullptr, false);
  if (!all.is_object()) throw_error(ErrorCode::kValue, "the vocabulary is no JSON object");
  const Alphabet letters;
  std::unordered_map<std::string, int32_t> number;
  for (const auto& [text, value] : all.items()) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 ||
        value.get<int64_t>() >= kMostTokens) {
      throw_error(ErrorCode::kValue, cat("the number of the token '", text.substr(0, 200),
                                         "' is none below ", kMostTokens));
    }
    const auto n = value.get<int32_t>();
    if (n >= size()) bytes_.resize(static_cast<size_t>(n) + 1);
    std::string bytes;
    // Tokens beyond the alphabet, as <|endoftext|> could be, stand for their own text.
    if (!letters.bytes(text, &bytes)) bytes = text;
    if (bytes.empty() || !bytes_[static_cast<size_t>(n)].empty()) {
      throw_error(ErrorCode::kValue, cat("the token ", n, " is empty or there twice"));
    }
    bytes_[static_cast<size_t>(n)] = bytes;
    number.emplace(std::move(bytes), n);
  }
  for (int b = 0; b < 256; ++b) {
    const auto at = number.find(std::string(1, static_cast<char>(b)));
    if (at == number.end()) {
      throw_error(ErrorCode::kValue, cat("the vocabulary has no token for the byte ", b));
    }
    of_byte_[b] = at->second;
  }
  int32_t rank = 0;
  for (size_t begin = 0, line = 1; begin < merges.size(); ++line) {
    const size_t end = std::min(merges.find('\n', begin), merges.size());
    std::string_view text = merges.substr(begin, end - begin);
    begin = end + 1;
    if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
    if (text.empty() || text.starts_with("#version")) continue;
    const size_t space = text.find(' ');
    std::string a, b;
    if (space == std::string_view::npos || !letters.bytes(text.substr(0, space), &a) ||
        !letters.bytes(text.substr(space + 1), &b)) {
      throw_error(ErrorCode::kValue, cat("line ", line, " of the merges is no pair of tokens"));
    }
    const auto x = number.find(a), y = number.find(b), z = number.find(a + b);
    if (x == number.end() || y == number.end() || z == number.end()) {
      throw_error(ErrorCode::kValue,
                  cat("line ", line, " of the merges has a token that the vocabulary lacks"));
    }
    merges_.emplace(pair_key(x->second, y->second), Merge{rank++, z->second});
  }
}

// As the regular expression of GPT-2:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::vector<std::string_view> BytePairs::split(std::string_view s) {
  std::vector<std::string_view> pieces;
  for (size_t begin = 0; begin < s.size();) {
    size_t end = begin + contraction(s, begin);
    if (end == begin) {
      size_t first = 0;
      Kind kind = next_kind(s, begin, &first);
      if (s[begin] == ' ' && first < s.size()) {
        size_t behind = 0;
        const Kind next = next_kind(s, first, &behind);
        if (next != Kind::kSpace) {
          kind = next;
          first = behind;
        }
      }
      end = first;
      size_t last = begin;  // where the latest of them begins
      for (size_t next = end; end < s.size(); end = next) {
        if (next_kind(s, end, &next) != kind) break;
        last = end;
      }
      // The last space belongs to what stands behind it.
      if (kind == Kind::kSpace && end < s.size() && last > begin) end = last;
    }
    pieces.push_back(s.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

// Merges the pair that comes first among the merges, again and again.
void BytePairs::encode_piece(std::string_view piece, std::vector<int32_t>* out) const {
  std::vector<int32_t> t;
  for (const char c : piece) t.push_back(of_byte_[static_cast<unsigned char>(c)]);
  while (t.size() > 1) {
    Merge best{std::numeric_limits<int32_t>::max(), 0};
    int32_t a = 0, b = 0;
    for (size_t i = 0; i + 1 < t.size(); ++i) {
      const auto m = merges_.find(pair_key(t[i], t[i + 1]));
      if (m == merges_.end() || m->second.rank >= best.rank) continue;
      best = m->second;
      a = t[i];
      b = t[i + 1];
    }
    if (best.rank == std::numeric_limits<int32_t>::max()) break;
    size_t kept = 0;
    for (size_t i = 0; i < t.size(); ++i) {
      const bool merges = i + 1 < t.size() && t[i] == a && t[i + 1] == b;
      t[kept++] = merges ? best.token : t[i];
      i += merges;
    }
    t.resize(kept);
  }
  out->insert(out->end(), t.begin(), t.end());
}

std::vector<int32_t> BytePairs::encode(std::string_view text) const {
  std::vector<int32_t> out;
  // Most words of a text come again.
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> known;
  for (std::string_view piece : split(text)) {
    if (const auto at = known.find(piece); at != known.end()) {
      const auto [begin, count] = at->second;
      for (size_t i = 0; i < count; ++i) out.push_back(out[begin + i]);
      continue;
    }
    const size_t begin = out.size();
    for (std::string_view rest = piece; !rest.empty();) {
      encode_piece(rest.substr(0, kLongPiece), &out);
      rest.remove_prefix(std::min(kLongPiece, rest.size()));
    }
    known.emplace(piece, std::pair(begin, out.size() - begin));
  }
  return out;
}

std::string BytePairs::decode(std::span<const int32_t> tokens) const {
  std::string out;
  for (const int32_t t : tokens) {
    if (t < 0 || t >= size() || bytes_[static_cast<size_t>(t)].empty()) {
      throw_error(ErrorCode::kIndex, cat("token ", t, " is none of the vocabulary of ", size()));
    }
    out += bytes_[static_cast<size_t>(t)];
  }
  return out;
}

std::shared_ptr<const BytePairs> byte_pairs_file(const std::string& folder) {
  const auto there = [&](const char* name) {
    std::error_code error;
    return std::filesystem::exists(cat(folder, "/", name), error);
  };
  const bool other = !there("vocab.json") && there("encoder.json");
  const std::string vocab = cat(folder, other ? "/encoder.json" : "/vocab.json");
  const std::string merges = cat(folder, other ? "/vocab.bpe" : "/merges.txt");
  const Ref<io::Blob> a = io::read_file(vocab, kMaxFileBytes),
                      b = io::read_file(merges, kMaxFileBytes);
  const auto text = [](const io::Blob& blob) {
    return std::string_view(reinterpret_cast<const char*>(blob.data()), blob.size());
  };
  try {
    return std::make_shared<BytePairs>(text(*a), text(*b));
  } catch (const Error& e) {
    throw_error(e.code(), cat("'", vocab, "' and '", merges, "': ", e.message()));
  }
}

}  // namespace rutile::dataset
