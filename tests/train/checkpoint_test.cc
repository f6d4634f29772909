// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/checkpoint.h"

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "rutile/io/safetensors.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::train {
namespace {

using ::testing::ElementsAre;
using testing::read_text;
using testing::TempDir;
using testing::write_text;

// Two States with values that depend on a number.
std::vector<nn::NamedState> states(float v) {
  const Tensor w = Tensor::from<float>({v, 2, 3, 4, 5, 6}, {2, 3});
  return {{"net.weight", make_ref<State>("net.weight", w)},
          {"optimizer.step", make_ref<State>("optimizer.step", Tensor::scalar(7, DType::kI64))}};
}

float first(const Checkpoint& c) { return c.values.at("net.weight").to_vector<float>()[0]; }

void flip_last_byte(const std::string& path) {
  std::string s = read_text(path);
  s.back() = static_cast<char>(s.back() ^ 1);
  write_text(path, s);
}

TEST(Weights, RoundTripInBothFormats) {
  const TempDir dir;
  for (const char* name : {"w.ckpt", "w.safetensors"}) {
    save_weights(dir / name, states(1.5f));
    const nn::StateDict values = load_weights(dir / name);
    ASSERT_EQ(values.size(), 2u);
    EXPECT_EQ(values.at("net.weight").to_vector<float>(),
              (std::vector<float>{1.5f, 2, 3, 4, 5, 6}));
    EXPECT_EQ(values.at("optimizer.step").to_vector<int64_t>(), std::vector<int64_t>{7});
  }
  EXPECT_THROW(save_weights(dir / "w.pt", states(1)), Error);
  EXPECT_THROW(load_weights(dir / "none.ckpt"), Error);
}

TEST(Weights, ReadsMindSporesFiles) {
  const nn::StateDict values = load_weights("tests/io/data/mindspore_net.ckpt");
  auto norm = nn::make<nn::BatchNorm2d>(2);
  nn::StateDict mine;
  for (const auto& [name, value] : values) {
    if (name.starts_with("1.")) mine[name.substr(2)] = value;
  }
  EXPECT_EQ(mine.size(), 4u);
  EXPECT_TRUE(norm->load_state_dict(mine).ok());
}

TEST(Checkpoint, RoundTrip) {
  TempDir dir;
  auto saved = states(1);
  // Strides do not matter: files are row-major.
  saved.emplace_back("t", make_ref<State>("t", ops::transpose(saved[0].second->concrete())));
  save_checkpoint(dir / "c", 12, saved, {{"seed", "5"}});
  const Checkpoint c = load_checkpoint(dir / "c");
  EXPECT_EQ(c.step, 12);
  EXPECT_EQ(c.metadata.at("seed"), "5");
  EXPECT_EQ(c.metadata.at("checksum").size(), 16u);
  ASSERT_EQ(c.values.size(), 3u);
  EXPECT_THAT(c.values.at("t").to_vector<float>(), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_EQ(c.values.at("optimizer.step").item<int64_t>(), 7);
  // The same states, the same bytes.
  save_checkpoint(dir / "d", 12, saved, {{"seed", "5"}});
  EXPECT_EQ(read_text(dir / "c"), read_text(dir / "d"));
}

TEST(Checkpoint, SavingMakesTheFolder) {
  const TempDir dir;
  const CheckpointFolder folder({.path = dir / "runs/first"});
  EXPECT_EQ(load_checkpoint(folder.save(3, states(1))).step, 3);
}

TEST(Checkpoint, DamageIsNoticed) {
  TempDir dir;
  save_checkpoint(dir / "c", 1, states(1));
  const std::string whole = read_text(dir / "c");
  for (size_t n : {size_t{0}, size_t{4}, size_t{40}, whole.size() - 1}) {
    write_text(dir / "c", whole.substr(0, n));
    EXPECT_RUTILE_ERROR(load_checkpoint(dir / "c"), kValue, "/c'");
  }
  write_text(dir / "c", whole);
  flip_last_byte(dir / "c");
  EXPECT_RUTILE_ERROR(load_checkpoint(dir / "c"), kValue, "is damaged");
  io::save_safetensors(dir / "c", {{"x", Tensor::zeros({2})}});
  EXPECT_RUTILE_ERROR(load_checkpoint(dir / "c"), kValue, "is no checkpoint");
  io::save_safetensors(dir / "c", {}, {{"format", "another program's"}});
  EXPECT_RUTILE_ERROR(load_checkpoint(dir / "c"), kValue, "another program's");
  EXPECT_RUTILE_ERROR(load_checkpoint(dir / "none"), kNotFound, "none");
}

TEST(CheckpointFolder, KeepsTheLastOnes) {
  TempDir dir;
  const CheckpointFolder folder({dir / "run", 3});
  EXPECT_TRUE(folder.steps().empty());
  EXPECT_FALSE(folder.latest());
  folder.check(states(0));
  EXPECT_FALSE(folder.latest());
  for (const int64_t step : {5, 10, 90, 100, 100000000}) {
    EXPECT_EQ(folder.save(step, states(static_cast<float>(step))), folder.path_of(step));
  }
  EXPECT_THAT(folder.steps(), ElementsAre(90, 100, 100000000));
  EXPECT_EQ(folder.latest()->step, 100000000);
  // Names that are none of ours do not matter.
  for (const char* name : {"step-x.safetensors", "step-00000999.safetensors.bak", "other"}) {
    write_text(dir / "run/" + name, "?");
  }
  EXPECT_EQ(folder.steps().size(), 3u);
  EXPECT_RUTILE_ERROR(CheckpointFolder({"", 1}), kValue, "needs a name");
  EXPECT_RUTILE_ERROR(CheckpointFolder({"x", 0}), kValue, "at least 1");
}

TEST(CheckpointFolder, FallsBackToTheLastWholeOne) {
  TempDir dir;
  const CheckpointFolder folder({dir.path(), 3});
  for (const int64_t step : {1, 2, 3}) folder.save(step, states(static_cast<float>(step)));
  flip_last_byte(folder.path_of(3));
  write_text(folder.path_of(2), "");
  ::testing::internal::CaptureStderr();
  const auto c = folder.latest();
  const std::string warnings = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(c);
  EXPECT_EQ(c->step, 1);
  EXPECT_FLOAT_EQ(first(*c), 1);
  EXPECT_THAT(warnings, ::testing::HasSubstr("is damaged"));
  EXPECT_THAT(warnings, ::testing::HasSubstr("going on from"));
  // The run goes on from 1; the good file of step 1 outlives the damaged ones.
  folder.save(2, states(2));
  EXPECT_EQ(folder.latest()->step, 2);
  EXPECT_THAT(folder.steps(), ElementsAre(1, 2, 3));
  for (const int64_t step : {1, 2}) write_text(folder.path_of(step), "");
  EXPECT_RUTILE_ERROR(folder.latest(), kValue, "none of the 3 checkpoint(s)");
}

TEST(CheckpointFolder, SetsAnEarlierRunAside) {
  TempDir dir;
  const CheckpointFolder folder({dir.path()});
  EXPECT_EQ(folder.set_aside(), 0);
  folder.save(900, states(1));
  EXPECT_EQ(folder.set_aside(), 1);
  EXPECT_TRUE(folder.steps().empty());
  folder.save(3, states(2));
  EXPECT_EQ(folder.latest()->step, 3);
  EXPECT_EQ(folder.set_aside(), 1);
  EXPECT_THAT(CheckpointFolder({dir / "previous"}).steps(), ElementsAre(3));
}

TEST(CheckpointFolder, UnusableFoldersAreRefusedAtTheStart) {
  TempDir dir;
  write_text(dir / "file", "x");
  EXPECT_RUTILE_ERROR(CheckpointFolder({dir / "file"}).check(states(0)), kIo, "cannot be used");
  EXPECT_RUTILE_ERROR(CheckpointFolder({dir / "file/below"}).check(states(0)), kIo,
                      "cannot be used");
  EXPECT_RUTILE_ERROR(CheckpointFolder({"/proc/none"}).check(states(0)), kIo, "cannot be used");
  EXPECT_RUTILE_ERROR(check_writable_folder(dir.path(), "folder", int64_t{1} << 60), kIo,
                      "the disk has room for");
  CheckpointFolder({dir / "a/b/c"}).check(states(0));
  EXPECT_THAT(dir.list(), ::testing::UnorderedElementsAre("a", "file"));
}

TEST(CheckpointFolder, UnwritableFolder) {
  TempDir dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0555), 0);
  const uid_t own = ::geteuid();
  const uid_t nobody = own == 0 ? 65534 : own;  // root may write anywhere
  ASSERT_EQ(::seteuid(nobody), 0);
  EXPECT_RUTILE_ERROR(CheckpointFolder({dir.path()}).check(states(0)), kIo, "Permission denied");
  ASSERT_EQ(::seteuid(own), 0);
  ::chmod(dir.path().c_str(), 0755);
}

