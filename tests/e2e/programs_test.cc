// SPDX-License-Identifier: Apache-2.0
// The programs as users run them: results, options, errors.
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "rutile/core/device_runtime.h"
#include "rutile/tests/e2e/program.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Args = std::vector<std::string>;

Args operator+(Args a, const Args& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// One line "<program>: error: ...", which says `part`.
void expect_error(const Outcome& o, int code, const std::string& program, const std::string& part) {
  EXPECT_EQ(o.code, code) << o.out << o.err;
  EXPECT_THAT(o.err, StartsWith(program + ": error: "));
  EXPECT_THAT(o.err, HasSubstr(part));
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

#define NEED_PROGRAM(name) \
  if (!has_program(name)) GTEST_SKIP() << name << " is not built"

struct Work {
  const char* program;
  const char* mode;
  Args args;
  double accuracy;  // reached at least; the data are easy
};
class Programs : public ::testing::TestWithParam<Work> {};
INSTANTIATE_TEST_SUITE_P(
    Real, Programs,
    ::testing::Values(Work{"mlp", "graph", {"--epochs", "2"}, 0.9},
                      Work{"mlp", "eager", {"--epochs", "2", "--precision", "bf16"}, 0.9},
                      Work{"lenet", "graph", {"--epochs", "3", "--lr", "0.05"}, 0.5},
                      Work{"lenet", "eager", {"--steps", "3"}, 0},
                      Work{"resnet50", "graph", {"--steps", "2"}, 0},
                      Work{"resnet50", "eager", {"--steps", "1"}, 0}),
    [](const auto& p) { return std::string(p.param.program) + "_" + p.param.mode; });

TEST_P(Programs, TrainTestReportAndSave) {
  const Work& w = GetParam();
  NEED_PROGRAM(w.program);
  TempDir dir;
  write_fashion_mnist(dir.path(), 160, 21);  // batches of 8, the last test batch has 5
  const Outcome o =
      run({w.program, Args{"--data", dir.path(), "--batch-size", "8", "--mode", w.mode,
                           "--checkpoint", dir / "run", "--json", dir / "run.json"} +
                          w.args});
  ASSERT_EQ(o.code, 0) << o.err << o.out;
  EXPECT_EQ(o.err, "");
  for (const char c : o.out) {
    ASSERT_TRUE(c == '\n' || (c >= ' ' && c < 127)) << "control character " << int{c};
  }
  EXPECT_TRUE(std::regex_search(o.out, std::regex("epoch 1/\\d+  step \\d+/20  loss \\d+\\.\\d+")))
      << o.out;
  EXPECT_THAT(o.out, HasSubstr("test  step 3/3"));
  std::smatch found;
  const std::string last = o.last_line();
  ASSERT_TRUE(std::regex_match(last, found, std::regex("test accuracy: (\\d\\.\\d{4})"))) << last;
  EXPECT_GE(std::stod(found[1]), w.accuracy);
  const auto j = nlohmann::json::parse(read_text(dir / "run.json"));
  EXPECT_NEAR(j["test_accuracy"].get<double>(), std::stod(found[1]), 5e-5);
  for (const char* key : {"items_per_second", "best_items_per_second", "step_ms", "first_step_s",
                          "steps", "final_loss", "peak_rss_mb", "kernels_per_step"}) {
    EXPECT_GT(j[key].get<double>(), 0) << key;
  }
  EXPECT_EQ(j["arena_mb"].is_null(), std::string(w.mode) == "eager");
  EXPECT_EQ(read_text(j["checkpoint"].get<std::string>()).size() > 1000, true);
  for (const char* row : {"parameters", "precision", "images/s", "first step", "peak memory",
                          "kernels per step", "final loss", "test accuracy", "time"}) {
    EXPECT_THAT(o.out, HasSubstr(row));
  }
}

TEST(Explain, PrintsAndWritesInsteadOfTraining) {
  for (const char* program : {"mlp", "lenet", "gpt", "resnet50"}) {
    NEED_PROGRAM(program);
    TempDir dir;
    Args args{"--dataset", "synthetic", "--batch-size", "2", "--precision", "bf16"};
    if (std::string(program) == "resnet50") args = args + Args{"--image-size", "32"};
    const Outcome o = run({program, args + Args{"--explain", dir / "why"}});
    ASSERT_EQ(o.code, 0) << o.err << o.out;
    EXPECT_EQ(o.err, "");
    for (const char* part : {"training step: ", "Passes", "Fused", "Memory: arena", "lower bound",
                             "Kernels: op (kernel)", "Slowest kernels", "limit ms"}) {
      EXPECT_THAT(o.out, HasSubstr(part)) << program;
    }
    EXPECT_THAT(o.last_line(), StartsWith("written to '"));
    EXPECT_THAT(o.out, HasSubstr(read_text(dir / "why/explain.txt")));
    const auto j = nlohmann::json::parse(read_text(dir / "why/explain.json"));
    EXPECT_GT(j["limit_ms"].get<double>(), 0);
    EXPECT_THAT(read_text(dir / "why/memory.svg"), StartsWith("<svg "));
    EXPECT_THAT(read_text(dir / "why/graph.dot"), StartsWith("digraph "));
  }
}

TEST(Explain, NeedsNoFolderButACompiledStep) {
  NEED_PROGRAM("mlp");
  const Args args{"--dataset", "synthetic", "--explain"};
  const Outcome o = run({"mlp", args});
  ASSERT_EQ(o.code, 0) << o.err << o.out;
  EXPECT_THAT(o.out, HasSubstr("Slowest kernels"));
  EXPECT_EQ(o.out.find("written to"), std::string::npos);
  expect_error(run({"mlp", args + Args{"--mode", "eager"}}), 2, "mlp", "needs --mode graph");
  expect_error(run({"mlp", args + Args{"/dev/null/x"}}), 1, "mlp", "the folder of --explain");
}

TEST(Cifar10, ResNet50TrainsOnItsFiles) {
  NEED_PROGRAM("resnet50");
  TempDir dir;
  std::filesystem::create_directory(dir / "cifar-10-batches-bin");
  const auto write = [&](const std::string& name, int records) {
    std::string bytes;
    for (int i = 0; i < records; ++i) {
      bytes += static_cast<char>(i % 10);
      for (int k = 0; k < 3072; ++k) bytes += static_cast<char>(i * 25 + k % 7);
    }
    write_text(dir / "cifar-10-batches-bin/" + name, bytes);
  };
  for (int f = 1; f <= 5; ++f) write("data_batch_" + std::to_string(f) + ".bin", 3);
  write("test_batch.bin", 5);
  const Outcome o =
      run({"resnet50",
           {"--dataset", "cifar10", "--data", dir.path(), "--batch-size", "4", "--steps", "2"}});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  EXPECT_THAT(o.out, HasSubstr("15 training and 5 test images"));
  EXPECT_THAT(o.last_line(), StartsWith("test accuracy: "));
}

TEST(SyntheticRuns, MeasureWithoutATest) {
  for (const char* program : {"mlp", "lenet", "gpt"}) {
    if (!has_program(program)) continue;
    TempDir dir;
    Args args{"--dataset", "synthetic", "--batch-size", "2", "--steps", "2", "--json", dir / "j"};
    const Outcome o = run({program, args});
    ASSERT_EQ(o.code, 0) << program << o.err;
    const auto j = nlohmann::json::parse(read_text(dir / "j"));
    EXPECT_TRUE(j["test_accuracy"].is_null());
    EXPECT_EQ(j["steps"], 2);
    EXPECT_EQ(j["total_steps"], 6);
    EXPECT_EQ(j["items"], std::string(program) == "gpt" ? "tokens" : "images");
  }
}

TEST(SyntheticRuns, ResNet50HasItsSize) {
  NEED_PROGRAM("resnet50");
  TempDir dir;
  const Outcome o = run({"resnet50",
                         {"--dataset", "synthetic", "--image-size", "64", "--batch-size", "1",
                          "--steps", "1", "--json", dir / "j"}});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(nlohmann::json::parse(read_text(dir / "j"))["parameters"], 25557032);
}

TEST(Text, GptTrainsOnAFile) {
  NEED_PROGRAM("gpt");
  TempDir dir;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "line " + std::to_string(i) + ": one and another\n";
  write_text(dir / "text", text);
  const Outcome o = run({"gpt", {"--dataset", dir / "text", "--batch-size", "2", "--steps", "2"}});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("sample: line 0: one and"));
  EXPECT_THAT(o.last_line(), StartsWith("test accuracy: "));
  write_text(dir / "text", "short");
  expect_error(run({"gpt", {"--dataset", dir / "text"}}), 1, "gpt", "text");
  expect_error(run({"gpt", {"--dataset", dir / "none"}}), 1, "gpt", "none");
}

// A vocabulary of bytes and a few pairs, as GPT-2's two files write them.
void write_tokens(const std::string& folder) {
  nlohmann::json vocab;
  int n = 0;
  for (int b = 33; b < 127; ++b) vocab[std::string(1, static_cast<char>(b))] = n++;
  const auto letter = [](int c) {  // two bytes of UTF-8
    return std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  };
  for (int b = 161; b < 256; ++b) {
    if (b != 173) vocab[letter(b)] = n++;
  }
  for (int c = 256; c < 256 + 68; ++c) vocab[letter(c)] = n++;
  const std::string space = letter(0x120);
  for (const std::string& word : std::vector<std::string>{"an", "on", "and", space + "and"}) {
    vocab[word] = n++;
  }
  write_text(folder + "/vocab.json", vocab.dump());
  write_text(folder + "/merges.txt", cat("#version: 0.2\na n\no n\nan d\n", space, " and\n"));
}

// GPT-2 of two small blocks, on tokens of its kind; a run that goes on is the run in one piece.
TEST(Text, Gpt2TrainsOnTokensAndGoesOn) {
  NEED_PROGRAM("gpt2");
  TempDir dir;
  std::string text;
  for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i) + ": one and another\n";
  write_text(dir / "text", text);
  write_tokens(dir.path());
  const Args args{"--dataset",   dir / "text", "--tokens",     dir.path(), "--layers",    "2",
                  "--width",     "32",         "--heads",      "2",        "--positions", "32",
                  "--precision", "fp32",       "--batch-size", "2"};
  const auto loss = [&](const char* file) {
    return nlohmann::json::parse(read_text(dir / file))["final_loss"].get<double>();
  };
  const Outcome whole = run({"gpt2", args + Args{"--steps", "6", "--json", dir / "whole"}});
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("260 tokens, "));
  EXPECT_THAT(whole.out, HasSubstr("sample: line 0: one and anoth"));
  EXPECT_THAT(whole.last_line(), StartsWith("test accuracy: "));
  const Args kept = args + Args{"--checkpoint", dir / "run", "--checkpoint-steps", "3"};
  ASSERT_EQ(run({"gpt2", kept + Args{"--steps", "6", "--json", dir / "first"}}).code, 0);
  EXPECT_EQ(loss("first"), loss("whole"));
  const Outcome again = run({"gpt2", kept + Args{"--steps", "6", "--resume"}});
  EXPECT_EQ(again.code, 0) << again.err;
  write_text(dir / "vocab.json", "[]");
  expect_error(run({"gpt2", args}), 1, "gpt2", "vocab.json");
  expect_error(run({"gpt2", args + Args{"--layers", "0"}}), 2, "gpt2", "whole number");
}

