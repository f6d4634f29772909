// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/process_group.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "rutile/core/interrupt.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/core/thread.h"
#include "rutile/dist/plugin_call.h"
#include "rutile/dist/socket.h"

namespace rutile::dist {

namespace {

// What every rank shows the others before a collective.
struct Header {
  uint32_t magic = 0;  // 0: has not come
  uint8_t kind = 0, reduce = 0, dtype = 0, rank = 0;
  int32_t peer = 0;
  int32_t unused = 0;
  uint64_t number = 0;
  int64_t dims[kMaxRank] = {};
};
constexpr uint32_t kHeaderMagic = 0x52544c31;

Header header_of(const Collective& c, uint64_t number) {
  Header h;
  h.magic = kHeaderMagic;
  h.kind = static_cast<uint8_t>(c.kind);
  h.reduce = static_cast<uint8_t>(c.reduce);
  h.dtype = static_cast<uint8_t>(c.dtype);
  h.rank = static_cast<uint8_t>(c.shape.rank());
  h.peer = c.peer;
  h.number = number;
  for (int i = 0; i < c.shape.rank(); ++i) h.dims[i] = c.shape[i];
  return h;
}

std::string text_of(const Header& h) {
  if (h.kind > static_cast<uint8_t>(CollectiveKind::kRecv) || h.dtype >= kNumDTypes ||
      h.rank > kMaxRank) {
    return "something unreadable";
  }
  const auto kind = static_cast<CollectiveKind>(h.kind);
  std::string text = collective_name(kind);
  if (kind == CollectiveKind::kAllReduce || kind == CollectiveKind::kReduceScatter) {
    text += cat(" (", EnumNames<Reduce>::value[std::min<int>(h.reduce, 4)], ")");
  }
  if (kind == CollectiveKind::kBroadcast) text += cat(" from rank ", h.peer);
  if (kind == CollectiveKind::kBarrier) return text;
  Shape shape;
  for (int i = 0; i < h.rank; ++i) shape.push_back(h.dims[i]);
  return cat(text, " of ", dtype_name(static_cast<DType>(h.dtype)), shape);
}

bool one_to_one(const Collective& c) {
  return c.kind == CollectiveKind::kSend || c.kind == CollectiveKind::kRecv;
}

}  // namespace

namespace {

// Gloo writes to connections whose other end may be gone, which is an error and no signal.
void ignore_broken_pipes() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// A plugin that waits for peers cannot be told that one of them is gone. So it waits in a thread of
// its own, which is left alone then, with all that it uses: the program is about to end.
struct Attempt {
  ProcessGroup::Options o;
  const CommPlugin* plugin = nullptr;
  void* comm = nullptr;
  Status status;
  bool done = false;
  std::mutex mutex;
  std::condition_variable changed;
};

Status connect_plugin(const ProcessGroup::Options& o, const CommPlugin* plugin, void** comm) {
  auto attempt = std::make_shared<Attempt>();
  attempt->o = o;
  attempt->plugin = plugin;
  std::thread([attempt] {
    ignore_broken_pipes();  // in the plugin's own threads too, which are made here
    void* made = nullptr;
    Status s = attempt->plugin->functions.connect(attempt->o.comm, &made);
    const std::lock_guard lock(attempt->mutex);
    attempt->comm = made;
    attempt->status = std::move(s);
    attempt->done = true;
    attempt->changed.notify_all();
  }).detach();
  std::unique_lock lock(attempt->mutex);
  while (!attempt->changed.wait_for(lock, std::chrono::milliseconds(100),
                                    [&] { return attempt->done; })) {
    // First this rank's own reason: who presses Ctrl-C stops all ranks, some sooner.
    if (stop_requested()) return Status(ErrorCode::kInterrupted, "interrupted");
    if (const std::string text = o.others_failure(); !text.empty()) {
      return Status(ErrorCode::kRuntime, text);
    }
  }
  *comm = attempt->comm;
  return std::move(attempt->status);
}

}  // namespace

Status ProcessGroup::connect(Options options, std::shared_ptr<ProcessGroup>* group) {
  std::shared_ptr<ProcessGroup> g(new ProcessGroup(std::move(options)), [](ProcessGroup* p) {
    if (p->close()) delete p;
  });
  Status s = connect_plugin(g->o_, g->o_.plugin, &g->comm_);
  if (s.ok() && g->o_.device_plugin) s = g->connect_device();
  if (!s.ok()) {
    // Whose fault it is comes a moment later.
    for (int i = 0; i < 20 && s.code() == ErrorCode::kRuntime && g->o_.others_failure().empty();
         ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    const std::string theirs = g->o_.others_failure();
    return Status(s.code(),
                  cat("rank ", g->o_.rank, " did not connect to the other ranks of group '",
                      g->o_.name, "': ", theirs.empty() ? s.message() : theirs));
  }
  g->start_lane(g->lanes_[0]);
  *group = std::move(g);
  return Status();
}

Status ProcessGroup::connect_device() {
  void* comm = nullptr;
  RUTILE_RETURN_IF_ERROR(connect_plugin(o_, o_.device_plugin, &comm));
  // Who compares knows which rank is missing, and may say so first.
  const double more = o_.check && o_.plugin->functions.exchange ? 5 : 0;
  device_ =
      std::make_unique<DeviceLane>(*o_.device_plugin, comm, o_.device, o_.comm.timeout + more,
                                   [this](const Collective& c, uint64_t number, const Status& s) {
                                     Status told = explain({c, number, 0}, s, nullptr);
                                     const std::lock_guard lock(mutex_);
                                     if (failure_.ok()) failure_ = copy_of(told);
                                     return told;
                                   });
  return Status();
}

// False: a thread hangs in the plugin for good and still looks at the group.
bool ProcessGroup::close() {
  device_.reset();  // first: it uses all else
  drain();
  end_messages();
  bool abandoned = false;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    abandoned = abandoned_;
  }
  changed_.notify_all();
  for (auto& [key, lane] : lanes_) {
    if (lane.thread.joinable()) abandoned ? lane.thread.detach() : lane.thread.join();
  }
  if (abandoned) return false;
  if (comm_) o_.plugin->functions.destroy(comm_);
  return true;
}

std::string ProcessGroup::who(int rank) const {
  const Member& m = o_.members[static_cast<size_t>(rank)];
  return cat("rank ", m.rank, " (", m.host, ")");
}

void ProcessGroup::start_lane(Lane& lane) {
  lane.thread = std::thread([this, &lane] { serve(lane); });
}

Status ProcessGroup::enqueue(const Collective& c, std::shared_ptr<void> keep, Ticket* ticket) {
  const std::lock_guard lock(mutex_);
  const bool message = one_to_one(c);
  Lane& lane = lanes_[message ? 1 + 2 * c.peer + (c.kind == CollectiveKind::kRecv) : 0];
  *ticket = {&lane, ++lane.started};
  if (abandoned_) {
    lane.finished = lane.started;
    return Status();
  }
  lane.queue.push_back({c, message ? 0 : ++collectives_, lane.started, std::move(keep)});
  changed_.notify_all();
  if (lane.thread.joinable()) return Status();
  try {
    start_lane(lane);
  } catch (const std::exception&) {
    lane.queue.pop_back();
    --lane.started;
    return Status(ErrorCode::kRuntime, "the system starts no more threads");
  }
  return Status();
}

// Gloo may wait for ever for a connection that was closed the moment before. Nothing moves on it
// any more, so the thread is left where it is. The lock is held.
void ProcessGroup::give_up_if_stuck() {
  if ((told_.empty() && failure_.ok()) || abandoned_ || !busy(0)) return;
  if (Clock::now() - broken_at_ < std::chrono::seconds(3)) return;
  abandoned_ = true;
  for (auto& [key, lane] : lanes_) {
    if (lane.finished == lane.started) continue;
    if (failure_.ok()) {
      failure_ = Status(ErrorCode::kRuntime,
                        cat(told_, " | ", who(o_.rank), " was at ", describe(lane.current)));
    }
    lane.finished = lane.started;
  }
  changed_.notify_all();
}

Status ProcessGroup::wait(const Ticket& ticket) {
  std::unique_lock lock(mutex_);
  while (ticket.lane->finished < ticket.number) {
    if (changed_.wait_for(lock, std::chrono::milliseconds(100)) == std::cv_status::no_timeout) {
      continue;
    }
    give_up_if_stuck();
    if (!told_.empty()) continue;
    lock.unlock();
    if (stop_within_step()) fail("interrupted");
    lock.lock();
  }
  if (failure_.ok()) return Status();
  if (told_ == "interrupted") return Status(ErrorCode::kInterrupted, "interrupted");
  return Status(failure_.code(), failure_.message());
}

bool ProcessGroup::finished(const Ticket& ticket) const {
  const std::lock_guard lock(mutex_);
  return ticket.lane->finished >= ticket.number;
}

Status ProcessGroup::post(const Collective& c, std::shared_ptr<void> keep, Ticket* ticket) {
  return enqueue(c, std::move(keep), ticket);
}

Status ProcessGroup::run(const Collective& c) {
  Ticket ticket;
  RUTILE_RETURN_IF_ERROR(enqueue(c, nullptr, &ticket));
  return wait(ticket);
}

Status ProcessGroup::start(const Collective& c) {
  Ticket ticket;
  RUTILE_RETURN_IF_ERROR(enqueue(c, nullptr, &ticket));
  const std::lock_guard lock(mutex_);
  pending_.emplace_back(c.out, ticket);
  return Status();
}

Status ProcessGroup::wait(const void* out) {
  Ticket ticket;
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::find_if(pending_.begin(), pending_.end(),
                                 [&](const auto& p) { return p.first == out; });
    if (it == pending_.end()) {
      return Status(ErrorCode::kRuntime, "nothing was started that gives this tensor");
    }
    ticket = it->second;
    pending_.erase(it);
  }
  return wait(ticket);
}

