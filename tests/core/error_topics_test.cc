// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/error_topics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace rutile {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(ErrorTopics, AreInOrderAndSaySomething) {
  std::string_view last;
  for (const ErrorTopic& t : error_topics()) {
    EXPECT_LT(last, t.code);
    EXPECT_THAT(t.code, StartsWith("RUTILE-E"));
    EXPECT_FALSE(t.title.empty() || t.text.empty()) << t.code;
    last = t.code;
  }
}

TEST(ErrorTopics, AMessageNamesItsOwnElseTheKindDoes) {
  EXPECT_EQ(topic_of(Error(ErrorCode::kType, "x")).code, "RUTILE-E0001");
  EXPECT_EQ(topic_of(Error(ErrorCode::kInternal, "x")).code, "RUTILE-E0010");
  EXPECT_EQ(topic_of(Error(ErrorCode::kValue, "[cond] ... (RUTILE-E0106)")).code, "RUTILE-E0106");
  EXPECT_EQ(topic_of(Error(ErrorCode::kValue, "a file named RUTILE-E9999")).code, "RUTILE-E0002");
  EXPECT_EQ(topic_of(Error(ErrorCode::kIndex, "ends in RUTILE-E")).code, "RUTILE-E0003");
}

TEST(ErrorTopics, AreExplainedByAnySpellingOfTheCode) {
  const std::string text = explain_error("RUTILE-E0101");
  EXPECT_THAT(text, StartsWith("RUTILE-E0101: "));
  EXPECT_EQ(explain_error("E0101"), text);
  EXPECT_EQ(explain_error("101"), text);
  for (const char* wrong : {"", "E", "E0101x", "9999", "99999999999999999999"}) {
    try {
      explain_error(wrong);
      ADD_FAILURE() << wrong;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kValue);
      EXPECT_THAT(e.message(), HasSubstr("RUTILE-E0108"));
    }
  }
}

}  // namespace
}  // namespace rutile
