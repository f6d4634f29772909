// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/store_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <map>
#include <thread>
#include <vector>

#include "rutile/dist/messages.h"
#include "rutile/dist/secret.h"

namespace rutile::dist {

std::string proof_of(const std::string& secret, const std::string& nonce, const std::string& who) {
  return secret.empty() ? "" : hmac_sha256(secret, nonce + who);
}

namespace {

// Of what strangers may make the server keep.
constexpr size_t kMaxStrangers = 1024, kMaxGreeting = 4096;
constexpr double kGreetingSeconds = 30;

struct Peer {
  Socket socket;
  std::string in, out;
  std::string nonce;  // that the peer has to prove itself by
  std::string host;
  int64_t process = 0;
  int rank = -1;
  bool known = false;  // passed the handshake
  bool watch = false;  // its end is the rank's end
  bool left = false;   // said goodbye
  bool closing = false;
  Clock::time_point heard, came;
  std::vector<std::pair<std::string, Deadline>> waits;  // keys that it asked for
};

class Server final : public StoreServer {
 public:
  explicit Server(const StoreOptions& o) : o_(o) {}
  ~Server() override {
    stopping_ = true;
    if (wake_[1] >= 0) (void)!::write(wake_[1], "x", 1);
    if (thread_.joinable()) thread_.join();
    for (const int fd : wake_) {
      if (fd >= 0) ::close(fd);
    }
  }
  Status listen() {
    RUTILE_RETURN_IF_ERROR(listen_at(o_.address, o_.port, &listener_));
    if (pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) {
      return Status(ErrorCode::kRuntime, "the system gives no more file descriptors");
    }
    thread_ = std::thread([this] { serve(); });
    return Status();
  }
  int port() const override { return port_of(listener_); }

 private:
  void serve();
  void accept_all();
  void read(Peer& p);
  void flush(Peer& p);
  void handle(Peer& p, Reader r);
  void greet(Peer& p, Reader& r);
  void admit(Peer& p, Reader& r);
  void refuse(Peer& p, const std::string& text);
  void lost(Peer& p, const std::string& how);
  void fail(int rank, const std::string& text);
  void answer_waits(Peer& p);
  void check_clocks();
  size_t most_strangers() const;
  static void say(Peer& p, Writer w) { p.out += w.frame(); }

