// SPDX-License-Identifier: Apache-2.0
// strings, error, log, ref, small_vector, interrupt.
#include <gmock/gmock.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rutile/core/dtype.h"
#include "rutile/core/error.h"
#include "rutile/core/interrupt.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/core/log.h"
#include "rutile/core/ref.h"
#include "rutile/core/small_vector.h"

namespace rutile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Cat, JoinsEverything) {
  const std::string s = "s";
  EXPECT_EQ(cat("a", s, 'c', 1, -2L, true, uint64_t{18446744073709551615u}, std::string_view("v")),
            "asc1-2true18446744073709551615v");
  EXPECT_EQ(cat(DType::kBF16, " ", 0.1, " ", 1e300, " ", 2.0), "bf16 0.1 1e+300 2");
  EXPECT_EQ(std::stod(cat(1.0 / 3)), 1.0 / 3);
  EXPECT_EQ(cat(), "");
}

TEST(Status, CarriesAnError) {
  Status ok;
  EXPECT_TRUE(ok.ok());
  EXPECT_EQ(ok.code(), ErrorCode::kOk);
  EXPECT_EQ(ok.message(), "");
  throw_if_error(ok);
  Status bad = index_error("out");
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.code(), ErrorCode::kIndex);
  EXPECT_EQ(bad.message(), "out");
  try {
    throw_if_error(bad);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIndex);
    EXPECT_STREQ(e.what(), "out");
  }
  const auto pass = [](int depth) -> Status {
    RUTILE_RETURN_IF_ERROR(depth == 0 ? Status() : type_error("deep"));
    return value_error("end");
  };
  EXPECT_EQ(pass(0).message(), "end");
  EXPECT_EQ(pass(1).code(), ErrorCode::kType);
}

TEST(Status, CheckNamesThePlace) {
  try {
    RUTILE_CHECK(1 + 1 == 3, "arithmetic");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInternal);
    EXPECT_THAT(e.message(), HasSubstr("internal error: arithmetic (1 + 1 == 3) at "));
    EXPECT_THAT(e.message(), HasSubstr("base_test.cc:"));
  }
}

TEST(Status, CodesHaveNames) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    EXPECT_STRNE(error_code_name(static_cast<ErrorCode>(i)), "unknown error") << i;
  }
}

std::string stderr_of(const std::function<void()>& f) {
  testing::internal::CaptureStderr();
  f();
  return testing::internal::GetCapturedStderr();
}

TEST(Log, ShowsWhatWasAskedFor) {
  set_log_topics("");
  EXPECT_FALSE(log_enabled(LogTopic::kDispatch));
  EXPECT_EQ(stderr_of([] { log_line(LogTopic::kDispatch, "x"); }), "");
  set_log_topics(" passes, dispatch,,");
  EXPECT_TRUE(log_enabled(LogTopic::kDispatch));
  EXPECT_TRUE(log_enabled(LogTopic::kPasses));
  EXPECT_FALSE(log_enabled(LogTopic::kMemory));
  EXPECT_EQ(stderr_of([] { log_line(LogTopic::kDispatch, "conv2d: why"); }),
            "[rutile dispatch] conv2d: why\n");
  EXPECT_EQ(stderr_of([] { log_warning("odd"); }), "[rutile warning] odd\n");
  try {
    set_log_topics("memory,pases");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kValue);
    EXPECT_EQ(
        e.message(),
        "unknown log topic 'pases'; known topics: dispatch, recompiles, passes, fusion, memory, "
        "dataset, checkpoint, sync");
  }
  EXPECT_FALSE(log_enabled(LogTopic::kMemory)) << "an error changes nothing";
  set_log_topics("");
}

TEST(Log, LinesOfThreadsStayWhole) {
  set_log_topics("dataset");
  const std::string text = stderr_of([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 100; ++i) {
          log_line(LogTopic::kDataset, std::string(200, static_cast<char>('a' + t)));
        }
      });
    }
    for (std::thread& t : threads) t.join();
  });
  set_log_topics("");
  constexpr size_t kLine = 17 + 200 + 1;
  ASSERT_EQ(text.size(), 400 * kLine);
  for (size_t i = 0; i < text.size(); i += kLine) {
    ASSERT_EQ(text.substr(i, 17), "[rutile dataset] ");
    ASSERT_EQ(text.substr(i + 17, 200), std::string(200, text[i + 17]));
  }
}

struct Counted : RefCounted {
  explicit Counted(int* alive) : alive(alive) { ++*alive; }
  ~Counted() override { --*alive; }
  int* alive;
};
struct Derived final : Counted {
  using Counted::Counted;
};

