// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/observers.h"

#include <algorithm>
#include <exception>
#include <vector>

namespace rutile::graph {

namespace {

using Observers = std::vector<std::shared_ptr<Observer>>;

// What the thread's two slots point to: it lives as long as the thread, so that a slot restored
// late by some other scope is never left with something that is gone.
class Dispatcher final : public RunHook, public SessionHook {
 public:
  Dispatcher() { current() = this; }
  ~Dispatcher() override {
    list_.clear();
    release();
    current() = nullptr;
  }
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  static Dispatcher*& current() {
    static thread_local constinit Dispatcher* dispatcher = nullptr;
    return dispatcher;
  }

  void add(std::shared_ptr<Observer> observer) {
    forget_ended();
    RunHook*& run = call_modes().run;
    // A hook of another kind that came in between keeps the slot; it gives it back to this one.
    if (run != this && (!run || list_.empty())) {
      outer_ = run;
      run = this;
    }
    session_hook() = this;
    list_.push_back(std::move(observer));
  }
  void forget_ended() {
    std::erase_if(list_, [](const auto& o) { return o->ended(); });
    if (list_.empty()) release();
  }
  const Observers& list() const { return list_; }

  void before(const OpDef& op, std::span<const Tensor> in) override {
    const Observers now = list_;
    if (outer_) outer_->before(op, in);
    for (const auto& o : now) {
      if (!o->ended()) o->before(op, in);
    }
  }
  void after(const OpDef& op, const void* attrs, std::span<const Tensor> in,
             std::span<const Tensor> out, std::source_location where) override {
    RunHook* const outer = outer_;
    each([&](Observer& o) { static_cast<RunHook&>(o).after(op, attrs, in, out, where); },
         [&] {
           if (outer) outer->after(op, attrs, in, out, where);
         });
  }
  bool wants_steps(const Session& session) override {
    return std::any_of(list_.begin(), list_.end(),
                       [&](const auto& o) { return !o->ended() && o->wants_steps(session); });
  }
  uint64_t names_steps() override {
    for (const auto& o : list_) {
      const uint64_t n = o->ended() ? 0 : o->names_steps();
      if (n != 0) return n;
    }
    return 0;
  }
  void queues(const RunningStep& step) override {
    for (const auto& o : list_) {
      if (!o->ended()) o->queues(step);
    }
  }
  void queued() override {
    for (const auto& o : list_) {
      if (!o->ended()) o->queued();
    }
  }
  void started(const Session& session) override {
    const Observers now = list_;
    for (const auto& o : now) {
      if (!o->ended()) o->started(session);
    }
  }
  void entered(const RunningStep& step) override {
    const Observers now = list_;
    for (const auto& o : now) {
      if (!o->ended()) o->entered(step);
    }
  }
  void after(const RunningStep& step) override {
    each([&](Observer& o) { static_cast<SessionHook&>(o).after(step); }, [] {});
  }
  void finished(const Session& session) override {
    each([&](Observer& o) { o.finished(session); }, [] {});
  }

 private:
  // Innermost first, all of them, whatever one throws; the first error goes on.
  template <class F, class G>
  void each(F&& f, G&& last) {
    const Observers now = list_;
    std::exception_ptr error;
    for (size_t i = now.size(); i-- > 0;) {
      if (now[i]->ended()) continue;
      try {
        f(*now[i]);
      } catch (...) {
        if (!error) error = std::current_exception();
      }
    }
    last();
    if (error) std::rethrow_exception(error);
  }
  void release() {
    if (call_modes().run == this) call_modes().run = outer_;
    if (session_hook() == this) session_hook() = nullptr;
    outer_ = nullptr;
  }

  Observers list_;
  RunHook* outer_ = nullptr;  // a hook of another kind around the first of the list
};

}  // namespace

void start_observer(std::shared_ptr<Observer> observer) {
  static thread_local Dispatcher dispatcher;
  dispatcher.add(std::move(observer));
}

void end_observer(Observer& observer) {
  observer.end();
  if (Dispatcher* d = Dispatcher::current()) d->forget_ended();
}

Observer* find_observer(bool (*wanted)(const Observer&)) {
  const Dispatcher* d = Dispatcher::current();
  if (!d) return nullptr;
  for (size_t i = d->list().size(); i-- > 0;) {
    Observer* o = d->list()[i].get();
    if (!o->ended() && wanted(*o)) return o;
  }
  return nullptr;
}

}  // namespace rutile::graph