TEST(Text, Gpt2OfItsSizeSaysSo) {
  NEED_PROGRAM("gpt2");
  const Outcome o = run({"gpt2", {"--help"}});
  EXPECT_THAT(o.out, HasSubstr("12 layers, width 768"));
  EXPECT_THAT(o.out, HasSubstr("--tokens"));
}

TEST(Options, HelpShowsTheDefaults) {
  for (const char* program : {"resnet50", "lenet", "mlp", "gpt"}) {
    if (!has_program(program)) continue;
    const Outcome o = run({program, {"--help"}});
    EXPECT_EQ(o.code, 0);
    for (const char* option : {"--dataset", "--data", "--image-size", "--batch-size", "--epochs",
                               "--steps", "--mode", "--precision", "--device", "--lr", "--seed",
                               "--threads", "--checkpoint", "--resume", "--json", "--workers"}) {
      const bool without = std::string(program) == "gpt" && std::string(option) == "--image-size";
      EXPECT_EQ(o.out.find(option) == std::string::npos, without) << program << " " << option;
    }
    EXPECT_THAT(o.out, HasSubstr("[graph]"));
  }
}

// `make resnet50 ARGS="--dataset synthetic"` adds to what the Makefile gives.
TEST(Options, TheLastOneCounts) {
  NEED_PROGRAM("lenet");
  const Outcome o = run({"lenet", Args{"--dataset", "fashion-mnist", "--dataset", "synthetic",
                                       "--steps", "1", "--batch-size", "2"}});
  EXPECT_EQ(o.code, 0) << o.err;
}

