// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "rutile/core/thread.h"
#include "rutile/dist/socket.h"

extern char** environ;

namespace rutile::dist {

namespace {

std::atomic<int> arrived_signal{0};
void note_signal(int signal) { arrived_signal = signal; }

// Signals of this process go to the ranks while it lives.
class SignalScope {
 public:
  SignalScope() {
    arrived_signal = 0;
    struct sigaction action {};
    action.sa_handler = note_signal;
    for (size_t i = 0; i < 2; ++i) sigaction(kSignals[i], &action, &before_[i]);
  }
  ~SignalScope() {
    for (size_t i = 0; i < 2; ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM};
  struct sigaction before_[2];
};

struct Stream {
  int fd = -1;        // what the rank writes comes out here
  int to = 1;         // and goes there
  std::string in;     // an unfinished line
  bool open = false;  // its beginning is out already
  char last = '\n';   // of what is out
};
constexpr size_t kLongLine = 65536;

struct Rank {
  int number = 0;
  pid_t pid = -1;
  bool ended = false;
  int status = 0;
  Stream streams[2];
};

class Job {
 public:
  // `attempt`: how often the job was started before.
  Job(const SpawnOptions& o, int attempt)
      : o_(o), attempt_(attempt), ranks_(static_cast<size_t>(o.ranks)) {}
  int run();
  bool stopped() const { return stopped_; }  // by a signal to this process

 private:
  void start(Rank& r, int local);
  std::vector<std::string> environment(int rank, int local) const;
  void pass_output(int wait_ms);
  void pass_lines(Rank& r, Stream& s, bool all);
  void reap();
  void send_signal(int signal);
  void end_others();
  bool all_ended() const {
    return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.ended; });
  }

