// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/store.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "rutile/dist/messages.h"
#include "rutile/dist/secret.h"
#include "rutile/dist/store_server.h"

namespace rutile::dist {

namespace {

class TcpStore final : public Store {
 public:
  explicit TcpStore(const StoreOptions& o) : o_(o) {}
  ~TcpStore() override {
    leave();
    server_.reset();
  }
  Status open();
  Status set(const std::string& key, const std::string& value) override;
  Status get(const std::string& key, Deadline deadline, std::string* value) override;
  void fail(const std::string& text) override;
  void leave() override;
  std::string local_address() const override { return dist::local_address(requests_); }

 private:
  Status meet(Socket* socket, const std::string& from, Deadline deadline);
  Status greet(const Socket& socket, bool watch, Deadline deadline);
  Status ask(const std::string& frame, Deadline deadline, std::string* answer);
  void tell(const std::string& frame);
  void watch();
  bool take_events();
  void report(int rank, const std::string& text);
  std::string take_failure();
  std::string where() const { return cat("rank 0's store at ", o_.address, ":", o_.port); }

  StoreOptions o_;
  std::unique_ptr<StoreServer> server_;  // rank 0's
  Socket requests_, events_;
  std::mutex mutex_;       // of requests_
  std::mutex tell_mutex_;  // of what is written to events_
  std::mutex failure_mutex_;
  std::string failure_;  // who waits for a key waits no longer
  std::atomic<bool> stopping_{false};
  bool rank0_left_ = false, broken_ = false;
  std::string incoming_;
  std::thread watcher_;
};

// Errors: kIo where rank 0 closed the connection without a word, kRuntime.
Status TcpStore::greet(const Socket& socket, bool watch, Deadline deadline) {
  const std::string nonce = random_bytes(16);
  Writer hello(Say::kHello);
  hello.text(kMagic).text(nonce).number(o_.rank).number(o_.size).number(watch ? 1 : 0);
  hello.text(host_name()).number(getpid());
  std::string bytes;
  auto exchange = [&](const std::string& frame) {
    Status s = send_all(socket, frame, deadline);
    if (s.ok()) s = receive_frame(socket, deadline, &bytes);
    if (s.code() == ErrorCode::kRuntime && closed(socket)) s = Status(ErrorCode::kIo, s.message());
    return s;
  };
  RUTILE_RETURN_IF_ERROR(exchange(hello.frame()));
  Reader challenge(bytes);
  if (challenge.kind() == Say::kRefused) {
    return Status(ErrorCode::kRuntime, cat("rank 0 refuses this rank: ", challenge.text()));
  }
  const std::string theirs = challenge.text(), proof = challenge.text();
  if (challenge.kind() != Say::kChallenge || !challenge.ok()) {
    return Status(ErrorCode::kRuntime, "what answers there is no store of Rutile's");
  }
  if (!same_bytes(proof, proof_of(o_.secret, nonce, "server"))) {
    return Status(ErrorCode::kRuntime,
                  "the secret is another one than rank 0's; set RUTILE_SECRET to the same on all");
  }
  Writer answer(Say::kProof);
  answer.text(proof_of(o_.secret, theirs, cat("rank ", o_.rank)));
  RUTILE_RETURN_IF_ERROR(exchange(answer.frame()));
  Reader welcome(bytes);
  if (welcome.kind() == Say::kWelcome) return Status();
  return Status(ErrorCode::kRuntime, cat("rank 0 refuses this rank: ", welcome.text()));
}

// Connects and passes the handshake. Rank 0 may have too many at the door to open it: then again.
Status TcpStore::meet(Socket* socket, const std::string& from, Deadline deadline) {
  for (const Deadline again = deadline_in(30);;) {
    Status s = connect_to(o_.address, o_.port, from, deadline, socket);
    if (!s.ok()) {
      return Status(s.code(), cat("rank ", o_.rank, " (", host_name(), ") did not reach ", where(),
                                  " within ", o_.timeout, " s: ", s.message(),
                                  "; does rank 0 run, with the same MASTER_ADDR and MASTER_PORT?"));
    }
    s = greet(*socket, socket == &events_, std::min(deadline, deadline_in(30)));
    if (s.ok()) return s;
    if (s.code() != ErrorCode::kIo || left_ms(std::min(again, deadline)) == 0) {
      const ErrorCode code = s.code() == ErrorCode::kIo ? ErrorCode::kRuntime : s.code();
      return Status(code, cat(where(), ": ", s.message()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

Status TcpStore::open() {
  std::string from;
  if (!o_.interface.empty()) {
    RUTILE_RETURN_IF_ERROR(interface_address(o_.interface, &from));
    // On one host all know where rank 0 is; launchers say 127.0.0.1 there.
    if (o_.rank == 0 || !o_.several_hosts) o_.address = from;
  } else if (o_.several_hosts) {
    o_.address = outside_address(o_.address);
  }
  const Deadline deadline = deadline_in(o_.timeout);
  if (o_.rank == 0) {
    RUTILE_RETURN_IF_ERROR(StoreServer::start(o_, &server_));
    o_.port = server_->port();
  }
  for (Socket* s : {&requests_, &events_}) RUTILE_RETURN_IF_ERROR(meet(s, from, deadline));
  watcher_ = std::thread([this] { watch(); });
  return Status();
}

Status TcpStore::ask(const std::string& frame, Deadline deadline, std::string* answer) {
  const std::lock_guard lock(mutex_);
  if (const std::string failure = take_failure(); broken_ && !failure.empty()) {
    return Status(ErrorCode::kRuntime, failure);
  }
  if (broken_) return Status(ErrorCode::kRuntime, cat(where(), " is gone"));
  Status s = send_all(requests_, frame, deadline);
  if (s.ok()) s = receive_frame(requests_, deadline, answer);
  if (s.ok()) return s;
  broken_ = true;  // what was asked and what is answered do not match any more
  if (const std::string failure = take_failure(); !failure.empty()) {
    return Status(ErrorCode::kRuntime, failure);
  }
  return Status(s.code(), cat(where(), ": ", s.message()));
}

Status TcpStore::set(const std::string& key, const std::string& value) {
  std::string bytes;
  Writer w(Say::kSet);
  RUTILE_RETURN_IF_ERROR(ask(w.text(key).text(value).frame(), deadline_in(o_.timeout), &bytes));
  Reader r(bytes);
  if (r.kind() == Say::kDone) return Status();
  return Status(ErrorCode::kRuntime, cat(where(), ": ", r.text()));
}

Status TcpStore::get(const std::string& key, Deadline deadline, std::string* value) {
  // In parts, so that Ctrl-C and other threads' questions need not wait for long.
  for (;;) {
    const int ms = std::min(left_ms(deadline), 200);
    std::string bytes;
    Writer w(Say::kGet);
    RUTILE_RETURN_IF_ERROR(
        ask(w.text(key).number(ms).frame(), deadline_in(ms / 1000.0 + 30), &bytes));
    Reader r(bytes);
    if (r.kind() == Say::kValue) {
      *value = r.text();
      return Status();
    }
    if (const std::string failure = take_failure(); !failure.empty()) {
      return Status(ErrorCode::kRuntime, failure);
    }
    if (left_ms(deadline) == 0) {
      return Status(ErrorCode::kRuntime, cat("nobody set '", key, "' in time"));
    }
  }
}

void TcpStore::tell(const std::string& frame) {
  const std::lock_guard lock(tell_mutex_);
  if (events_) (void)send_all(events_, frame, deadline_in(2)).ok();
}

void TcpStore::fail(const std::string& text) {
  if (!stopping_) tell(Writer(Say::kFail).text(text).frame());
}

void TcpStore::leave() {
  if (stopping_.exchange(true)) return;
  tell(Writer(Say::kBye).frame());
  if (events_) ::shutdown(events_.fd(), SHUT_RD);
  if (watcher_.joinable()) watcher_.join();
}

std::string TcpStore::take_failure() {
  const std::lock_guard lock(failure_mutex_);
  return failure_;
}

void TcpStore::report(int rank, const std::string& text) {
  {
    const std::lock_guard lock(failure_mutex_);
    failure_ = text;
  }
  // Who waits for an answer of a rank 0 that is stopped or cut off waits no longer.
  if (rank == 0) ::shutdown(requests_.fd(), SHUT_RDWR);
  if (!stopping_ && o_.on_failure) o_.on_failure(rank, text);
}

// What has come; false at the end.
bool TcpStore::take_events() {
  char buffer[4096];
  const ssize_t n = ::recv(events_.fd(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    if (!rank0_left_) report(0, cat("rank 0 is gone: the connection to ", where(), " broke"));
    return false;
  }
  if (n > 0) incoming_.append(buffer, static_cast<size_t>(n));
  while (incoming_.size() >= 4) {
    const size_t size = frame_size(incoming_.data());
    if (size == 0 || size > kMaxFrame) {
      report(0, cat("rank 0 is gone: what ", where(), " says is no word of a store"));
      return false;
    }
    if (incoming_.size() < 4 + size) break;
    const std::string frame = incoming_.substr(4, size);
    incoming_.erase(0, 4 + frame.size());
    Reader r(frame);
    if (r.kind() == Say::kLeft) {
      const auto rank = static_cast<int>(r.number());
      rank0_left_ = rank0_left_ || rank == 0;
      if (o_.on_left) o_.on_left(rank);
    }
    if (r.kind() == Say::kFailed) {
      const auto rank = static_cast<int>(r.number());
      report(rank, r.text());
    }
  }
  return true;
}

void TcpStore::watch() {
  Clock::time_point heard = Clock::now(), said = {}, last_round = heard;
  while (!stopping_) {
    pollfd p{events_.fd(), POLLIN, 0};
    const int ready = ::poll(&p, 1, 500);
    const Clock::time_point now = Clock::now();
    if (now - last_round > std::chrono::seconds(3)) heard = now;  // this process was stopped
    last_round = now;
    if (stopping_) return;
    if (ready > 0) {
      heard = now;
      if (!take_events()) return;
    }
    if (std::chrono::duration<double>(now - heard).count() > o_.heartbeat && !rank0_left_) {
      return report(0, cat("rank 0 is gone: nothing was heard of ", where(), " for ",
                           static_cast<int>(o_.heartbeat), " s"));
    }
    if (now - said > std::chrono::seconds(2)) {
      tell(Writer(Say::kPing).frame());
      said = now;
    }
  }
}

}  // namespace

Status open_tcp_store(const StoreOptions& options, std::unique_ptr<Store>* store) {
  auto s = std::make_unique<TcpStore>(options);
  RUTILE_RETURN_IF_ERROR(s->open());
  *store = std::move(s);
  return Status();
}

Status open_store(const StoreOptions& options, std::unique_ptr<Store>* store) {
  if (!options.secret.empty()) RUTILE_RETURN_IF_ERROR(open_libcrypto());
  return options.folder.empty() ? open_tcp_store(options, store) : open_file_store(options, store);
}

}  // namespace rutile::dist
