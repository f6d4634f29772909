// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include "rutile/tests/support/expect_error.h"

namespace rutile::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A temporary FILE that is read back.
class Output {
 public:
  Output() : file_(std::tmpfile()) {}
  ~Output() { std::fclose(file_); }
  std::FILE* file() const { return file_; }
  std::string text() const {
    std::string all;
    std::rewind(file_);
    for (int c; (c = std::fgetc(file_)) != EOF;) all += static_cast<char>(c);
    return all;
  }

 private:
  std::FILE* file_;
};

class EnvScope {
 public:
  EnvScope(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~EnvScope() { unsetenv(name_); }

 private:
  const char* name_;
};

void ten_steps(Progress& p) {
  p.start({.epochs = 3, .steps = 10, .total = 30, .unit = "images"});
  for (int i = 1; i <= 10; ++i) {
    usleep(100);
    p.update({.epoch = 1, .step = i, .done = i, .items = 64, .loss = 1.0 / i, .last = i == 10});
  }
  p.finish();
}

int count(const std::string& s, char c) {
  return static_cast<int>(std::count(s.begin(), s.end(), c));
}

TEST(Progress, PlainLinesHaveNoControlCharacters) {
  Output out;
  Progress p({.file = out.file()});
  EXPECT_EQ(p.style(), ProgressStyle::kPlain);
  ten_steps(p);
  const std::string s = out.text();
  EXPECT_EQ(count(s, '\n'), 1) << s;  // ten quick steps: one line, that of the end
  EXPECT_THAT(s, HasSubstr("epoch 1/3  step 10/10  loss 0.1000"));
  EXPECT_THAT(s, HasSubstr(" images/s"));
  EXPECT_THAT(s, HasSubstr(" left\n"));
  for (const char c : s) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < 127)) << int{c};
}

TEST(Progress, PlainLineEveryPeriod) {
  Output out;
  Progress p({.file = out.file(), .plain_period = 0});
  ten_steps(p);
  EXPECT_EQ(count(out.text(), '\n'), 10);
}

TEST(Progress, TerminalUpdatesOneLine) {
  Output out;
  Progress p({.file = out.file(), .style = ProgressStyle::kTerminal, .terminal_period = 0});
  ten_steps(p);
  const std::string s = out.text();
  EXPECT_EQ(count(s, '\r'), 10);
  EXPECT_EQ(count(s, '\n'), 1);
  EXPECT_EQ(s.back(), '\n');
}

TEST(Progress, TheLastStateIsShownAtTheEnd) {
  Output out;
  Progress p({.file = out.file()});
  p.start({.label = "test", .steps = 100, .total = 100});
  p.update({.step = 7, .done = 7, .items = 1});
  p.finish();
  p.finish();
  EXPECT_EQ(out.text(), "test  step 7/100\n");
}

TEST(Progress, PseudoTerminalIsOne) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0) GTEST_SKIP() << "no pseudo terminals here";
  ASSERT_EQ(grantpt(master), 0);
  ASSERT_EQ(unlockpt(master), 0);
  std::FILE* slave = std::fopen(ptsname(master), "w");
  ASSERT_NE(slave, nullptr);
  {
    EnvScope term("TERM", "xterm");
    EXPECT_EQ(Progress({.file = slave}).style(), ProgressStyle::kTerminal);
    EnvScope plain("RUTILE_PROGRESS", "plain");
    EXPECT_EQ(Progress({.file = slave}).style(), ProgressStyle::kPlain);
  }
  {
    EnvScope term("TERM", "dumb");
    EXPECT_EQ(Progress({.file = slave}).style(), ProgressStyle::kPlain);
  }
  std::fclose(slave);
  close(master);
}

TEST(Progress, Environment) {
  Output out;
  {
    EnvScope off("RUTILE_PROGRESS", "0");
    Progress p({.file = out.file()});
    ten_steps(p);
    EXPECT_EQ(out.text(), "");
  }
  EnvScope wrong("RUTILE_PROGRESS", "fancy");
  EXPECT_RUTILE_ERROR(Progress({.file = out.file()}), kValue, "not 'fancy'");
}

TEST(Progress, FullDeviceIsNoError) {
  std::FILE* full = std::fopen("/dev/full", "w");
  if (!full) GTEST_SKIP() << "no /dev/full";
  Progress p({.file = full});
  ten_steps(p);
  std::fclose(full);
}

}  // namespace
}  // namespace rutile::train
