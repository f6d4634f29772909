// SPDX-License-Identifier: Apache-2.0
// A group over a plugin's communicator: a thread that runs collectives in the order of their start,
// threads for messages, the comparison of what the ranks are about to do, and words for what went
// wrong.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rutile/dist/backend.h"
#include "rutile/dist/device_lane.h"
#include "rutile/dist/group.h"
#include "rutile/dist/socket.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

struct Member {
  int rank = 0;  // in the world
  std::string host;
};

class RUTILE_API ProcessGroup final : public Communicator {
 private:
  struct Work {
    Collective c;
    uint64_t number = 0;
    uint64_t ticket = 0;
    std::shared_ptr<void> keep = {};  // the memory, where nobody waits
    bool only_compare = false;        // a device carries it out
  };
  // What runs one after the other: all collectives, or the messages of one direction between this
  // rank and another. A message that nobody takes yet holds up no other.
  struct Lane {
    std::deque<Work> queue;
    uint64_t started = 0, finished = 0;  // tickets
    Work current;                        // that runs, or ran last
    std::thread thread;
  };

 public:
  struct Options {
    std::string name;
    std::vector<Member> members;
    int rank = 0;  // in the group
    const CommPlugin* plugin = nullptr;
    const CommPlugin* device_plugin = nullptr;  // null: memory of the host only
    Device device = {};
    CommOptions comm;
    bool check = true;
    std::function<void(const std::string&)> on_failure;  // tells the others
    std::function<std::string()> others_failure;         // empty: none
    std::shared_ptr<void> meeting_owner;                 // of what comm.meeting points to
    std::function<bool(int)> has_left;                   // a rank of the world
  };
  // Who gives up the last pointer waits for its threads. One that hangs in the plugin for good
  // keeps the group.
  static Status connect(Options options, std::shared_ptr<ProcessGroup>* group);

  const std::string& name() const override { return o_.name; }
  int rank() const override { return o_.rank; }
  int size() const override { return static_cast<int>(o_.members.size()); }
  Status run(const Collective& c) override;
  Status start(const Collective& c) override;
  Status wait(const void* out) override;
  void drain() override;  // messages keep their own memory, and are not waited for
  bool takes(Device device) const override;
  Status queue(const Collective& c, Device device, Stream stream) override;
  Status queue_start(const Collective& c, Device device, Stream stream) override;
  Status queue_wait(const void* out, Device device, Stream stream) override;
  std::vector<Collective> take_captured(Device device) override;
  Status replayed(const std::vector<Collective>& all, Device device, Stream stream) override;
  Status health() override;

  // A message to wait for later, or never. `keep` holds its memory until it is through.
  struct Ticket {
    Lane* lane = nullptr;
    uint64_t number = 0;
  };
  Status post(const Collective& c, std::shared_ptr<void> keep, Ticket* ticket);
  Status wait(const Ticket& ticket);
  bool finished(const Ticket& ticket) const;
  // Waits until the others have all that was sent; what was to be received does not come any more.
  void end_messages();

  // Somebody else failed: what runs ends with this text.
  void fail(const std::string& text);
  const std::vector<Member>& members() const { return o_.members; }
  CollectiveStats stats() const;

 private:
  explicit ProcessGroup(Options options) : o_(std::move(options)) {}
  ~ProcessGroup() override = default;
  bool close();
  Status connect_device();
  Status announce(const Collective& c, Stream stream, uint64_t* number);
  Status enqueue(const Collective& c, std::shared_ptr<void> keep, Ticket* ticket);
  void start_lane(Lane& lane);
  void count(const Collective& c);  // the lock is held
  bool busy(int first, const Lane* but = nullptr) const;
  void give_up_if_stuck();
  void serve(Lane& lane);
  Status carry_out(const Work& w);
  Status compare(const Work& w);
  std::string disagreement(const std::vector<char>& headers) const;
  Status perform(const Collective& c);
  Status explain(const Work& w, const Status& status, const std::vector<char>* headers);
  std::string describe(const Work& w) const;
  std::string who(int rank) const;

  const Options o_;
  void* comm_ = nullptr;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, Lane> lanes_;  // 0: collectives; 1 + 2 * peer: sent there; 2 + 2 * peer: from there
  uint64_t collectives_ = 0;   // of all ranks: send and receive do not count
  std::deque<std::pair<const void*, Ticket>> pending_;
  bool stopping_ = false;
  Status failure_;               // of this group; stays
  Clock::time_point broken_at_;  // since when there is something in failure_ or told_
  bool abandoned_ = false;
  std::string told_;  // what another rank's failure was
  CollectiveStats stats_;
  std::mutex device_order_;  // the same for numbers and for what is queued
  std::unique_ptr<DeviceLane> device_;
};

}  // namespace rutile::dist
