// SPDX-License-Identifier: Apache-2.0
// What a compilation tells: log lines by topic, remarks of passes, files after each pass.
#include "rutile/graph/dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rutile/core/log.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/ir/dot.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::graph {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

std::string stderr_of(const std::function<void()>& run) {
  testing::internal::CaptureStderr();
  run();
  return testing::internal::GetCapturedStderr();
}
std::string logged(const std::string& topics, const std::function<void()>& run) {
  set_log_topics(topics);
  const std::string text = stderr_of(run);
  set_log_topics("");
  return text;
}
std::string read(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}
// A folder that goes with the test.
struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "rutile_dump_XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    fs::permissions(path, fs::perms::owner_all, ignored);
    fs::remove_all(path, ignored);
  }
};

// norm + relu (fused), norm alone (refused), a chain (fused) and its sum with another shape.
std::vector<Tensor> small_net(const std::vector<Tensor>& in) {
  const Tensor& x = in[0];
  const Tensor a = ops::relu(ops::batch_norm(x).y);
  const Tensor b = ops::batch_norm(a).y;
  const Tensor c = ops::exp(b * 2.0) + x;
  return {c};
}
const TensorMeta kInput({2, 4, 3, 3}, DType::kF32);

Compiled compiled(CompileOptions o = {}) {
  o.name = "small net";
  return compile(small_net, o);
}

TEST(CompileLog, Recompiles) {
  Compiled f = compiled();
  const std::string first = logged("recompiles", [&] { f.prepare({kInput}); });
  EXPECT_THAT(first,
              HasSubstr("[rutile recompiles] small net: compiled for (f32[2,4,3,3]@cpu) into"));
  EXPECT_THAT(first, HasSubstr("kernels; trace "));
  const std::string again = logged("recompiles", [&] {
    f.prepare({TensorMeta({3, 4, 3, 3}, DType::kF32)});
  });
  EXPECT_THAT(again, HasSubstr("small net: compiled again: input 0 was f32[2,4,3,3]@cpu and is "
                               "f32[3,4,3,3]@cpu\n"));
  EXPECT_EQ(logged("recompiles", [&] { f.prepare({kInput}); }), "") << "nothing was compiled";
}

TEST(CompileLog, Passes) {
  Compiled f = compiled();
  const std::string text = logged("passes", [&] { f.prepare({kInput}); });
  for (const Pass& p : pipeline(Pipeline::kInference)) {
    EXPECT_THAT(text, HasSubstr(cat("[rutile passes] small net: ", p.name, ": ")));
  }
  EXPECT_THAT(text, HasSubstr(" nodes, "));
}

TEST(CompileLog, FusionWithReasonsAndOrigin) {
  Compiled f = compiled();
  const std::string text = logged("fusion", [&] { f.prepare({kInput}); });
  EXPECT_THAT(text,
              HasSubstr("[rutile fusion] small net: fuse_norm_act: fused batch_norm + relu | in "
                        "batch_norm (dump_test.cc:"));
  EXPECT_THAT(text, HasSubstr("fuse_norm_act: refused batch_norm: read by mul, not by one relu "));
  EXPECT_THAT(text, HasSubstr("fuse_elementwise: fused mul + exp + add | in mul (dump_test.cc:"));
}

TEST(CompileLog, Memory) {
  Compiled f = compiled();
  const std::string text = logged("memory", [&] { f.prepare({kInput}); });
  EXPECT_THAT(text, HasSubstr("[rutile memory] small net: arena "));
  EXPECT_THAT(text, HasSubstr("MiB, lower bound "));
  EXPECT_THAT(text, HasSubstr(" MiB, ratio "));
}

TEST(CompileLog, Dispatch) {
  Compiled f = compiled();
  EXPECT_THAT(logged("dispatch", [&] { f.prepare({kInput}); }),
              HasSubstr("[rutile dispatch] batch_norm_relu: "));
}

TEST(CompileLog, IsSilentUnlessAsked) {
  EXPECT_EQ(stderr_of([] { compiled().prepare({kInput}); }), "");
}

TEST(CompileReport, HoldsRemarks) {
  Compiled f = compiled();
  f.prepare({kInput});
  int done = 0, refused = 0;
  for (const PassReport& p : f.report().passes) {
    for (const Remark& r : p.remarks) {
      ++(r.done ? done : refused);
      EXPECT_FALSE(r.what.empty());
      EXPECT_FALSE(r.where.empty()) << r.what;
      EXPECT_TRUE(r.done || !r.reason.empty()) << r.what;
    }
  }
  EXPECT_GE(done, 2);
  EXPECT_GE(refused, 1);
  EXPECT_FALSE(remarks_wanted()) << "nobody listens outside of a pipeline";
}

