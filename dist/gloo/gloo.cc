// SPDX-License-Identifier: Apache-2.0
// librutile_gloo.so: collectives between processes over TCP, by Gloo; those of one host exchange
// large tensors over shared memory.
#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/alltoall.h>
#include <gloo/broadcast.h>
#include <gloo/context.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "rutile/dist/backend.h"
#include "rutile/dist/gloo/shared.h"
#include "rutile/dist/reduce.h"
#include "rutile_build_id.h"

namespace rutile::dist {
namespace {

using Milliseconds = std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// Gloo's own collectives take the slots from 0 on.
constexpr uint64_t kExchangeSlot = 0x5275740000000001, kMessageSlot = 0x5275740000000002;

// Gloo's rendezvous on ours. Errors cross Gloo as its own exceptions.
class GlooStore final : public gloo::rendezvous::Store {
 public:
  explicit GlooStore(const CommOptions& o) : o_(o) {}
  void set(const std::string& key, const std::vector<char>& data) override {
    check(o_.meeting.set(o_.meeting.store, key, std::string(data.begin(), data.end())));
  }
  std::vector<char> get(const std::string& key) override {
    std::string value;
    check(o_.meeting.get(o_.meeting.store, key, o_.connect_timeout, &value));
    return std::vector<char>(value.begin(), value.end());
  }
  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) get(key);
  }

 private:
  static void check(const Status& s) {
    if (!s.ok()) throw gloo::IoException(s.message());
  }
  const CommOptions& o_;
};

struct Comm {
  std::shared_ptr<gloo::rendezvous::Context> context;
  std::vector<char> scratch;
  std::unique_ptr<SharedRanks> shared;  // null: over TCP
  int rank = 0, size = 1;

  char* take_scratch(size_t bytes) {
    if (scratch.size() < bytes) scratch.resize(bytes);
    return scratch.data();
  }
};

void check(const Status& s) {
  if (!s.ok()) throw_error(s.code(), s.message());
}

// Runs `f`; its exceptions become a Status.
template <class F>
Status guarded(F&& f) noexcept {
  try {
    f();
    return Status();
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const std::exception& e) {
    std::string text = e.what();
    // "[/build/gloo/transport/tcp/pair.cc:598] Connection closed by peer [127.0.0.1]:4711"
    if (const size_t end = text.find("] "); text.starts_with('[') && end != std::string::npos) {
      text = text.substr(end + 2);
    }
    return Status(ErrorCode::kRuntime, text);
  }
}

Status exchange(void* comm, const void* mine, size_t bytes, void* all) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    auto* to = static_cast<char*>(all);
    std::memcpy(to + static_cast<size_t>(c.rank) * bytes, mine, bytes);
    auto out = c.context->createUnboundBuffer(const_cast<void*>(mine), bytes);
    auto in = c.context->createUnboundBuffer(to, bytes * static_cast<size_t>(c.size));
    for (int r = 0; r < c.size; ++r) {
      if (r != c.rank) in->recv(r, kExchangeSlot, static_cast<size_t>(r) * bytes, bytes);
    }
    for (int k = 1; k < c.size; ++k) out->send((c.rank + k) % c.size, kExchangeSlot);
    const Deadline deadline = Clock::now() + c.context->getTimeout();
    for (int k = 1; k < c.size; ++k) in->waitRecv(deadline);
    for (int k = 1; k < c.size; ++k) out->waitSend(deadline);
  });
}

// Shared memory if all ranks find it: they may be in containers that do not share any.
void meet_in_memory(const CommOptions& o, Comm& c) {
  std::unique_ptr<SharedRanks> made;
  std::string name;
  if (o.rank == 0) {
    if (!SharedRanks::create(o.size, &name, &made).ok()) name = "none";
    const Status told = o.meeting.set(o.meeting.store, "memory", name);
    if (!told.ok()) throw gloo::IoException(told.message());
  } else {
    const Status told = o.meeting.get(o.meeting.store, "memory", o.connect_timeout, &name);
    if (!told.ok()) throw gloo::IoException(told.message());
    if (name != "none") (void)SharedRanks::open(name, o.rank, o.size, &made).ok();
  }
  const char well = made ? 1 : 0;
  std::vector<char> all(static_cast<size_t>(o.size), 0);
  if (Status s = exchange(&c, &well, 1, all.data()); !s.ok()) {
    throw gloo::IoException(s.message());
  }
  if (made) made->forget_name();
  if (std::find(all.begin(), all.end(), 0) != all.end()) return;
  made->set_timeout(Milliseconds(static_cast<int64_t>(o.timeout * 1000)));
  c.shared = std::move(made);
}

