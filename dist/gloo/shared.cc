// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/gloo/shared.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <ctime>

#include "rutile/dist/reduce.h"

namespace rutile::dist {

namespace {

using Clock = std::chrono::steady_clock;

// Small enough for what one rank writes to be in the caches when the others read it; two sets of
// them, so that ranks meet once for each piece.
constexpr size_t kSlot = 512 << 10;
constexpr size_t kHead = 4096;
constexpr uint32_t kMagic = 0x52544c53;

size_t bytes_for(int size) { return kHead + 2 * (static_cast<size_t>(size) + 1) * kSlot; }

Status system_error(const char* what) {
  return Status(ErrorCode::kRuntime, cat(what, ": ", std::strerror(errno)));
}

// Between processes.
void futex_wait(std::atomic<uint32_t>* at, uint32_t value, int milliseconds) {
  const timespec t{milliseconds / 1000, (milliseconds % 1000) * 1000000L};
  (void)syscall(SYS_futex, reinterpret_cast<uint32_t*>(at), FUTEX_WAIT, value, &t, nullptr, 0);
}
void futex_wake_all(std::atomic<uint32_t>* at) {
  (void)syscall(SYS_futex, reinterpret_cast<uint32_t*>(at), FUTEX_WAKE, INT_MAX, nullptr, nullptr,
                0);
}
static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4);

}  // namespace

struct SharedRanks::Head {
  std::atomic<uint32_t> magic, size, arrived, phase, broken;
};

char* SharedRanks::slot(int rank, unsigned turn) const {
  const size_t i = turn % 2 * (static_cast<size_t>(size_) + 1) + static_cast<size_t>(rank);
  return reinterpret_cast<char*>(head_) + kHead + i * kSlot;
}
char* SharedRanks::results(unsigned turn) const { return slot(size_, turn); }

Status SharedRanks::map(int file, int rank, int size) {
  bytes_ = bytes_for(size);
  void* const p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (p == MAP_FAILED) return system_error("mmap");
  head_ = static_cast<Head*>(p);
  rank_ = rank;
  size_ = size;
  return Status();
}

Status SharedRanks::create(int size, std::string* name, std::unique_ptr<SharedRanks>* made) {
  static std::atomic<int> number{0};
  const std::string path =
      cat("/rutile-", getpid(), "-", ++number, "-", Clock::now().time_since_epoch().count());
  const int file = shm_open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return system_error("shm_open");
  std::unique_ptr<SharedRanks> s(new SharedRanks);
  s->name_ = path;
  // Memory that is not there would be a signal at the first touch.
  const int missing = posix_fallocate(file, 0, static_cast<off_t>(bytes_for(size)));
  errno = missing;
  Status mapped = missing ? system_error("posix_fallocate") : s->map(file, 0, size);
  ::close(file);
  if (!mapped.ok()) return mapped;
  s->head_->size = static_cast<uint32_t>(size);
  s->head_->magic = kMagic;
  *name = path;
  *made = std::move(s);
  return Status();
}

Status SharedRanks::open(const std::string& name, int rank, int size,
                         std::unique_ptr<SharedRanks>* made) {
  const int file = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return system_error("shm_open");
  std::unique_ptr<SharedRanks> s(new SharedRanks);
  struct stat st {};
  const bool whole = fstat(file, &st) == 0 && static_cast<size_t>(st.st_size) == bytes_for(size);
  Status mapped = whole ? s->map(file, rank, size) : Status(ErrorCode::kRuntime, "another size");
  ::close(file);
  if (!mapped.ok()) return mapped;
  if (s->head_->magic != kMagic || s->head_->size != static_cast<uint32_t>(size)) {
    return Status(ErrorCode::kRuntime, "another memory of this name");
  }
  *made = std::move(s);
  return Status();
}

void SharedRanks::forget_name() {
  if (!name_.empty()) shm_unlink(name_.c_str());
  name_.clear();
}

// Whoever waits for this rank now waits for ever.
SharedRanks::~SharedRanks() {
  forget_name();
  if (!head_) return;
  abort();
  munmap(head_, bytes_);
}

void SharedRanks::abort() {
  head_->broken = 1;
  futex_wake_all(&head_->phase);
}

