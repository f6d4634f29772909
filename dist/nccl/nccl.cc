// SPDX-License-Identifier: Apache-2.0
// librutile_nccl.so: collectives between GPUs by NCCL, queued on the stream they are given.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "rutile/dist/backend.h"
#include "rutile_build_id.h"

// Tests build it for their pretended device.
#ifndef RUTILE_NCCL_DEVICE
#define RUTILE_NCCL_DEVICE kCuda
#endif

namespace rutile::dist {
namespace {

using Clock = std::chrono::steady_clock;

struct Comm {
  ncclComm_t comm = nullptr;
  int size = 1, device = 0;
  std::mutex mutex;      // of NCCL's calls with this communicator
  bool aborted = false;  // there is no communicator any more
  std::chrono::milliseconds timeout{0};
};

// What NCCL says, with its last words on it.
Status failed(ncclResult_t r, ncclComm_t comm = nullptr) {
  const char* const more = ncclGetLastError(comm);
  return Status(ErrorCode::kRuntime,
                cat("NCCL: ", ncclGetErrorString(r), more && *more ? ": " : "", more ? more : ""));
}
Status failed(cudaError_t e) { return Status(ErrorCode::kRuntime, cudaGetErrorString(e)); }

bool good(ncclResult_t r) { return r == ncclSuccess; }
bool good(cudaError_t e) { return e == cudaSuccess; }

#define RUTILE_TRY(expr)                               \
  do {                                                 \
    if (const auto result_ = (expr); !good(result_)) { \
      return failed(result_);                          \
    }                                                  \
  } while (0)

Status given_up() { return Status(ErrorCode::kRuntime, "the communicator was given up"); }

// From any thread. What runs with the communicator ends.
void abort(void* comm) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  const std::lock_guard lock(c.mutex);
  if (!c.aborted && c.comm) ncclCommAbort(c.comm);
  c.aborted = true;
}

Status state_of(Comm& c, ncclResult_t* r) {
  const std::lock_guard lock(c.mutex);
  if (c.aborted) return given_up();
  RUTILE_TRY(ncclCommGetAsyncError(c.comm, r));
  return Status();
}

// Communicators are non-blocking, so that a time-out can end what a lost peer would keep for ever.
Status settle(Comm& c, ncclResult_t r, Clock::time_point deadline) {
  while (r == ncclInProgress) {
    if (Clock::now() > deadline) {
      abort(&c);
      return Status(ErrorCode::kRuntime, "Timed out");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    RUTILE_RETURN_IF_ERROR(state_of(c, &r));
  }
  return r == ncclSuccess ? Status() : failed(r, c.aborted ? nullptr : c.comm);
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

// What the user set stands.
void set_variables(const CommOptions& o) {
  if (!o.interface.empty()) setenv("NCCL_SOCKET_IFNAME", ("=" + o.interface).c_str(), 0);
  // Ranks may capture a step at different times; registered buffers would have to be captured by
  // all at once.
  setenv("NCCL_GRAPH_REGISTER", "0", 0);
}

Status connect(const CommOptions& o, void** comm) noexcept {
  static std::once_flag once;
  std::call_once(once, set_variables, o);
  ncclUniqueId id;
  if (o.rank == 0) {
    RUTILE_TRY(ncclGetUniqueId(&id));
    RUTILE_RETURN_IF_ERROR(
        o.meeting.set(o.meeting.store, "nccl", std::string(id.internal, sizeof id.internal)));
  } else {
    std::string value;
    RUTILE_RETURN_IF_ERROR(o.meeting.get(o.meeting.store, "nccl", o.connect_timeout, &value));
    if (value.size() != sizeof id.internal) {
      return Status(ErrorCode::kRuntime, "rank 0 uses another version of NCCL");
    }
    std::memcpy(id.internal, value.data(), value.size());
  }
  RUTILE_TRY(cudaSetDevice(o.device));
  auto c = std::make_unique<Comm>();
  c->size = o.size;
  c->device = o.device;
  c->timeout = milliseconds(o.timeout);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t r = ncclCommInitRankConfig(&c->comm, o.size, id, o.rank, &config);
  if (Status s = settle(*c, r, Clock::now() + milliseconds(o.connect_timeout)); !s.ok()) {
    abort(c.get());
    return s;
  }
  *comm = c.release();
  return Status();
}

void destroy(void* comm) noexcept {
  auto* c = static_cast<Comm*>(comm);
  if (c->comm && !c->aborted) ncclCommDestroy(c->comm);
  delete c;
}

Status dtype_of(DType t, ncclDataType_t* out) {
  switch (t) {
    case DType::kBool:
    case DType::kU8:
      return *out = ncclUint8, Status();
    case DType::kI8:
      return *out = ncclInt8, Status();
    case DType::kI32:
      return *out = ncclInt32, Status();
    case DType::kU32:
      return *out = ncclUint32, Status();
    case DType::kI64:
      return *out = ncclInt64, Status();
    case DType::kU64:
      return *out = ncclUint64, Status();
    case DType::kF16:
      return *out = ncclFloat16, Status();
    case DType::kBF16:
      return *out = ncclBfloat16, Status();
    case DType::kF32:
      return *out = ncclFloat32, Status();
    case DType::kF64:
      return *out = ncclFloat64, Status();
    default:
      return Status(ErrorCode::kUnsupported, cat("NCCL has no ", t));
  }
}

ncclRedOp_t reduction(Reduce r) {
  constexpr ncclRedOp_t kOps[] = {ncclSum, ncclAvg, ncclMax, ncclMin, ncclProd};
  return kOps[static_cast<int>(r)];
}

Status poll(void* comm) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  ncclResult_t r = ncclSuccess;
  RUTILE_RETURN_IF_ERROR(state_of(c, &r));
  return r == ncclSuccess || r == ncclInProgress ? Status() : failed(r, c.comm);
}

// Queues what `f` calls.
template <class F>
Status enqueue(void* comm, void* stream, F&& f) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  const auto deadline = Clock::now() + c.timeout;
  RUTILE_TRY(cudaSetDevice(c.device));
  ncclResult_t r = ncclSuccess;
  {
    const std::lock_guard lock(c.mutex);
    if (c.aborted) return given_up();
    r = f(c, static_cast<cudaStream_t>(stream));
  }
  return settle(c, r, deadline);
}

Status all_reduce(void* comm, const void* in, void* out, int64_t count, DType dtype, Reduce reduce,
                  void* stream) noexcept {
  ncclDataType_t t;
  RUTILE_RETURN_IF_ERROR(dtype_of(dtype, &t));
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    return ncclAllReduce(in, out, static_cast<size_t>(count), t, reduction(reduce), c.comm, s);
  });
}