Status connect(const CommOptions& o, void** comm) noexcept {
  return guarded([&] {
    gloo::transport::tcp::attr attr;
    attr.iface = o.interface;
    if (o.interface.empty()) attr.hostname = o.address;
    auto device = gloo::transport::tcp::CreateDevice(attr);
    auto c = std::make_unique<Comm>();
    c->rank = o.rank;
    c->size = o.size;
    c->context = std::make_shared<gloo::rendezvous::Context>(o.rank, o.size);
    c->context->setTimeout(Milliseconds(static_cast<int64_t>(o.connect_timeout * 1000)));
    GlooStore store(o);
    c->context->connectFullMesh(store, device);
    if (o.one_host && o.size > 1) meet_in_memory(o, *c);
    c->context->setTimeout(Milliseconds(static_cast<int64_t>(o.timeout * 1000)));
    *comm = c.release();
  });
}

void destroy(void* comm) noexcept { delete static_cast<Comm*>(comm); }

// A wait that fails by time makes Gloo close every connection, which ends all other waits.
void abort(void* comm) noexcept {
  auto& context = static_cast<Comm*>(comm)->context;
  if (const auto& shared = static_cast<Comm*>(comm)->shared) shared->abort();
  (void)guarded([&] {
    char byte = 0;
    auto buffer = context->createUnboundBuffer(&byte, 1);
    buffer->waitRecv(nullptr, Milliseconds(1));
  });
}

void run_all_reduce(Comm& c, void* data, int64_t count, DType dtype, Reduce reduce) {
  gloo::AllreduceOptions options(c.context);
  const auto n = static_cast<size_t>(count);
  const size_t size = dtype_size(dtype);
  const ReduceFn fn = reduce_function(reduce, dtype);
  options.setReduceFunction(
      [fn](void* o, const void* a, const void* b, size_t k) { fn(o, a, b, k); });
  // Gloo asks the element type for its size alone.
  switch (size) {
    case 1:
      options.setOutput(static_cast<uint8_t*>(data), n);
      break;
    case 2:
      options.setOutput(static_cast<uint16_t*>(data), n);
      break;
    case 4:
      options.setOutput(static_cast<uint32_t*>(data), n);
      break;
    case 8:
      options.setOutput(static_cast<uint64_t*>(data), n);
      break;
    default: {
      struct Wide {
        uint64_t v[2];
      };
      options.setOutput(static_cast<Wide*>(data), n);
    }
  }
  gloo::allreduce(options);
}

void run_all_to_all(Comm& c, const void* in, void* out, size_t bytes) {
  gloo::AlltoallOptions options(c.context);
  options.setInput(static_cast<char*>(const_cast<void*>(in)), bytes);
  options.setOutput(static_cast<char*>(out), bytes);
  gloo::alltoall(options);
}

void run_all_gather(Comm& c, const void* in, void* out, size_t bytes) {
  gloo::AllgatherOptions options(c.context);
  options.setInput(static_cast<char*>(const_cast<void*>(in)), bytes);
  options.setOutput(static_cast<char*>(out), bytes * static_cast<size_t>(c.size));
  gloo::allgather(options);
}

// f16 and bf16: each rank adds up its part of all tensors in f32, rounds once and shows it to the
// others. As many bytes as in a ring.
void all_reduce_low(Comm& c, void* data, int64_t count, DType dtype, Reduce reduce) {
  const size_t size = dtype_size(dtype), ranks = static_cast<size_t>(c.size);
  const size_t n = static_cast<size_t>(count), part = (n + ranks - 1) / ranks;
  char* all = c.take_scratch(2 * part * ranks * size);
  char* parts = all + part * ranks * size;
  std::memcpy(all, data, n * size);
  std::memset(all + n * size, 0, (part * ranks - n) * size);
  run_all_to_all(c, all, parts, part * ranks * size);
  reduce_parts(reduce, dtype, parts, part, c.size, parts, part);
  run_all_gather(c, parts, all, part * size);
  std::memcpy(data, all, n * size);
}

