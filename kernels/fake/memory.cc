// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/fake/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rutile::fake {
namespace {
constexpr size_t kPage = 4096;
size_t round_up(size_t n) { return (n + kPage - 1) / kPage * kPage; }

Status system_error(const char* what) {
  return Status(ErrorCode::kRuntime, cat(what, ": ", std::strerror(errno)));
}
}  // namespace

Memory::Memory(size_t bytes) : bytes_(round_up(bytes)) {}

Status Memory::start() {
  file_ = ::memfd_create("rutile-fake", MFD_CLOEXEC);
  if (file_ < 0) return system_error("memfd_create");
  if (::ftruncate(file_, static_cast<off_t>(bytes_)) != 0) return system_error("ftruncate");
  constexpr int kFlags = MAP_SHARED | MAP_NORESERVE;
  void* device = ::mmap(nullptr, bytes_, PROT_NONE, kFlags, file_, 0);
  void* host = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, kFlags, file_, 0);
  if (device == MAP_FAILED || host == MAP_FAILED) return system_error("mmap");
  device_ = static_cast<char*>(device);
  host_ = static_cast<char*>(host);
  return Status();
}

// First fit.
Status Memory::allocate(size_t bytes, void** out) {
  const size_t size = round_up(bytes > 0 ? bytes : 1);
  std::lock_guard lock(mutex_);
  const size_t limit = limit_ > 0 && limit_ < bytes_ ? limit_ : bytes_;
  size_t at = 0;
  for (const auto& [offset, length] : used_) {
    if (offset - at >= size) break;
    at = offset + length;
  }
  if (used_bytes_ + size > limit || at + size > bytes_) {
    return Status(ErrorCode::kOutOfMemory, "the device has no such piece of memory left");
  }
  used_[at] = size;
  used_bytes_ += size;
  *out = device_ + at;
  return Status();
}

Status Memory::release(void* p) {
  std::lock_guard lock(mutex_);
  const auto it = used_.find(static_cast<size_t>(static_cast<char*>(p) - device_));
  if (it == used_.end()) return Status(ErrorCode::kInternal, "released what was not allocated");
  // Gives the pages back: who still uses them reads zeros.
  (void)::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(it->first), static_cast<off_t>(it->second));
  used_bytes_ -= it->second;
  used_.erase(it);
  return Status();
}

void Memory::info(int64_t* free_bytes, int64_t* total_bytes) {
  std::lock_guard lock(mutex_);
  const size_t limit = limit_ > 0 && limit_ < bytes_ ? limit_ : bytes_;
  *total_bytes = static_cast<int64_t>(limit);
  *free_bytes = static_cast<int64_t>(limit > used_bytes_ ? limit - used_bytes_ : 0);
}

void Memory::set_limit(size_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
}

}  // namespace rutile::fake
