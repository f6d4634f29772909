// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/group.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "rutile/core/device_runtime.h"
#include "rutile/core/seconds_setting.h"
#include "rutile/core/thread.h"
#include "rutile/dist/backend.h"
#include "rutile/dist/process_group.h"
#include "rutile/dist/store.h"

namespace rutile::dist {

namespace {

struct World {
  LaunchInfo info;
  InitOptions options;
  std::shared_ptr<Store> store;
  const CommPlugin* plugin = nullptr;         // of the host's memory
  const CommPlugin* device_plugin = nullptr;  // of `device`, if the backend is one for devices
  Device device = {};
  std::string address;  // of this machine
  std::vector<Member> members;
  bool ready = false;
  std::map<std::string, std::vector<int>> absent;  // groups that this rank is not in
  // How often a group of this name with these ranks was made: the same number in all of them.
  std::map<std::pair<std::string, std::vector<int>>, int> made;
};

std::mutex& mutex() {
  static std::mutex& m = *new std::mutex;
  return m;
}
World& world() {
  static World& w = *new World;
  return w;
}

// Of which the store's thread asks: groups and what another rank's failure was.
struct Running {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<ProcessGroup>> groups;
  std::string failure;
  std::set<int> left;  // ranks that need the others no more
};
Running& running() {
  static Running& r = *new Running;
  return r;
}

void others_failed(int, const std::string& text) {
  std::vector<std::shared_ptr<ProcessGroup>> groups;
  {
    const std::lock_guard lock(running().mutex);
    if (running().failure.empty()) running().failure = text;
    for (const auto& [name, g] : running().groups) groups.push_back(g);
  }
  for (const auto& g : groups) g->fail(text);
}

void other_left(int rank) {
  const std::lock_guard lock(running().mutex);
  running().left.insert(rank);
}

Status set_key(void* store, const std::string& key, const std::string& value) noexcept {
  return static_cast<Store*>(store)->set(key, value);
}
Status get_key(void* store, const std::string& key, double seconds, std::string* value) noexcept {
  return static_cast<Store*>(store)->get(key, deadline_in(seconds), value);
}

// The store under a prefix of its own. A group that outlives this rank's part in the job does not
// keep the store.
struct Prefixed final : Store {
  Prefixed(std::weak_ptr<Store> s, std::string p) : store(std::move(s)), prefix(std::move(p)) {}
  Status set(const std::string& key, const std::string& value) override {
    const std::shared_ptr<Store> s = store.lock();
    return s ? s->set(prefix + key, value) : gone();
  }
  Status get(const std::string& key, Deadline deadline, std::string* value) override {
    const std::shared_ptr<Store> s = store.lock();
    return s ? s->get(prefix + key, deadline, value) : gone();
  }
  void fail(const std::string&) override {}
  void leave() override {}
  std::string local_address() const override { return ""; }
  static Status gone() { return Status(ErrorCode::kRuntime, "this rank has left the others"); }
  std::weak_ptr<Store> store;
  std::string prefix;
};

// Of a group's keys: nobody uses it twice.
std::string prefix_of(World& w, const std::string& name, const std::vector<int>& ranks) {
  uint64_t number = 0xcbf29ce484222325u;  // FNV-1a: keys are short
  for (const int r : ranks) number = (number ^ static_cast<uint64_t>(r + 1)) * 0x100000001b3u;
  return cat("group/", name, "/", number, ".", w.made[{name, ranks}]++, "/");
}

Status open_group(World& w, const std::string& name, const std::vector<int>& ranks,
                  std::shared_ptr<ProcessGroup>* group) {
  auto store = std::make_shared<Prefixed>(w.store, prefix_of(w, name, ranks));
  ProcessGroup::Options o;
  o.name = name;
  for (int r : ranks) o.members.push_back(w.members[static_cast<size_t>(r)]);
  o.rank = static_cast<int>(std::find(ranks.begin(), ranks.end(), w.info.rank) - ranks.begin());
  o.plugin = w.plugin;
  o.device_plugin = w.device_plugin;
  o.device = w.device;
  o.check = w.options.check;
  o.comm.rank = o.rank;
  o.comm.size = static_cast<int>(ranks.size());
  o.comm.device = w.device.index;
  const char* const shm = std::getenv("RUTILE_SHM");
  o.comm.one_host = w.info.local_size == w.info.size && !(shm && std::strcmp(shm, "0") == 0);
  o.comm.connect_timeout = w.options.rendezvous;
  o.comm.timeout = w.options.timeout;
  o.comm.address = w.address;
  o.comm.interface = w.info.interface;
  o.comm.meeting = {store.get(), set_key, get_key};
  o.meeting_owner = store;
  o.others_failure = [] {
    const std::lock_guard lock(running().mutex);
    return running().failure;
  };
  o.on_failure = [weak = std::weak_ptr<Store>(w.store)](const std::string& text) {
    if (const std::shared_ptr<Store> s = weak.lock()) s->fail(text);
  };
  o.has_left = [](int r) {
    const std::lock_guard lock(running().mutex);
    return running().left.count(r) > 0;
  };
  RUTILE_RETURN_IF_ERROR(ProcessGroup::connect(std::move(o), group));
  std::string failed;
  {
    const std::lock_guard lock(running().mutex);
    running().groups[name] = *group;
    failed = running().failure;
  }
  if (!failed.empty()) (*group)->fail(failed);
  set_communicator(name, *group);
  return Status();
}

// What another rank has said of its end, or says within so many seconds: it comes by a connection
// of its own, perhaps after the one for requests broke.
std::string failure_within(double seconds) {
  const Deadline deadline = deadline_in(seconds);
  for (;;) {
    {
      const std::lock_guard lock(running().mutex);
      if (!running().failure.empty() || Clock::now() >= deadline) return running().failure;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// Every rank's host, by the store.
Status gather_members(World& w) {
  const Deadline deadline = deadline_in(w.options.rendezvous);
  RUTILE_RETURN_IF_ERROR(w.store->set(cat("host/", w.info.rank), host_name()));
  w.members.clear();
  std::string missing;
  for (int r = 0; r < w.info.size; ++r) {
    Member m{r, ""};
    const Deadline until = missing.empty() ? deadline : Clock::now();
    Status s = w.store->get(cat("host/", r), until, &m.host);
    const bool broken = !s.ok() && s.code() != ErrorCode::kInterrupted && left_ms(until) > 0;
    if (const std::string failure = failure_within(broken ? 2 : 0); !failure.empty()) {
      return Status(ErrorCode::kRuntime, failure);
    }
    if (broken) return Status(s.code(), cat("rank ", w.info.rank, ": ", s.message()));
    if (!s.ok()) missing += cat(missing.empty() ? "" : ", ", r);
    if (s.code() == ErrorCode::kInterrupted) return s;
    w.members.push_back(std::move(m));
  }
  if (missing.empty()) return Status();
  const std::string text =
      cat("rank ", w.info.rank, " (", host_name(), ") waited ", w.options.rendezvous, " s; of ",
          w.info.size, " ranks there did not come: ", missing,
          "; do they run, and meet at the same place? RUTILE_RENDEZVOUS_TIMEOUT sets the time");
  w.store->fail(text);
  return Status(ErrorCode::kRuntime, text);
}

bool several_hosts(const World& w) { return w.info.size > w.info.local_size; }

std::string own_address(const World& w) {
  if (const std::string a = w.store->local_address(); !a.empty()) return a;
  if (!w.info.interface.empty()) return "";
  return several_hosts(w) ? outside_address(host_name()) : host_name();
}

void share_threads(const LaunchInfo& info) {
  if (std::getenv("RUTILE_NUM_THREADS") || std::getenv("OMP_NUM_THREADS")) return;
  // Never more than it has: one that was forked has one.
  const int share = std::max(1, default_num_threads() / std::max(1, info.local_size));
  set_num_threads(std::min(num_threads(), share));
}

// The device of this rank: that of its number on this host, or the only one that the launcher lets
// it see.
Status choose_device(World& w, DeviceType type) {
  const int n = device_count(type), local = w.info.local_rank;
  if (n == 0) {
    const std::string why = type == DeviceType::kCuda ? cuda::unavailable_reason() : "";
    return Status(ErrorCode::kUnsupported, cat("the backend '", w.options.backend,
                                               "' needs a device for each rank, and there is none",
                                               why.empty() ? "" : ": ", why));
  }
  if (n > 1 && local >= n) {
    return Status(ErrorCode::kValue,
                  cat("rank ", w.info.rank, " is number ", local, " on ", host_name(),
                      ", which has ", n, " devices: the backend '", w.options.backend,
                      "' needs one for each rank; start fewer, or take 'gloo'"));
  }
  w.device = {type, static_cast<uint8_t>(n > 1 ? local : 0)};
  return Status();
}

// A backend for devices has Gloo beside it: for memory of the host, and to compare what ranks do.
Status load_plugins(World& w) {
  RUTILE_RETURN_IF_ERROR(load_comm_plugin(w.options.backend, &w.plugin));
  if (w.plugin->device == DeviceType::kCpu) return Status();
  w.device_plugin = w.plugin;
  return load_comm_plugin("gloo", &w.plugin);
}

Status join(World& w) {
  RUTILE_RETURN_IF_ERROR(load_plugins(w));
  StoreOptions s;
  s.rank = w.info.rank;
  s.size = w.info.size;
  s.address = w.info.address;
  s.port = w.info.port;
  s.folder = w.info.folder;
  s.interface = w.info.interface;
  s.several_hosts = several_hosts(w);
  s.secret = w.info.secret;
  s.timeout = w.options.rendezvous;
  s.heartbeat = w.options.heartbeat;
  s.on_failure = others_failed;
  s.on_left = other_left;
  std::unique_ptr<Store> store;
  RUTILE_RETURN_IF_ERROR(open_store(s, &store));
  w.store = std::move(store);
  RUTILE_RETURN_IF_ERROR(gather_members(w));
  if (w.device_plugin) RUTILE_RETURN_IF_ERROR(choose_device(w, w.device_plugin->device));
  w.address = own_address(w);
  std::vector<int> all;
  for (int r = 0; r < w.info.size; ++r) all.push_back(r);
  std::shared_ptr<ProcessGroup> group;
  return open_group(w, "world", all, &group);
}

// The others hear of it at once, and do not wait until their time is over.
Status join_or_tell(World& w) noexcept {
  Status s;
  try {
    s = join(w);
  } catch (const std::bad_alloc&) {
    s = Status(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const std::exception& e) {
    s = Status(ErrorCode::kRuntime, e.what());
  }
  if (!s.ok() && w.store) {
    w.store->fail(cat("rank ", w.info.rank, " (", host_name(), ") did not join: ", s.message()));
  }
  return s;
}

void leave_world() {
  World& w = world();
  std::map<std::string, std::shared_ptr<ProcessGroup>> groups;
  {
    const std::lock_guard lock(running().mutex);
    groups.swap(running().groups);
  }
  for (auto& [name, g] : groups) g->end_messages();
  // First the word that this is no failure, then the connections.
  if (w.store) w.store->leave();
  for (auto& [name, g] : groups) {
    set_communicator(name, nullptr);
    g->drain();
  }
  groups.clear();
  w.store.reset();
  const std::lock_guard lock(running().mutex);
  running().failure.clear();
  running().left.clear();
}

std::shared_ptr<ProcessGroup> find_group(const std::string& name) {
  const std::lock_guard lock(running().mutex);
  const auto it = running().groups.find(name.empty() ? "world" : name);
  return it == running().groups.end() ? nullptr : it->second;
}

bool not_in(const std::string& name) {
  const std::lock_guard lock(mutex());
  return world().absent.count(name) > 0;
}

}  // namespace

void init(const InitOptions& options) {
  const std::lock_guard lock(mutex());
  World& w = world();
  if (w.ready) throw_error(ErrorCode::kRuntime, "the group 'world' is there already");
  w = World();
  throw_if_error(read_launch(&w.info));
  w.options = options;
  w.options.timeout = seconds_setting("RUTILE_TIMEOUT", options.timeout, 600);
  w.options.rendezvous = seconds_setting("RUTILE_RENDEZVOUS_TIMEOUT", options.rendezvous, 300);
  w.options.heartbeat = seconds_setting("RUTILE_HEARTBEAT", options.heartbeat, 20, 5);
  // Used when a rank is asked to stop; what is wrong with it is said in time.
  seconds_setting("RUTILE_STOP_TIMEOUT", 0, 60, 0);
  if (const char* v = std::getenv("RUTILE_COLLECTIVE_CHECK"); v && std::strcmp(v, "0") == 0) {
    w.options.check = false;
  }
  if (w.info.size > 1) {
    if (Status s = join_or_tell(w); !s.ok()) {
      leave_world();
      throw_error(s.code(), s.message());
    }
    static const bool once = [] {
      // A process that ends in order is no failure.
      std::atexit([] {
        if (initialized()) finalize();
      });
      return true;
    }();
    (void)once;
  }
  share_threads(w.info);
  w.ready = true;
}

bool initialized() {
  const std::lock_guard lock(mutex());
  return world().ready;
}

void finalize() {
  const std::lock_guard lock(mutex());
  if (!world().ready) return;
  leave_world();
  world() = World();
}

void report_failure(const std::string& text) {
  const std::lock_guard lock(mutex());
  World& w = world();
  if (!w.store) return;
  w.store->fail(cat("rank ", w.info.rank, " (", host_name(), ") ended: ", text));
}

Device device() {
  const std::lock_guard lock(mutex());
  return world().device;
}

const LaunchInfo& launch_info() { return world().info; }

int rank(const std::string& group) { return not_in(group) ? -1 : communicator(group)->rank(); }

int size(const std::string& group) {
  {
    const std::lock_guard lock(mutex());
    const auto it = world().absent.find(group);
    if (it != world().absent.end()) return static_cast<int>(it->second.size());
  }
  return communicator(group)->size();
}

void create_group(const std::string& name, const std::vector<int>& ranks) {
  const std::lock_guard lock(mutex());
  World& w = world();
  const int n = w.ready ? w.info.size : 1;
  std::vector<int> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  if (sorted.empty() || twice || sorted.front() < 0 || sorted.back() >= n) {
    throw_error(ErrorCode::kValue, cat("group '", name, "' expects different ranks below ", n));
  }
  if (name.empty() || name == "world" || w.absent.count(name) || find_group(name)) {
    throw_error(ErrorCode::kValue, cat("there is a group '", name, "' already"));
  }
  const int me = w.ready ? w.info.rank : 0;
  if (std::find(ranks.begin(), ranks.end(), me) == ranks.end()) {
    w.absent[name] = ranks;
    return;
  }
  if (!w.store) {  // one process
    set_communicator(name, communicator("world"));
    return;
  }
  std::shared_ptr<ProcessGroup> group;
  throw_if_error(open_group(w, name, ranks, &group));
}

void destroy_group(const std::string& name) {
  const std::lock_guard lock(mutex());
  if (name == "world") throw_error(ErrorCode::kValue, "finalize() ends the group 'world'");
  if (world().absent.erase(name)) return;
  std::shared_ptr<ProcessGroup> group;
  {
    const std::lock_guard inner(running().mutex);
    if (const auto it = running().groups.find(name); it != running().groups.end()) {
      group = std::move(it->second);
      running().groups.erase(it);
    }
  }
  communicator(name);  // an unknown one is an error
  set_communicator(name, nullptr);
}

std::vector<int> group_ranks(const std::string& name) {
  {
    const std::lock_guard lock(mutex());
    const auto it = world().absent.find(name);
    if (it != world().absent.end()) return it->second;
  }
  const std::shared_ptr<ProcessGroup> g = find_group(name);
  if (!g) {
    communicator(name);
    return {0};
  }
  std::vector<int> ranks;
  for (const Member& m : g->members()) ranks.push_back(m.rank);
  return ranks;
}

int world_rank(const std::string& group, int group_rank) {
  const std::vector<int> ranks = group_ranks(group);
  if (group_rank < 0 || group_rank >= static_cast<int>(ranks.size())) {
    throw_error(ErrorCode::kValue,
                cat("group '", group, "' has ", ranks.size(), " ranks, there is no ", group_rank));
  }
  return ranks[static_cast<size_t>(group_rank)];
}

int group_rank(const std::string& group, int world_rank) {
  const std::vector<int> ranks = group_ranks(group);
  const auto it = std::find(ranks.begin(), ranks.end(), world_rank);
  if (it == ranks.end()) {
    throw_error(ErrorCode::kValue, cat("rank ", world_rank, " is not in group '", group, "'"));
  }
  return static_cast<int>(it - ranks.begin());
}

void barrier(const std::string& group) { throw_if_error(communicator(group)->run({})); }

CollectiveStats collective_stats(const std::string& group) {
  const std::shared_ptr<ProcessGroup> g = find_group(group);
  return g ? g->stats() : CollectiveStats{};
}

}  // namespace rutile::dist
