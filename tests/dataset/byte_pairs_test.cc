// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/byte_pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "rutile/dataset/text.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::dataset {
namespace {

using Pieces = std::vector<std::string_view>;

TEST(BytePairs, SplitsAsGpt2) {
  // By GPT-2's regular expression, as Python's module regex splits.
  EXPECT_EQ(BytePairs::split("Hello world's  end, 123abc\n\n x"),
            (Pieces{"Hello", " world", "'s", " ", " end", ",", " 123", "abc", "\n\n", " x"}));
  EXPECT_EQ(BytePairs::split("a\n\n b\t c \n"), (Pieces{"a", "\n\n", " b", "\t", " c", " \n"}));
  EXPECT_EQ(BytePairs::split("we'll don't I'M"),
            (Pieces{"we", "'ll", " don", "'t", " I", "'", "M"}));
  EXPECT_EQ(
      BytePairs::split("na\u00efve \u4e16\u754c \u0664\u0662 \u20ac5 \U0001f600!"),
      (Pieces{"na\u00efve", " \u4e16\u754c", " \u0664\u0662", " \u20ac", "5", " \U0001f600!"}));
  EXPECT_EQ(BytePairs::split("x\u00a0\u3000y"), (Pieces{"x", "\u00a0", "\u3000", "y"}));
  EXPECT_EQ(BytePairs::split(""), Pieces());
}

TEST(BytePairs, PiecesMakeTheText) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 50; ++i) {
      static const char* kParts[] = {" ",  "\n",           "a",    "Z",    "7", "'s",
                                     "'",  "\xe4\xb8\x96", "\xff", "\xc3", "!", "  ",
                                     "\t", "\xc2\xa0"};
      text += kParts[random() % std::size(kParts)];
    }
    std::string whole;
    for (const std::string_view p : BytePairs::split(text)) {
      EXPECT_FALSE(p.empty());
      whole += p;
    }
    EXPECT_EQ(whole, text);
  }
}

std::string utf8(int c) {
  if (c < 128) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
}

// All bytes, then the merged tokens.
nlohmann::json vocabulary() {
  nlohmann::json v;
  int n = 0, moved = 256;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
    v[utf8(printable ? b : moved++)] = n++;
  }
  for (const std::string& word : std::vector<std::string>{"ab", "abab", "bc", utf8(0x120) + "ab"}) {
    v[word] = n++;
  }
  return v;
}
const std::string& merges() {
  static const std::string text = "#version: 0.2\na b\nab ab\r\nb c\n" + utf8(0x120) + " ab\n";
  return text;
}

TEST(BytePairs, MergesWhatComesFirst) {
  const BytePairs p(vocabulary().dump(), merges());
  EXPECT_EQ(p.size(), 260);
  EXPECT_EQ(p.encode("ab"), (std::vector<int32_t>{256}));
  EXPECT_EQ(p.encode("abab"), (std::vector<int32_t>{257}));
  EXPECT_EQ(p.encode("abc"), (std::vector<int32_t>{256, 'c'}));  // a b before b c
  EXPECT_EQ(p.encode("bc"), (std::vector<int32_t>{258}));
  EXPECT_EQ(p.encode("ababab"), (std::vector<int32_t>{257, 256}));
  EXPECT_EQ(p.encode("x ab ab"), (std::vector<int32_t>{'x', 259, 259}));
  EXPECT_EQ(p.decode(std::vector<int32_t>{257, 259}), "abab ab");
  EXPECT_RUTILE_ERROR((void)p.decode(std::vector<int32_t>{260}), kIndex, "token 260");
}

TEST(BytePairs, EveryTextComesBack) {
  const BytePairs p(vocabulary().dump(), merges());
  std::mt19937 random(4);
  for (int round = 0; round < 50; ++round) {
    std::string text;
    for (int i = 0; i < 300; ++i) text += static_cast<char>(random() % (round % 2 ? 256 : 100));
    EXPECT_EQ(p.decode(p.encode(text)), text);
  }
  const std::string longest(20000, 'a');
  EXPECT_EQ(p.decode(p.encode(longest)), longest);
}

TEST(BytePairs, FilesThatAreNone) {
  const auto with = [](const nlohmann::json& v, const std::string& m) {
    (void)BytePairs(v.dump(), m);
  };
  EXPECT_RUTILE_ERROR((void)BytePairs("{", merges()), kValue, "no JSON object");
  EXPECT_RUTILE_ERROR((void)BytePairs("[1]", merges()), kValue, "no JSON object");
  nlohmann::json v = vocabulary();
  v["ab"] = -1;
  EXPECT_RUTILE_ERROR(with(v, ""), kValue, "the number of the token 'ab'");
  v["ab"] = int64_t{1} << 40;
  EXPECT_RUTILE_ERROR(with(v, ""), kValue, "the number of the token 'ab'");
  v["ab"] = 7;
  EXPECT_RUTILE_ERROR(with(v, ""), kValue, "token 7 is empty or there twice");
  v = vocabulary();
  v.erase("q");
  EXPECT_RUTILE_ERROR(with(v, ""), kValue, "no token for the byte 113");
  EXPECT_RUTILE_ERROR(with(vocabulary(), "a b\nnonsense\n"), kValue, "line 2");
  EXPECT_RUTILE_ERROR(with(vocabulary(), "a z\n"), kValue, "the vocabulary lacks");
  EXPECT_RUTILE_ERROR((void)byte_pairs_file("/none"), kNotFound, "vocab.json");
}

TEST(BytePairs, AreTokensOfATextSource) {
  const auto pairs = std::make_shared<const BytePairs>(vocabulary().dump(), merges());
  const TextSource s("ab ab ab ab ab", "text", {.window = 2, .pairs = pairs});
  EXPECT_EQ(s.classes(), 260);
  EXPECT_EQ(s.size(), 2);
  Sample sample;
  s.read(1, &sample);
  const auto* t = static_cast<const int32_t*>(sample.fields()[0].data);
  EXPECT_EQ(s.decode({t, 2}), " ab ab");
}

}  // namespace
}  // namespace rutile::dataset