Status all_reduce(void* comm, const void* in, void* out, int64_t count, DType dtype, Reduce reduce,
                  void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    const auto n = static_cast<size_t>(count);
    if (in != out) std::memcpy(out, in, n * dtype_size(dtype));
    if (c.shared) return check(c.shared->all_reduce(out, n, dtype, reduce));
    const bool sum = reduce == Reduce::kSum || reduce == Reduce::kMean;
    if (is_low_precision(dtype) && sum) return all_reduce_low(c, out, count, dtype, reduce);
    run_all_reduce(c, out, count, dtype, reduce);
    if (reduce == Reduce::kMean) divide(out, n, dtype, c.size);
  });
}

Status reduce_scatter(void* comm, const void* in, void* out, int64_t count, DType dtype,
                      Reduce reduce, void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    const size_t bytes = static_cast<size_t>(count) * dtype_size(dtype);
    const size_t part = static_cast<size_t>(count) / static_cast<size_t>(c.size);
    if (c.shared) return check(c.shared->reduce_scatter(in, out, part, dtype, reduce));
    char* parts = c.take_scratch(bytes);
    run_all_to_all(c, in, parts, bytes);
    reduce_parts(reduce, dtype, parts, part, c.size, out, part);
  });
}

Status all_gather(void* comm, const void* in, void* out, int64_t count, DType dtype,
                  void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    const size_t bytes = static_cast<size_t>(count) * dtype_size(dtype);
    if (c.shared) return check(c.shared->all_gather(in, out, bytes));
    run_all_gather(c, in, out, bytes);
  });
}

Status all_to_all(void* comm, const void* in, void* out, int64_t count, DType dtype,
                  void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    const size_t bytes = static_cast<size_t>(count) * dtype_size(dtype);
    if (c.shared) {
      return check(c.shared->all_to_all(in, out, bytes / static_cast<size_t>(c.size)));
    }
    run_all_to_all(c, in, out, bytes);
  });
}

Status broadcast(void* comm, void* data, int64_t count, DType dtype, int root, void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    const size_t bytes = static_cast<size_t>(count) * dtype_size(dtype);
    if (c.shared) return check(c.shared->broadcast(data, bytes, root));
    gloo::BroadcastOptions options(c.context);
    options.setOutput(static_cast<char*>(data), bytes);
    options.setRoot(root);
    gloo::broadcast(options);
  });
}

Status send(void* comm, const void* data, int64_t count, DType dtype, int peer, void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    auto buffer = c.context->createUnboundBuffer(const_cast<void*>(data),
                                                 static_cast<size_t>(count) * dtype_size(dtype));
    buffer->send(peer, kMessageSlot);
    buffer->waitSend(c.context->getTimeout());
  });
}

Status recv(void* comm, void* data, int64_t count, DType dtype, int peer, void*) noexcept {
  auto& c = *static_cast<Comm*>(comm);
  return guarded([&] {
    auto buffer =
        c.context->createUnboundBuffer(data, static_cast<size_t>(count) * dtype_size(dtype));
    buffer->recv(peer, kMessageSlot);
    buffer->waitRecv(c.context->getTimeout());
  });
}

}  // namespace
}  // namespace rutile::dist

extern "C" RUTILE_API const rutile::dist::CommPlugin* rutile_comm_plugin() noexcept {
  using namespace rutile::dist;
  static const CommPlugin plugin{.abi = kCommAbi,
                                 .build = RUTILE_BUILD_ID,
                                 .name = "gloo",
                                 .device = rutile::DeviceType::kCpu,
                                 .functions = {.connect = connect,
                                               .destroy = destroy,
                                               .abort = abort,
                                               .exchange = exchange,
                                               .all_reduce = all_reduce,
                                               .reduce_scatter = reduce_scatter,
                                               .all_gather = all_gather,
                                               .all_to_all = all_to_all,
                                               .broadcast = broadcast,
                                               .send = send,
                                               .recv = recv}};
  return &plugin;
}
