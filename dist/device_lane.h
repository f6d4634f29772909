// SPDX-License-Identifier: Apache-2.0
// Collectives of a device's memory, queued by a plugin (NCCL) on the device's communication stream.
// What the compute stream computes and what is sent wait for one another by events; the host does
// not. A thread looks after what was queued: what takes too long or fails ends on all ranks.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "rutile/core/device_check.h"
#include "rutile/core/device_runtime.h"
#include "rutile/dist/backend.h"
#include "rutile/dist/socket.h"

namespace rutile::dist {

inline Status copy_of(const Status& s) { return s.ok() ? Status() : Status(s.code(), s.message()); }

class RUTILE_API DeviceLane {
 public:
  // `failed` is told once, from any thread, of the first failure and gives the words for it.
  using Failed = std::function<Status(const Collective&, uint64_t number, const Status&)>;
  DeviceLane(const CommPlugin& plugin, void* comm, Device device, double timeout, Failed failed);
  // Waits for what was queued.
  ~DeviceLane();
  DeviceLane(const DeviceLane&) = delete;
  DeviceLane& operator=(const DeviceLane&) = delete;

  Device device() const { return runtime_.device(); }
  Status queue(const Collective& c, uint64_t number, Stream stream);
  Status start(const Collective& c, uint64_t number, Stream stream);
  Status wait(const void* out, Stream stream);
  // A captured step that had `last` among its collectives was launched on `stream`.
  Status replayed(const Collective& last, uint64_t number, Stream stream);
  std::vector<Collective> take_captured();
  // Ends what runs on the device; later calls give `why`.
  void fail(const Status& why);
  void drain();
  Status health() const;
  // Asks the plugin first: what is done may have failed a moment ago.
  Status settled();

 private:
  using Point = std::shared_ptr<std::remove_pointer_t<Event>>;  // goes back to the pool
  struct Running {
    Collective c;
    uint64_t number = 0;
    Point done;
    Deadline until;
  };
  Point make_point();
  Status record(const Point& p, Stream stream);
  Status perform(const Collective& c);
  Status send_behind(const Collective& c, uint64_t number, Stream stream, Point* done);
  void note(const Collective& c, uint64_t number, const Status& s);
  void watch();
  void look(std::unique_lock<std::mutex>& lock);
  bool captures(Stream stream) const { return stream != runtime_.stream(); }

  const CommPlugin& plugin_;
  void* comm_ = nullptr;
  DeviceRuntime& runtime_;
  const DeviceFns& fns_;
  const int index_;
  const double timeout_;
  const Failed failed_;
  Stream stream_;  // of communication

  std::mutex order_;  // of what is queued
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> free_;
  std::vector<Point> kept_;  // parts of captured steps
  std::vector<Collective> captured_;
  std::deque<Running> running_;
  std::vector<std::pair<const void*, Point>> pending_;
  bool stopping_ = false;
  Status failure_;
  std::mutex telling_;  // of the first failure
  std::unique_ptr<DeviceCheck> check_;
  std::thread thread_;
};

}  // namespace rutile::dist
