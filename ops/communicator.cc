// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/communicator.h"

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "rutile/core/device_runtime.h"

namespace rutile {

namespace {

constexpr const char* kNames[] = {"all_reduce", "all_gather", "reduce_scatter", "broadcast",
                                  "all_to_all", "barrier",    "send",           "recv"};

// This process alone.
class Alone final : public Communicator {
 public:
  const std::string& name() const override { return name_; }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Status run(const Collective& c) override {
    if (c.kind == CollectiveKind::kSend || c.kind == CollectiveKind::kRecv) {
      return value_error(
          cat("there is no rank ", c.peer, " besides this one: the group has size 1"));
    }
    const auto bytes = static_cast<size_t>(c.shape.numel()) * dtype_size(c.dtype);
    if (c.out != c.in && bytes > 0) std::memcpy(c.out, c.in, bytes);
    return Status();
  }
  Status start(const Collective& c) override { return run(c); }
  Status wait(const void*) override { return Status(); }
  void drain() override {}
  bool takes(Device) const override { return true; }
  Status queue(const Collective& c, Device device, Stream stream) override {
    const auto bytes = static_cast<size_t>(c.shape.numel()) * dtype_size(c.dtype);
    if (c.out == c.in || bytes == 0) return Status();
    return device_runtime(device).fns().copy(device.index, c.out, c.in, bytes, CopyKind::kOnDevice,
                                             stream);
  }
  Status queue_start(const Collective& c, Device device, Stream stream) override {
    return queue(c, device, stream);
  }
  Status queue_wait(const void*, Device, Stream) override { return Status(); }

 private:
  std::string name_ = "world";
};

struct Groups {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Communicator>, std::less<>> by_name;
  std::shared_ptr<Communicator> alone = std::make_shared<Alone>();
  std::atomic<uint64_t> edition{1};
};

Groups& groups() {
  static Groups& g = *new Groups;  // kernels may run while the process ends
  return g;
}

}  // namespace

namespace {
Status not_taken(const Communicator& group, Device device) {
  return Status(ErrorCode::kUnsupported,
                cat("group '", group.name(), "' takes no memory of ", device));
}
}  // namespace

Status Communicator::queue(const Collective&, Device device, Stream) {
  return not_taken(*this, device);
}
Status Communicator::queue_start(const Collective&, Device device, Stream) {
  return not_taken(*this, device);
}
Status Communicator::queue_wait(const void*, Device device, Stream) {
  return not_taken(*this, device);
}

const char* collective_name(CollectiveKind kind) { return kNames[static_cast<int>(kind)]; }

Status find_communicator(std::string_view name, std::shared_ptr<Communicator>* found) {
  if (name.empty()) name = "world";
  Groups& g = groups();
  const std::lock_guard lock(g.mutex);
  if (const auto it = g.by_name.find(name); it != g.by_name.end()) {
    *found = it->second;
    return Status();
  }
  if (name == "world") {
    *found = g.alone;
    return Status();
  }
  std::string known = "world";
  for (const auto& [other, group] : g.by_name) {
    if (other != "world") known += ", " + other;
  }
  return value_error(
      cat("there is no group '", std::string(name), "' of processes; known: ", known));
}

std::shared_ptr<Communicator> communicator(std::string_view name) {
  std::shared_ptr<Communicator> found;
  throw_if_error(find_communicator(name, &found));
  return found;
}

void set_communicator(const std::string& name, std::shared_ptr<Communicator> group) {
  Groups& g = groups();
  std::shared_ptr<Communicator> old;  // ends outside the lock
  const std::lock_guard lock(g.mutex);
  ++g.edition;
  if (const auto it = g.by_name.find(name); it != g.by_name.end()) {
    old = std::move(it->second);
    g.by_name.erase(it);
  }
  if (group) g.by_name.emplace(name, std::move(group));
}

void drain_communicators() {
  Groups& g = groups();
  std::vector<std::shared_ptr<Communicator>> all;
  {
    const std::lock_guard lock(g.mutex);
    for (const auto& [name, group] : g.by_name) all.push_back(group);
  }
  for (const auto& group : all) group->drain();
}

uint64_t communicator_edition() { return groups().edition.load(); }

}  // namespace rutile
