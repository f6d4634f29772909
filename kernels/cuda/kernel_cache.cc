// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/kernel_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "rutile/core/strings.h"
#include "rutile/kernels/cuda/codegen_text.h"

namespace rutile::cuda {
namespace {

constexpr char kMagic[8] = {'R', 'T', 'L', 'K', 'R', 'N', '0', '1'};
constexpr uint64_t kMostBytes = 64 << 20;

struct Head {
  char magic[8];
  uint64_t key = 0, log = 0, code = 0;  // bytes that follow
  uint64_t check = 0;
};

uint64_t checksum(std::string_view s) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

// Nobody else can have written there.
bool is_ours(const struct stat& s) {
  return s.st_uid == geteuid() && (s.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool read_all(int fd, void* to, size_t bytes) {
  char* p = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = read(fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}
bool write_all(int fd, const void* from, size_t bytes) {
  const char* p = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t n = write(fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

bool read_entry(int fd, const std::string& key, Compiled* out) {
  struct stat s {};
  if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || !is_ours(s)) return false;
  Head h;
  if (s.st_size < static_cast<off_t>(sizeof h) || !read_all(fd, &h, sizeof h)) return false;
  const auto rest = static_cast<uint64_t>(s.st_size) - sizeof h;
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0 || rest > kMostBytes) return false;
  if (h.key != key.size() || h.log > rest || h.code > rest || h.code == 0 ||
      h.key + h.log + h.code != rest) {
    return false;
  }
  std::string found(h.key, '\0');
  Compiled e;
  e.log.resize(h.log);
  e.code.resize(h.code);
  if (!read_all(fd, found.data(), found.size()) || found != key ||
      !read_all(fd, e.log.data(), e.log.size()) || !read_all(fd, e.code.data(), e.code.size()) ||
      h.check != (checksum(e.log) ^ checksum(e.code))) {
    return false;
  }
  *out = std::move(e);
  return true;
}

}  // namespace

std::string default_cache_folder() {
  if (const char* named = std::getenv("RUTILE_CACHE_DIR")) {
    return *named ? cat(named, "/kernels") : "";
  }
  if (const char* caches = std::getenv("XDG_CACHE_HOME"); caches && *caches) {
    return cat(caches, "/rutile/kernels");
  }
  const char* home = std::getenv("HOME");
  return home && *home ? cat(home, "/.cache/rutile/kernels") : "";
}

KernelCache::KernelCache(std::string folder) : folder_(std::move(folder)) {
  if (folder_.empty()) {
    failure_ = "no folder is named for it";
    return;
  }
  std::error_code error;
  const std::filesystem::path path(folder_);
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  (void)mkdir(folder_.c_str(), 0700);
  struct stat s {};
  if (stat(folder_.c_str(), &s) != 0) {
    failure_ = cat("'", folder_, "' cannot be made: ", std::strerror(errno));
  } else if (!S_ISDIR(s.st_mode)) {
    failure_ = cat("'", folder_, "' is no folder");
  } else if (!is_ours(s)) {
    failure_ = cat("'", folder_, "' belongs to somebody else, or others may write to it");
  }
  if (!failure_.empty()) folder_.clear();
}

std::string KernelCache::path(const std::string& key) const {
  if (folder_.empty()) return "";
  return cat(folder_, "/", hash_name(key), hash_name(key + "'s other half"));
}

bool KernelCache::find(const std::string& key, Compiled* out) const {
  if (folder_.empty()) return false;
  // Neither a link nor a pipe is followed or waited for.
  const int fd = open(path(key).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  const bool found = read_entry(fd, key, out);
  close(fd);
  return found;
}

void KernelCache::put(const std::string& key, const Compiled& entry) const {
  if (folder_.empty() || key.size() + entry.log.size() + entry.code.size() > kMostBytes) return;
  static std::atomic<int> count{0};
  const std::string to = path(key), aside = cat(to, ".", getpid(), ".", count++);
  const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return;
  Head h;
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.key = key.size();
  h.log = entry.log.size();
  h.code = entry.code.size();
  h.check = checksum(entry.log) ^ checksum(entry.code);
  const bool written = write_all(fd, &h, sizeof h) && write_all(fd, key.data(), key.size()) &&
                       write_all(fd, entry.log.data(), entry.log.size()) &&
                       write_all(fd, entry.code.data(), entry.code.size());
  if (close(fd) != 0 || !written || rename(aside.c_str(), to.c_str()) != 0) {
    (void)unlink(aside.c_str());
  }
}

}  // namespace rutile::cuda
