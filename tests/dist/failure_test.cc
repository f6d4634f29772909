// SPDX-License-Identifier: Apache-2.0
// What goes wrong between processes, and what every rank then says of it, within seconds.
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "rutile/dist/backend.h"
#include "rutile/dist/group.h"
#include "rutile/dist/secret.h"
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

void expect_text(const Outcome& o, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    EXPECT_NE(o.error.find(part), std::string::npos) << "'" << part << "' is not in: " << o.error;
  }
}

void work(int steps, int64_t n = 1000) {
  for (int k = 0; k < steps; ++k) {
    ops::all_reduce(Tensor::full({n}, 1.0));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST(Failures, AKilledRankEndsTheOthers) {
  for (int round = 0; round < 10; ++round) {
    // Large tensors too: killed in the middle of one.
    const auto outcomes =
        run_ranks(3, [round](int) { dist::init(), work(4000, round % 2 ? 1000 : 4000000); },
                  {.seconds = 40,
                   .variables = {{"RUTILE_RENDEZVOUS_TIMEOUT",
                                  "15"}},  // of a rank 0 that dies before it listens
                   .meanwhile = [&](std::vector<int> pids) {
                     std::this_thread::sleep_for(std::chrono::milliseconds(40 + 83 * round));
                     kill(pids[static_cast<size_t>(round) % 3], SIGKILL);
                   }});
    for (int r = 0; r < 3; ++r) {
      const Outcome& o = outcomes[static_cast<size_t>(r)];
      EXPECT_LT(o.seconds, 30);
      if (r == round % 3) continue;
      EXPECT_EQ(o.status, 1);
      expect_text(o, {cat("rank ", round % 3).c_str()});
    }
  }
}

TEST(Failures, ARankThatThrewIsNamed) {
  const auto outcomes = run_ranks(3, [](int rank) {
    dist::init();
    work(5);
    if (rank == 1) {
      dist::report_failure("the disk is full");
      require(false, "the disk is full");
    }
    work(1000);
  });
  for (const int r : {0, 2}) {
    expect_text(
        outcomes[static_cast<size_t>(r)],
        {"rank 1 (", "the disk is full", "was at collective", "all_reduce (sum) of f32[1000]"});
  }
}

TEST(Failures, ARankThatLeftIsNamed) {
  for (const char* check : {"1", "0"}) {
    const auto outcomes = run_ranks(2,
                                    [](int rank) {
                                      dist::init();
                                      work(5);
                                      if (rank == 1) return;
                                      work(1000);
                                    },
                                    {.variables = {{"RUTILE_COLLECTIVE_CHECK", check}}});
    EXPECT_EQ(outcomes[1].error, "");
    expect_text(outcomes[0],
                {"has ended or left the group: rank 1", "all_reduce (sum) of f32[1000]"});
    EXPECT_LT(outcomes[0].seconds, 30);
  }
}

TEST(Failures, AnotherShapeDtypeOrOpIsToldToAll) {
  const auto fn = [](int rank) {
    dist::init();
    work(2);
    const std::string what = std::getenv("WHAT");
    if (what == "shape") ops::all_reduce(Tensor::zeros({rank == 1 ? 7 : 5}));
    if (what == "dtype") ops::all_reduce(Tensor::zeros({5}, rank == 1 ? DType::kF64 : DType::kF32));
    if (what == "reduce") {
      ops::all_reduce(Tensor::zeros({5}), {.reduce = rank == 1 ? Reduce::kMax : Reduce::kSum});
    }
    if (what == "op" && rank == 1) ops::all_gather(Tensor::zeros({5}));
    if (what == "op" && rank != 1) ops::broadcast(Tensor::zeros({5}), {.root = 2});
  };
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"shape", {"all_reduce (sum) of f32[5]", "all_reduce (sum) of f32[7]"}},
      {"dtype", {"all_reduce (sum) of f32[5]", "all_reduce (sum) of f64[5]"}},
      {"reduce", {"all_reduce (sum) of f32[5]", "all_reduce (max) of f32[5]"}},
      {"op", {"broadcast from rank 2 of f32[5]", "all_gather of f32[5]"}},
  };
  for (const auto& [what, parts] : cases) {
    const auto outcomes = run_ranks(3, fn, {.variables = {{"WHAT", what}}});
    for (const Outcome& o : outcomes) {
      expect_text(o, {"the ranks disagree about collective 3 of group 'world'", "rank 1 ("});
      for (const char* part : parts) expect_text(o, {part});
    }
  }
}

