// SPDX-License-Identifier: Apache-2.0
// Between Rutile and oneDNN. Included by kernels/cpu/dnnl_*.cc only.
#pragma once

#include <dnnl.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <span>

#include "rutile/core/placement.h"
#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// f32 everywhere; bf16 where oneDNN has vector kernels for it.
bool dnnl_has(DType t);
dnnl::memory::data_type dnnl_dtype(DType t);
dnnl::memory::dims dnnl_dims(const Dims& d);
// Strides or layout of `m` as they are.
dnnl::memory::desc dnnl_desc(const TensorMeta& m);
// Not all strides make a descriptor: those of a dimension must span the ones below it.
bool dnnl_describes(const TensorMeta& m);
dnnl::memory::desc dnnl_desc_any(const Shape& shape, DType t);
// What a descriptor of a 4-D tensor says: its tag, or channels-last, or row-major.
Placement dnnl_placement(const dnnl::memory::desc& d);
// The CPU engine, for the life of the process.
const dnnl::engine& dnnl_engine();
dnnl::primitive_attr dnnl_attr();  // with the scratchpad left to us
// Threads for so many multiply-adds: below some microseconds more than one only costs.
int dnnl_threads(double products);
// While it lives, OpenMP gives the calling thread so many: oneDNN plans and runs with them.
class OmpThreads {
 public:
  explicit OmpThreads(int n);
  ~OmpThreads();
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int saved_;
  bool changed_;
};
// Runs f, which plans with oneDNN for `threads`, and turns its exceptions into a Status.
template <class F>
Status dnnl_try(int threads, F&& f) {
  const OmpThreads scope(threads);
  try {
    f();
  } catch (const dnnl::error& e) {
    return Status(e.status == dnnl_out_of_memory ? ErrorCode::kOutOfMemory : ErrorCode::kRuntime,
                  cat("oneDNN: ", e.what()));
  }
  return Status();
}

// A primitive with its arguments; safe to run on several threads. Executing it touches the heap
// only when more threads than ever before run it at once.
class DnnlCall {
 public:
  static constexpr int kMaxArgs = 6;
  DnnlCall() = default;
  DnnlCall(const DnnlCall&) = delete;
  DnnlCall& operator=(const DnnlCall&) = delete;
  ~DnnlCall();
  // Inside dnnl_try, whose threads run it. The arguments' order is that of run's pointers.
  void set(dnnl::primitive primitive,
           std::initializer_list<std::pair<int, dnnl::memory::desc>> args);
  bool defined() const { return static_cast<bool>(primitive_); }
  Status run(std::initializer_list<void*> pointers) const;

 private:
  struct Context {
    dnnl_exec_arg_t args[kMaxArgs] = {};
    int count = 0;
    ~Context();
  };
  static constexpr size_t kKept = 4;
  std::unique_ptr<Context> make_context() const;  // null without memory

  dnnl::primitive primitive_;
  std::array<std::pair<int, dnnl::memory::desc>, kMaxArgs> args_;
  int count_ = 0;
  int threads_ = 1;
  mutable std::array<std::atomic<Context*>, kKept> idle_{};
};

// A value that a primitive wants placed otherwise than the caller has it: a reorder through the
// workspace, before the primitive (an input) or after it (an output).
class DnnlReorder {
 public:
  // Inside dnnl_try. Takes memory from the end of `workspace` if the two differ.
  void set(const dnnl::memory::desc& from, const dnnl::memory::desc& to, bool output,
           size_t* workspace);
  bool needed() const { return call_.defined(); }
  // Where the primitive finds (or leaves) the value.
  void* placed(void* user, void* workspace) const {
    return needed() ? static_cast<char*>(workspace) + offset_ : user;
  }
  Status run(void* user, void* workspace) const;

 private:
  DnnlCall call_;
  size_t offset_ = 0;
  bool output_ = false;
};

}  // namespace rutile::kernels
