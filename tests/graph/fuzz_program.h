// SPDX-License-Identifier: Apache-2.0
// Random programs over tensors and States for the fuzzer. A program is a list of steps of plain
// numbers; what a step does depends on them and on shapes only, so that any sublist of the steps is
// a valid program too (which is how a failing one is reduced) and every run does the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/rng.h"
#include "rutile/ops/random.h"
#include "rutile/ops/state.h"

namespace rutile::fuzz {

using Tensors = std::vector<Tensor>;

// A stream of random numbers.
class Dice {
 public:
  explicit Dice(uint64_t seed) : key_{seed} {}
  uint64_t roll() { return philox(key_, next_++)[0]; }
  uint64_t roll(uint64_t n) { return roll() % n; }

 private:
  PhiloxKey key_;
  uint64_t next_ = 0;
};

struct Step {
  uint64_t kind = 0;
  uint64_t r[5] = {};
  std::vector<Step> body;  // of gradients and recomputations
};

struct Program {
  DType dtype = DType::kF32;
  Shape shape;             // of the inputs and most States
  bool gradient = false;   // also returns the gradients of the inputs and of what it read of States
  bool inference = false;  // writes no State and asks for no gradient
  std::vector<Step> steps;
};

Program random_program(uint64_t seed);

// Parameters of a convolution or linear layer and of the norm behind it.
struct Layer {
  int64_t channels = 0;
  bool image = false;
  Ref<State> weight, bias, mean, var, gamma;
};

// The States that a program reads and writes, as they are before its first run.
class Machine {
 public:
  Machine(const Program& program, uint64_t seed);
  // Runs the program, eagerly or in a trace. `log` gets a line per value.
  Tensors run(const Tensors& inputs, std::vector<std::string>* log = nullptr);
  // Gives every State a handle that nobody else has. Eagerly, a tensor written to two States is one
  // tensor, also to a gradient; in a graph, States are values of their own.
  void renew_handles();
  // What the layers of this many channels read; null if the program has none.
  const Layer* layer(int64_t channels, bool image) const;
  // Gives layers and parameters other values, as training between two calls would.
  void train();
  // Values of all States.
  Tensors states() const;

 private:
  friend class Interpreter;
  void add_layers(uint64_t seed);
  const Program& program_;
  std::vector<Ref<State>> params_, slots_, stats_;
  std::vector<Layer> layers_;
  Generator generator_;
  Tensor lr_, step_;
};

// Inputs of the program's dtype; `noise` > 0 moves each element by about that part of its size.
Tensors random_inputs(const Program& program, uint64_t seed, double noise);

}  // namespace rutile::fuzz