void ProcessGroup::drain() {
  if (device_) device_->drain();
  std::unique_lock lock(mutex_);
  Lane& lane = lanes_[0];
  const uint64_t last = lane.started;
  while (lane.finished < last) {
    changed_.wait_for(lock, std::chrono::milliseconds(100));
    give_up_if_stuck();
  }
  std::erase_if(pending_, [&](const auto& p) { return p.second.number <= last; });
}

// Whether a lane from this key on has something to do. The lock is held.
bool ProcessGroup::busy(int first, const Lane* but) const {
  return std::any_of(lanes_.lower_bound(first), lanes_.end(), [&](const auto& l) {
    return &l.second != but && l.second.finished < l.second.started;
  });
}

void ProcessGroup::end_messages() {
  std::vector<Ticket> sent;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [key, lane] : lanes_) {
      if (key % 2 == 1) sent.push_back({&lane, lane.started});
    }
  }
  for (const Ticket& t : sent) (void)wait(t).ok();
  std::unique_lock lock(mutex_);
  if (!busy(1)) return;
  lock.unlock();
  fail("this rank has left");
  lock.lock();
  while (busy(1)) {
    changed_.wait_for(lock, std::chrono::milliseconds(100));
    give_up_if_stuck();
  }
}

void ProcessGroup::fail(const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    if (!told_.empty() || !failure_.ok()) return;
    told_ = text;
    broken_at_ = Clock::now();
  }
  changed_.notify_all();
  o_.plugin->functions.abort(comm_);
  const ErrorCode code = text == "interrupted" ? ErrorCode::kInterrupted : ErrorCode::kRuntime;
  if (device_) device_->fail(Status(code, text));
}

