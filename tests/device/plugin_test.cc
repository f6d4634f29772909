// SPDX-License-Identifier: Apache-2.0
// Libraries that are missing, broken, of another build or no plugins.
#include "rutile/core/plugin.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "rutile/core/build_id.h"
#include "rutile/core/device_runtime.h"
#include "rutile/core/tensor.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

struct Host final : PluginHost {
  int added = 0;
  Status add_device(const DeviceFns*) override {
    ++added;
    return Status();
  }
};

std::string library_path(const char* name) {
  for (const std::string& folder : plugin_folders()) {
    const std::string path = cat(folder, "/", name);
    if (fs::exists(path)) return path;
  }
  ADD_FAILURE() << name << " is not beside librutile.so";
  return "";
}

TEST(Plugin, MissingNamesWhatWasTried) {
  testing::TempDir dir;
  Host host;
  const Status s = open_plugin("nothing", {dir.path(), "/no/such/folder"}, host);
  EXPECT_EQ(s.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(s.message(), HasSubstr(cat(dir.path(), "/librutile_nothing.so: no such file")));
  EXPECT_THAT(s.message(), HasSubstr("/no/such/folder/librutile_nothing.so"));
  EXPECT_THAT(s.message(), HasSubstr("cannot open shared object file"));  // the loader's own words
  EXPECT_THAT(s.message(), HasSubstr(build_id()));
}

TEST(Plugin, BrokenLibraryKeepsTheLoadersText) {
  testing::TempDir dir;
  testing::write_text(dir / "librutile_cuda.so", std::string(5000, 'x'));
  Host host;
  const Status s = open_plugin("cuda", {dir.path()}, host);
  EXPECT_EQ(s.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(s.message(), HasSubstr(dir / "librutile_cuda.so"));
  EXPECT_THAT(s.message(), HasSubstr("ELF"));
  EXPECT_EQ(host.added, 0);
}

TEST(Plugin, LibraryThatIsNoPlugin) {
  testing::TempDir dir;
  fs::create_symlink(fs::absolute(library_path("librutile.so")), dir / "librutile_other.so");
  Host host;
  const Status s = open_plugin("other", {dir.path()}, host);
  EXPECT_THAT(s.message(), HasSubstr("is no plugin"));
  EXPECT_THAT(s.message(), HasSubstr("rutile_plugin_in"));
}

TEST(Plugin, OfAnotherBuildIsNotStarted) {
  std::string bytes = testing::read_text(library_path("librutile_fake.so"));
  const std::string id = build_id();
  size_t at = bytes.find(id);
  ASSERT_NE(at, std::string::npos);
  for (; at != std::string::npos; at = bytes.find(id)) bytes[at + id.size() - 1] = 'x';
  testing::TempDir dir;
  testing::write_text(dir / "librutile_stale.so", bytes);
  Host host;
  const Status s = open_plugin("stale", {dir.path()}, host);
  EXPECT_THAT(s.message(), HasSubstr("belongs to build"));
  EXPECT_THAT(s.message(), HasSubstr(cat("of build ", id)));
  EXPECT_EQ(host.added, 0);
}

// What fails in one folder does not keep the next from being tried.
TEST(Plugin, GoesOnToTheNextFolder) {
  testing::TempDir broken, good;
  testing::write_text(broken / "librutile_fake.so", "broken");
  fs::create_symlink(fs::absolute(library_path("librutile_fake.so")), good / "librutile_fake.so");
  Host host;
  const Status s = open_plugin("fake", {broken.path(), good.path()}, host);
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(host.added, 1);
}

TEST(Plugin, WithoutOneTheCpuWorksAndTheReasonIsSaid) {
  if (cuda::is_available()) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(cuda::device_count(), 0);
  EXPECT_THAT(cuda::unavailable_reason(), HasSubstr("cuda:0 cannot be used"));
  const Tensor x = Tensor::from<float>({1, 2}, {2});
  EXPECT_RUTILE_ERROR(x.to({DeviceType::kCuda, 0}), kUnsupported, "cuda:0 cannot be used");
  EXPECT_EQ(x.to(kCpu).to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST(Plugin, DeviceThatThereIsNot) {
  EXPECT_EQ(device_count(DeviceType::kFake), 2);
  EXPECT_RUTILE_ERROR(device_runtime({DeviceType::kFake, 7}), kUnsupported, "there are 2 devices");
}

TEST(Device, Names) {
  Device d;
  EXPECT_TRUE(parse_device("cuda", &d));
  EXPECT_EQ(d, (Device{DeviceType::kCuda, 0}));
  EXPECT_TRUE(parse_device("fake:1", &d));
  EXPECT_EQ(to_string(d), "fake:1");
  EXPECT_TRUE(parse_device("cpu", &d));
  for (const char* wrong : {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:300", "cpu:1", ":0"}) {
    EXPECT_FALSE(parse_device(wrong, &d)) << wrong;
  }
}

}  // namespace
}  // namespace rutile
