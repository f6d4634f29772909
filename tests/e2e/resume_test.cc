// SPDX-License-Identifier: Apache-2.0
// Runs that are interrupted, killed, damaged and resumed end in the bytes of the run that was not.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "rutile/tests/e2e/program.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::testing {
namespace {

using ::testing::HasSubstr;
using Args = std::vector<std::string>;

std::string checkpoint(const std::string& folder, int step) {
  char name[64];
  std::snprintf(name, sizeof(name), "/step-%08d.safetensors", step);
  return folder + name;
}

// A training that goes over several epochs, with a checkpoint after each step.
class Resume : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr int kSteps = 30;  // 3 epochs of 10
  void SetUp() override {
    if (!has_program("mlp")) GTEST_SKIP() << "mlp is not built";
    write_fashion_mnist(dir_.path(), 80, 21);
  }
  Command training(const std::string& folder, const Args& more = {}) const {
    Command r{"mlp",
              {"--data", dir_.path(), "--batch-size", "8", "--epochs", "3", "--mode", GetParam(),
               "--precision", "bf16", "--checkpoint", dir_ / folder, "--checkpoint-steps", "1",
               "--threads", "2"}};
    r.args.insert(r.args.end(), more.begin(), more.end());
    return r;
  }
  std::string final_bytes(const std::string& folder) const {
    return read_text(checkpoint(dir_ / folder, kSteps));
  }
  // The run that nothing disturbs; made once.
  struct Whole {
    std::string bytes, last_line;
  };
  const Whole& undisturbed() {
    static std::map<std::string, Whole> made;
    Whole& w = made[GetParam()];
    if (!w.bytes.empty()) return w;
    const Outcome o = run(training("whole"));
    EXPECT_EQ(o.code, 0) << o.err;
    w = {final_bytes("whole"), o.last_line()};
    EXPECT_GT(w.bytes.size(), 1000u);
    return w;
  }
  TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(Modes, Resume, ::testing::Values("graph", "eager"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(Resume, SameSeedSameBytes) {
  const std::string& want = undisturbed().bytes;
  EXPECT_EQ(run(training("again", {"--workers", "3"})).code, 0);
  EXPECT_TRUE(final_bytes("again") == want);
  EXPECT_EQ(run(training("other", {"--seed", "1"})).code, 0);
  EXPECT_FALSE(final_bytes("other") == want);
}

TEST_P(Resume, CtrlC) {
  const auto& [want, last_line] = undisturbed();
  Process p(training("run"));
  while (p.running() && !std::filesystem::exists(checkpoint(dir_ / "run", 7))) ::usleep(500);
  p.signal(SIGINT);
  const Outcome o = p.wait();
  EXPECT_EQ(o.code, 130) << o.out << o.err;
  EXPECT_THAT(o.err, HasSubstr("mlp: interrupted by Ctrl-C after step "));
  EXPECT_THAT(o.err, HasSubstr("--resume goes on"));
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  const Outcome again = run(training("run", {"--resume"}));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("going on from"));
  EXPECT_EQ(again.last_line(), last_line);
  EXPECT_TRUE(final_bytes("run") == want);
  // There is nothing left to do: it is tested again, and the same comes out.
  const Outcome third = run(training("run", {"--resume"}));
  EXPECT_EQ(third.code, 0) << third.err;
  EXPECT_EQ(third.last_line(), last_line);
  EXPECT_TRUE(final_bytes("run") == want);
}

TEST_P(Resume, KilledAtRandomMoments) {
  const std::string& want = undisturbed().bytes;
  std::mt19937 random(GetParam()[0]);
  std::filesystem::create_directory(dir_ / "run");
  int kills = 0;
  for (int round = 0; round < 60; ++round) {
    Process p(training("run", {"--resume"}));
    if (round < 8) {
      // From the start of the program to beyond its first steps, in the middle of saves, too.
      if (round > 1) p.wait_for("going on", 30);
      ::usleep(random() % 150000);
      kills += p.running();
      p.signal(SIGKILL);
    }
    const Outcome o = p.wait();
    if (o.code == 128 + SIGKILL) continue;
    EXPECT_EQ(o.code, 0) << o.err;
    break;
  }
  EXPECT_GT(kills, 0);
  EXPECT_TRUE(final_bytes("run") == want);
}

TEST_P(Resume, ADamagedCheckpointFallsBack) {
  const std::string& want = undisturbed().bytes;
  ASSERT_EQ(run(training("run")).code, 0);
  const std::string last = checkpoint(dir_ / "run", kSteps);
  std::string bytes = read_text(last);
  bytes[bytes.size() - 9] = static_cast<char>(bytes[bytes.size() - 9] ^ 4);
  write_text(last, bytes);
  Outcome o = run(training("run", {"--resume"}));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_THAT(o.err, HasSubstr("is damaged"));
  EXPECT_THAT(o.out, HasSubstr("step " + std::to_string(kSteps - 1) + " of "));
  EXPECT_TRUE(final_bytes("run") == want);
  for (const int step : {kSteps - 1, kSteps}) write_text(checkpoint(dir_ / "run", step), "cut");
  o = run(training("run", {"--resume"}));
  EXPECT_EQ(o.code, 1);
  EXPECT_THAT(o.err, HasSubstr("mlp: error: none of the 2 checkpoint(s)"));
}

TEST_P(Resume, AnEarlierRunIsSetAside) {
  ASSERT_EQ(run(training("run")).code, 0);
  const Outcome o = run(training("run", {"--steps", "5"}));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("moved 2 checkpoint(s)"));
  EXPECT_TRUE(std::filesystem::exists(checkpoint(dir_ / "run/previous", kSteps)));
  EXPECT_TRUE(std::filesystem::exists(checkpoint(dir_ / "run", 5)));
}

TEST_P(Resume, AnotherRunsCheckpointIsRefused) {
  ASSERT_EQ(run(training("run", {"--steps", "5"})).code, 0);
  Outcome o = run(training("run", {"--resume", "--seed", "1"}));
  EXPECT_EQ(o.code, 1);
  EXPECT_THAT(o.err, HasSubstr("seed"));
  o = run(training("run", {"--resume", "--image-size", "14"}));
  EXPECT_EQ(o.code, 1);
  EXPECT_THAT(o.err, HasSubstr("fc1.weight"));
  std::filesystem::copy(dir_ / "run", dir_ / "same");
  o = run(training("run", {"--resume", "--lr", "0.5", "--steps", "6"}));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_THAT(o.err, HasSubstr("lr (0.01 -> 0.5)"));
  ASSERT_EQ(run(training("same", {"--resume", "--steps", "6"})).code, 0);
  EXPECT_FALSE(read_text(checkpoint(dir_ / "run", 6)) == read_text(checkpoint(dir_ / "same", 6)));
  o = run({"mlp", {"--dataset", "synthetic", "--checkpoint", dir_ / "run", "--resume"}});
  EXPECT_EQ(o.code, 1);
  EXPECT_THAT(o.err, HasSubstr("is of a run on fashion-mnist, this one is on synthetic"));
}

// The other networks, killed once in the middle: convolutions, running statistics, a schedule,
// attention, text.
struct Network {
  const char* program;
  Args args;
  int steps;
};
class ResumeNetwork : public ::testing::TestWithParam<Network> {};
INSTANTIATE_TEST_SUITE_P(
    All, ResumeNetwork,
    ::testing::Values(Network{"lenet", {"--batch-size", "8", "--epochs", "3"}, 6},
                      Network{"resnet50", {"--batch-size", "4", "--epochs", "1"}, 4},
                      Network{"gpt", {"--batch-size", "1", "--steps", "4"}, 4}),
    [](const auto& p) { return std::string(p.param.program); });

TEST_P(ResumeNetwork, KilledOnceEndsInTheSameBytes) {
  const Network& n = GetParam();
  if (!has_program(n.program)) GTEST_SKIP() << n.program << " is not built";
  TempDir dir;
  const auto training = [&](const std::string& folder, const Args& more) {
    Command r{n.program,
              {"--checkpoint", dir / folder, "--checkpoint-steps", "1", "--threads", "2"}};
    if (std::string(n.program) == "gpt") {
      std::string text;
      for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i) + ": one and another\n";
      write_text(dir / "text", text);
      r.args.insert(r.args.end(), {"--dataset", dir / "text"});
    } else {
      write_fashion_mnist(dir.path(), 17, 8);
      r.args.insert(r.args.end(), {"--data", dir.path()});
    }
    r.args.insert(r.args.end(), n.args.begin(), n.args.end());
    r.args.insert(r.args.end(), more.begin(), more.end());
    return r;
  };
  const Outcome whole = run(training("whole", {}));
  ASSERT_EQ(whole.code, 0) << whole.err;
  const std::string want = read_text(checkpoint(dir / "whole", n.steps));
  ASSERT_GT(want.size(), 1000u);
  std::filesystem::remove_all(dir / "whole");
  Process p(training("run", {}));
  while (p.running() && !std::filesystem::exists(checkpoint(dir / "run", 2))) ::usleep(500);
  p.signal(SIGKILL);
  EXPECT_EQ(p.wait().code, 128 + SIGKILL);
  const Outcome rest = run(training("run", {"--resume"}));
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("going on from"));
  EXPECT_EQ(rest.last_line(), whole.last_line());
  EXPECT_TRUE(read_text(checkpoint(dir / "run", n.steps)) == want);
}

TEST(Hangup, SavesAsCtrlCDoes) {
  if (!has_program("mlp")) GTEST_SKIP() << "mlp is not built";
  TempDir dir;
  Process p({"mlp",
             {"--dataset", "synthetic", "--steps", "1000000", "--checkpoint", dir / "run",
              "--threads", "1"}});
  ASSERT_TRUE(p.wait_for("step "));
  p.signal(SIGHUP);
  const Outcome o = p.wait();
  EXPECT_EQ(o.code, 130) << o.err;
  EXPECT_THAT(o.err, HasSubstr("interrupted by SIGHUP after step "));
  EXPECT_THAT(o.err, HasSubstr("--resume goes on"));
}

}  // namespace
}  // namespace rutile::testing