CollectiveStats ProcessGroup::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void ProcessGroup::count(const Collective& c) {
  const int64_t bytes = c.shape.numel() * static_cast<int64_t>(dtype_size(c.dtype));
  ++stats_.calls;
  stats_.bytes += bytes;
  stats_.bytes_of[static_cast<size_t>(c.kind)] += bytes;
}

void ProcessGroup::serve(Lane& lane) {
  ignore_broken_pipes();
  ThreadCountScope one(1);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !lane.queue.empty(); });
    if (lane.queue.empty()) return;
    Work w = std::move(lane.queue.front());
    lane.queue.pop_front();
    lane.current = {w.c, w.number, w.ticket};
    const bool broken = !failure_.ok();
    lock.unlock();
    const auto begin = Clock::now();
    Status s = broken ? Status() : carry_out(w);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    w.keep.reset();  // not under the lock: who gives a tensor back may need others' locks
    lock.lock();
    if (abandoned_) return;
    const bool breaks = !s.ok() && failure_.ok();
    if (breaks) {
      failure_ = std::move(s);
      if (told_.empty()) broken_at_ = Clock::now();
    }
    if (!w.only_compare) {
      count(w.c);
      stats_.seconds += seconds;
    }
    lane.finished = w.ticket;
    changed_.notify_all();
    if (!breaks) continue;
    const bool others = busy(0, &lane);
    const Status why = copy_of(failure_);
    lock.unlock();
    if (others) o_.plugin->functions.abort(comm_);
    if (device_) device_->fail(why);
    lock.lock();
  }
}

std::string ProcessGroup::describe(const Work& w) const {
  const std::string what = text_of(header_of(w.c, w.number));
  if (w.c.kind == CollectiveKind::kSend) return cat(what, " to ", who(w.c.peer));
  if (w.c.kind == CollectiveKind::kRecv) return cat(what, " from ", who(w.c.peer));
  return cat("collective ", w.number, " of group '", o_.name, "', ", what);
}

Status ProcessGroup::carry_out(const Work& w) {
  {
    const std::lock_guard lock(mutex_);
    if (!told_.empty()) {
      return Status(ErrorCode::kRuntime, cat(told_, " | ", who(o_.rank), " was at ", describe(w)));
    }
  }
  if (o_.check && o_.plugin->functions.exchange && !one_to_one(w.c)) {
    RUTILE_RETURN_IF_ERROR(compare(w));
  }
  if (w.only_compare) return Status();
  Status s = perform(w.c);
  return s.ok() ? Status() : explain(w, s, nullptr);
}

