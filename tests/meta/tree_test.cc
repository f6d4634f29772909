// SPDX-License-Identifier: Apache-2.0
// The checks of the tree itself, as 'make check' runs them.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

namespace {

// Runs a command; its output, both streams.
int run(const std::string& command, std::string* output) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return -1;
  std::array<char, 4096> buffer;
  while (size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) output->append(buffer.data(), n);
  return pclose(pipe);
}

class Tree : public testing::TestWithParam<const char*> {};

TEST_P(Tree, Passes) {
  std::string output;
  const std::string script = std::string(RUTILE_SOURCE_DIR "/tools/") + GetParam() + ".py";
  EXPECT_EQ(run("python3 " + script + " --check", &output), 0) << output;
}

INSTANTIATE_TEST_SUITE_P(Checks, Tree,
                         testing::Values("check_layers", "check_sizes", "check_text",
                                         "embed_examples"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