  SpawnOptions o_;
  int attempt_ = 0;
  bool stopped_ = false;
  std::vector<Rank> ranks_;
  int failed_ = 0;  // exit status of the first
  bool failing_ = false;
  int told_ = 0;  // 0, SIGTERM or SIGKILL
  Deadline until_;
};

std::vector<std::string> Job::environment(int rank, int local) const {
  std::map<std::string, std::string> v;
  for (char** e = environ; e && *e; ++e) {
    const char* eq = std::strchr(*e, '=');
    if (eq) v.emplace(std::string(*e, static_cast<size_t>(eq - *e)), eq + 1);
  }
  v["RANK"] = std::to_string(rank);
  v["LOCAL_RANK"] = std::to_string(local);
  v["WORLD_SIZE"] = std::to_string(o_.ranks * o_.hosts);
  v["LOCAL_WORLD_SIZE"] = std::to_string(o_.ranks);
  v["MASTER_ADDR"] = o_.address;
  v["MASTER_PORT"] = std::to_string(o_.port);
  if (o_.restarts > 0) v["TORCHELASTIC_RESTART_COUNT"] = std::to_string(attempt_);
  v["PYTHONUNBUFFERED"] = "1";
  if (!v.count("RUTILE_NUM_THREADS") && !v.count("OMP_NUM_THREADS")) {
    v["RUTILE_NUM_THREADS"] = std::to_string(std::max(1, default_num_threads() / o_.ranks));
  }
  std::vector<std::string> lines;
  for (const auto& [name, value] : v) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> pointers(std::vector<std::string>& lines) {
  std::vector<char*> p;
  for (std::string& s : lines) p.push_back(s.data());
  p.push_back(nullptr);
  return p;
}

void Job::start(Rank& r, int local) {
  r.number = o_.host * o_.ranks + local;
  std::vector<std::string> env = environment(r.number, local), command = o_.command;
  const std::vector<char*> envp = pointers(env), argv = pointers(command);
  int pipes[2][2] = {{-1, -1}, {-1, -1}};
  for (int i = 0; i < 2; ++i) {
    if (pipe2(pipes[i], O_CLOEXEC) != 0) {
      throw_error(ErrorCode::kRuntime, "the system gives no more file descriptors");
    }
  }
  const pid_t parent = getpid();
  r.pid = fork();
  if (r.pid == 0) {  // only what may stand between fork and exec
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(pipes[0][1], 1);
    dup2(pipes[1][1], 2);
    execvpe(argv[0], argv.data(), envp.data());
    const char* text = std::strerror(errno);
    for (const char* s : {static_cast<const char*>(argv[0]), ": ", text, "\n"})
      (void)!::write(2, s, std::strlen(s));
    _exit(127);
  }
  for (int i = 0; i < 2; ++i) {
    ::close(pipes[i][1]);
    fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
    r.streams[i].fd = pipes[i][0];
    r.streams[i].to = i + 1;
  }
  if (r.pid < 0) throw_error(ErrorCode::kRuntime, "the system starts no more processes");
  setpgid(r.pid, r.pid);
}

// Whole lines, so that those of the ranks do not mix. Progress bars end theirs with '\r'; one
// without end comes in parts.
void Job::pass_lines(Rank& r, Stream& s, bool all) {
  std::string out;
  size_t at = 0;
  while (at < s.in.size()) {
    const size_t end = s.in.find_first_of("\r\n", at);
    const bool whole = end != std::string::npos;
    if (!whole && !all && s.in.size() - at < kLongLine) break;
    const size_t stop = whole ? end + 1 : s.in.size();
    const bool rest = s.last == '\r' && s.in[at] == '\n';  // of "\r\n"
    if (o_.prefix && !s.open && !rest) out += cat("[", r.number, "] ");
    out.append(s.in, at, stop - at);
    s.last = s.in[stop - 1];
    s.open = !whole;
    at = stop;
  }
  s.in.erase(0, at);
  if (all && s.open) {
    out += '\n';
    s.open = false;
  }
  for (size_t done = 0; done < out.size();) {
    const ssize_t n = ::write(s.to, out.data() + done, out.size() - done);
    if (n < 0 && errno != EINTR && errno != EAGAIN) return;  // nobody reads it
    if (n > 0) done += static_cast<size_t>(n);
  }
}

void Job::pass_output(int wait_ms) {
  std::vector<pollfd> polls;
  std::vector<std::pair<Rank*, Stream*>> of;
  for (Rank& r : ranks_) {
    for (Stream& s : r.streams) {
      if (s.fd < 0) continue;
      polls.push_back({s.fd, POLLIN, 0});
      of.emplace_back(&r, &s);
    }
  }
  ::poll(polls.data(), polls.size(), wait_ms);
  for (size_t i = 0; i < polls.size(); ++i) {
    if (polls[i].revents == 0) continue;
    auto [r, s] = of[i];
    char buffer[16384];
    const ssize_t n = ::read(s->fd, buffer, sizeof buffer);
    if (n > 0) s->in.append(buffer, static_cast<size_t>(n));
    const bool ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    pass_lines(*r, *s, ended);
    if (ended) {
      ::close(s->fd);
      s->fd = -1;
    }
  }
}

// Who has ended. Their numbers stay theirs until the whole job is over: what a rank leaves behind
// is in the group of that number.
void Job::reap() {
  for (Rank& r : ranks_) {
    siginfo_t end{};
    if (r.ended ||
        waitid(P_PID, static_cast<id_t>(r.pid), &end, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        end.si_pid != r.pid) {
      continue;
    }
    r.ended = true;
    const bool killed = end.si_code != CLD_EXITED;
    r.status = killed ? 128 + end.si_status : end.si_status;
    if (r.status == 0 || failing_) continue;
    failing_ = true;
    failed_ = r.status;
    until_ = deadline_in(o_.grace);
    pass_output(0);
    const std::string how =
        killed ? cat("was killed by signal ", end.si_status, " (", strsignal(end.si_status), ")")
               : cat("ended with exit status ", r.status);
    const std::string text = cat("rutile: rank ", r.number, " (process ", r.pid, " on ",
                                 host_name(), ") ", how, "; ending the others\n");
    (void)!::write(2, text.data(), text.size());
  }
}

void Job::send_signal(int signal) {
  for (const Rank& r : ranks_) {
    if (!r.ended && r.pid > 0) kill(-r.pid, signal);
  }
}

// First they may say what they know of it.
void Job::end_others() {
  if (!failing_ || left_ms(until_) > 0 || told_ == SIGKILL) return;
  told_ = told_ == 0 ? SIGTERM : SIGKILL;
  send_signal(told_);
  until_ = deadline_in(3);
}

int Job::run() {
  SignalScope signals;
  try {
    for (size_t i = 0; i < ranks_.size(); ++i) start(ranks_[i], static_cast<int>(i));
  } catch (...) {
    send_signal(SIGKILL);
    throw;
  }
  while (!all_ended()) {
    pass_output(50);
    reap();
    if (const int signal = arrived_signal.exchange(0)) {
      send_signal(signal);
      stopped_ = true;
      if (!failing_) {
        failing_ = true;
        failed_ = 128 + signal;
        until_ = deadline_in(o_.stop_grace);
      }
    }
    end_others();
  }
  // What processes that a rank left behind write does not keep the job.
  for (int i = 0; i < 5; ++i) pass_output(0);
  for (Rank& r : ranks_) {
    kill(-r.pid, SIGKILL);
    waitpid(r.pid, nullptr, 0);
    for (Stream& s : r.streams) {
      if (s.fd < 0) continue;
      pass_lines(r, s, true);
      ::close(s.fd);
    }
  }
  return failed_;
}

}  // namespace

int spawn_ranks(const SpawnOptions& options) {
  SpawnOptions o = options;
  if (o.ranks < 1 || o.hosts < 1 || o.host < 0 || o.host >= o.hosts || o.command.empty()) {
    throw_error(ErrorCode::kValue,
                "expects a command, 1 rank or more and a host below the number of hosts");
  }
  if (o.restarts < 0) {
    throw_error(ErrorCode::kValue, cat("restarts expects 0 or more, got ", o.restarts));
  }
  if (o.port == 0 && o.hosts > 1) {
    throw_error(ErrorCode::kValue, "several hosts need a port that all know");
  }
  for (int attempt = 0;; ++attempt) {
    Socket reserved;  // so that nobody else takes the port before rank 0 does
    if (options.port == 0) {
      throw_if_error(reserve_port(o.address, &reserved));
      o.port = port_of(reserved);
    }
    Job job(o, attempt);
    const int status = job.run();
    if (status == 0 || job.stopped() || attempt >= o.restarts) return status;
    const std::string text =
        cat("rutile: starting the ranks again (", attempt + 1, " of ", o.restarts, " times)\n");
    (void)!::write(2, text.data(), text.size());
  }
}

}  // namespace rutile::dist