TEST(Failures, AMessageOfAnotherShapeIsTold) {
  const auto outcomes = run_ranks(2, [](int rank) {
    dist::init();
    if (rank == 0) dist::send(Tensor::zeros({5}), 1);
    if (rank == 1) dist::receive({6}, DType::kF32, 0);
    dist::barrier();
  });
  expect_text(outcomes[1], {"recv of f32[6] from rank 0", "sends send of f32[5]"});
}

TEST(Failures, ARankThatIsLateIsNamed) {
  const auto outcomes = run_ranks(3,
                                  [](int rank) {
                                    dist::init();
                                    work(2);
                                    if (rank == 2) test::wait_for_end_of({0, 1});
                                    work(2);
                                  },
                                  {.variables = {{"RUTILE_TIMEOUT", "2"}}});
  expect_text(outcomes[0], {"waited for rank 2 (", "collective 3 of group 'world'"});
  expect_text(outcomes[1], {"rank 2 ("});
  EXPECT_LT(outcomes[0].seconds, 30);
}

TEST(Failures, ARankThatNeverComes) {
  const auto outcomes =
      run_ranks(3, [](int) { dist::init(); },
                {.variables = {{"RUTILE_RENDEZVOUS_TIMEOUT", "2"}}, .absent = {2}});
  for (const int r : {0, 1}) {
    const Outcome& o = outcomes[static_cast<size_t>(r)];
    expect_text(o, {"2"});
    EXPECT_EQ(o.status, 1);
    EXPECT_LT(o.seconds, 30);
  }
  expect_text(outcomes[0], {"of 3 ranks there did not come: 2"});
  const auto others = run_ranks(2, [](int) { dist::init(); },
                                {.variables = {{"RUTILE_RENDEZVOUS_TIMEOUT", "2"}}, .absent = {0}});
  expect_text(others[1], {"did not reach rank 0's store at 127.0.0.1", "MASTER_PORT"});
}

TEST(Failures, APortInUse) {
  dist::Socket taken;
  ASSERT_TRUE(dist::listen_at("127.0.0.1", 0, &taken).ok());
  const std::string port = std::to_string(dist::port_of(taken));
  const auto outcomes =
      run_ranks(2, [](int) { dist::init(); },
                {.variables = {{"MASTER_PORT", port}, {"RUTILE_RENDEZVOUS_TIMEOUT", "3"}}});
  expect_text(outcomes[0], {"port", port.c_str(), "is in use by another process"});
  EXPECT_EQ(outcomes[1].status, 1);
}

// A rank whose memory is at its end says so; the others end with its words.
TEST(Failures, ARankOutOfMemoryEndsAll) {
  const auto outcomes = run_ranks(3, [](int rank) {
    dist::init();
    work(5);
    if (rank == 2) {
      std::ifstream in("/proc/self/statm");
      rlim_t pages = 0;
      in >> pages;
      const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (64 << 20);
      const rlimit limit{bytes, bytes};
      setrlimit(RLIMIT_AS, &limit);
      try {
        std::vector<Tensor> kept;
        for (;;) kept.push_back(ops::all_reduce(Tensor::full({1 << 20}, 1.0)));
      } catch (const Error& e) {
        require(e.code() == ErrorCode::kOutOfMemory, e.message());
        dist::report_failure(e.message());
        throw;
      }
    }
    for (;;) ops::all_reduce(Tensor::full({1 << 20}, 1.0));
  });
  for (int r = 0; r < 3; ++r) {
    const Outcome& o = outcomes[static_cast<size_t>(r)];
    EXPECT_EQ(o.status, 1);
    EXPECT_LT(o.seconds, 30);
    expect_text(o, {"memory"});
    if (r != 2) expect_text(o, {"rank 2 (", "was at collective", "all_reduce (sum) of f32"});
  }
}