TEST(Dump, WritesTextAndDotAfterEachPass) {
  Folder folder;
  const std::string name = cat("dump: ", ::getpid());  // of its own in this process
  CompileOptions o{.name = name, .dump = folder.path.string()};
  Compiled f = compile(small_net, o);
  f.prepare({kInput});
  const fs::path path = folder.path / cat("dump__", ::getpid(), "_1");
  ASSERT_TRUE(fs::is_directory(path));
  std::vector<std::string> names{"traced"};
  for (const Pass& p : pipeline(Pipeline::kInference)) names.emplace_back(p.name);
  size_t files = 0;
  for ([[maybe_unused]] const fs::directory_entry& e : fs::directory_iterator(path)) ++files;
  EXPECT_EQ(files, 2 * names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string stem = cat(i < 10 ? "0" : "", i, "_", names[i]);
    const std::string text = read(path / (stem + ".txt"));
    Graph g;
    ASSERT_TRUE(parse(text, &g).ok()) << stem;
    EXPECT_EQ(print(g), text);
    const std::string dot = read(path / (stem + ".dot"));
    EXPECT_TRUE(dot.starts_with("digraph \"")) << stem;
    EXPECT_TRUE(dot.ends_with("}\n")) << stem;
  }
  f.prepare({TensorMeta({1, 4, 3, 3}, DType::kF32)});
  EXPECT_TRUE(fs::is_directory(folder.path / cat("dump__", ::getpid(), "_2")));
}

TEST(Dump, FollowsTheEnvironment) {
  Folder folder;
  ::setenv("RUTILE_DUMP", folder.path.c_str(), 1);
  compile(small_net, {.name = "by environment"}).prepare({kInput});
  ::unsetenv("RUTILE_DUMP");
  EXPECT_TRUE(fs::exists(folder.path / "by_environment_1" / "00_traced.txt"));
  compile(small_net, {.name = "by environment"}).prepare({kInput});
  EXPECT_FALSE(fs::exists(folder.path / "by_environment_2"));
}

TEST(Dump, LeavesNoFilesOfAnEarlierRun) {
  Folder folder;
  const fs::path old = folder.path / "rerun_1";
  fs::create_directories(old);
  for (const char* name : {"55_gone.txt", "55_gone.dot", "notes.txt"}) {
    std::ofstream(old / name) << "x";
  }
  compile(small_net, {.name = "rerun", .dump = folder.path.string()}).prepare({kInput});
  EXPECT_FALSE(fs::exists(old / "55_gone.txt"));
  EXPECT_FALSE(fs::exists(old / "55_gone.dot"));
  EXPECT_TRUE(fs::exists(old / "notes.txt")) << "not ours";
}

TEST(Dump, AFolderThatCannotBeWrittenIsAWarning) {
  Folder folder;
  std::ofstream(folder.path / "file") << "x";
  const std::string bad = (folder.path / "file" / "below").string();
  Compiled f = compile(small_net, {.name = "nowhere", .dump = bad});
  const Tensor x = Tensor::zeros({2, 4, 3, 3});
  std::vector<Tensor> y;
  const std::string text = stderr_of([&] { y = f({x}); });
  EXPECT_THAT(text, HasSubstr("[rutile warning] the IR of nowhere is not dumped: folder '"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_EQ(y.size(), 1u);
}

TEST(Dump, FileNames) {
  EXPECT_EQ(file_name_of("training step"), "training_step");
  EXPECT_EQ(file_name_of("../a/b"), "_.._a_b");
  EXPECT_EQ(file_name_of(""), "_");
}

TEST(Dot, ShowsOpShapeLayoutOriginAndPhase) {
  Graph g;
  const Status s = parse(R"(graph {
  %0 = input "x" f32[1,16,4,4]
  %1 = state "w" f32[16]
  %2 : f32[1,16,4,4]<aBcd16b> = reorder(%0) {to="aBcd16b"} @"net.layer" #forward
  %3 : f32[16] = sum(%2) {axes=[0,2,3]} #backward
  %4 : f32[16] = add(%1, %3) #optimizer
  state %1 <- %4
  return %2
}
)",
                         &g);
  ASSERT_TRUE(s.ok()) << s.message();
  const std::string dot = to_dot(g, "a \"title\"");
  EXPECT_THAT(dot, HasSubstr("digraph \"a \\\"title\\\"\" {"));
  EXPECT_THAT(dot, HasSubstr("f32[1,16,4,4]<aBcd16b>"));
  EXPECT_THAT(dot, HasSubstr("net.layer"));
  for (const char* colour : {"#cfe3f7", "#f9ddc6", "#d3ecd0"}) EXPECT_THAT(dot, HasSubstr(colour));
  EXPECT_THAT(dot, HasSubstr("\\nnew value of w\""));
  EXPECT_THAT(dot, HasSubstr("label=\"state w\\nf32[16]\""));
}

TEST(Dot, IsReadByGraphviz) {
  if (std::system("dot -V 2>/dev/null") != 0) GTEST_SKIP() << "Graphviz is not installed";
  Folder folder;
  compile(small_net, {.name = "picture", .dump = folder.path.string()}).prepare({kInput});
  const fs::path from = folder.path / "picture_1";
  for (const fs::directory_entry& e : fs::directory_iterator(from)) {
    if (e.path().extension() != ".dot") continue;
    const std::string svg = (folder.path / "out.svg").string();
    EXPECT_EQ(std::system(cat("dot -Tsvg ", e.path().string(), " -o ", svg).c_str()), 0);
    EXPECT_THAT(read(svg), HasSubstr("<svg"));
  }
}

TEST(Dot, OfAGraphWithoutNodes) {
  Graph g;
  ASSERT_TRUE(parse("graph {\n  %0 = input \"x\" f32[2]\n  return %0\n}\n", &g).ok());
  EXPECT_THAT(to_dot(g), HasSubstr("v0 -> out0"));
}

}  // namespace
}  // namespace rutile::graph