TEST(Options, WrongOnesAreOneErrorAndCodeTwo) {
  const char* program = "mlp";
  NEED_PROGRAM(program);
  const std::vector<std::pair<Args, std::string>> cases = {
      {{"--frob"}, "--frob"},
      {{"extra"}, "extra"},
      {{"--mode", "fast"}, "none of graph, eager"},
      {{"--precision", "fp8"}, "none of fp32, tf32, bf16, fp16"},
      {{"--dataset", "imagenet"}, "none of fashion-mnist, synthetic"},
      {{"--device", "tpu"}, "none of cpu"},
      {{"--lr", "0"}, "no positive number"},
      {{"--lr", "nan"}, "no positive number"},
      {{"--batch-size", "0"}, "whole number"},
      {{"--batch-size", "many"}, "whole number"},
      {{"--batch-size", "99999999999999999999"}, "whole number"},
      {{"--steps", "-1"}, "whole number"},
      {{"--seed", "-1"}, "whole number"},
      {{"--threads", "0"}, "whole number"},
      {{"--json"}, "--json"},
      {{"--resume"}, "needs --checkpoint"},
      {{"--checkpoint-steps", "3"}, "needs --checkpoint"},
      {{"--dataset", "synthetic", "--steps", "0"}, "at least 1 step"},
  };
  for (const auto& [args, part] : cases) expect_error(run({program, args}), 2, program, part);
  NEED_PROGRAM("gpt");
  expect_error(run({"gpt", {"--image-size", "28"}}), 2, "gpt", "--image-size");
}