TEST(Failures, AnotherSecretIsRefused) {
  // Another one, and none on either side.
  for (const auto& [first, second] :
       {std::pair{"one", "two"}, std::pair{"one", ""}, std::pair{"", "two"}}) {
    const auto outcomes = run_ranks(2,
                                    [&, first = first, second = second](int rank) {
                                      const char* secret = rank == 0 ? first : second;
                                      if (*secret) setenv("RUTILE_SECRET", secret, 1);
                                      dist::init();
                                    },
                                    {.variables = {{"RUTILE_RENDEZVOUS_TIMEOUT", "3"}}});
    expect_text(outcomes[1], {"the secret is another one than rank 0's"});
  }
  const auto same = run_ranks(2, [](int) { dist::init(), work(2); },
                              {.variables = {{"RUTILE_SECRET", "sesame"}}});
  for (const Outcome& o : same) EXPECT_EQ(o.error, "");
}

TEST(Failures, WithoutThePluginTheErrorSaysWhereItWasLookedFor) {
  const dist::CommPlugin* plugin = nullptr;
  const Status s = dist::load_comm_plugin("smoke_signals", &plugin);
  EXPECT_EQ(s.code(), ErrorCode::kUnsupported);
  EXPECT_NE(s.message().find("librutile_smoke_signals.so: no such file"), std::string::npos)
      << s.message();
}

TEST(Store, InAFolder) {
  const std::string folder = cat("/tmp/rutile_store_", getpid());
  const auto outcomes = run_ranks(3, [](int) { dist::init(), work(5); },
                                  {.variables = {{"RUTILE_STORE", "file://" + folder}}});
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
  const auto again = run_ranks(2, [](int) { dist::init(); },
                               {.variables = {{"RUTILE_STORE", "file://" + folder}}});
  for (const Outcome& o : again) expect_text(o, {"every job needs an empty one"});
  std::filesystem::remove_all(folder);
}

TEST(Store, OnANamedInterface) {
  const auto outcomes = run_ranks(2, [](int) { dist::init(), work(2); },
                                  {.variables = {{"RUTILE_SOCKET_IFNAME", "lo"}}});
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
  // Another one than that of MASTER_ADDR, 127.0.0.1.
  std::string outside;
  ifaddrs* list = nullptr;
  ASSERT_EQ(getifaddrs(&list), 0);
  for (const ifaddrs* i = list; i; i = i->ifa_next) {
    if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK)) {
      outside = i->ifa_name;
    }
  }
  freeifaddrs(list);
  if (!outside.empty()) {
    const auto there = run_ranks(
        2, [](int) { dist::init(), work(2); },
        {.variables = {{"RUTILE_SOCKET_IFNAME", outside}, {"RUTILE_RENDEZVOUS_TIMEOUT", "10"}}});
    for (const Outcome& o : there) EXPECT_EQ(o.error, "") << outside;
  }
  std::string address;
  EXPECT_NE(dist::interface_address("no0", &address).message().find("there are:"),
            std::string::npos);
}

// Whatever strangers send, the job goes on.
TEST(Store, StrangersDoNoHarm) {
  const auto outcomes = run_ranks(2, [](int rank) {
    if (rank == 1) {
      const int port = std::atoi(std::getenv("MASTER_PORT"));
      for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "", "\1\0\0\0\xff", "\xff\xff\xff\x7f"}) {
        dist::Socket s;
        require(dist::connect_to("127.0.0.1", port, "", dist::deadline_in(20), &s).ok(), "connect");
        (void)dist::send_all(s, text, dist::deadline_in(1)).ok();
      }
    }
    dist::init();
    work(3);
  });
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
}