// A limit on the size of files serves as the full disk.
TEST(CheckpointFolder, FailedSaveLosesNothing) {
  TempDir dir;
  const CheckpointFolder folder({dir.path()});
  folder.save(1, states(1));
  std::vector<nn::NamedState> large = states(2);
  large.emplace_back("l", make_ref<State>("l", Tensor::zeros({1 << 20})));
  auto* before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit saved{};
  ::getrlimit(RLIMIT_FSIZE, &saved);
  rlimit small = saved;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_RUTILE_ERROR(folder.save(2, large), kIo, "cannot save");
  ::setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, before);
  EXPECT_THAT(dir.list(), ElementsAre("step-00000001.safetensors"));
  EXPECT_EQ(folder.latest()->step, 1);
}

TEST(CheckpointFolder, FullDisk) {
  TempDir dir;
  if (::mount("none", dir.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "cannot mount a small disk here";
  }
  const CheckpointFolder folder({dir.path()});
  std::vector<nn::NamedState> large = states(2);
  large.emplace_back("l", make_ref<State>("l", Tensor::zeros({1 << 20})));
  EXPECT_RUTILE_ERROR(folder.check(large), kIo, "the disk has room for");
  folder.check(states(1));
  folder.save(1, states(1));
  EXPECT_RUTILE_ERROR(folder.save(2, large), kIo, "No space left on device");
  EXPECT_EQ(folder.latest()->step, 1);
  ::umount(dir.path().c_str());
}

}  // namespace
}  // namespace rutile::train
