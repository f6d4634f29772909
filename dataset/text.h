// SPDX-License-Identifier: Apache-2.0
// Sources of text for language models: two fields, the tokens i32 [T] and, as labels, the tokens
// that follow each of them i32 [T].
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/dataset/byte_pairs.h"
#include "rutile/dataset/source.h"

namespace rutile::dataset {

enum class TextUnit { kCharacter, kByte };

// Symbols and their numbers. Characters are the distinct Unicode code points of a text in ascending
// order; bytes are 0 to 255.
class RUTILE_API Vocabulary {
 public:
  // `text` is UTF-8 for kCharacter; what is not gives Error{kValue} with its offset.
  Vocabulary(std::string_view text, TextUnit unit);
  int64_t size() const { return static_cast<int64_t>(symbols_.size()); }
  // A character that is not in the vocabulary is an error.
  std::vector<int32_t> encode(std::string_view text) const;
  // Tokens out of range are an error.
  std::string decode(std::span<const int32_t> tokens) const;

 private:
  TextUnit unit_;
  std::vector<char32_t> symbols_;
};

struct TextOptions {
  int64_t window = 256;  // tokens in a sample (one more is read for the labels)
  int64_t stride = 0;    // from one sample's start to the next; 0: `window`, so that none overlap
  TextUnit unit = TextUnit::kCharacter;
  double begin = 0,
         end = 1;  // the part of the text to use: {.end = 0.9} trains, {.begin = 0.9} tests
  std::shared_ptr<const BytePairs> pairs = {};  // tokens of GPT-2 instead of `unit`
};

// All samples are views of one array of tokens. The vocabulary is always that of the whole text.
class RUTILE_API TextSource final : public Source {
 public:
  // `name` stands for the text in errors.
  TextSource(std::string_view text, const std::string& name, const TextOptions& options);
  const Vocabulary& vocabulary() const { return vocabulary_; }  // empty with byte pairs
  int64_t size() const override { return size_; }
  int64_t classes() const override { return pairs_ ? pairs_->size() : vocabulary_.size(); }
  std::string decode(std::span<const int32_t> tokens) const {
    return pairs_ ? pairs_->decode(tokens) : vocabulary_.decode(tokens);
  }
  void read(int64_t index, Sample* out) const override;
  std::string describe(int64_t index) const override;

 private:
  std::string name_;
  Vocabulary vocabulary_;
  std::shared_ptr<const BytePairs> pairs_;
  std::vector<int32_t> tokens_;
  int64_t first_ = 0, window_ = 0, stride_ = 0, size_ = 0;
};

// A file of at most 1 GiB. Errors: kNotFound, kIo; kValue for a text shorter than one window.
RUTILE_API std::shared_ptr<const TextSource> text_file(const std::string& path,
                                                       const TextOptions& options = {});

// Tokens that follow a rule seven times out of eight, so that a network can learn them.
struct SyntheticTokens {
  int64_t samples = 1024;
  int64_t window = 256;
  int64_t vocabulary = 65;
  uint64_t seed = 0;
  int64_t first = 0;  // number of the first sample
};
RUTILE_API SourcePtr synthetic_tokens(const SyntheticTokens& options);

}  // namespace rutile::dataset
