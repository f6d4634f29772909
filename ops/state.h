// SPDX-License-Identifier: Apache-2.0
// State: the only thing that changes in place: parameters, running statistics, generators,
// optimizer slots, loss scale, learning rate, step. In a trace, reads and writes become values
// (old version in, new version out); the executor writes into the State's own memory.
#pragma once

#include <atomic>
#include <mutex>
#include <span>
#include <string>

#include "rutile/core/placement.h"
#include "rutile/core/ref.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/op_def.h"

namespace rutile {

// The value of a State is row-major: one given otherwise is copied. So what writes a State in place
// needs no strides. Compiled steps may keep the newest elements in a placement that their kernels
// like better; whoever asks for the value gets it row-major again.
class RUTILE_API State final : public RefCounted {
 public:
  State(std::string name, Tensor value);
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  // Current value; inside a trace the symbolic one. A held handle keeps the old elements when the
  // State moves on.
  Tensor read();
  // Replaces the value. Inside a trace it is recorded. Shape and dtype must stay.
  void write(const Tensor& value);
  // The concrete value, also inside a trace.
  Tensor concrete() const;
  // The same through the handle that this thread's gradient scope knows it by.
  Tensor value() const;
  // Its meta; costs nothing where concrete() would have to unpack.
  const TensorMeta& meta() const { return meta_; }
  // For the executor: the elements placed as `p`, to be read, or written in place while nobody else
  // reads the State; handles that others hold keep the old elements. After writing call wrote().
  Tensor elements(const Placement& p, bool to_write);
  // What elements(p, true) gave has been written: it is the value, of a new version.
  void wrote(Tensor elements);
  // For the executor and the loader: replaces the value, whatever its shape and dtype, and counts a
  // new version.
  void set_concrete(Tensor value);
  // The elements changed.
  void count_version() {
    version_.fetch_add(1, std::memory_order_release);
    writes_.fetch_add(1, std::memory_order_release);
  }
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // Counts the new versions of all States: who depends on many looks here first.
  static uint64_t writes() { return writes_.load(std::memory_order_acquire); }

  // Runs a mutating op: `states` are its first inputs, their new values its first outputs.
  // In place when nobody else holds the elements, otherwise on a copy.
  static void update(const OpDef& op, const void* attrs, std::span<State* const> states,
                     std::span<const Tensor> rest, std::span<Tensor> extra_outputs = {});

 private:
  const Tensor& unpacked() const;
  std::string name_;
  TensorMeta meta_;
  mutable Tensor value_;  // row-major; absent while only packed_ is up to date
  Tensor packed_;         // the same elements placed otherwise, for compiled steps
  mutable bool packed_alone_ = false;
  mutable std::recursive_mutex mutex_;  // of the three above; an update in place holds it
  std::atomic<uint64_t> version_{1};
  static std::atomic<uint64_t> writes_;
};

}  // namespace rutile