// All ranks have come this far.
Status SharedRanks::meet() {
  const uint32_t phase = head_->phase;
  if (head_->arrived.fetch_add(1) + 1 == static_cast<uint32_t>(size_)) {
    head_->arrived = 0;
    ++head_->phase;
    futex_wake_all(&head_->phase);
    return Status();
  }
  for (int i = 0; i < 100 && head_->phase == phase; ++i) continue;  // it often is a moment
  while (head_->phase == phase) {
    if (head_->broken) return Status(ErrorCode::kRuntime, "the group was given up");
    if (Clock::now() > until_) return Status(ErrorCode::kRuntime, "Timed out");
    futex_wait(&head_->phase, phase, 100);
  }
  return Status();
}

Status SharedRanks::all_reduce(void* data, size_t count, DType dtype, Reduce reduce) {
  until_ = Clock::now() + timeout_;
  const size_t size = dtype_size(dtype), ranks = static_cast<size_t>(size_);
  const size_t most = kSlot / size, stride = kSlot / size;
  char* const all = static_cast<char*>(data);
  for (size_t first = 0; first < count; first += most) {
    const size_t n = std::min(most, count - first), part = (n + ranks - 1) / ranks;
    const unsigned turn = turn_++;
    std::memcpy(slot(rank_, turn), all + first * size, n * size);
    RUTILE_RETURN_IF_ERROR(meet());
    const size_t own = std::min(static_cast<size_t>(rank_) * part, n);
    reduce_parts(reduce, dtype, slot(0, turn) + own * size, stride, size_,
                 results(turn) + own * size, std::min(part, n - own));
    RUTILE_RETURN_IF_ERROR(meet());
    std::memcpy(all + first * size, results(turn), n * size);
  }
  return Status();
}

Status SharedRanks::reduce_scatter(const void* in, void* out, size_t part, DType dtype,
                                   Reduce reduce) {
  until_ = Clock::now() + timeout_;
  const size_t size = dtype_size(dtype), ranks = static_cast<size_t>(size_);
  const size_t most = kSlot / size / ranks, stride = kSlot / size;
  const char* const all = static_cast<const char*>(in);
  for (size_t first = 0; first < part; first += most) {
    const size_t n = std::min(most, part - first);
    const unsigned turn = turn_++;
    for (size_t r = 0; r < ranks; ++r) {
      std::memcpy(slot(rank_, turn) + r * most * size, all + (r * part + first) * size, n * size);
    }
    RUTILE_RETURN_IF_ERROR(meet());
    reduce_parts(reduce, dtype, slot(0, turn) + static_cast<size_t>(rank_) * most * size, stride,
                 size_, static_cast<char*>(out) + first * size, n);
  }
  return Status();
}

Status SharedRanks::all_gather(const void* in, void* out, size_t bytes) {
  until_ = Clock::now() + timeout_;
  for (size_t first = 0; first < bytes; first += kSlot) {
    const size_t n = std::min(kSlot, bytes - first);
    const unsigned turn = turn_++;
    std::memcpy(slot(rank_, turn), static_cast<const char*>(in) + first, n);
    RUTILE_RETURN_IF_ERROR(meet());
    for (int r = 0; r < size_; ++r) {
      std::memcpy(static_cast<char*>(out) + static_cast<size_t>(r) * bytes + first, slot(r, turn),
                  n);
    }
  }
  return Status();
}

Status SharedRanks::all_to_all(const void* in, void* out, size_t part) {
  until_ = Clock::now() + timeout_;
  const size_t ranks = static_cast<size_t>(size_), most = kSlot / ranks;
  for (size_t first = 0; first < part; first += most) {
    const size_t n = std::min(most, part - first);
    const unsigned turn = turn_++;
    for (size_t r = 0; r < ranks; ++r) {
      std::memcpy(slot(rank_, turn) + r * most, static_cast<const char*>(in) + r * part + first, n);
    }
    RUTILE_RETURN_IF_ERROR(meet());
    for (size_t r = 0; r < ranks; ++r) {
      std::memcpy(static_cast<char*>(out) + r * part + first,
                  slot(static_cast<int>(r), turn) + static_cast<size_t>(rank_) * most, n);
    }
  }
  return Status();
}

Status SharedRanks::broadcast(void* data, size_t bytes, int root) {
  until_ = Clock::now() + timeout_;
  for (size_t first = 0; first < bytes; first += kSlot) {
    const size_t n = std::min(kSlot, bytes - first);
    const unsigned turn = turn_++;
    char* const own = static_cast<char*>(data) + first;
    if (rank_ == root) std::memcpy(slot(root, turn), own, n);
    RUTILE_RETURN_IF_ERROR(meet());
    if (rank_ != root) std::memcpy(own, slot(root, turn), n);
  }
  return Status();
}

}  // namespace rutile::dist
