// SPDX-License-Identifier: Apache-2.0
// A group over a plugin's communicator: one thread that runs collectives in the order of their
// start, the comparison of what the ranks are about to do, and words for what went wrong.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rutile/dist/backend.h"
#include "rutile/dist/group.h"
#include "rutile/dist/socket.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

struct Member {
  int rank = 0;  // in the world
  std::string host;
};

class ProcessGroup final : public Communicator {
 public:
  struct Options {
    std::string name;
    std::vector<Member> members;
    int rank = 0;  // in the group
    const CommPlugin* plugin = nullptr;
    CommOptions comm;
    bool check = true;
    std::function<void(const std::string&)> on_failure;  // tells the others
    std::function<std::string()> others_failure;         // empty: none
    std::shared_ptr<void> meeting_owner;                 // of what comm.meeting points to
    std::function<bool(int)> has_left;                   // a rank of the world
  };
  static Status connect(Options options, std::shared_ptr<ProcessGroup>* group);
  ~ProcessGroup() override;

  const std::string& name() const override { return o_.name; }
  int rank() const override { return o_.rank; }
  int size() const override { return static_cast<int>(o_.members.size()); }
  Status run(const Collective& c) override;
  Status start(const Collective& c) override;
  Status wait(const void* out) override;
  void drain() override;

  // Somebody else failed: what runs ends with this text.
  void fail(const std::string& text);
  // Its thread hangs in the plugin for good: the group is not to be destroyed.
  bool abandoned() const;
  const std::vector<Member>& members() const { return o_.members; }
  CollectiveStats stats() const;

 private:
  explicit ProcessGroup(Options options) : o_(std::move(options)) {}
  struct Work {
    Collective c;
    uint64_t number = 0;
    uint64_t ticket = 0;
  };
  uint64_t enqueue(const Collective& c);
  void give_up_if_stuck();
  Status wait_for(uint64_t ticket);
  void serve();
  Status carry_out(const Work& w);
  Status compare(const Work& w);
  Status perform(const Collective& c);
  Status explain(const Work& w, const Status& status, const std::vector<char>* headers);
  std::string describe(const Work& w) const;
  std::string who(int rank) const;

  const Options o_;
  void* comm_ = nullptr;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  uint64_t started_ = 0, finished_ = 0;  // tickets
  uint64_t collectives_ = 0;             // of all ranks: send and receive do not count
  std::deque<std::pair<const void*, uint64_t>> pending_;
  bool stopping_ = false;
  Status failure_;  // of this group; stays
  Clock::time_point told_at_;
  Work current_;  // that runs, or ran last
  bool abandoned_ = false;
  std::string told_;  // what another rank's failure was
  CollectiveStats stats_;
  std::thread thread_;
};

}  // namespace rutile::dist