// Many connections that say little or nothing take neither the job's files nor its places.
TEST(Store, ACrowdAtTheDoorDoesNoHarm) {
  const auto outcomes = run_ranks(2, [](int rank) {
    if (rank == 0) {
      const rlimit few{128, 128};
      require(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
    }
    dist::init();
    std::vector<dist::Socket> crowd(rank == 1 ? 300 : 0);
    const int port = std::atoi(std::getenv("MASTER_PORT"));
    for (dist::Socket& s : crowd) {
      require(dist::connect_to("127.0.0.1", port, "", dist::deadline_in(20), &s).ok(), "connect");
    }
    work(5);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    dist::create_group("both", {0, 1});
    dist::barrier("both");
  });
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
}

// Opens a store on rank 0, which then stops, and asks it on rank 1.
void ask_a_stopped_rank(int rank) {
  dist::StoreOptions o;
  o.rank = rank;
  o.size = 2;
  o.address = "127.0.0.1";
  o.port = std::atoi(std::getenv("MASTER_PORT"));
  o.heartbeat = 5;
  std::unique_ptr<dist::Store> store;
  throw_if_error(dist::open_store(o, &store));
  if (rank == 0) {
    throw_if_error(store->set("process", std::to_string(getpid())));
    std::string here;
    throw_if_error(store->get("here", dist::deadline_in(20), &here));
    raise(SIGSTOP);
  }
  std::string process;
  throw_if_error(store->get("process", dist::deadline_in(20), &process));
  const auto begin = dist::Clock::now();
  Status s = store->set("here", "");  // it may stop before it answers this
  if (s.ok()) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  if (s.ok()) s = store->set("key", "value");
  const double seconds = std::chrono::duration<double>(dist::Clock::now() - begin).count();
  kill(std::stoi(process), SIGKILL);
  const bool named = s.message().find("rank 0 is gone: nothing was heard") != std::string::npos;
  require(named, s.message());
  require(seconds < 20, cat("it took ", seconds, " s"));
}

TEST(Store, NobodyWaitsForAStoppedRankZero) {
  const auto outcomes = run_ranks(2, ask_a_stopped_rank);
  EXPECT_EQ(outcomes[1].error, "");
}

TEST(Store, AStoppedRankIsFoundInAFolderToo) {
  for (const int stopped : {0, 1}) {
    const std::string folder = cat("/tmp/rutile_stopped_", getpid(), "_", stopped);
    std::thread killer;
    const auto work_or_stop = [&](int rank) {
      dist::init();
      work(3);
      if (rank == stopped) raise(SIGSTOP);
      work(100000000);
    };
    test::RankOptions o;
    o.variables = {{"RUTILE_STORE", "file://" + folder}, {"RUTILE_HEARTBEAT", "5"}};
    o.meanwhile = [&](const std::vector<int>& pids) {
      killer = std::thread([pids, stopped] {
        const auto there = [&](size_t r) { return kill(pids[r], 0) == 0; };
        for (int i = 0; i < 250 && (there(stopped == 0 ? 1 : 0) || there(2)); ++i) {
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        kill(pids[static_cast<size_t>(stopped)], SIGKILL);
      });
    };
    const auto outcomes = run_ranks(3, work_or_stop, o);
    killer.join();
    std::filesystem::remove_all(folder);
    for (int r = 0; r < 3; ++r) {
      if (r == stopped) continue;
      const Outcome& got = outcomes[static_cast<size_t>(r)];
      EXPECT_LT(got.seconds, 20);
      expect_text(got, {cat("rank ", stopped, " (process ").c_str(), "was at collective ",
                        "is gone: nothing was heard of it for"});
    }
  }
}

std::string hex(const std::string& bytes) {
  std::string s;
  char text[3];
  for (const char c : bytes) {
    std::snprintf(text, sizeof text, "%02x", static_cast<unsigned char>(c));
    s += text;
  }
  return s;
}

// RFC 4231, cases 2 and 6 (a key longer than a block).
TEST(Secret, KnownAnswers) {
  ASSERT_TRUE(dist::open_libcrypto().ok());
  EXPECT_EQ(hex(dist::hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(dist::hmac_sha256(std::string(131, '\xaa'),
                                  "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

}  // namespace
}  // namespace rutile
