// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/text.h"

#include <gtest/gtest.h>

#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::dataset {
namespace {

using ::rutile::testing::TempDir;
using ::rutile::testing::write_text;

std::vector<int32_t> field(const Source& s, int64_t index, int f) {
  Sample sample;
  s.read(index, &sample);
  const View& v = sample.fields().at(f);
  const auto* p = static_cast<const int32_t*>(v.data);
  return std::vector<int32_t>(p, p + v.shape.numel());
}

TEST(Vocabulary, SortsCharacters) {
  const Vocabulary v("hello", TextUnit::kCharacter);
  EXPECT_EQ(v.size(), 4);  // e h l o
  EXPECT_EQ(v.encode("hole"), (std::vector<int32_t>{1, 3, 2, 0}));
  EXPECT_EQ(v.decode(v.encode("hello")), "hello");
  EXPECT_RUTILE_ERROR(v.encode("help"), kValue, "the character 'p' at offset 3");
  const std::vector<int32_t> beyond = {0, 4};
  EXPECT_RUTILE_ERROR(v.decode(beyond), kIndex, "token 4");
}

TEST(Vocabulary, Utf8AndBytes) {
  const std::string text = "a\u00e9\u20ac\U0001F600";
  const Vocabulary v(text, TextUnit::kCharacter);
  EXPECT_EQ(v.size(), 4);
  EXPECT_EQ(v.encode(text), (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(v.decode(v.encode(text)), text);
  EXPECT_RUTILE_ERROR(v.encode("\u00e8"), kValue, "not in the vocabulary of 4");
  const Vocabulary bytes("", TextUnit::kByte);
  EXPECT_EQ(bytes.size(), 256);
  EXPECT_EQ(bytes.encode("\xff\x01"), (std::vector<int32_t>{255, 1}));
  EXPECT_EQ(bytes.decode(bytes.encode(text)), text);
}

TEST(Vocabulary, RefusesWhatIsNotUtf8) {
  // A lone continuation, an overlong form, a surrogate, beyond U+10FFFF, cut short.
  for (const char* bad : {"ab\x80", "ab\xc0\xaf", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80",
                          "ab\xe2\x82", "ab\xe0\x80\x80", "ab\xff", "ab\xf0\x9f\x98"}) {
    EXPECT_RUTILE_ERROR(Vocabulary(bad, TextUnit::kCharacter), kValue, "UTF-8 at offset 2");
  }
}

TEST(TextSource, Windows) {
  const TextSource s("abcdefghij", "t", {.window = 3});
  EXPECT_EQ(s.size(), 3);
  EXPECT_EQ(s.classes(), 10);
  EXPECT_EQ(field(s, 2, 0), (std::vector<int32_t>{6, 7, 8}));
  EXPECT_EQ(field(s, 2, 1), (std::vector<int32_t>{7, 8, 9}));
  EXPECT_EQ(s.describe(2), "tokens from 6 of 't'");
  const TextSource dense("abcdefghij", "t", {.window = 3, .stride = 1});
  EXPECT_EQ(dense.size(), 7);
  EXPECT_EQ(field(dense, 6, 1), (std::vector<int32_t>{7, 8, 9}));
}

TEST(TextSource, PartsShareTheVocabulary) {
  const TextSource train("abcdefghij", "t", {.window = 2, .end = 0.7});
  const TextSource test("abcdefghij", "t", {.window = 2, .begin = 0.7});
  EXPECT_EQ(train.size(), 3);
  EXPECT_EQ(test.size(), 1);
  EXPECT_EQ(test.classes(), 10);
  EXPECT_EQ(field(test, 0, 0), (std::vector<int32_t>{7, 8}));
}

TEST(TextSource, FilesAndErrors) {
  TempDir dir;
  write_text(dir / "t.txt", "to be or not to be");
  EXPECT_EQ(text_file(dir / "t.txt", {.window = 4})->size(), 4);
  EXPECT_RUTILE_ERROR(text_file(dir / "t.txt", {.window = 18}), kValue,
                      "t.txt': the text has 18 tokens in this part, a window of 18 needs 19");
  EXPECT_RUTILE_ERROR(text_file(dir / "none.txt"), kNotFound, "none.txt");
  write_text(dir / "bad.txt", "abc\xff");
  EXPECT_RUTILE_ERROR(text_file(dir / "bad.txt"), kValue, "bad.txt': the text is not valid UTF-8");
  EXPECT_EQ(text_file(dir / "bad.txt", {.window = 2, .unit = TextUnit::kByte})->classes(), 256);
  EXPECT_RUTILE_ERROR(TextSource("abc", "t", {.window = 0}), kValue, "a text window of 0");
  EXPECT_RUTILE_ERROR(TextSource("abc", "t", {.window = 1, .begin = 0.5, .end = 0.5}), kValue,
                      "got [0.5, 0.5]");
  EXPECT_RUTILE_ERROR(TextSource("", "t", {.window = 1}), kValue, "has 0 tokens");
}

TEST(SyntheticTokens, FollowARule) {
  const SyntheticTokens options{.samples = 10, .window = 400, .vocabulary = 65, .seed = 3};
  const SourcePtr s = synthetic_tokens(options);
  EXPECT_EQ(s->classes(), 65);
  const auto x = field(*s, 4, 0), y = field(*s, 4, 1);
  EXPECT_EQ(x, field(*synthetic_tokens(options), 4, 0));
  EXPECT_NE(x, field(*s, 5, 0));
  EXPECT_EQ(std::vector<int32_t>(x.begin() + 1, x.end()),
            std::vector<int32_t>(y.begin(), y.end() - 1));
  int offsets[65] = {};
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_TRUE(0 <= x[i] && x[i] < 65);
    ++offsets[((y[i] - 3 * x[i]) % 65 + 65) % 65];
  }
  EXPECT_GT(*std::max_element(offsets, offsets + 65), 320);
}

}  // namespace
}  // namespace rutile::dataset
