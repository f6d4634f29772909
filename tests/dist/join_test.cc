// SPDX-License-Identifier: Apache-2.0
// How ranks come together: what launchers say, where rank 0 is to be found, and what all hear when
// one cannot join.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "rutile/core/device_runtime.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/dist/group.h"
#include "rutile/dist/process_group.h"
#include "rutile/dist/socket.h"
#include "rutile/dist/store.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/dist/ranks.h"

namespace rutile {
namespace {

using test::Outcome;
using test::require;
using test::run_ranks;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void work(int steps) {
  for (int k = 0; k < steps; ++k) ops::all_reduce(Tensor::full({100}, 1.0));
}

// The environment of a job, in a process of its own.
dist::LaunchInfo launched(const std::map<std::string, std::string>& variables, Status* status) {
  std::vector<std::string> before;
  for (char** e = environ; *e; ++e) {
    const std::string name = std::string(*e).substr(0, std::string(*e).find('='));
    for (const char* of : {"RANK", "WORLD_", "LOCAL_", "MASTER_", "OMPI_", "PMI", "MPI_", "SLURM_",
                           "MS_", "RUTILE_S", "TORCHELASTIC_"}) {
      if (name.starts_with(of)) before.push_back(name);
    }
  }
  for (const std::string& name : before) unsetenv(name.c_str());
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  dist::LaunchInfo info;
  *status = dist::read_launch(&info);
  for (const auto& [name, value] : variables) unsetenv(name.c_str());
  return info;
}

TEST(Launch, SlurmsPmi2IsSlurm) {
  Status s;
  std::map<std::string, std::string> job = {{"SLURM_STEP_ID", "0"},
                                            {"SLURM_PROCID", "5"},
                                            {"SLURM_NTASKS", "8"},
                                            {"SLURM_LOCALID", "1"},
                                            {"SLURM_NTASKS_PER_NODE", "4"},
                                            {"SLURM_STEP_NODELIST", "node[3-4]"},
                                            {"SLURM_JOB_ID", "77"},
                                            {"PMI_RANK", "5"},
                                            {"PMI_SIZE", "8"}};
  const dist::LaunchInfo srun = launched(job, &s);
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(srun.launcher, "srun");
  EXPECT_EQ(srun.rank, 5);
  EXPECT_EQ(srun.local_rank, 1);
  EXPECT_EQ(srun.local_size, 4);
  EXPECT_EQ(srun.address, "node3");
  EXPECT_GT(srun.port, 0);
  // mpiexec in a job of Slurm's.
  job["MPI_LOCALRANKID"] = "0";
  job["MPI_LOCALNRANKS"] = "2";
  job["MASTER_ADDR"] = "node9";
  job["MASTER_PORT"] = "4000";
  const dist::LaunchInfo pmi = launched(job, &s);
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(pmi.launcher, "PMI");
  EXPECT_EQ(pmi.local_size, 2);
  EXPECT_EQ(pmi.address, "node9");
}

TEST(Launch, AnEmptySecretIsNone) {
  Status s;
  launched({{"RANK", "0"},
            {"WORLD_SIZE", "2"},
            {"MASTER_ADDR", "here"},
            {"MASTER_PORT", "4000"},
            {"RUTILE_SECRET", ""}},
           &s);
  EXPECT_EQ(s.code(), ErrorCode::kValue);
  EXPECT_TRUE(contains(s.message(), "RUTILE_SECRET is set, but empty")) << s.message();
}

TEST(Addresses, NamesOfTheLoopbackMeanTheWayOut) {
  for (const char* host : {"localhost", "127.0.0.1", "::1", "10.0.0.3", "no.such.host.invalid"}) {
    EXPECT_EQ(dist::outside_address(host), host);
  }
  // Another way to write 127.0.0.1, which stands for a name here.
  const std::string address = dist::outside_address("127.1");
  if (address == "127.1") GTEST_SKIP() << "this machine has no address but the loopback's";
  EXPECT_FALSE(address.starts_with("127.")) << address;
  dist::Socket s;
  EXPECT_TRUE(dist::listen_at(address, 0, &s).ok());
}

// Debian's and Ubuntu's own name is 127.0.1.1 to themselves.
TEST(Addresses, RanksOfSeveralHostsMeetOutsideTheLoopback) {
  const std::string outside = dist::outside_address("127.1");
  const auto outcomes =
      run_ranks(2,
                [&](int rank) {
                  setenv("LOCAL_WORLD_SIZE", "1", 1);
                  setenv("LOCAL_RANK", "0", 1);
                  dist::init();
                  work(2);
                  if (rank == 1 && outside != "127.1") {
                    dist::Socket s;
                    const int port = std::atoi(std::getenv("MASTER_PORT"));
                    require(dist::connect_to(outside, port, "", dist::deadline_in(5), &s).ok(),
                            "rank 0 listens at the loopback");
                  }
                  dist::barrier();
                },
                {.variables = {{"MASTER_ADDR", "127.1"}}});
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
}

TEST(Addresses, AReservedPortIsOneThatRankZeroMayTake) {
  dist::Socket reserved, other;
  ASSERT_TRUE(dist::reserve_port("127.0.0.1", &reserved).ok());
  const int port = dist::port_of(reserved);
  ASSERT_GT(port, 0);
  dist::Socket listener;
  const Status s = dist::listen_at("127.0.0.1", port, &listener);
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_TRUE(dist::connect_to("127.0.0.1", port, "", dist::deadline_in(5), &other).ok());
}

TEST(Joining, TimesOutOfRangeAreRefused) {
  const std::pair<const char*, const char*> cases[] = {{"RUTILE_TIMEOUT", "inf"},
                                                       {"RUTILE_TIMEOUT", "1e30"},
                                                       {"RUTILE_TIMEOUT", "0"},
                                                       {"RUTILE_TIMEOUT", "nan"},
                                                       {"RUTILE_RENDEZVOUS_TIMEOUT", "-1"},
                                                       {"RUTILE_HEARTBEAT", "1"},
                                                       {"RUTILE_HEARTBEAT", "a while"},
                                                       {"RUTILE_STOP_TIMEOUT", "soon"},
                                                       {"RUTILE_STOP_TIMEOUT", "-1"}};
  for (const auto& [name, value] : cases) {
    const auto outcomes = run_ranks(1, [](int) { dist::init(); }, {.variables = {{name, value}}});
    EXPECT_TRUE(contains(outcomes[0].error, cat(name, "='", value, "' is no number of seconds")))
        << outcomes[0].error;
  }
  const auto held = run_ranks(1, [](int) { InterruptHold hold; },
                              {.variables = {{"RUTILE_STOP_TIMEOUT", "60 s"}}});
  EXPECT_TRUE(contains(held[0].error, "RUTILE_STOP_TIMEOUT='60 s' is no number of seconds from 0"))
      << held[0].error;
  for (const char* good : {"0", "0.5", ""}) {
    const auto outcomes = run_ranks(1, [](int) { dist::init(), InterruptHold(); },
                                    {.variables = {{"RUTILE_STOP_TIMEOUT", good}}});
    EXPECT_EQ(outcomes[0].error, "") << good;
  }
  const auto given = run_ranks(1, [](int) { dist::init({.heartbeat = 1}); });
  EXPECT_TRUE(contains(given[0].error, "is no number of seconds from 5")) << given[0].error;
}

TEST(Joining, GpusThatAreNotThereAreNamed) {
  if (device_count(DeviceType::kCuda) >= 2) GTEST_SKIP() << "there are two GPUs";
  const auto outcomes = run_ranks(2, [](int) { dist::init({.backend = "nccl"}); });
  for (const Outcome& o : outcomes) {
    EXPECT_TRUE(contains(o.error, "needs a device for each rank, and there is none") ||
                contains(o.error, "librutile_nccl.so cannot be used") ||
                contains(o.error, "needs one for each rank"))
        << o.error;
    EXPECT_LT(o.seconds, 30);
  }
}

// From now on this process may open so many files more.
void allow_files(int more) {
  std::vector<int> taken;
  for (int i = 0; i < more; ++i) taken.push_back(::dup(2));
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = static_cast<rlim_t>(taken.back() + 1);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  for (const int fd : taken) ::close(fd);
}

// A rank that fails between the rendezvous and the connections of the group: the store needs two
// files, and rank 0's server three and two for each rank.
void join_without_files(int rank, int bad) {
  if (rank == bad) allow_files(rank == 0 ? 12 : 3);
  dist::init();
  work(2);
}

TEST(Joining, WhoFailsIsNamedAtOnce) {
  for (const int bad : {0, 1}) {
    const auto outcomes =
        run_ranks(3, [&](int rank) { join_without_files(rank, bad); }, {.seconds = 60});
    for (int r = 0; r < 3; ++r) {
      const Outcome& o = outcomes[static_cast<size_t>(r)];
      EXPECT_EQ(o.status, 1) << o.error;
      EXPECT_LT(o.seconds, 20);
      if (r == bad) continue;
      EXPECT_TRUE(contains(o.error, cat("rank ", bad, " ("))) << o.error;
      EXPECT_TRUE(contains(o.error, "did not join: ")) << o.error;
    }
  }
}

TEST(Joining, RankZeroSaysThatItMayOpenNoMoreFiles) {
  const auto outcomes = run_ranks(3,
                                  [](int rank) {
                                    if (rank == 0) allow_files(7);
                                    if (rank > 0)
                                      std::this_thread::sleep_for(std::chrono::milliseconds(500));
                                    dist::init();
                                  },
                                  {.variables = {{"RUTILE_RENDEZVOUS_TIMEOUT", "4"}}});
  EXPECT_TRUE(contains(outcomes[0].error, "may open no more files: raise its limit"))
      << outcomes[0].error;
  for (const Outcome& o : outcomes) EXPECT_EQ(o.status, 1) << o.error;
}

TEST(Joining, AStoreWithoutAFolderIsAnError) {
  std::unique_ptr<dist::Store> store;
  const std::string longest = "/tmp/" + std::string(300, 'a');
  for (const std::string& folder :
       {longest, std::string("/proc/nowhere"), std::string("/dev/null")}) {
    dist::StoreOptions options;
    options.folder = folder;
    const Status s = dist::open_file_store(options, &store);
    EXPECT_EQ(s.code(), ErrorCode::kIo);
    EXPECT_TRUE(contains(s.message(), "is no folder: ")) << s.message();
  }
}

// Who sends without end is cut off, and the job goes on.
TEST(Store, AFloodIsCutOff) {
  const auto outcomes = run_ranks(2, [](int rank) {
    std::thread flood;
    size_t sent = 0;
    if (rank == 1) {
      flood = std::thread([&sent] {
        dist::Socket s;
        const int port = std::atoi(std::getenv("MASTER_PORT"));
        require(dist::connect_to("127.0.0.1", port, "", dist::deadline_in(20), &s).ok(), "connect");
        // A greeting that is announced and does not end, then frames that are none.
        const std::string text = std::string("\x00\x10\x00\x00", 4) + std::string(1 << 16, 'x');
        while (sent < (256u << 20) && dist::send_all(s, text, dist::deadline_in(5)).ok()) {
          sent += text.size();
        }
      });
    }
    dist::init();
    work(20);
    if (flood.joinable()) flood.join();
    require(sent < (64u << 20), cat("rank 0 read ", sent, " bytes"));
    dist::barrier();
  });
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
}

// A plugin whose broadcast hangs until it is let go.
struct Hanging {
  std::mutex mutex;
  std::condition_variable changed;
  bool entered = false, free = false, through = false, destroyed = false;
};
Hanging& hanging() {
  static Hanging& h = *new Hanging;
  return h;
}

dist::CommPlugin hanging_plugin() {
  dist::CommPlugin p;
  p.functions.connect = [](const dist::CommOptions&, void** comm) noexcept {
    *comm = &hanging();
    return Status();
  };
  p.functions.destroy = [](void*) noexcept { hanging().destroyed = true; };
  p.functions.abort = [](void*) noexcept {};
  p.functions.broadcast = [](void*, void*, int64_t, DType, int, void*) noexcept {
    std::unique_lock lock(hanging().mutex);
    hanging().entered = true;
    hanging().changed.notify_all();
    hanging().changed.wait(lock, [] { return hanging().free; });
    hanging().through = true;
    hanging().changed.notify_all();
    return Status();
  };
  return p;
}

TEST(ProcessGroup, OneWhoseThreadHangsIsKept) {
  const dist::CommPlugin plugin = hanging_plugin();
  std::shared_ptr<dist::ProcessGroup> group;
  dist::ProcessGroup::Options o;
  o.name = "hanging";
  o.members = {{0, "here"}, {1, "there"}};
  o.plugin = &plugin;
  o.others_failure = [] { return std::string(); };
  ASSERT_TRUE(dist::ProcessGroup::connect(std::move(o), &group).ok());
  float data = 0;
  const Collective c{.kind = CollectiveKind::kBroadcast, .shape = {1}, .in = &data, .out = &data};
  ASSERT_TRUE(group->start(c).ok());
  std::unique_lock lock(hanging().mutex);
  hanging().changed.wait(lock, [] { return hanging().entered; });
  lock.unlock();
  group->fail("rank 1 (there) is gone");
  const Status s = group->wait(&data);
  EXPECT_TRUE(contains(s.message(), "rank 1 (there) is gone")) << s.message();
  group.reset();  // does not wait for the thread, and takes nothing away from it
  EXPECT_FALSE(hanging().destroyed);
  lock.lock();
  hanging().free = true;
  hanging().changed.notify_all();
  hanging().changed.wait(lock, [] { return hanging().through; });
  lock.unlock();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(hanging().destroyed);
}

// The other rank's header, for another call than ours, and then the end of the connection.
Status exchange_and_fail(void*, const void* mine, size_t size, void* all) noexcept {
  char* const to = static_cast<char*>(all);
  std::memcpy(to, mine, size);
  std::memcpy(to + size, mine, size);
  ++to[2 * size - 1];
  return Status(ErrorCode::kRuntime, "connection closed by peer");
}

TEST(ProcessGroup, ADisagreementIsToldAlsoWhereTheOthersHaveGone) {
  dist::CommPlugin plugin = hanging_plugin();
  plugin.functions.exchange = exchange_and_fail;
  std::shared_ptr<dist::ProcessGroup> group;
  dist::ProcessGroup::Options o;
  o.name = "apart";
  o.members = {{0, "here"}, {1, "there"}};
  o.plugin = &plugin;
  o.check = true;
  o.others_failure = [] { return std::string(); };
  ASSERT_TRUE(dist::ProcessGroup::connect(std::move(o), &group).ok());
  float data = 0;
  const Collective c{.kind = CollectiveKind::kBroadcast, .shape = {1}, .in = &data, .out = &data};
  ASSERT_TRUE(group->start(c).ok());
  const Status s = group->wait(&data);
  EXPECT_TRUE(contains(s.message(), "the ranks disagree about collective 1 of group 'apart'"))
      << s.message();
}

}  // namespace
}  // namespace rutile
