// SPDX-License-Identifier: Apache-2.0
// A device of this machine that behaves like a GPU: memory that the host cannot read, streams whose
// work a thread of their own does later, events, copies and capture. For tests.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "rutile/core/device_plugin.h"
#include "rutile/kernels/fake/memory.h"
#include "rutile/kernels/fake/timeline.h"

namespace rutile::fake {

using Work = std::function<Status()>;

class Worker;

// What is captured of a stream, and of those that came to wait for its events meanwhile.
struct Capture {
  struct Item {
    Work work;
    Worker* on;
    uint64_t op = 0;  // what it was queued for (ActivityFns::push)
  };
  std::mutex mutex;
  std::vector<Item> items;
  std::vector<Worker*> joined;
  std::atomic<bool> open{true};
  bool part = false;  // of another one, under a condition
};

// Points of a stream; shared by the event and the work that waits for it.
struct EventState {
  std::mutex mutex;
  std::condition_variable reached;
  uint64_t recorded = 0, done = 0;  // how often
  std::chrono::steady_clock::time_point at;
  double clock = 0;                // of the stream's timeline
  std::weak_ptr<Capture> capture;  // in which it was recorded
  void mark(uint64_t number);
  void wait(uint64_t number);
};

class Worker {
 public:
  explicit Worker(StreamKind kind);
  ~Worker();
  // Runs behind all that came before; while capturing it is kept instead.
  Status add(Work work);
  Status sync();
  Status begin_capture(bool part = false);
  Status end_capture(std::shared_ptr<Capture>* out);
  // What it is given from now on belongs to the capture as well.
  void join(const std::shared_ptr<Capture>& capture);
  std::shared_ptr<Capture> capturing();
  Status replay(Capture& capture);
  // A part of what is being replayed, as often as the replay gets there.
  static Status replay_part(Capture& capture);
  void stop();  // when all is done; later work runs on the caller's thread

 private:
  void loop();
  void run(Work& work);
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool busy_ = false, stopping_ = false, stopped_ = false;
  std::shared_ptr<Capture> capture_;
  Status error_;  // the first since it was last asked for
  uint64_t random_;
  Place place_;
  std::thread thread_;
};

struct FakeDevice {
  explicit FakeDevice(size_t bytes) : memory(bytes) {}
  Memory memory;
};

// Null for an index that is none.
FakeDevice* device_at(int index);
// The device whose memory it is; null for memory of the host.
FakeDevice* owner_of(const void* p);
const DeviceFns& device_fns();
// kernels/fake/control.cc
Status capture_branch(int device, Stream s, const void* holds, CapturePart then,
                      CapturePart otherwise);
Status capture_loop(int device, Stream s, const CaptureLoop& loop, CapturePart body);
Status copy_slice(int device, void* slices, void* one, const LoopSlice& slice, Stream s);
inline Worker& worker(Stream s) { return *reinterpret_cast<Worker*>(s); }
// What the streams were given, of what runs (not what is captured).
struct Counts {
  std::atomic<int64_t> kernels{0}, graphs{0}, copies{0};
};
Counts& counts();
// The longest time in microseconds that work waits before it runs, by chance; 0: none.
std::atomic<int>& longest_delay();

// Rows of all ops that have rows of the cpu.
void register_rows();

}  // namespace rutile::fake
