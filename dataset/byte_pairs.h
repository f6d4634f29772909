// SPDX-License-Identifier: Apache-2.0
// GPT-2's tokens: byte pair encoding on bytes (Sennrich, Haddow and Birch, 2016; Radford et al.,
// 2019), from the two files that are published with the model.
//
//   auto pairs = dataset::byte_pairs_file("gpt2");   // a folder with vocab.json and merges.txt
//   std::vector<int32_t> tokens = pairs->encode("Hello world");   // 15496, 995
//   pairs->decode(tokens);                                        // "Hello world"
//
// Every text can be encoded, valid UTF-8 or not, and is what decode() gives back.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rutile/core/api.h"

namespace rutile::dataset {

class RUTILE_API BytePairs {
 public:
  // vocab.json: an object of a token's text to its number; merges.txt: two tokens a line, what is
  // merged first comes first, lines that begin with "#version" are left out. Both write bytes in
  // the printable alphabet of GPT-2. Error{kValue} for what is not that.
  BytePairs(std::string_view vocab, std::string_view merges);
  // The largest number of a token and one more.
  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  std::vector<int32_t> encode(std::string_view text) const;
  // Error{kIndex} for a number that is no token.
  std::string decode(std::span<const int32_t> tokens) const;

  // The pieces of a text within which pairs are merged: words with the space before them, numbers,
  // signs, white space.
  static std::vector<std::string_view> split(std::string_view text);

 private:
  void encode_piece(std::string_view piece, std::vector<int32_t>* out) const;

  struct Merge {
    int32_t rank = 0, token = 0;
  };
  std::vector<std::string> bytes_;              // by token
  int32_t of_byte_[256];                        // the token of each byte
  std::unordered_map<uint64_t, Merge> merges_;  // by the two tokens
};

// `folder` holds vocab.json and merges.txt, or encoder.json and vocab.bpe. Errors: kNotFound, kIo;
// kValue naming the file.
RUTILE_API std::shared_ptr<const BytePairs> byte_pairs_file(const std::string& folder);

}  // namespace rutile::dataset