Status reduce_scatter(void* comm, const void* in, void* out, int64_t count, DType dtype,
                      Reduce reduce, void* stream) noexcept {
  ncclDataType_t t;
  RUTILE_RETURN_IF_ERROR(dtype_of(dtype, &t));
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    const size_t part = static_cast<size_t>(count) / static_cast<size_t>(c.size);
    return ncclReduceScatter(in, out, part, t, reduction(reduce), c.comm, s);
  });
}

// What only moves, moves as bytes.
size_t bytes_of(int64_t count, DType dtype) {
  return static_cast<size_t>(count) * dtype_size(dtype);
}

Status all_gather(void* comm, const void* in, void* out, int64_t count, DType dtype,
                  void* stream) noexcept {
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    return ncclAllGather(in, out, bytes_of(count, dtype), ncclUint8, c.comm, s);
  });
}

Status all_to_all(void* comm, const void* in, void* out, int64_t count, DType dtype,
                  void* stream) noexcept {
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    const size_t part = bytes_of(count, dtype) / static_cast<size_t>(c.size);
    ncclResult_t r = ncclGroupStart();
    for (int p = 0; p < c.size && r == ncclSuccess; ++p) {
      const size_t at = static_cast<size_t>(p) * part;
      r = ncclSend(static_cast<const char*>(in) + at, part, ncclUint8, p, c.comm, s);
      if (r == ncclSuccess) {
        r = ncclRecv(static_cast<char*>(out) + at, part, ncclUint8, p, c.comm, s);
      }
    }
    const ncclResult_t end = ncclGroupEnd();
    return r == ncclSuccess ? end : r;
  });
}

Status broadcast(void* comm, void* data, int64_t count, DType dtype, int root,
                 void* stream) noexcept {
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    return ncclBroadcast(data, data, bytes_of(count, dtype), ncclUint8, root, c.comm, s);
  });
}

Status send(void* comm, const void* data, int64_t count, DType dtype, int peer,
            void* stream) noexcept {
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    return ncclSend(data, bytes_of(count, dtype), ncclUint8, peer, c.comm, s);
  });
}

Status recv(void* comm, void* data, int64_t count, DType dtype, int peer, void* stream) noexcept {
  return enqueue(comm, stream, [&](Comm& c, cudaStream_t s) {
    return ncclRecv(data, bytes_of(count, dtype), ncclUint8, peer, c.comm, s);
  });
}

}  // namespace
}  // namespace rutile::dist

extern "C" RUTILE_API const rutile::dist::CommPlugin* rutile_comm_plugin() noexcept {
  using namespace rutile::dist;
  static const CommPlugin plugin{.abi = kCommAbi,
                                 .build = RUTILE_BUILD_ID,
                                 .name = "nccl",
                                 .device = rutile::DeviceType::RUTILE_NCCL_DEVICE,
                                 .functions = {.connect = connect,
                                               .destroy = destroy,
                                               .abort = abort,
                                               .poll = poll,
                                               .exchange = nullptr,
                                               .all_reduce = all_reduce,
                                               .reduce_scatter = reduce_scatter,
                                               .all_gather = all_gather,
                                               .all_to_all = all_to_all,
                                               .broadcast = broadcast,
                                               .send = send,
                                               .recv = recv}};
  return &plugin;
}
