// SPDX-License-Identifier: Apache-2.0
// Programs in several processes: ranks that are killed, the launchers that start them again, and
// other numbers of ranks that go on. They end in the parameters of the run that nothing disturbed.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rutile/dist/backend.h"
#include "rutile/tests/e2e/program.h"
#include "rutile/tests/support/temp_dir.h"
#include "rutile/train/checkpoint.h"

namespace rutile::testing {
namespace {

using ::testing::HasSubstr;
using Args = std::vector<std::string>;

bool has_gloo() {
  const dist::CommPlugin* plugin = nullptr;
  return dist::load_comm_plugin("gloo", &plugin).ok();
}

// Processes that a process started.
std::vector<pid_t> children(pid_t of) {
  std::ifstream in("/proc/" + std::to_string(of) + "/task/" + std::to_string(of) + "/children");
  std::vector<pid_t> found;
  for (pid_t p; in >> p;) found.push_back(p);
  return found;
}

// Those of them, and theirs, that run this program.
std::vector<pid_t> running(pid_t of, const std::string& program) {
  std::vector<pid_t> found;
  for (const pid_t p : children(of)) {
    std::error_code gone;
    const auto path = std::filesystem::read_symlink("/proc/" + std::to_string(p) + "/exe", gone);
    if (!gone && path.filename() == program) found.push_back(p);
    const std::vector<pid_t> more = running(p, program);
    found.insert(found.end(), more.begin(), more.end());
  }
  return found;
}

void expect_equal(const nn::StateDict& got, const nn::StateDict& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, value] : want) {
    ASSERT_TRUE(got.count(name)) << name;
    if (value.dtype() != DType::kF32) continue;
    const std::vector<float> a = got.at(name).to_vector<float>(), b = value.to_vector<float>();
    ASSERT_EQ(a.size(), b.size()) << name;
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - b[i]));
    EXPECT_LE(worst, tolerance) << name;
  }
}