TEST(Devices, OneThatCannotBeUsedSaysWhatIsMissing) {
  const char* program = "mlp";
  NEED_PROGRAM(program);
  if (cuda::is_available()) GTEST_SKIP() << "there is a GPU";
  const Args args{"--device", "cuda", "--dataset", "synthetic", "--steps", "2"};
  expect_error(run({program, args}), 1, program, "cuda:0 cannot be used");
}

// The pretended device gives the losses of the cpu, whatever the program, mode and precision.
TEST(Devices, ProgramsTrainOnThePretendedOne) {
  if (device_count(DeviceType::kFake) == 0) GTEST_SKIP() << "librutile_fake.so is not built";
  const std::vector<std::pair<const char*, Args>> cases = {
      {"mlp", {"--mode", "eager", "--precision", "fp16"}},
      {"mlp", {"--mode", "graph", "--precision", "fp16"}},
      {"lenet", {"--mode", "eager", "--precision", "bf16"}},
      {"lenet", {"--mode", "graph", "--precision", "tf32"}},
      {"gpt", {"--mode", "eager"}},
      {"gpt", {"--mode", "graph", "--precision", "bf16"}},
      {"resnet50", {"--mode", "graph", "--image-size", "32"}},
  };
  for (const auto& [program, args] : cases) {
    if (!has_program(program)) continue;
    TempDir dir;
    nlohmann::json report[2];
    for (const int fake : {0, 1}) {
      const Outcome o =
          run({program, args + Args{"--dataset", "synthetic", "--batch-size", "2", "--steps", "1",
                                    "--device", fake ? "fake" : "cpu", "--json", dir / "j"}});
      ASSERT_EQ(o.code, 0) << program << " " << args[1] << ": " << o.err;
      report[fake] = nlohmann::json::parse(read_text(dir / "j"));
    }
    EXPECT_EQ(report[0]["final_loss"], report[1]["final_loss"]) << program << " " << args[1];
    EXPECT_TRUE(report[0]["device_peak_mb"].is_null());
    EXPECT_GT(report[1]["device_peak_mb"].get<double>(), 0.1) << program << " " << args[1];
  }
}