TEST(Ref, CountsOwners) {
  int alive = 0;
  Ref<Counted> a = make_ref<Derived>(&alive);
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(a->unique());
  Ref<Counted> b = a;
  EXPECT_EQ(a, b);
  EXPECT_FALSE(a->unique());
  Ref<Counted> c = std::move(a);
  EXPECT_FALSE(a);  // NOLINT: moved from on purpose
  EXPECT_FALSE(c->unique());
  Counted* self = c.get();
  c = *&c;  // assignment to itself
  EXPECT_EQ(c.get(), self);
  b = nullptr;
  EXPECT_TRUE(c->unique());
  c = make_ref<Counted>(&alive);
  EXPECT_EQ(alive, 1) << "the old one is gone";
  c = Ref<Counted>();
  EXPECT_EQ(alive, 0);
}

TEST(Ref, DiesOnceAmongThreads) {
  for (int round = 0; round < 200; ++round) {
    int alive = 0;
    Ref<Counted> a = make_ref<Counted>(&alive);
    Ref<Counted> b = a;
    std::thread t([r = std::move(b)]() mutable { r = nullptr; });
    a = nullptr;
    t.join();
    ASSERT_EQ(alive, 0);
  }
}

using Pointer = std::shared_ptr<int>;

TEST(SmallVector, GrowsBeyondItsInside) {
  SmallVector<std::string, 2> v;
  for (int i = 0; i < 20; ++i) v.push_back(std::string(30, static_cast<char>('a' + i)));
  ASSERT_EQ(v.size(), 20);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(v[i], std::string(30, static_cast<char>('a' + i)));
  while (v.size() < 64) v.emplace_back(v[0]);  // the argument lies in the memory that moves
  EXPECT_EQ(v.back(), v[0]);
}

TEST(SmallVector, OwnsItsElements) {
  const Pointer p = std::make_shared<int>(1);
  for (const int n : {1, 2, 3, 9}) {  // inside and on the heap
    SmallVector<Pointer, 2> a;
    for (int i = 0; i < n; ++i) a.push_back(p);
    EXPECT_EQ(p.use_count(), 1 + n);
    SmallVector<Pointer, 2> b = a;
    EXPECT_EQ(p.use_count(), 1 + 2 * n);
    SmallVector<Pointer, 2> c = std::move(a);
    EXPECT_EQ(p.use_count(), 1 + 2 * n);
    EXPECT_EQ(a.size(), 0);  // NOLINT: moved from on purpose
    a.push_back(p);
    EXPECT_EQ(a.size(), 1);
    b = c;
    EXPECT_EQ(b.size(), n);
    EXPECT_EQ(p.use_count(), 1 + 2 * n + 1);
    b = std::move(c);
    EXPECT_EQ(p.use_count(), 1 + n + 1);
    b = *&b;
    EXPECT_EQ(b.size(), n);
    b.resize(1);
    EXPECT_EQ(p.use_count(), 3);
    b.resize(3);
    EXPECT_EQ(b[0], p);
    EXPECT_EQ(b[2], nullptr);
    b.clear();
    EXPECT_TRUE(b.empty());
    EXPECT_EQ(p.use_count(), 2);
  }
  EXPECT_EQ(p.use_count(), 1);
}

TEST(SmallVector, IsASpan) {
  SmallVector<int, 4> v{1, 2, 3};
  const std::span<const int> s = v;
  EXPECT_THAT(std::vector<int>(s.begin(), s.end()), ElementsAre(1, 2, 3));
  const SmallVector<int, 2> copy(s);
  EXPECT_THAT(std::vector<int>(copy.begin(), copy.end()), ElementsAre(1, 2, 3));
}

TEST(Interrupt, FirstSignalRaisesAFlag) {
  install_interrupt_handler();
  EXPECT_FALSE(interrupted());
  check_interrupt();
  std::raise(SIGINT);
  EXPECT_TRUE(interrupted());
  try {
    check_interrupt();
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInterrupted);
    EXPECT_EQ(e.message(), "interrupted by Ctrl-C");
  }
  EXPECT_TRUE(interrupted()) << "the flag stays";
  {
    const InterruptHold hold;
    check_interrupt_within_step();
    EXPECT_FALSE(stop_within_step());
    EXPECT_TRUE(interrupted()) << "the holder sees it";
  }
  EXPECT_TRUE(stop_within_step());
  EXPECT_THROW(check_interrupt_within_step(), Error);
  clear_interrupt();
  std::raise(SIGTERM);
  EXPECT_TRUE(interrupted());
  clear_interrupt();
  EXPECT_FALSE(interrupted());
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

TEST(InterruptDeathTest, SecondSignalKills) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        std::raise(SIGINT);
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace rutile
