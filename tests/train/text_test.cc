// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/text.h"

#include <gtest/gtest.h>

#include <limits>

#include "rutile/train/checksum.h"

namespace rutile::train {
namespace {

TEST(Text, Numbers) {
  EXPECT_EQ(fixed(0.87125, 4), "0.8712");
  EXPECT_EQ(grouped(25557032), "25,557,032");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(readable(3.4159), "3.42");
  EXPECT_EQ(readable(34.159), "34.2");
  EXPECT_EQ(readable(341.59), "342");
  EXPECT_EQ(readable(34159), "34,159");
  EXPECT_EQ(readable(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(readable(1e300), "1e+300");
}

TEST(Text, Clock) {
  EXPECT_EQ(clock_text(7.4), "0:07");
  EXPECT_EQ(clock_text(754), "12:34");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "?");
  EXPECT_EQ(clock_text(std::numeric_limits<double>::quiet_NaN()), "?");
}

uint64_t checksum(const std::string& s) {
  Checksum sum;
  sum.add(s.data(), s.size());
  return sum.value();
}

TEST(Checksum, IsXxh64) {
  EXPECT_EQ(checksum(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(checksum("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(checksum("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(checksum("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(Checksum, PiecesDoNotMatter) {
  std::string s;
  for (int i = 0; i < 300; ++i) s += static_cast<char>(i * 7);
  for (size_t step = 1; step < 70; ++step) {
    Checksum sum;
    for (size_t i = 0; i < s.size(); i += step) sum.add(s.data() + i, std::min(step, s.size() - i));
    EXPECT_EQ(sum.value(), checksum(s)) << step;
  }
}

}  // namespace
}  // namespace rutile::train