// All ranks see the same headers and come to the same judgement.
Status ProcessGroup::compare(const Work& w) {
  const Header mine = header_of(w.c, w.number);
  std::vector<char> bytes(sizeof(Header) * o_.members.size(), 0);
  Status s = o_.plugin->functions.exchange(comm_, &mine, sizeof mine, bytes.data());
  const std::string text = disagreement(bytes);  // known, too, where another has judged and is gone
  if (text.empty()) return s.ok() ? Status() : explain(w, s, &bytes);
  if (o_.on_failure) o_.on_failure(text);
  return Status(ErrorCode::kRuntime, text);
}

// Empty: all headers are the same, or not all of them have come.
std::string ProcessGroup::disagreement(const std::vector<char>& bytes) const {
  std::string differ;
  Header first;
  std::memcpy(&first, bytes.data(), sizeof first);
  for (int r = 0; r < size(); ++r) {
    Header h;
    std::memcpy(&h, bytes.data() + static_cast<size_t>(r) * sizeof h, sizeof h);
    if (h.magic != kHeaderMagic) return "";
    if (std::memcmp(&h, &first, sizeof h) == 0) continue;
    differ += cat("; ", who(r), " calls ", text_of(h));
    if (h.number != first.number) differ += cat(" as its collective ", h.number);
  }
  if (differ.empty()) return differ;
  return cat("the ranks disagree about collective ", first.number, " of group '", o_.name,
             "': ", who(0), " calls ", text_of(first), differ);
}

Status ProcessGroup::perform(const Collective& c) {
  const CommFunctions& f = o_.plugin->functions;
  const int64_t n = c.shape.numel();
  if (n == 0 && !one_to_one(c)) return Status();
  switch (c.kind) {
    case CollectiveKind::kBroadcast:
      if (c.in != c.out) {
        std::memcpy(c.out, c.in, static_cast<size_t>(n) * dtype_size(c.dtype));
      }
      return call_plugin(f, comm_, c, nullptr);
    case CollectiveKind::kBarrier: {
      int32_t one = 1;
      return f.all_reduce(comm_, &one, &one, 1, DType::kI32, Reduce::kSum, nullptr);
    }
    case CollectiveKind::kSend: {
      const Header h = header_of(c, 0);
      RUTILE_RETURN_IF_ERROR(f.send(comm_, &h, sizeof h, DType::kU8, c.peer, nullptr));
      return f.send(comm_, c.in, n, c.dtype, c.peer, nullptr);
    }
    case CollectiveKind::kRecv: {
      Header h;
      RUTILE_RETURN_IF_ERROR(f.recv(comm_, &h, sizeof h, DType::kU8, c.peer, nullptr));
      if (h.dtype != static_cast<uint8_t>(c.dtype) || h.rank != c.shape.rank() ||
          !std::equal(c.shape.begin(), c.shape.end(), h.dims)) {
        return Status(ErrorCode::kRuntime, cat(who(c.peer), " sends ", text_of(h)));
      }
      return f.recv(comm_, c.out, n, c.dtype, c.peer, nullptr);
    }
    default:
      return call_plugin(f, comm_, c, nullptr);
  }
}

// The connection's own words say little; who is gone is known a moment later, and what another
// lane of this rank has found out.
Status ProcessGroup::explain(const Work& w, const Status& status,
                             const std::vector<char>* headers) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(3),
                    [&] { return !told_.empty() || !failure_.ok(); });
  if (!failure_.ok()) return copy_of(failure_);
  const std::string told = told_;
  lock.unlock();
  const std::string here = cat(who(o_.rank), " was at ", describe(w));
  if (told == "interrupted") return Status(ErrorCode::kInterrupted, "interrupted");
  if (!told.empty()) return Status(ErrorCode::kRuntime, cat(told, " | ", here));
  std::string absent, left;
  for (int r = 0; r < size(); ++r) {
    if (o_.has_left && o_.has_left(o_.members[static_cast<size_t>(r)].rank)) {
      left += cat(left.empty() ? "" : ", ", who(r));
    }
  }
  for (int r = 0; headers && r < size(); ++r) {
    Header h;
    std::memcpy(&h, headers->data() + static_cast<size_t>(r) * sizeof h, sizeof h);
    if (h.magic != kHeaderMagic) absent += cat(absent.empty() ? "" : ", ", who(r));
  }
  std::string text = cat(here, ": ", status.message());
  if (!absent.empty()) {
    text = cat(here, "; it waited for ", absent, ", up to ", o_.comm.timeout,
               " s: ", status.message());
  }
  if (!left.empty()) text = cat(here, ", but has ended or left the group: ", left);
  o_.plugin->functions.abort(comm_);
  if (o_.on_failure) o_.on_failure(text);
  return Status(ErrorCode::kRuntime, text);
}

}  // namespace rutile::dist
