// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/file.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::io {
namespace {

using ::rutile::testing::gzip_bytes;
using ::rutile::testing::read_text;
using ::rutile::testing::TempDir;
using ::rutile::testing::write_text;

std::string text_of(const Ref<Blob>& b) {
  return std::string(reinterpret_cast<const char*>(b->data()), b->size());
}

Ref<Blob> blob_of(const std::string& s) { return copy_bytes(s.data(), s.size(), "in.gz"); }

void save(const std::string& path, const std::string& contents) {
  atomic_write(path, [&](FileWriter& out) { out.write(contents); });
}

TEST(ReadFile, GivesTheWholeFile) {
  TempDir dir;
  const std::string big(3'000'000, 'x');
  write_text(dir / "a", big);
  write_text(dir / "empty", "");
  EXPECT_EQ(text_of(read_file(dir / "a")), big);
  EXPECT_EQ(text_of(map_file(dir / "a")), big);
  EXPECT_EQ(read_file(dir / "empty")->size(), 0u);
  EXPECT_EQ(map_file(dir / "empty")->size(), 0u);
  EXPECT_GT(read_file("/proc/self/status")->size(), 10u);  // says that it has 0 bytes
}

TEST(ReadFile, WritingToAMappingLeavesTheFileAlone) {
  TempDir dir;
  write_text(dir / "a", "abc");
  map_file(dir / "a")->data()[0] = 'X';
  EXPECT_EQ(read_text(dir / "a"), "abc");
}

TEST(ReadFile, Errors) {
  TempDir dir;
  write_text(dir / "a", "12345");
  EXPECT_RUTILE_ERROR(read_file(dir / "none"), kNotFound, "none': No such file");
  EXPECT_RUTILE_ERROR(map_file(dir / "none"), kNotFound, "none': No such file");
  EXPECT_RUTILE_ERROR(read_file(dir / "a/b"), kNotFound, "Not a directory");
  EXPECT_RUTILE_ERROR(read_file(dir.path()), kIo, "is a directory");
  EXPECT_RUTILE_ERROR(map_file("/dev/zero"), kIo, "not a regular file");
  EXPECT_RUTILE_ERROR(read_file(dir / "a", 4), kValue, "5 bytes or more, at most 4");
  EXPECT_RUTILE_ERROR(read_file("/dev/zero", 100'000), kValue, "at most 100000");
  std::filesystem::resize_file(dir / "a", uint64_t{1} << 40);  // sparse
  EXPECT_RUTILE_ERROR(read_file(dir / "a"), kValue, "at most");
}

TEST(Gzip, RoundTrip) {
  std::string plain;
  for (int i = 0; i < 100'000; ++i) plain += std::to_string(i);
  const std::string packed = gzip_bytes(plain);
  ASSERT_TRUE(is_gzip(*blob_of(packed)));
  EXPECT_EQ(text_of(gunzip(*blob_of(packed), plain.size())), plain);
  const auto prefix = gunzip_prefix(*blob_of(packed), 5);
  EXPECT_EQ(std::string(prefix.begin(), prefix.end()), "01234");
  EXPECT_EQ(gunzip_prefix(*blob_of(gzip_bytes("ab")), 5).size(), 2u);
  EXPECT_EQ(gunzip(*blob_of(gzip_bytes("")), 0)->size(), 0u);
}

TEST(Gzip, SeveralMembersAndPadding) {
  EXPECT_EQ(text_of(gunzip(*blob_of(gzip_bytes("ab") + gzip_bytes("") + gzip_bytes("cd")), 10)),
            "abcd");
  EXPECT_EQ(text_of(gunzip(*blob_of(gzip_bytes("ab") + std::string(100, '\0')), 10)), "ab");
}

TEST(Gzip, Errors) {
  const std::string plain(10'000, 'a'), packed = gzip_bytes(plain);
  EXPECT_RUTILE_ERROR(gunzip(*blob_of(packed), plain.size() - 1), kValue, "more than 9999 bytes");
  for (size_t n : {2ul, 10ul, packed.size() / 2, packed.size() - 1}) {
    EXPECT_RUTILE_ERROR(gunzip(*blob_of(packed.substr(0, n)), 1 << 20), kValue, "end too early");
  }
  std::string wrong_sum = packed;
  wrong_sum[packed.size() - 7] ^= 1;
  EXPECT_RUTILE_ERROR(gunzip(*blob_of(wrong_sum), 1 << 20), kValue, "incorrect data check");
  EXPECT_RUTILE_ERROR(gunzip(*blob_of(packed + "tail"), 1 << 20), kValue, "'in.gz' at offset");
  EXPECT_RUTILE_ERROR(gunzip(*blob_of("\x1f\x8bnonsense"), 1 << 20), kValue, "corrupt");
}

TEST(AtomicWrite, CreatesAndReplaces) {
  TempDir dir;
  save(dir / "a", "one");
  EXPECT_EQ(read_text(dir / "a"), "one");
  ASSERT_EQ(chmod((dir / "a").c_str(), 0640), 0);
  const Ref<Blob> mapped = map_file(dir / "a");
  std::string big(1'000'000, 'y');
  atomic_write(dir / "a", [&](FileWriter& out) {
    out.write("head");
    out.write(big);
    out.write("tail");
    EXPECT_EQ(out.position(), big.size() + 8);
  });
  EXPECT_EQ(read_text(dir / "a"), "head" + big + "tail");
  EXPECT_EQ(text_of(mapped), "one") << "who has the old file open keeps it";
  struct stat info;
  ASSERT_EQ(stat((dir / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_EQ(dir.list().size(), 1u);
}

TEST(AtomicWrite, FollowsASymbolicLink) {
  TempDir dir;
  std::filesystem::create_directory(dir / "real");
  write_text(dir / "real/a", "old");
  std::filesystem::create_symlink("real/a", dir / "link");
  save(dir / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(dir / "link"));
  EXPECT_EQ(read_text(dir / "real/a"), "new");
}

TEST(AtomicWrite, AFailingWriterChangesNothing) {
  TempDir dir;
  save(dir / "a", "old");
  EXPECT_RUTILE_ERROR(atomic_write(dir / "a",
                                   [](FileWriter& out) {
                                     out.write(std::string(200'000, 'z'));
                                     throw_error(ErrorCode::kInterrupted, "stopped");
                                   }),
                      kInterrupted, "stopped; the file there before is unchanged");
  EXPECT_THROW(atomic_write(dir / "a", [](FileWriter&) { throw std::runtime_error("x"); }),
               std::runtime_error);
  EXPECT_EQ(read_text(dir / "a"), "old");
  EXPECT_EQ(dir.list().size(), 1u);
}

TEST(AtomicWrite, ErrorsOfTheSystem) {
  TempDir dir;
  save(dir / "a", "old");
  EXPECT_RUTILE_ERROR(save(dir / "none/a", "x"), kNotFound, "none': No such file");
  EXPECT_RUTILE_ERROR(save(dir / "a/b", "x"), kNotFound, "Not a directory");
  EXPECT_RUTILE_ERROR(save(dir.path(), "x"), kIo, "is not a file");
  EXPECT_RUTILE_ERROR(save(dir.path() + "/", "x"), kIo, "is not a file");
  EXPECT_RUTILE_ERROR(save("", "x"), kValue, "names no file");
  EXPECT_RUTILE_ERROR(save(dir / std::string(300, 'n'), "x"), kIo, "name too long");
}

// Runs `body` in a child, because it changes what a whole process may do. 77 means "cannot try".
void in_child(const std::function<int()>& body) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    int rc = 1;
    try {
      rc = body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    _exit(::testing::Test::HasFailure() ? 1 : rc);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "not permitted here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(AtomicWrite, AFileSizeLimitLeavesTheOldFile) {
  TempDir dir;
  in_child([&] {
    save(dir / "a", "old");
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 77;
    EXPECT_RUTILE_ERROR(save(dir / "a", std::string(500'000, 'x')), kIo, "File too large");
    EXPECT_EQ(read_text(dir / "a"), "old");
    EXPECT_EQ(dir.list().size(), 1u);
    return 0;
  });
}

TEST(AtomicWrite, AFullDiskLeavesTheOldFile) {
  TempDir dir;
  in_child([&] {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=256k") != 0) return 77;
    save(dir / "a", "old");
    EXPECT_RUTILE_ERROR(save(dir / "a", std::string(500'000, 'x')), kIo, "No space left on device");
    EXPECT_EQ(read_text(dir / "a"), "old");
    EXPECT_EQ(dir.list().size(), 1u);
    save(dir / "a", std::string(100'000, 'x'));
    return 0;
  });
}

TEST(AtomicWrite, AnUnwritableFolder) {
  TempDir dir;
  save(dir / "a", "old");
  ASSERT_EQ(chmod(dir.path().c_str(), 0555), 0);
  in_child([&] {
    if (getuid() == 0 && setuid(65534) != 0) return 77;
    EXPECT_RUTILE_ERROR(save(dir / "a", "x"), kIo, "Permission denied");
    EXPECT_EQ(read_text(dir / "a"), "old");
    return 0;
  });
  chmod(dir.path().c_str(), 0755);
}

// A child that saves `path` and stops in the middle.
pid_t start_endless_save(const std::string& path) {
  const pid_t pid = fork();
  if (pid == 0) {
    atomic_write(path, [](FileWriter& out) {
      out.write(std::string(200'000, 'n'));
      out.flush();
      while (true) pause();
    });
  }
  return pid;
}

void wait_for_files(const TempDir& dir, size_t n) {
  for (int i = 0; i < 1000 && dir.list().size() < n; ++i) usleep(5000);
  ASSERT_EQ(dir.list().size(), n);
  usleep(20'000);
}

TEST(AtomicWrite, WhatAKilledSaveLeftIsCleanedByTheNext) {
  TempDir dir;
  save(dir / "a", "old");
  const pid_t killed = start_endless_save(dir / "a");
  wait_for_files(dir, 2);
  kill(killed, SIGKILL);
  waitpid(killed, nullptr, 0);
  EXPECT_EQ(read_text(dir / "a"), "old");
  EXPECT_EQ(dir.list().size(), 2u);

  write_text(dir / ".a.0123456789abcdef.tmp2", "somebody else's");
  write_text(dir / ".b.0123456789abcdef.tmp", "another file's");
  const pid_t alive = start_endless_save(dir / "a");  // cleans, then keeps its own
  wait_for_files(dir, 4);
  save(dir / "a", "new");
  EXPECT_EQ(read_text(dir / "a"), "new");
  EXPECT_EQ(dir.list().size(), 4u) << "a living writer's file stays";
  kill(alive, SIGKILL);
  waitpid(alive, nullptr, 0);
  save(dir / "a", "newer");
  EXPECT_EQ(dir.list().size(), 3u);
}

TEST(AtomicWrite, SavesFromSeveralThreadsGiveOneOfThem) {
  TempDir dir;
  std::vector<std::thread> threads;
  for (char c = 'a'; c < 'e'; ++c) {
    threads.emplace_back([&, c] {
      for (int i = 0; i < 20; ++i) save(dir / "f", std::string(100'000, c));
    });
  }
  for (std::thread& t : threads) t.join();
  const std::string got = read_text(dir / "f");
  EXPECT_EQ(got, std::string(100'000, got[0]));
  EXPECT_EQ(dir.list().size(), 1u);
}

}  // namespace
}  // namespace rutile::io
