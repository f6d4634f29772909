// SPDX-License-Identifier: Apache-2.0
// A temporary file is locked while its writer lives. A cleaner that gets the lock therefore knows
// that the writer is dead, on whatever host or in whatever container it ran; where a file system
// has no locks, nothing is ever removed.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <memory>

#include "rutile/core/log.h"
#include "rutile/core/rng.h"
#include "rutile/io/fd.h"
#include "rutile/io/file.h"

namespace rutile::io {
namespace {

constexpr size_t kBufferBytes = 64 << 10;
constexpr int kHexDigits = 16;
constexpr char kSuffix[] = ".tmp";

struct Target {
  std::string path, folder, name;  // with symbolic links resolved
  mode_t mode = 0;                 // 0: there is no such file yet
};

Target resolve(const std::string& path) {
  Target t;
  t.path = path;
  std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), std::free);
  if (real) t.path = real.get();
  struct stat info;
  if (::stat(t.path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      throw_error(ErrorCode::kIo, cat("cannot save '", path, "': it exists and is not a file"));
    }
    t.mode = info.st_mode & 07777;
  }
  const size_t slash = t.path.rfind('/');
  t.folder = slash == std::string::npos ? "." : t.path.substr(0, std::max<size_t>(slash, 1));
  t.name = slash == std::string::npos ? t.path : t.path.substr(slash + 1);
  if (t.name.empty()) {
    throw_error(ErrorCode::kValue, cat("cannot save '", path, "': this names no file"));
  }
  return t;
}

std::string temp_prefix(const Target& t) { return cat(".", t.name, "."); }

bool is_temp_of(const std::string& entry, const std::string& prefix) {
  const size_t n = prefix.size();
  return entry.size() == n + kHexDigits + sizeof(kSuffix) - 1 && entry.starts_with(prefix) &&
         entry.ends_with(kSuffix) &&
         entry.find_first_not_of("0123456789abcdef", n) == n + kHexDigits;
}

void remove_stale_temps(const Target& t) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(t.folder.c_str()), closedir);
  if (!dir) return;  // creating the temporary file will say why
  const std::string prefix = temp_prefix(t);
  while (const dirent* e = readdir(dir.get())) {
    if (!is_temp_of(e->d_name, prefix)) continue;
    const int at = dirfd(dir.get());
    Fd fd(openat(at, e->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) == 0 && unlinkat(at, e->d_name, 0) == 0) {
      log_line(LogTopic::kCheckpoint,
               cat("removed what an interrupted save left: ", t.folder, "/", e->d_name));
    }
  }
}

std::string hex_name() {
  static std::atomic<uint64_t> calls{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const PhiloxKey key = fold_in(fold_in({static_cast<uint64_t>(now)}, ::getpid()), calls++);
  char text[kHexDigits + 1];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(key.value));
  return text;
}

// A temporary file, removed unless it was renamed.
class TempFile {
 public:
  explicit TempFile(const Target& t) : fd_(-1) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      path_ = cat(t.folder, "/", temp_prefix(t), hex_name(), kSuffix);
      fd_ = Fd(retry(
          [&] { return ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
      if (!fd_ && errno == EEXIST) continue;
      if (!fd_) throw_os_error(cat("cannot create a file in '", t.folder, "'"), errno);
      const bool cleaning = flock(fd_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
      struct stat info;
      if (!cleaning && fstat(fd_.get(), &info) == 0 && info.st_nlink > 0) return;
    }
    throw_error(ErrorCode::kIo, cat("cannot create a temporary file in '", t.folder, "'"));
  }
  ~TempFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  int fd() const { return fd_.get(); }
  void commit(const Target& t) {
    if (t.mode != 0 && fchmod(fd(), t.mode) != 0) throw_os_error("setting permissions", errno);
    if (retry([&] { return fsync(fd()); }) != 0) throw_os_error("writing to disk", errno);
    if (::rename(path_.c_str(), t.path.c_str()) != 0) throw_os_error("renaming", errno);
    path_.clear();
  }

 private:
  Fd fd_;
  std::string path_;
};

void sync_folder(const std::string& folder) {
  Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return;  // a folder that may be written but not read
  const int rc = retry([&] { return fsync(fd.get()); });
  if (rc != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP) {
    throw_os_error(cat("syncing folder '", folder, "'"), errno);
  }
}

void write_all(int fd, const uint8_t* data, size_t bytes, uint64_t position) {
  while (bytes > 0) {
    const ssize_t n =
        retry([&] { return ::write(fd, data, std::min<size_t>(bytes, size_t{1} << 30)); });
    if (n < 0) throw_os_error(cat("writing at offset ", position), errno);
    data += n;
    bytes -= static_cast<size_t>(n);
    position += static_cast<uint64_t>(n);
  }
}

}  // namespace

void FileWriter::write(const void* data, size_t bytes) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  if (buffer_.size() + bytes > kBufferBytes) flush();
  if (bytes > kBufferBytes) {
    write_all(fd_, p, bytes, position_);
  } else {
    buffer_.insert(buffer_.end(), p, p + bytes);
  }
  position_ += bytes;
}

void FileWriter::flush() {
  write_all(fd_, buffer_.data(), buffer_.size(), position_ - buffer_.size());
  buffer_.clear();
}

void atomic_write(const std::string& path, const std::function<void(FileWriter&)>& writer) {
  const Target target = resolve(path);
  remove_stale_temps(target);
  try {
    TempFile temp(target);
    FileWriter out(temp.fd());
    writer(out);
    out.flush();
    temp.commit(target);
  } catch (const Error& e) {
    throw_error(e.code(), cat("cannot save '", path, "': ", e.message(),
                              target.mode != 0 ? "; the file there before is unchanged" : ""));
  }
  sync_folder(target.folder);
}

}  // namespace rutile::io
