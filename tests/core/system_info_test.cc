// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/system_info.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace rutile {
namespace {

// A root directory with made-up files of the system.
class SystemInfoTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "rutile_system_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
    write(
        "/proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path p = root_ + path;
    std::filesystem::create_directories(p.parent_path());
    std::ofstream(p) << text;
  }
  void version1(const std::string& group, const std::string& mount_root) {
    write("/proc/self/cgroup",
          "5:memory:" + group + "\n4:cpu,cpuacct:" + group + "\n1:name=systemd:/x\n0::/\n");
    write("/proc/self/mountinfo",
          "20 1 0:1 / /proc rw - proc proc rw\n"
          "32 25 0:27 " +
              mount_root +
              " /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
              "33 25 0:28 " +
              mount_root +
              " /cg/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
              "34 25 0:29 " +
              mount_root + " /cg/memory rw - cgroup cgroup rw,memory\n");
  }
  void version2(const std::string& group) {
    write("/proc/self/cgroup", "0::" + group + "\n");
    write("/proc/self/mountinfo", "35 25 0:30 / /cg rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

  static constexpr int64_t kGiB = int64_t{1} << 30;
  std::string root_;
};

TEST_F(SystemInfoTest, NothingKnown) {
  EXPECT_EQ(cgroup_cpu_quota(root_ + "/absent"), 0);
  EXPECT_EQ(system_memory(root_ + "/absent").total, 0);
  EXPECT_EQ(cgroup_cpu_quota(root_), 0);
  const SystemMemory m = system_memory(root_);
  EXPECT_EQ(m.total, 16 * kGiB);
  EXPECT_EQ(m.available, 8 * kGiB);
  EXPECT_EQ(m.cgroup_limit, 0);
}

TEST_F(SystemInfoTest, Version1) {
  version1("/job", "/");
  write("/cg/cpu/cpu.cfs_quota_us", "-1\n");
  write("/cg/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0);
  write("/cg/cpu/job/cpu.cfs_quota_us", "250000\n");
  write("/cg/cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 2.5);
  write("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/cg/memory/job/memory.limit_in_bytes", std::to_string(4 * kGiB));
  write("/cg/memory/job/memory.usage_in_bytes", std::to_string(3 * kGiB));
  write("/cg/memory/job/memory.stat",
        "inactive_file 7\ntotal_inactive_file_x 9\ntotal_inactive_file 1073741824\n"
        "total_active_file 1048576\n");
  const SystemMemory m = system_memory(root_);
  EXPECT_EQ(m.cgroup_limit, 4 * kGiB);
  EXPECT_EQ(m.available, 2 * kGiB + (1 << 20)) << "file pages can be dropped";
  EXPECT_EQ(m.total, 16 * kGiB);
}

TEST_F(SystemInfoTest, Version1InsideAContainer) {
  // The group's path is the host's; what is mounted starts at the group.
  version1("/docker/abc", "/docker/abc");
  write("/cg/cpu/cpu.cfs_quota_us", "50000\n");
  write("/cg/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0.5);
  version1("/docker/abc/inner", "/docker/abc");
  write("/cg/cpu/inner/cpu.cfs_quota_us", "20000\n");
  write("/cg/cpu/inner/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0.2);
}

TEST_F(SystemInfoTest, Version2TakesTheTightestAncestor) {
  version2("/a/b/c");
  write("/cg/a/cpu.max", "300000 100000\n");
  write("/cg/a/b/cpu.max", "max 100000\n");
  write("/cg/a/b/c/cpu.max", "800000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 3);
  write("/cg/a/b/c/memory.max", "max\n");
  write("/cg/a/memory.max", std::to_string(2 * kGiB) + "\n");
  write("/cg/a/memory.current", std::to_string(3 * kGiB) + "\n");
  const SystemMemory m = system_memory(root_);
  EXPECT_EQ(m.cgroup_limit, 2 * kGiB);
  EXPECT_EQ(m.available, 0);
}

TEST_F(SystemInfoTest, ALimitAboveTheMachineIsNone) {
  version2("/");
  write("/cg/memory.max", std::to_string(64 * kGiB));
  write("/cg/memory.current", std::to_string(60 * kGiB));
  EXPECT_EQ(system_memory(root_).cgroup_limit, 0);
  EXPECT_EQ(system_memory(root_).available, 8 * kGiB);
}

TEST_F(SystemInfoTest, GarbageIsIgnored) {
  write("/proc/self/cgroup", "nonsense\n::\n0:\n\n0::relative\n");
  write("/proc/self/mountinfo", "nonsense\n - \n1 2 3 - cgroup2\n9 9 9 / /cg rw - cgroup2 c rw\n");
  write("/cg/cpu.max", "abc def\n");
  write("/cg/memory.max", "99999999999999999999999999\n");
  write("/proc/meminfo", "MemTotal\nMemAvailable: -5 kB\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0);
  EXPECT_EQ(system_memory(root_).total, 0);
}

TEST(SystemInfo, ThisMachine) {
  EXPECT_GE(affinity_cores(), 1);
  const SystemMemory m = system_memory();
  EXPECT_GT(m.total, 0);
  EXPECT_GT(m.available, 0);
  EXPECT_LE(m.available, m.total);
}

}  // namespace
}  // namespace rutile
