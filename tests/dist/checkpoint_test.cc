// SPDX-License-Identifier: Apache-2.0
// Checkpoints that ranks write together: what one number of ranks writes another reads, a
// checkpoint that is not complete is none, and files that do not belong together are told.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "rutile/dist/group.h"
#include "rutile/io/safetensors.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/view.h"
#include "rutile/tests/dist/ranks.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"
#include "rutile/train/checkpoint.h"

namespace rutile {
namespace {

using test::require;
using test::run_ranks;
using testing::TempDir;
namespace fs = std::filesystem;

constexpr int64_t kBatch = 16;  // of all ranks

struct Job {
  std::unique_ptr<nn::TrainStep> step;
  std::shared_ptr<nn::optim::Optimizer> optimizer;

  explicit Job(int ranks, bool lamb = false, nn::Mode mode = nn::Mode::kGraph) {
    set_seed(11);
    auto net =
        nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 7, .hidden = 13, .classes = 3});
    if (lamb) {
      optimizer =
          std::make_shared<nn::optim::LAMB>(net->parameters(), nn::optim::LAMBOptions{.lr = 1e-2});
    } else {
      optimizer = std::make_shared<nn::optim::Momentum>(net->parameters(),
                                                        nn::optim::MomentumOptions{.lr = 0.05});
    }
    nn::StepOptions o{.mode = mode};
    if (ranks > 1) {
      o.data_parallel = dist::ReducerOptions{.shard_optimizer = true, .shard_threshold_kb = 0};
    }
    step = std::make_unique<nn::TrainStep>(net, nn::CrossEntropyLoss(), optimizer, o);
  }
  void train(int from, int to, int rank, int ranks) {
    const int64_t n = kBatch / ranks;
    for (int k = from; k < to; ++k) {
      std::vector<float> x;
      std::vector<int64_t> y;
      for (int64_t i = rank * n; i < (rank + 1) * n; ++i) {
        for (int64_t j = 0; j < 7; ++j) {
          x.push_back(static_cast<float>(std::sin(static_cast<double>(i * 7 + j) + 0.3 * k)));
        }
        y.push_back((i + k) % 3);
      }
      (*step)(Tensor::from<float>(std::span<const float>(x), {n, 7}),
              Tensor::from<int64_t>(std::span<const int64_t>(y), {n}));
    }
  }
  std::vector<double> parameters() const {
    std::vector<double> all;
    for (const nn::ParameterPtr& p : optimizer->parameters()) {
      const std::vector<double> v = ops::cast(p->value(), DType::kF64).to_vector<double>();
      all.insert(all.end(), v.begin(), v.end());
    }
    return all;
  }
};

// Goes on from the folder's last checkpoint, if there is one, to `to` steps, and saves.
std::vector<double> go_on(const std::string& path, int to, int rank, int ranks, bool lamb,
                          nn::Mode mode) {
  const train::CheckpointFolder folder({path});
  Job job(ranks, lamb, mode);
  int from = 0;
  if (const auto c = folder.latest_of_ranks()) {
    from = static_cast<int>(c->step);
    job.step->load_states(c->values);
  }
  job.train(from, to, rank, ranks);
  folder.save_shards(to, job.step->named_states(), job.step->sharded_states());
  return job.parameters();
}

TEST(RanksCheckpoint, OtherNumbersOfRanksGoOn) {
  for (const bool lamb : {false, true}) {
    const TempDir dir;
    const nn::Mode mode = lamb ? nn::Mode::kEager : nn::Mode::kGraph;
    Job whole(1, lamb, mode);
    whole.train(0, 12, 0, 1);
    const std::vector<double> want = whole.parameters();
    int to = 0;
    for (const int ranks : {4, 2, 3, 1}) {  // 3 ranks do not divide the batch: no steps
      if (ranks != 3) to += 4;
      const auto outcomes = run_ranks(ranks, [&](int rank) {
        dist::init();
        const auto got = go_on(dir.path(), to, rank, ranks, lamb, mode);
        if (ranks == 1) test::require_equal(got, want, "parameters", lamb ? 1e-5 : 1e-6);
        dist::finalize();
      });
      for (const auto& o : outcomes) EXPECT_EQ(o.error, "") << ranks;
    }
    EXPECT_EQ(train::CheckpointFolder({dir.path()}).steps(), (std::vector<int64_t>{8, 12}));
  }
}

