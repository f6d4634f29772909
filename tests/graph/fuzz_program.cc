// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/graph/fuzz_program.h"

#include <algorithm>

#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/graph/fuzz_interpreter.h"

namespace rutile::fuzz {

namespace {

Step random_step(Dice& dice, const Program& p, int depth);

std::vector<Step> random_steps(Dice& dice, const Program& p, uint64_t count, int depth) {
  std::vector<Step> steps;
  for (uint64_t i = 0; i < count; ++i) steps.push_back(random_step(dice, p, depth));
  return steps;
}

}  // namespace

std::span<const Interpreter::Kind> Interpreter::kinds() {
  using I = Interpreter;
  static const Kind kKinds[] = {
      {"unary", &I::unary, 8, false, true},         {"binary", &I::binary, 10, false, true},
      {"scalar", &I::scalar, 3, false, true},       {"transpose", &I::transpose, 3, false, true},
      {"slice", &I::slice, 3, false, true},         {"reshape", &I::reshape, 2, false, true},
      {"broadcast", &I::broadcast, 1, false, true}, {"reduce", &I::reduce, 3, false, true},
      {"rows", &I::rows, 2, false, true},           {"concat", &I::concat, 1, false, true},
      {"matmul", &I::matmul, 2, false, true},       {"cast", &I::cast, 1, false, true},
      {"conv", &I::conv, 4, false, false},          {"layer", &I::layer, 6, false, true},
      {"pool", &I::pool, 1, false, true},           {"scan", &I::scan, 2, false, true},
      {"gather", &I::gather, 1, false, true},       {"sample", &I::sample, 3, false, true},
      {"random", &I::random, 2, false, false},      {"read_state", &I::read_state, 3, false, true},
      {"write", &I::write_state, 3, false, false},  {"update", &I::update_state, 3, false, false},
      {"recompute", &I::recompute, 1, true, true},  {"gradient", &I::gradient, 2, true, true},
      {"control", &I::control, 2, true, true},      {"wide_conv", &I::wide_conv, 1, false, true},
  };
  return kKinds;
}

const std::vector<const samples::Sample*>& fuzzed_samples() {
  static const auto* const chosen = [] {
    auto* lists = new std::vector<samples::SampleList>;
    for (const OpDef* op : all_ops()) {
      if (op->mutate_mask || op->dynamic || op->effects != kPure) continue;
      lists->push_back(samples::samples_of(*op));
    }
    auto* found = new std::vector<const samples::Sample*>;
    for (const samples::SampleList& list : *lists) {
      for (const samples::Sample& s : list.samples) {
        int64_t elements = 0;
        bool plain = s.not_deterministic.empty();
        for (const samples::Input& i : s.inputs) {
          elements += i.shape.numel();
          plain = plain && i.fill.kind != samples::Fill::kValues;
          // Rounds more coarsely than the program's type says.
          plain = plain && !(i.dtype.set && is_low_precision(i.dtype.value));
        }
        if (plain && elements > 0 && elements <= 3000) found->push_back(&s);
      }
    }
    return found;
  }();
  return *chosen;
}

namespace {

Step random_step(Dice& dice, const Program& p, int depth) {
  uint64_t total = 0;
  for (const Interpreter::Kind& k : Interpreter::kinds()) total += k.weight;
  Step s;
  for (;;) {
    uint64_t at = dice.roll(total);
    s.kind = 0;
    while (at >= Interpreter::kinds()[s.kind].weight) at -= Interpreter::kinds()[s.kind++].weight;
    if (p.inference && !Interpreter::kinds()[s.kind].inference) continue;
    if (!Interpreter::kinds()[s.kind].has_body) break;
    if (depth >= 2) continue;
    s.body = random_steps(dice, p, 1 + dice.roll(6), depth + 1);
    break;
  }
  for (uint64_t& r : s.r) r = dice.roll();
  return s;
}

Tensor random_tensor(const Shape& shape, DType dtype, uint64_t seed, double noise) {
  const auto normal = [&](uint64_t k) {
    return ops::random_normal(Tensor::from<uint64_t>({k}, {1}),
                              {.shape = shape, .dtype = DType::kF64});
  };
  Tensor t = normal(seed);
  if (noise > 0) t = t * (normal(seed + 1000) * noise + 1.0);
  return ops::cast(t, dtype);
}

}  // namespace

Program random_program(uint64_t seed) {
  static constexpr int64_t kSizes[] = {1, 2, 3, 4, 5, 6, 8, 16, 17, 37, 64};
  Dice dice(seed);
  Program p;
  p.dtype = dice.roll(2) ? DType::kF32 : DType::kF64;
  const uint64_t rank = std::max<uint64_t>(1, std::min<uint64_t>(4, dice.roll(7)));
  for (uint64_t d = 0; d < rank; ++d) p.shape.push_back(kSizes[dice.roll(std::size(kSizes))]);
  for (int d = 0; p.shape.numel() > 4096; ++d) p.shape[d] = std::min<int64_t>(p.shape[d], 3);
  p.inference = dice.roll(3) == 0;
  p.gradient = !p.inference && dice.roll(3) == 0;
  p.steps = random_steps(dice, p, 2 + dice.roll(20), 0);
  return p;
}

Tensors random_inputs(const Program& p, uint64_t seed, double noise) {
  Shape partly = p.shape;
  for (int d = 0; d < partly.rank(); d += 2) partly[d] = 1;
  return {random_tensor(p.shape, p.dtype, seed, noise),
          random_tensor(partly, p.dtype, seed + 1, noise),
          random_tensor({p.shape[p.shape.rank() - 1]}, p.dtype, seed + 2, noise)};
}

Machine::Machine(const Program& p, uint64_t seed)
    : program_(p),
      generator_(seed),
      lr_(Tensor::scalar(0.1, DType::kF64)),
      step_(Tensor::scalar(int64_t{2}, DType::kI64)) {
  const Shape last{p.shape[p.shape.rank() - 1]};
  for (uint64_t i = 0; i < 3; ++i) {
    const Shape& shape = i < 2 ? p.shape : last;
    params_.push_back(make_ref<State>(cat("p", i), random_tensor(shape, p.dtype, seed + i, 0)));
    for (int k = 0; k < 2; ++k) {
      slots_.push_back(make_ref<State>(cat("slot", i, k), Tensor::zeros(shape, p.dtype)));
    }
  }
  add_layers(seed);
  if (p.shape.rank() != 4) return;
  stats_.push_back(make_ref<State>("mean", Tensor::zeros({p.shape[1]}, p.dtype)));
  stats_.push_back(make_ref<State>("var", Tensor::full({p.shape[1]}, 1.0, p.dtype)));
}

void Machine::add_layers(uint64_t seed) {
  const Shape& shape = program_.shape;
  const DType t = program_.dtype;
  const auto add = [&](int64_t c, bool image) {
    if (c < 1 || c > 64) return;
    uint64_t k = seed + 40 + (image ? 10 : 0);
    const auto state = [&](const char* name, const Shape& s, bool positive) {
      Tensor v = random_tensor(s, t, ++k, 0) * 0.3;
      if (positive) v = ops::abs(v) + 0.5;
      return make_ref<State>(cat(image ? "conv." : "linear.", name), v);
    };
    const Shape weight = image ? Shape{c, c, 3, 3} : Shape{c, c};
    layers_.push_back({c, image, state("weight", weight, false), state("bias", {c}, false),
                       state("mean", {c}, false), state("var", {c}, true),
                       state("gamma", {c}, false)});
  };
  if (shape.rank() >= 2) add(shape[shape.rank() - 1], false);
  if (shape.rank() == 4) add(shape[1], true);
}

const Layer* Machine::layer(int64_t channels, bool image) const {
  for (const Layer& l : layers_) {
    if (l.channels == channels && l.image == image) return &l;
  }
  return nullptr;
}

void Machine::train() {
  for (const Layer& l : layers_) {
    for (const Ref<State>& s : {l.weight, l.bias, l.mean, l.gamma}) s->write(s->read() * 0.75);
    l.var->write(l.var->read() + 0.25);
  }
  for (const Ref<State>& s : params_) s->write(s->read() * 0.5);
}

void Machine::renew_handles() {
  for (const Ref<State>& s : params_) s->set_concrete(s->concrete() * 1.0);
}

Tensors Machine::states() const {
  Tensors all;
  for (const auto* list : {&params_, &slots_, &stats_}) {
    for (const Ref<State>& s : *list) all.push_back(s->concrete());
  }
  all.push_back(ops::cast(generator_.state_ref()->concrete(), DType::kF64));
  return all;
}

Tensors Machine::run(const Tensors& inputs, std::vector<std::string>* log) {
  auto last_values = [&](const Interpreter& i) {
    const Tensors& v = i.values();
    return Tensors{v.back(), v[v.size() / 2], v[v.size() * 3 / 4]};
  };
  if (!program_.gradient) {
    Interpreter interpreter(*this, inputs, log);
    interpreter.run(program_.steps);
    return last_values(interpreter);
  }
  GradScope scope;
  Tensors xs = inputs;
  for (const Ref<State>& s : params_) xs.push_back(s->read());
  for (const Tensor& x : xs) scope.watch(x);
  Interpreter interpreter(*this, inputs, log);
  interpreter.run(program_.steps);
  Tensors out = last_values(interpreter);
  Tensor loss;
  for (const Tensor& t : out) {
    const Tensor part = ops::sum(t * ops::cos(t));
    loss = loss.defined() ? loss + part : part;
  }
  for (const Tensor& g : scope.gradient(loss, xs)) out.push_back(g);
  return out;
}

}  // namespace rutile::fuzz
