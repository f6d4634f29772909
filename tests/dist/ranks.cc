// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/dist/ranks.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <thread>

#include "rutile/core/strings.h"

namespace rutile::test {

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  ::bind(fd, reinterpret_cast<sockaddr*>(&a), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  ::close(fd);
  return ntohs(a.sin_port);
}

void require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what);
}

void require_equal(const std::vector<double>& got, const std::vector<double>& want,
                   const std::string& what, double tolerance) {
  require(got.size() == want.size(), cat(what, ": ", got.size(), " elements, not ", want.size()));
  for (size_t i = 0; i < got.size(); ++i) {
    require(std::abs(got[i] - want[i]) <= tolerance,
            cat(what, ": element ", i, " is ", got[i], ", not ", want[i]));
  }
}

namespace {

// Which ranks have ended, in memory that this process shares with them.
std::atomic<bool>* ended = nullptr;

[[noreturn]] void be_rank(int rank, int n, int port, int out, const std::function<void(int)>& fn,
                          const RankOptions& o) {
  setenv("RANK", std::to_string(rank).c_str(), 1);
  setenv("WORLD_SIZE", std::to_string(n).c_str(), 1);
  setenv("LOCAL_RANK", std::to_string(rank).c_str(), 1);
  setenv("LOCAL_WORLD_SIZE", std::to_string(n).c_str(), 1);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  setenv("MASTER_PORT", std::to_string(port).c_str(), 1);
  for (const auto& [name, value] : o.variables) setenv(name.c_str(), value.c_str(), 1);
  std::string error;
  try {
    fn(rank);
  } catch (const std::exception& e) {
    error = e.what();
    if (error.empty()) error = "an exception without words";
  }
  (void)!::write(out, error.data(), error.size());
  ::close(out);
  // With what std::exit would run: a rank that fails leaves as a program does that threw.
  std::exit(error.empty() ? 0 : 1);
}

}  // namespace

void wait_for_end_of(const std::vector<int>& ranks) {
  for (const int r : ranks) {
    while (!ended[r]) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::vector<Outcome> run_ranks(int n, const std::function<void(int rank)>& fn,
                               const RankOptions& options) {
  const int port = free_port();
  const size_t shared = static_cast<size_t>(n) * sizeof(std::atomic<bool>);
  void* const memory =
      ::mmap(nullptr, shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  ended = new (memory) std::atomic<bool>[static_cast<size_t>(n)]();
  std::vector<Outcome> outcomes(static_cast<size_t>(n));
  std::vector<int> pids(static_cast<size_t>(n), -1), pipes(static_cast<size_t>(n), -1);
  const auto begin = std::chrono::steady_clock::now();
  auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  for (int r = 0; r < n; ++r) {
    if (std::count(options.absent.begin(), options.absent.end(), r)) continue;
    int fds[2];
    if (pipe(fds) != 0) throw std::runtime_error("no pipe");
    const int pid = fork();
    if (pid == 0) {
      ::close(fds[0]);
      be_rank(r, n, port, fds[1], fn, options);
    }
    ::close(fds[1]);
    pids[static_cast<size_t>(r)] = pid;
    pipes[static_cast<size_t>(r)] = fds[0];
  }
  if (options.meanwhile) options.meanwhile(pids);
  size_t open = static_cast<size_t>(n) - options.absent.size();
  bool killed = false;
  while (open > 0) {
    for (size_t r = 0; r < pids.size(); ++r) {
      int status = 0;
      if (pids[r] < 0 || waitpid(pids[r], &status, WNOHANG) != pids[r]) continue;
      --open;
      ended[r] = true;
      Outcome& o = outcomes[r];
      o.seconds = passed();
      o.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      char buffer[4096];
      for (ssize_t k; (k = ::read(pipes[r], buffer, sizeof buffer)) > 0;) {
        o.error.append(buffer, static_cast<size_t>(k));
      }
      ::close(pipes[r]);
      if (killed) o.error += " (did not end in time)";
      pids[r] = -1;
    }
    if (!killed && passed() > options.seconds) {
      killed = true;
      for (const int pid : pids) {
        if (pid > 0) kill(pid, SIGKILL);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ::munmap(memory, shared);
  return outcomes;
}

}  // namespace rutile::test
