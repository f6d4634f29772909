// SPDX-License-Identifier: Apache-2.0
// Threads of a block as fibers that take turns at every barrier: a few instructions of assembly on
// x86-64, ucontext elsewhere.
#include "rutile/kernels/cuda/emulator.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <memory>
#include <stdexcept>
#include <vector>

#if defined(__x86_64__)
// Keeps the registers that a call must keep, and goes on with another stack.
extern "C" void rutile_switch_stacks(void** leave, void* enter);
asm(R"(
.text
.type rutile_switch_stacks, @function
rutile_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rutile_switch_stacks, .-rutile_switch_stacks
)");
#endif

namespace rutile::cuda::emulator {

Index3 thread_index, block_index, block_size, grid_size;

namespace {

constexpr size_t kStack = 128 << 10;
constexpr int kMostThreads = 1024, kLanes = 32, kMostBytes = 32;

enum class State { kReady, kAtBlock, kAtWarp, kDone };

#if defined(__x86_64__)
struct Context {
  void* top = nullptr;
  void make(char* stack, size_t bytes, void (*entry)()) {
    auto end = reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15};
    void** at = reinterpret_cast<void**>(end) - 1;  // as behind a call: 8 off a multiple of 16
    *--at = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--at = nullptr;
    top = at;
  }
};
void change(Context* from, Context* to) { rutile_switch_stacks(&from->top, to->top); }
#else
struct Context {
  ucontext_t c;
  void make(char* stack, size_t bytes, void (*entry)()) {
    getcontext(&c);
    c.uc_stack.ss_sp = stack;
    c.uc_stack.ss_size = bytes;
    makecontext(&c, entry, 0);
  }
};
void change(Context* from, Context* to) { swapcontext(&from->c, &to->c); }
#endif

struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack;
  State state = State::kDone;
  char given[kMostBytes];
};

Context scheduler;
std::vector<Fiber> fibers(kMostThreads);
int current = 0;
bool in_fibers = false;
const std::function<void()>* body = nullptr;

void entry() {
  (*body)();
  fibers[static_cast<size_t>(current)].state = State::kDone;
  change(&fibers[static_cast<size_t>(current)].context, &scheduler);
}

void wait(State s) {
  if (!in_fibers) throw std::logic_error("a kernel that syncs was launched as one that does not");
  Fiber& f = fibers[static_cast<size_t>(current)];
  const Index3 at = thread_index;
  f.state = s;
  change(&f.context, &scheduler);
  thread_index = at;
}

// Whether all of [begin, end) have come to `s` or are done; then they go on.
bool release(int begin, int end, State s) {
  bool any = false;
  for (int i = begin; i < end; ++i) {
    const State is = fibers[static_cast<size_t>(i)].state;
    if (is != s && is != State::kDone) return false;
    any = any || is == s;
  }
  for (int i = begin; any && i < end; ++i) {
    Fiber& f = fibers[static_cast<size_t>(i)];
    if (f.state == s) f.state = State::kReady;
  }
  return any;
}

void run_block(int threads) {
  for (int t = 0; t < threads; ++t) {
    Fiber& f = fibers[static_cast<size_t>(t)];
    if (!f.stack) f.stack = std::make_unique<char[]>(kStack);
    f.context.make(f.stack.get(), kStack, entry);
    f.state = State::kReady;
  }
  in_fibers = true;
  for (bool progress = true; progress;) {
    progress = false;
    for (int t = 0; t < threads; ++t) {
      Fiber& f = fibers[static_cast<size_t>(t)];
      if (f.state != State::kReady) continue;
      current = t;
      thread_index = {static_cast<unsigned>(t), 0, 0};
      change(&scheduler, &f.context);
      progress = true;
    }
    for (int w = 0; w < threads; w += kLanes) {
      progress =
          release(w, w + kLanes < threads ? w + kLanes : threads, State::kAtWarp) || progress;
    }
    progress = release(0, threads, State::kAtBlock) || progress;
  }
  in_fibers = false;
  for (int t = 0; t < threads; ++t) {
    if (fibers[static_cast<size_t>(t)].state != State::kDone) {
      throw std::logic_error("threads of a block wait for different barriers");
    }
  }
}

}  // namespace

void run(int64_t blocks_x, int64_t blocks_y, int threads, bool syncs,
         const std::function<void()>& kernel) {
  if (threads > kMostThreads) throw std::logic_error("a block has at most 1024 threads");
  body = &kernel;
  block_size = {static_cast<unsigned>(threads), 1, 1};
  grid_size = {static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y), 1};
  for (int64_t y = 0; y < blocks_y; ++y) {
    for (int64_t x = 0; x < blocks_x; ++x) {
      block_index = {static_cast<unsigned>(x), static_cast<unsigned>(y), 0};
      if (syncs) {
        run_block(threads);
        continue;
      }
      for (int t = 0; t < threads; ++t) {
        thread_index = {static_cast<unsigned>(t), 0, 0};
        kernel();
      }
    }
  }
}

void sync_block() { wait(State::kAtBlock); }
void sync_warp() { wait(State::kAtWarp); }

void exchange(const void* mine, void* other, size_t bytes, int from) {
  const int base = current / kLanes * kLanes;
  std::memcpy(fibers[static_cast<size_t>(current)].given, mine, bytes);
  const int me = current;
  wait(State::kAtWarp);
  const int source = base + from;
  std::memcpy(
      other,
      fibers[static_cast<size_t>(source < static_cast<int>(block_size.x) ? source : me)].given,
      bytes);
  wait(State::kAtWarp);
}

}  // namespace rutile::cuda::emulator
