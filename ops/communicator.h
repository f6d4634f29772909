// SPDX-License-Identifier: Apache-2.0
// Who carries out collectives. Ops and kernels know groups of processes by name alone; dist/ makes
// them. Without any, the group "world" is this process alone.
//
//   std::shared_ptr<Communicator> world = communicator("world");
//   std::cout << world->rank() << " of " << world->size() << "\n";
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/core/device_plugin.h"
#include "rutile/core/dtype.h"
#include "rutile/core/error.h"
#include "rutile/core/shape.h"
#include "rutile/ops/attrs.h"

namespace rutile {

enum class Reduce : uint8_t { kSum, kMean, kMax, kMin, kProd };
template <>
struct EnumNames<Reduce> {
  static constexpr const char* value[] = {"sum", "mean", "max", "min", "prod"};
};

enum class CollectiveKind : uint8_t {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kAllToAll,
  kBarrier,
  kSend,
  kRecv
};
RUTILE_API const char* collective_name(CollectiveKind kind);  // "all_reduce"

// One collective as a rank takes part in it. Elements lie row-major.
struct Collective {
  CollectiveKind kind = CollectiveKind::kBarrier;
  Reduce reduce = Reduce::kSum;
  DType dtype = DType::kF32;
  Shape shape = {};          // what this rank gives; of kRecv: what it gets
  const void* in = nullptr;  // == out: in place (all_reduce, broadcast)
  void* out = nullptr;
  int peer = 0;  // broadcast's root; whom to send to or to receive from; a rank of the group
};

// A group of processes. Collectives of a group run one after the other, in the order in which they
// were started, which must be the same in every process. Any thread may call.
class RUTILE_API Communicator {
 public:
  virtual ~Communicator() = default;
  virtual const std::string& name() const = 0;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Returns when `out` is complete. After a failure the group is broken: every call gives its
  // error.
  virtual Status run(const Collective& c) = 0;
  // Returns at once. The memory stays as it is until wait(c.out) has returned.
  virtual Status start(const Collective& c) = 0;
  virtual Status wait(const void* out) = 0;
  // Returns when nothing that was started is running; errors are left for the next call.
  virtual void drain() = 0;

  // Collectives of a device's memory, where the group has a way between such devices: queued, so
  // that what `stream` is given later sees the result, and the host goes on at once. A stream that
  // is not the device's compute stream is being captured. Errors come with later calls.
  virtual bool takes(Device device) const { return device.type == DeviceType::kCpu; }
  virtual Status queue(const Collective& c, Device device, Stream stream);
  // The same in two steps: what `stream` is given in between runs beside it.
  virtual Status queue_start(const Collective& c, Device device, Stream stream);
  virtual Status queue_wait(const void* out, Device device, Stream stream);
  // What was captured since the last call, and that it was launched again.
  virtual std::vector<Collective> take_captured(Device) { return {}; }
  virtual Status replayed(const std::vector<Collective>&, Device, Stream) { return Status(); }
  // What is known of a failure so far, without waiting.
  virtual Status health() { return Status(); }
};

// The group of this name; "" is "world". Error{kValue} that lists the groups if there is none.
RUTILE_API Status find_communicator(std::string_view name, std::shared_ptr<Communicator>* found);
RUTILE_API std::shared_ptr<Communicator> communicator(std::string_view name = "world");
// Null takes the group away; "world" is then this process alone again.
RUTILE_API void set_communicator(const std::string& name, std::shared_ptr<Communicator> group);
// Communicator::drain() of all groups: for who gives memory back that collectives may be using.
RUTILE_API void drain_communicators();
// Counts set_communicator(): what depends on the size of a group is made anew.
RUTILE_API uint64_t communicator_edition();

}  // namespace rutile