TEST(Errors, DataThatAreNotThereOrDamaged) {
  NEED_PROGRAM("mlp");
  TempDir dir;
  expect_error(run({"mlp", {"--data", dir / "none"}}), 1, "mlp", "dataset-fashion-mnist");
  write_fashion_mnist(dir.path(), 40, 10);
  const std::string images = dir / "train-images-idx3-ubyte";
  write_text(images, read_text(images).substr(0, 1000));
  expect_error(run({"mlp", {"--data", dir.path()}}), 1, "mlp", "train-images-idx3-ubyte");
  write_fashion_mnist(dir.path(), 40, 10);
  expect_error(run({"mlp", {"--data", dir.path(), "--batch-size", "64"}}), 1, "mlp", "64");
  if (has_program("resnet50")) {
    expect_error(run({"resnet50", {"--dataset", "cifar10", "--data", dir / "none"}}), 1, "resnet50",
                 "CIFAR-10");
  }
  if (has_program("lenet")) {
    expect_error(run({"lenet", {"--data", dir.path(), "--batch-size", "8", "--image-size", "28"}}),
                 1, "lenet", "fc1");
  }
}

TEST(Errors, BadLossNamesTheStep) {
  NEED_PROGRAM("mlp");
  TempDir dir;
  write_fashion_mnist(dir.path(), 80, 10);
  expect_error(run({"mlp", {"--data", dir.path(), "--batch-size", "8", "--lr", "1e30"}}), 1, "mlp",
               "in step ");
}

TEST(Errors, PlacesThatCannotBeWrittenTo) {
  NEED_PROGRAM("mlp");
  TempDir dir;
  write_fashion_mnist(dir.path(), 40, 10);
  write_text(dir / "file", "");
  const Args args{"--data", dir.path(), "--batch-size", "8"};
  // Before training: no progress line comes.
  for (const Args& place : {Args{"--checkpoint", dir / "file"}, Args{"--checkpoint", "/proc/none"},
                            Args{"--json", "/proc/none/run.json"}, Args{"--json", dir.path()},
                            Args{"--json", "/dev/full"}}) {
    const Outcome o = run({"mlp", args + place});
    expect_error(o, 1, "mlp", "cannot be used");
    EXPECT_EQ(o.out, "");
  }
  // A limit on the size of files serves as the full disk.
  Outcome o = run({"mlp", args + Args{"--checkpoint", dir / "run"}, {}, 1 << 20});
  expect_error(o, 1, "mlp", "cannot save");
  if (::mount("none", (dir / "run").c_str(), "tmpfs", 0, "size=1m") == 0) {
    o = run({"mlp", args + Args{"--checkpoint", dir / "run"}});
    expect_error(o, 1, "mlp", "the disk has room for");
    ::umount((dir / "run").c_str());
  }
}

}  // namespace
}  // namespace rutile::testing
