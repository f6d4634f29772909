// SPDX-License-Identifier: Apache-2.0
// A stand-in for libnccl with its symbols: processes of one machine over shared memory, as work on
// the streams of the pretended device. dist/nccl/nccl.cc is built with it as
// librutile_nccl_fake.so.
#include <dlfcn.h>
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/dist/reduce.h"

namespace {

using rutile::DType;
using rutile::Reduce;

constexpr int kMostRanks = 8;
constexpr size_t kSlot = 256 << 10, kMail = 32 << 10;

struct Mail {  // of one direction between two ranks
  std::atomic<uint64_t> written, read;
  char bytes[kMail];
};

// All zero at first.
struct Shared {
  std::atomic<int> joined, broken;
  std::atomic<uint64_t> arrived;
  char slots[kMostRanks][kSlot];
  Mail mail[kMostRanks][kMostRanks];
};

struct Comm {
  Shared* shared = nullptr;
  int rank = 0, size = 1;
  uint64_t barriers = 0;
  std::atomic<bool> aborted{false};
  ~Comm() { munmap(shared, sizeof(Shared)); }
  bool given_up() const { return aborted || shared->broken; }

  // False: somebody gave up.
  template <class F>
  bool until(F&& there) const {
    while (!there()) {
      if (given_up()) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    return true;
  }
  bool barrier() {
    const uint64_t all = ++barriers * static_cast<uint64_t>(size);
    ++shared->arrived;
    return until([&] { return shared->arrived >= all; });
  }
};

template <class Fn>
Fn* fake_function(const char* name) {
  void* const library = dlopen("librutile_fake.so", RTLD_NOW | RTLD_NOLOAD);
  return reinterpret_cast<Fn*>(library ? dlsym(library, name) : nullptr);
}

char* memory(const void* p) {
  static auto* const fn = fake_function<void*(const void*)>("rutile_fake_memory");
  return static_cast<char*>(fn(p));
}

using Job = std::function<bool()>;

std::atomic<bool> g_break_next{false};

// As with NCCL, what is given up ends without an error of its stream, and its memory has anything.
ncclResult_t enqueue(cudaStream_t stream, Job job) {
  static auto* const fn = fake_function<int(void*, int (*)(void*), void*)>("rutile_fake_enqueue");
  // Captured work runs more than once, so that nobody knows when its job is of no more use.
  auto* const kept = new Job(std::move(job));
  const int failed = fn(
      stream,
      [](void* j) {
        (void)(*static_cast<Job*>(j))();
        return 0;
      },
      kept);
  return failed ? ncclUnhandledCudaError : ncclSuccess;
}

DType dtype_of(ncclDataType_t t) {
  constexpr DType kTypes[] = {DType::kI8,  DType::kU8,  DType::kI32, DType::kU32, DType::kI64,
                              DType::kU64, DType::kF16, DType::kF32, DType::kF64, DType::kBF16};
  return kTypes[static_cast<int>(t)];
}
Reduce reduce_of(ncclRedOp_t op) {
  constexpr Reduce kReduces[] = {Reduce::kSum, Reduce::kProd, Reduce::kMax, Reduce::kMin,
                                 Reduce::kMean};
  return kReduces[static_cast<int>(op)];
}

using CommPtr = std::shared_ptr<Comm>;

// Calls use(first, n) for parts of `count` elements, when every rank's part stands in its slot.
template <class F>
bool exchange(Comm& c, const char* in, size_t count, size_t size, F&& use) {
  if (g_break_next.exchange(false)) c.shared->broken = 1;
  if (c.given_up()) return false;
  for (size_t first = 0; first < count; first += kSlot / size) {
    const size_t n = std::min(kSlot / size, count - first);
    if (in) std::memcpy(c.shared->slots[c.rank], in + first * size, n * size);
    if (!c.barrier()) return false;
    use(first, n);
    if (!c.barrier()) return false;
  }
  return true;
}

struct Transfer {
  char* at;
  size_t left;
  Mail* mail;
  bool sends;
  // Whether it moved.
  bool go() {
    const bool full = mail->written > mail->read;
    if (left == 0 || full == sends) return false;
    const size_t n = std::min(left, kMail);
    std::memcpy(sends ? mail->bytes : at, sends ? at : mail->bytes, n);
    at += n;
    left -= n;
    ++(sends ? mail->written : mail->read);
    return true;
  }
};

struct Group {
  int depth = 0;
  CommPtr comm;
  cudaStream_t stream = nullptr;
  std::vector<Transfer> transfers;
};
Group& group() {
  static thread_local Group g;
  return g;
}

}  // namespace

struct ncclComm {
  CommPtr comm;
};

extern "C" {

// The next collective that this process runs fails on all ranks; only who asks for errors hears it.
RUTILE_API void rutile_nccl_break_next() { g_break_next = true; }

cudaError_t cudaSetDevice(int) { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error of CUDA"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> made{0};
  std::memset(id->internal, 0, sizeof id->internal);
  std::snprintf(id->internal, sizeof id->internal, "/rutile-nccl-%d-%d", getpid(), ++made);
  const int file = shm_open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return ncclSystemError;
  close(file);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (size > kMostRanks || config->blocking != 0) return ncclInvalidArgument;
  const int file = shm_open(id.internal, O_RDWR, 0600);
  if (file < 0) return ncclSystemError;
  void* const p = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (p == MAP_FAILED) return ncclSystemError;
  auto c = std::make_shared<Comm>();
  c->shared = static_cast<Shared*>(p);
  c->rank = rank;
  c->size = size;
  if (++c->shared->joined == size) shm_unlink(id.internal);
  *comm = new ncclComm{std::move(c)};
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->comm->aborted = true;
  comm->comm->shared->broken = 1;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const Comm& c = *comm->comm;
  *error = c.shared->joined < c.size ? ncclInProgress
           : c.shared->broken        ? ncclRemoteError
                                     : ncclSuccess;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t r) {
  return r == ncclSuccess       ? "no error"
         : r == ncclRemoteError ? "remote process exited"
                                : "an error";
}
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return enqueue(stream, [=, c = comm->comm] {
    const DType t = dtype_of(type);
    const size_t size = rutile::dtype_size(t);
    char* const to = memory(out);
    return exchange(*c, memory(in), count, size, [&](size_t first, size_t n) {
      rutile::dist::reduce_parts(reduce_of(op), t, c->shared->slots, kSlot / size, c->size,
                                 to + first * size, n);
    });
  });
}

ncclResult_t ncclReduceScatter(const void* in, void* out, size_t part, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return enqueue(stream, [=, c = comm->comm] {
    const DType t = dtype_of(type);
    const size_t size = rutile::dtype_size(t);
    char* const to = memory(out);
    for (int r = 0; r < c->size; ++r) {
      const char* const from = memory(in) + static_cast<size_t>(r) * part * size;
      const bool well = exchange(*c, from, part, size, [&](size_t first, size_t n) {
        if (r != c->rank) return;
        rutile::dist::reduce_parts(reduce_of(op), t, c->shared->slots, kSlot / size, c->size,
                                   to + first * size, n);
      });
      if (!well) return false;
    }
    return true;
  });
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return enqueue(stream, [=, c = comm->comm] {
    const size_t size = rutile::dtype_size(dtype_of(type));
    char* const to = memory(out);
    return exchange(*c, memory(in), count, size, [&](size_t first, size_t n) {
      for (int r = 0; r < c->size; ++r) {
        std::memcpy(to + (static_cast<size_t>(r) * count + first) * size, c->shared->slots[r],
                    n * size);
      }
    });
  });
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return enqueue(stream, [=, c = comm->comm] {
    const size_t size = rutile::dtype_size(dtype_of(type));
    char* const to = memory(out);
    return exchange(*c, c->rank == root ? memory(in) : nullptr, count, size,
                    [&](size_t first, size_t n) {
                      std::memcpy(to + first * size, c->shared->slots[root], n * size);
                    });
  });
}

ncclResult_t ncclGroupStart() {
  ++group().depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  Group& g = group();
  if (--g.depth > 0 || g.transfers.empty()) return ncclSuccess;
  const cudaStream_t stream = g.stream;
  Job job = [c = std::move(g.comm), all = std::move(g.transfers)] {
    std::vector<Transfer> left = all;
    return c->until([&] {
      bool moved = true, done = true;
      while (moved) {
        moved = false;
        for (Transfer& t : left) moved = t.go() || moved;
      }
      for (const Transfer& t : left) done = done && t.left == 0;
      return done;
    });
  };
  g = Group();
  return enqueue(stream, std::move(job));
}

static ncclResult_t transfer(const void* p, size_t count, ncclDataType_t type, int peer,
                             ncclComm_t comm, cudaStream_t stream, bool sends) {
  Group& g = group();
  ++g.depth;
  const CommPtr& c = comm->comm;
  g.comm = c;
  g.stream = stream;
  Mail& mail = sends ? c->shared->mail[c->rank][peer] : c->shared->mail[peer][c->rank];
  g.transfers.push_back({memory(p), count * rutile::dtype_size(dtype_of(type)), &mail, sends});
  return ncclGroupEnd();
}
ncclResult_t ncclSend(const void* in, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return transfer(in, count, type, peer, comm, stream, true);
}
ncclResult_t ncclRecv(void* out, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return transfer(out, count, type, peer, comm, stream, false);
}

}  // extern "C"