// Every rank writes about as much; one process reads it as if it had written it.
TEST(RanksCheckpoint, FilesAreOfOneSizeAndReadByOneProcess) {
  const TempDir dir;
  const auto outcomes = run_ranks(4, [&](int rank) {
    dist::init();
    go_on(dir.path(), 1, rank, 4, false, nn::Mode::kEager);
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
  uintmax_t least = UINTMAX_MAX, most = 0;
  for (int r = 0; r < 4; ++r) {
    const auto size = fs::file_size(dir / cat("step-00000001.rank-", r, "-of-4.safetensors"));
    least = std::min(least, size);
    most = std::max(most, size);
  }
  EXPECT_LT(most, 2 * least);
  const train::CheckpointFolder folder({dir.path()});
  const auto c = folder.latest();
  ASSERT_TRUE(c);
  EXPECT_EQ(c->metadata.at("ranks"), "4");
  Job one(1);
  EXPECT_TRUE(one.step->load_states(c->values).ok());
  EXPECT_RUTILE_ERROR(train::load_checkpoint(dir / "step-00000001.rank-2-of-4.safetensors"), kValue,
                      "is what one rank wrote");
  // Into a folder of one file, and aside.
  EXPECT_EQ(folder.set_aside(), 1);
  EXPECT_FALSE(folder.latest());
  EXPECT_EQ(train::CheckpointFolder({dir / "previous"}).latest()->step, 1);
}

// kill -9 in the middle of saves: what is found afterwards is whole.
TEST(RanksCheckpoint, KilledWhileTheyWrite) {
  std::mt19937 random(5);
  const TempDir dir;
  int64_t last = 0;
  for (int round = 0; round < 4; ++round) {
    run_ranks(2,
              [&](int rank) {
                dist::init();
                Job job(2, false, nn::Mode::kEager);
                const train::CheckpointFolder folder({dir.path()});
                if (const auto c = folder.latest_of_ranks()) job.step->load_states(c->values);
                for (int64_t k = last + 1;; ++k) {
                  job.train(static_cast<int>(k), static_cast<int>(k) + 1, rank, 2);
                  folder.save_shards(k, job.step->named_states(), job.step->sharded_states());
                }
              },
              {.seconds = 40,
               .variables = {{"RUTILE_RENDEZVOUS_TIMEOUT", "10"}},
               .meanwhile = [&](std::vector<int> pids) {
                 const train::CheckpointFolder folder({dir.path()});
                 for (int i = 0; i < 20000; ++i) {
                   const auto steps = folder.steps();
                   if (!steps.empty() && steps.back() > last + 3) break;
                   usleep(1000);
                 }
                 usleep(random() % 20000);
                 kill(pids[static_cast<size_t>(round % 2)], SIGKILL);
               }});
    const auto c = train::CheckpointFolder({dir.path()}).latest();
    ASSERT_TRUE(c);
    EXPECT_GT(c->step, last);
    last = c->step;
  }
}

// ---- Files that are wrong
// -----------------------------------------------------------------------------------

class HostileIndex : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto outcomes = run_ranks(2, [&](int rank) {
      dist::init();
      go_on(dir_.path(), 3, rank, 2, false, nn::Mode::kEager);
    });
    for (const auto& o : outcomes) ASSERT_EQ(o.error, "");
    index_ = dir_ / "step-00000003.index.safetensors";
    metadata_ = io::SafetensorsFile::open(index_).metadata();
    for (const auto& [key, text] : metadata_) {
      if (key.starts_with("shard.part.")) part_ = key;
    }
    ASSERT_FALSE(part_.empty());
  }
  // What reading says of the index with one entry changed (or without it).
  void expect(const std::string& key, const char* value, const char* text,
              ErrorCode code = ErrorCode::kValue) {
    auto changed = metadata_;
    if (value) {
      changed[key] = value;
    } else {
      changed.erase(key);
    }
    io::save_safetensors(index_, {}, changed);
    try {
      train::load_checkpoint(index_);
      ADD_FAILURE() << key << " = " << (value ? value : "(nothing)") << " was read";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.message();
      EXPECT_NE(e.message().find(text), std::string::npos) << "'" << text << "': " << e.message();
      EXPECT_NE(e.message().find("step-00000003"), std::string::npos) << e.message();
    }
  }
  TempDir dir_;
  std::string index_, part_;
  train::Metadata metadata_;
};