  const StoreOptions o_;
  Socket listener_;
  size_t most_strangers_ = most_strangers();
  int wake_[2] = {-1, -1};
  std::atomic<bool> stopping_{false};
  std::list<Peer> peers_;
  std::map<std::string, std::string> values_;
  bool failed_ = false;
  int failed_rank_ = 0;
  std::string failure_;
  Clock::time_point last_round_ = Clock::now();
  std::thread thread_;
};

// A rank comes with two connections, and all may come at once. Strangers leave half of the files
// that this process may still open to the job.
size_t Server::most_strangers() const {
  const size_t ranks = static_cast<size_t>(o_.size), wanted = std::max(kMaxStrangers, 2 * ranks);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return wanted;
  const size_t limit = files.rlim_cur, job = 4 * ranks + 64;
  return std::min(wanted, std::max(2 * ranks + 16, limit > job ? (limit - job) / 2 : 0));
}

void Server::accept_all() {
  for (;;) {
    Socket s(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!s && (errno == EMFILE || errno == ENFILE)) {
      // All hear of it, rank 0 too; whoever waits at the door would keep this thread busy.
      fail(-1,
           cat("rank 0 (", host_name(), ") may open no more files: raise its limit (ulimit -n), ",
               o_.size, " ranks need ", 4 * static_cast<int64_t>(o_.size), " and more"));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (!s) return;
    const auto strangers = static_cast<size_t>(
        std::count_if(peers_.begin(), peers_.end(), [](const Peer& p) { return !p.known; }));
    if (strangers >= most_strangers_) continue;
    Peer& p = peers_.emplace_back();
    p.socket = std::move(s);
    p.heard = p.came = Clock::now();
  }
}

// Once a round: who sends faster than this reads keeps nobody else from being heard, and no more
// than a frame and a buffer is kept of it. An end comes after all that was said before it.
void Server::read(Peer& p) {
  char buffer[16384];
  const ssize_t got = ::recv(p.socket.fd(), buffer, sizeof buffer, 0);
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      lost(p, "its process ended or the connection to it broke");
    }
    return;
  }
  p.heard = Clock::now();
  p.in.append(buffer, static_cast<size_t>(got));
  while (p.in.size() >= 4 && !p.closing) {
    const uint32_t n = frame_size(p.in.data());
    if (n == 0 || n > (p.known ? kMaxFrame : kMaxGreeting)) {
      p.closing = true;  // no rank of ours
      p.in.clear();
      return;
    }
    if (p.in.size() < size_t{4} + n) return;
    const std::string frame = p.in.substr(4, n);
    p.in.erase(0, 4 + n);
    handle(p, Reader(frame));
  }
}

void Server::flush(Peer& p) {
  while (!p.out.empty()) {
    const ssize_t n = ::send(p.socket.fd(), p.out.data(), p.out.size(), MSG_NOSIGNAL);
    if (n > 0) {
      p.out.erase(0, static_cast<size_t>(n));
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    } else {
      p.out.clear();
      p.closing = true;
    }
  }
}

void Server::refuse(Peer& p, const std::string& text) {
  say(p, Writer(Say::kRefused).text(text));
  flush(p);
  p.closing = true;
}

void Server::greet(Peer& p, Reader& r) {
  const std::string magic = r.text(), nonce = r.text();
  const int64_t rank = r.number(), size = r.number();
  p.watch = r.number() != 0;
  p.host = r.text().substr(0, 255);
  p.process = r.number();
  if (!r.ok() || magic != kMagic) {
    p.closing = true;
    return;
  }
  if (size != o_.size) {
    return refuse(p, cat("it counts ", size, " ranks, rank 0 counts ", o_.size));
  }
  if (rank < 0 || rank >= size) return refuse(p, cat("rank ", rank, " of ", size));
  p.rank = static_cast<int>(rank);
  p.nonce = random_bytes(16);
  say(p, Writer(Say::kChallenge).text(p.nonce).text(proof_of(o_.secret, nonce, "server")));
}

void Server::admit(Peer& p, Reader& r) {
  const std::string proof = r.text();
  if (p.rank < 0 || p.nonce.empty() || !r.ok() ||
      !same_bytes(proof, proof_of(o_.secret, p.nonce, cat("rank ", p.rank)))) {
    return refuse(p,
                  "the secret is another one than rank 0's; set RUTILE_SECRET to the same on all");
  }
  for (const Peer& other : peers_) {
    if (&other == &p || !other.known || other.rank != p.rank || other.watch != p.watch) continue;
    return refuse(p, cat("rank ", p.rank, " is there already: process ", other.process, " on ",
                         other.host, "; does a part of another job run with the same port?"));
  }
  p.known = true;
  say(p, Writer(Say::kWelcome));
  if (failed_ && p.watch) say(p, Writer(Say::kFailed).number(failed_rank_).text(failure_));
}

void Server::handle(Peer& p, Reader r) {
  if (!p.known) {
    if (r.ok() && r.kind() == Say::kHello && p.rank < 0) return greet(p, r);
    if (r.ok() && r.kind() == Say::kProof) return admit(p, r);
    p.closing = true;
    return;
  }
  switch (r.kind()) {
    case Say::kSet: {
      const std::string key = r.text();
      const bool fresh = values_.emplace(key, r.text()).second;
      say(p,
          fresh ? Writer(Say::kDone) : Writer(Say::kRefused).text("'" + key + "' is set already"));
      for (Peer& other : peers_) answer_waits(other);
      return;
    }
    case Say::kGet: {
      const std::string key = r.text();
      p.waits.emplace_back(key, deadline_in(static_cast<double>(r.number()) / 1000));
      return answer_waits(p);
    }
    case Say::kPing:
      say(p, Writer(Say::kPong));
      return;
    case Say::kFail:
      return fail(p.rank, r.text());
    case Say::kBye:
      p.left = true;
      for (Peer& other : peers_) {
        if (other.watch && other.known) say(other, Writer(Say::kLeft).number(p.rank));
      }
      return;
    default:
      p.closing = true;
  }
}

void Server::answer_waits(Peer& p) {
  std::erase_if(p.waits, [&](const auto& wait) {
    if (const auto it = values_.find(wait.first); it != values_.end()) {
      say(p, Writer(Say::kValue).text(it->second));
      return true;
    }
    if (left_ms(wait.second) > 0) return false;
    say(p, Writer(Say::kMissing));
    return true;
  });
}

void Server::lost(Peer& p, const std::string& how) {
  p.closing = true;
  if (!p.known || !p.watch || p.left) return;
  fail(p.rank, cat("rank ", p.rank, " (process ", p.process, " on ", p.host, ") is gone: ", how));
}

// The first failure is the one that others follow from.
void Server::fail(int rank, const std::string& text) {
  if (failed_) return;
  failed_ = true;
  failed_rank_ = rank;
  failure_ = text;
  for (Peer& p : peers_) {
    if (p.watch && p.known && p.rank != rank) say(p, Writer(Say::kFailed).number(rank).text(text));
  }
}

// A server that was itself stopped for a while must not take that for the others' silence.
void Server::check_clocks() {
  const Clock::time_point now = Clock::now();
  const bool stalled = now - last_round_ > std::chrono::seconds(3);
  last_round_ = now;
  for (Peer& p : peers_) {
    if (stalled) p.heard = now;
    const double silent = std::chrono::duration<double>(now - p.heard).count();
    if (stalled) p.came = now;
    // One that says a byte now and then keeps its place no longer than one that is silent.
    if (!p.known && now - p.came > std::chrono::duration<double>(kGreetingSeconds)) {
      p.closing = true;
      p.out.clear();
    }
    if (p.known && p.watch && !p.left && silent > o_.heartbeat) {
      lost(p, cat("nothing was heard of it for ", static_cast<int>(silent), " s"));
    }
    answer_waits(p);
  }
}

void Server::serve() {
  std::vector<pollfd> polls;
  while (!stopping_) {
    polls.assign({{listener_.fd(), POLLIN, 0}, {wake_[0], POLLIN, 0}});
    for (const Peer& p : peers_) {
      polls.push_back(
          {p.socket.fd(), static_cast<short>(p.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    }
    ::poll(polls.data(), polls.size(), 100);
    if (stopping_) break;
    size_t i = 2;
    for (Peer& p : peers_) {
      if (polls[i++].revents != 0) read(p);
    }
    if (polls[0].revents != 0) accept_all();
    check_clocks();
    for (Peer& p : peers_) flush(p);
    peers_.remove_if([](const Peer& p) { return p.closing && p.out.empty(); });
  }
  // What was said before the end: rank 0 may have failed, and leaves at once.
  for (Peer& p : peers_) {
    if (p.known && p.watch && !p.closing) read(p);
  }
  for (Peer& p : peers_) {
    if (p.known && p.watch && !failed_) say(p, Writer(Say::kLeft).number(0));
    flush(p);
  }
}

}  // namespace

Status StoreServer::start(const StoreOptions& options, std::unique_ptr<StoreServer>* server) {
  auto s = std::make_unique<Server>(options);
  RUTILE_RETURN_IF_ERROR(s->listen());
  *server = std::move(s);
  return Status();
}

}  // namespace rutile::dist
