// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "rutile/core/error.h"
#include "rutile/io/fd.h"

namespace rutile::io {

void throw_os_error(std::string_view what, int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound
                         : error == ENOMEM                   ? ErrorCode::kOutOfMemory
                                                             : ErrorCode::kIo;
  throw_error(code, cat(what, ": ", os_message(error)));
}

std::string os_message(int error) { return std::generic_category().message(error); }

void format_error(const std::string& name, uint64_t offset, std::string_view what) {
  throw_error(ErrorCode::kValue, cat("'", name, "' at offset ", offset, ": ", what));
}

Blob::~Blob() {
  if (mapped_) {
    munmap(data_, size_);
  } else {
    std::free(data_);
  }
}

Ref<Blob> copy_bytes(const void* data, size_t bytes, std::string name) {
  void* p = std::malloc(std::max<size_t>(bytes, 1));
  if (p == nullptr) {
    throw_error(ErrorCode::kOutOfMemory, cat("no memory for ", bytes, " bytes of '", name, "'"));
  }
  if (bytes > 0) std::memcpy(p, data, bytes);
  return make_ref<Blob>(static_cast<uint8_t*>(p), bytes, false, std::move(name));
}

namespace {

struct OpenFile {
  Fd fd;
  struct stat info;
};

OpenFile open_for_reading(const std::string& path) {
  OpenFile f{Fd(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); })), {}};
  if (!f.fd || fstat(f.fd.get(), &f.info) != 0) {
    throw_os_error(cat("cannot open '", path, "'"), errno);
  }
  if (S_ISDIR(f.info.st_mode)) {
    throw_error(ErrorCode::kIo, cat("cannot read '", path, "': it is a directory"));
  }
  return f;
}

[[noreturn]] void too_large(const std::string& path, uint64_t bytes, uint64_t max_bytes) {
  throw_error(ErrorCode::kValue, cat("'", path, "' has ", bytes, " bytes or more, at most ",
                                     max_bytes, " are accepted"));
}

}  // namespace

Ref<Blob> read_file(const std::string& path, uint64_t max_bytes) {
  OpenFile f = open_for_reading(path);
  const uint64_t known = S_ISREG(f.info.st_mode) ? static_cast<uint64_t>(f.info.st_size) : 0;
  if (known > max_bytes) too_large(path, known, max_bytes);
  // A pipe or a file of /proc does not tell its size: the buffer grows with what comes.
  MallocBuffer buffer(path);
  buffer.reserve(known + 1);
  while (true) {
    if (buffer.size == buffer.capacity) buffer.reserve(buffer.capacity * 2);
    const size_t room = std::min<size_t>(buffer.capacity - buffer.size, size_t{1} << 30);
    const ssize_t n = retry([&] { return ::read(f.fd.get(), buffer.data + buffer.size, room); });
    if (n < 0) throw_os_error(cat("cannot read '", path, "' at offset ", buffer.size), errno);
    if (n == 0) break;
    buffer.size += static_cast<size_t>(n);
    if (buffer.size > max_bytes) too_large(path, buffer.size, max_bytes);
  }
  return buffer.release();
}

Ref<Blob> map_file(const std::string& path) {
  OpenFile f = open_for_reading(path);
  if (!S_ISREG(f.info.st_mode)) {
    throw_error(ErrorCode::kIo, cat("cannot map '", path, "': it is not a regular file"));
  }
  const size_t size = static_cast<size_t>(f.info.st_size);
  if (size == 0) return copy_bytes(nullptr, 0, path);
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, f.fd.get(), 0);
  if (p == MAP_FAILED) throw_os_error(cat("cannot map '", path, "' (", size, " bytes)"), errno);
  return make_ref<Blob>(static_cast<uint8_t*>(p), size, true, path);
}

}  // namespace rutile::io
