// SPDX-License-Identifier: Apache-2.0
// What the files of io/ share below their public headers.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "rutile/core/error.h"
#include "rutile/io/file.h"

namespace rutile::io {

// "<what>: No space left on device", with the ErrorCode that fits.
[[noreturn]] void throw_os_error(std::string_view what, int error);
std::string os_message(int error);

// Repeats a system call that a signal interrupted.
template <class F>
auto retry(F&& call) {
  auto r = call();
  while (r < 0 && errno == EINTR) r = call();
  return r;
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Memory that grows by realloc, which moves large blocks without copying them.
struct MallocBuffer {
  explicit MallocBuffer(std::string n) : name(std::move(n)) {}
  MallocBuffer(const MallocBuffer&) = delete;
  MallocBuffer& operator=(const MallocBuffer&) = delete;
  ~MallocBuffer() { std::free(data); }
  void reserve(size_t bytes) {
    if (bytes <= capacity) return;
    void* p = std::realloc(data, bytes);
    if (p == nullptr) {
      throw_error(ErrorCode::kOutOfMemory, cat("no memory for ", bytes, " bytes of '", name, "'"));
    }
    data = static_cast<unsigned char*>(p);
    capacity = bytes;
  }
  Ref<Blob> release() {
    if (void* p = std::realloc(data, size > 0 ? size : 1)) data = static_cast<unsigned char*>(p);
    return make_ref<Blob>(std::exchange(data, nullptr), size, false, std::move(name));
  }
  unsigned char* data = nullptr;
  size_t size = 0, capacity = 0;
  std::string name;
};

}  // namespace rutile::io
