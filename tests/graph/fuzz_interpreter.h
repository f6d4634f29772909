// SPDX-License-Identifier: Apache-2.0
// How the fuzzer runs a program; the kinds of steps are in fuzz_steps.cc, fuzz_layers.cc and
// fuzz_images.cc.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rutile/core/error.h"
#include "rutile/tests/graph/fuzz_program.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::fuzz {

inline constexpr int64_t kMaxElements = 10000;

// Samples of ops that a program may contain: pure ones of moderate size.
const std::vector<const samples::Sample*>& fuzzed_samples();

// What the steps of a program do to a list of values.
class Interpreter {
 public:
  using Do = void (Interpreter::*)(const Step&);
  struct Kind {
    const char* name;
    Do run;
    uint64_t weight;
    bool has_body;
    bool inference;  // may stand in a program for inference
  };
  static std::span<const Kind> kinds();

  Interpreter(Machine& machine, Tensors values, std::vector<std::string>* log)
      : m_(machine), values_(std::move(values)), log_(log) {}
  void run(const std::vector<Step>& steps) {
    for (const Step& s : steps) (this->*kinds()[s.kind].run)(s);
  }
  const Tensors& values() const { return values_; }
  const Tensors& read() const { return read_; }

 private:
  const Tensor& pick(uint64_t r) const {
    // The latest value often: chains are where fusion happens.
    return r % 3 == 0 ? values_.back() : values_[(r / 3) % values_.size()];
  }
  int axis(const Tensor& t, uint64_t r) const {
    return static_cast<int>(r % static_cast<uint64_t>(t.rank()));
  }
  // A value of this shape made from the r-th; undefined if there is none.
  Tensor like(const Shape& shape, uint64_t r) const {
    Tensors fitting;
    for (const Tensor& t : values_) {
      if (t.shape() == shape) fitting.push_back(t);
    }
    return fitting.empty() ? Tensor() : fitting[r % fitting.size()];
  }
  std::string name(const Tensor& t) const {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (values_[i].impl() == t.impl()) return cat("v", i);
    }
    return "?";
  }
  void note(const std::string& text) {
    if (log_) log_->push_back(text);
  }
  void push(Tensor t, const std::string& text) {
    if (t.numel() > kMaxElements || t.rank() > 5) return;
    note(cat("v", values_.size(), " = ", text, "  ", t.meta()));
    values_.push_back(std::move(t));
  }

  void unary(const Step& s);
  void binary(const Step& s);
  void scalar(const Step& s);
  void transpose(const Step& s);
  void slice(const Step& s);
  void reshape(const Step& s);
  void broadcast(const Step& s);
  void reduce(const Step& s);
  void rows(const Step& s);
  void concat(const Step& s);
  void matmul(const Step& s);
  void cast(const Step& s);
  void conv(const Step& s);
  void layer(const Step& s);
  void sample(const Step& s);
  void pool(const Step& s);
  void wide_conv(const Step& s);
  void scan(const Step& s);
  void gather(const Step& s);
  void random(const Step& s);
  void read_state(const Step& s);
  void write_state(const Step& s);
  void update_state(const Step& s);
  void recompute(const Step& s);
  void gradient(const Step& s);
  void control(const Step& s);

  Machine& m_;
  Tensors values_, read_;
  std::vector<std::string>* log_;
};

}  // namespace rutile::fuzz