TEST_F(HostileIndex, IsRefusedWithTheReason) {
  for (const char* key : {"format", "step", "ranks", "shard.1.file", "shard.0.checksum"}) {
    expect(key, nullptr, key);
  }
  expect("format", "another", "is a 'another'");
  expect("step", "3x", "has a step of '3x'");
  expect("step", "4", "is not the file that");
  for (const char* n : {"0", "-1", "70000", "99999999999"}) expect("ranks", n, "ranks");
  expect("ranks", "99999999999999999999", "has a ranks of");
  expect("ranks", "3", "shard.2.file");
  expect("ranks", "1", "parts of");
  for (const char* name : {"", "..", "../step-00000003.rank-0-of-2.safetensors", "/etc/passwd"}) {
    expect("shard.0.file", name, "which is not one beside it");
  }
  expect("shard.0.file", "none.safetensors", "which is not there", ErrorCode::kNotFound);
  // The same file twice, the index itself.
  expect("shard.1.file", metadata_.at("shard.0.file").c_str(), "");
  expect("shard.1.file", "step-00000003.index.safetensors", "not a 'rutile checkpoint shard 1'");
  expect("shard.1.checksum", "0123456789abcdef", "another save has replaced it");
  for (const char* s : {"x", "3x", "x3", "-3", "3 x 4", "1x1x1x1x1x1x1x1x1", "a"}) {
    expect(part_, s, "the shape");
  }
  expect(part_, "9223372036854775807x9223372036854775807", "the shape");
  expect(part_, "4611686018427387904", "the shape");
  for (const char* s : {"1", "7000", "100000000000"}) expect(part_, s, "parts of");
  expect(part_, nullptr, "which another file of");
  expect("shard.part.nobody", "3x4", "has 0 parts of nobody");
  io::save_safetensors(index_, {}, metadata_);
  EXPECT_EQ(train::load_checkpoint(index_).step, 3);
}

TEST_F(HostileIndex, AMissingOrDamagedFileFallsBack) {
  const auto save = [&](int to) {
    const auto outcomes = run_ranks(2, [&](int rank) {
      dist::init();
      go_on(dir_.path(), to, rank, 2, false, nn::Mode::kEager);
    });
    for (const auto& o : outcomes) ASSERT_EQ(o.error, "");
  };
  save(5);
  const train::CheckpointFolder folder({dir_.path()});
  const std::string file = dir_ / "step-00000005.rank-1-of-2.safetensors";
  std::string bytes = testing::read_text(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  testing::write_text(file, bytes);
  EXPECT_EQ(folder.latest()->step, 3);
  testing::write_text(file, bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(folder.latest()->step, 3);
  fs::remove(file);
  EXPECT_EQ(folder.latest()->step, 3);
  save(6);
  save(7);
  EXPECT_EQ(folder.latest()->step, 7);
  // Files of ranks without an index are no checkpoint.
  fs::remove(dir_ / "step-00000007.index.safetensors");
  EXPECT_EQ(folder.latest()->step, 6);
  save(8);
  EXPECT_EQ(folder.steps(), (std::vector<int64_t>{6, 8}));
  EXPECT_EQ(dir_.list().size(), 6u);
}

}  // namespace
}  // namespace rutile