class Ranks : public ::testing::Test {
 protected:
  static constexpr int kSteps = 48;  // 6 epochs of 8
  void SetUp() override {
    if (!has_program("mlp")) GTEST_SKIP() << "mlp is not built";
    if (!has_gloo()) GTEST_SKIP() << "there is no plugin for Gloo";
    write_fashion_mnist(dir_.path(), 64, 21);
  }
  Args training(const std::string& folder, int batch, const Args& more = {}) const {
    Args args{"--data",       dir_.path(),   "--batch-size",       std::to_string(batch),
              "--epochs",     "6",           "--precision",        "fp32",
              "--checkpoint", dir_ / folder, "--checkpoint-steps", "1",
              "--lr",         "1e-3"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  static Command command(const Args& args) { return {"mlp", args, {{"RUTILE_NUM_THREADS", "1"}}}; }
  nn::StateDict final_states(const std::string& folder) const {
    const train::CheckpointFolder f({dir_ / folder});
    const auto c = f.latest();
    if (!c) throw_error(ErrorCode::kValue, "no checkpoint");
    EXPECT_EQ(c->step, kSteps);
    nn::StateDict values = c->values;
    values.erase("generator.state");
    return values;
  }
  bool wait_for_step(Process& p, const std::string& folder, int64_t step) const {
    const train::CheckpointFolder f({dir_ / folder});
    for (int i = 0; i < 60000 && p.running(); ++i) {
      const std::vector<int64_t> steps = f.steps();
      if (!steps.empty() && steps.back() >= step) return true;
      ::usleep(1000);
    }
    return false;
  }
  TempDir dir_;
};

TEST_F(Ranks, AKilledRankIsStartedAgainAndTrainsOn) {
  for (const bool shards : {false, true}) {
    const Args more = shards ? Args{"--ranks", "2", "--shard-optimizer", "--compare-ranks", "3"}
                             : Args{"--ranks", "2"};
    const std::string whole = shards ? "whole-shards" : "whole";
    const Outcome o = run(command(training(whole, 4, more)));
    ASSERT_EQ(o.code, 0) << o.err;
    const std::string folder = whole + "-killed";
    Args again = more;
    again.insert(again.end(), {"--restarts", "3"});
    Process p(command(training(folder, 4, again)));
    for (const int step : {5, 13}) {
      ASSERT_TRUE(wait_for_step(p, folder, step));
      const std::vector<pid_t> ranks = running(p.pid(), "mlp");
      ASSERT_GT(ranks.size(), 0u);
      ::kill(ranks[static_cast<size_t>(step) % ranks.size()], SIGKILL);
      ::usleep(300000);
    }
    const Outcome killed = p.wait();
    EXPECT_EQ(killed.code, 0) << killed.err;
    EXPECT_THAT(killed.err, HasSubstr("was killed by signal 9"));
    EXPECT_THAT(killed.err, HasSubstr("starting the ranks again"));
    EXPECT_THAT(killed.out, HasSubstr("going on from"));
    expect_equal(final_states(folder), final_states(whole), 0);
    const size_t last = o.out.find("[0] test accuracy: ");
    ASSERT_NE(last, std::string::npos) << o.out;
    EXPECT_THAT(killed.out, HasSubstr(o.out.substr(last, 25)));
  }
}

// One step for all ranks, whichever got the signal: they save it together, and go on from it.
TEST_F(Ranks, CtrlCSavesOneStepOfAllRanks) {
  const Outcome whole = run(command(training("whole", 4, {"--ranks", "2", "--shard-optimizer"})));
  ASSERT_EQ(whole.code, 0) << whole.err;
  for (const bool all : {true, false}) {
    const std::string folder = all ? "all" : "one";
    Args args = training(folder, 4, {"--ranks", "2", "--shard-optimizer"});
    *(std::find(args.begin(), args.end(), "--checkpoint-steps") + 1) = "1000";
    Process p(command(args));
    ASSERT_TRUE(wait_for_step(p, folder, 8)) << p.wait().err;  // of the first epoch
    ::usleep(3000);
    if (all) {
      p.signal(SIGINT);  // the launcher's, who tells all ranks
    } else {
      const std::vector<pid_t> ranks = running(p.pid(), "mlp");
      ASSERT_EQ(ranks.size(), 2u);
      ::kill(ranks[1], SIGINT);
    }
    const Outcome o = p.wait();
    EXPECT_EQ(o.code, 130) << o.err;
    const train::CheckpointFolder f({dir_ / folder});
    const auto saved = f.latest();
    ASSERT_TRUE(saved);
    const std::string step = cat("after step ", saved->step, "; saved as '");
    EXPECT_THAT(o.err, HasSubstr(step));
    EXPECT_THAT(f.path_of(saved->step), HasSubstr(".index."));
    EXPECT_THAT(o.err, HasSubstr(cat("[1] mlp: interrupted by Ctrl-C ", step)));
    if (!all) {
      EXPECT_THAT(o.err, HasSubstr(cat("[0] mlp: interrupted on another rank ", step)));
    }
    args.push_back("--resume");
    const Outcome again = run(command(args));
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_THAT(again.out, HasSubstr(cat("step ", saved->step, " of ")));
    expect_equal(final_states(folder), final_states("whole"), 0);
  }
}

TEST_F(Ranks, OtherNumbersOfRanksGoOn) {
  Outcome o = run(command(training("whole", 8)));
  ASSERT_EQ(o.code, 0) << o.err;
  // 4 ranks, then 2, then 1: the batch of all together stays 8.
  const Args shards{"--shard-optimizer"};
  o = run(command(training("run", 2, {"--ranks", "4", "--shard-optimizer", "--steps", "7"})));
  ASSERT_EQ(o.code, 0) << o.err;
  const train::CheckpointFolder folder({dir_ / "run"});
  EXPECT_THAT(folder.path_of(7), HasSubstr(".index."));
  o = run(command(
      training("run", 4, {"--ranks", "2", "--shard-optimizer", "--steps", "15", "--resume"})));
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("step 7 of 15"));
  o = run(command(training("run", 4, {"--resume"})));
  EXPECT_EQ(o.code, 1);
  EXPECT_THAT(o.err, HasSubstr("2 rank(s) with batches of 4 each, together 8; 1 rank(s) with "
                               "batches of 4 make 4"));
  o = run(command(training("run", 8, {"--resume"})));
  ASSERT_EQ(o.code, 0) << o.err;
  expect_equal(final_states("run"), final_states("whole"), 2e-6);
}

TEST_F(Ranks, TorchrunStartsThemAgain) {
  const std::string torchrun = find_program("torchrun", "RUTILE_TORCHRUN");
  if (torchrun.empty()) GTEST_SKIP() << "no torchrun in PATH (or RUTILE_TORCHRUN)";
  const Outcome o = run(command(training("whole", 4, {"--ranks", "2"})));
  ASSERT_EQ(o.code, 0) << o.err;
  Args args{"--no-python",
            "--nproc-per-node",
            "2",
            "--max-restarts",
            "2",
            "--master-addr",
            "127.0.0.1",
            "--master-port",
            std::to_string(20000 + ::getpid() % 10000),
            program_path("mlp")};
  const Args own = training("run", 4);
  args.insert(args.end(), own.begin(), own.end());
  Process p({torchrun, args, {{"RUTILE_NUM_THREADS", "1"}}});
  ASSERT_TRUE(wait_for_step(p, "run", 5)) << p.wait().err;
  const std::vector<pid_t> ranks = running(p.pid(), "mlp");
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(ranks[1], SIGKILL);
  const Outcome killed = p.wait();
  EXPECT_EQ(killed.code, 0) << killed.err;
  EXPECT_THAT(killed.out, HasSubstr("going on from"));
  expect_equal(final_states("run"), final_states("whole"), 0);
}

// The reference program under other people's launchers.
class Launchers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_program("resnet50")) GTEST_SKIP() << "resnet50 is not built";
    if (!has_gloo()) GTEST_SKIP() << "there is no plugin for Gloo";
  }
  static void expect_two_ranks(const std::string& launcher, Args args,
                               const std::map<std::string, std::string>& env = {}) {
    args.insert(args.end(), {program_path("resnet50"), "--dataset", "synthetic", "--image-size",
                             "32", "--batch-size", "2", "--steps", "1", "--threads", "1"});
    std::map<std::string, std::string> variables{{"RUTILE_NUM_THREADS", "1"}};
    variables.insert(env.begin(), env.end());
    const Outcome o = run({launcher, args, variables});
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_THAT(o.out, HasSubstr("ResNet-50"));
    EXPECT_THAT(o.out, HasSubstr("2 ranks"));
  }
};

TEST_F(Launchers, Torchrun) {
  const std::string torchrun = find_program("torchrun", "RUTILE_TORCHRUN");
  if (torchrun.empty()) GTEST_SKIP() << "no torchrun in PATH (or RUTILE_TORCHRUN)";
  expect_two_ranks(torchrun, {"--no-python", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
                              "--master-port", std::to_string(30000 + ::getpid() % 10000)});
}

TEST_F(Launchers, Mpirun) {
  const std::string mpirun = find_program("mpirun", "RUTILE_MPIRUN");
  if (mpirun.empty()) GTEST_SKIP() << "no mpirun in PATH (Debian's openmpi-bin)";
  expect_two_ranks(mpirun, {"--oversubscribe", "-n", "2"},
                   {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                    {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                    {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                    {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"}});
}

}  // namespace
}  // namespace rutile::testing
