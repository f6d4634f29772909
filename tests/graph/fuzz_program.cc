// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/graph/fuzz_program.h"

#include <algorithm>
#include <utility>

#include "rutile/autograd/tape.h"
#include "rutile/ops/control.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::fuzz {

namespace {

constexpr int64_t kMaxElements = 10000;

Step random_step(Dice& dice, int depth);

std::vector<Step> random_steps(Dice& dice, uint64_t count, int depth) {
  std::vector<Step> steps;
  for (uint64_t i = 0; i < count; ++i) steps.push_back(random_step(dice, depth));
  return steps;
}

}  // namespace

// What the steps of a program do to a list of values.
class Interpreter {
 public:
  using Do = void (Interpreter::*)(const Step&);
  struct Kind {
    const char* name;
    Do run;
    uint64_t weight;
    bool has_body;
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
  void pool(const Step& s);
  void scan(const Step& s);
  void gather(const Step& s);
  void random(const Step& s);
  void read_state(const Step& s);
  void write_state(const Step& s);
  void update_state(const Step& s);
  void recompute(const Step& s);
  void gradient(const Step& s);

  Machine& m_;
  Tensors values_, read_;
  std::vector<std::string>* log_;
};

void Interpreter::unary(const Step& s) {
  static const std::pair<const char*, Tensor (*)(const Tensor&)> kOps[] = {
      {"relu", [](const Tensor& x) { return ops::relu(x); }},
      {"tanh", [](const Tensor& x) { return ops::tanh(x); }},
      {"sigmoid", [](const Tensor& x) { return ops::sigmoid(x); }},
      {"exp(tanh)", [](const Tensor& x) { return ops::exp(ops::tanh(x)); }},
      {"sin", [](const Tensor& x) { return ops::sin(x); }},
      {"neg", [](const Tensor& x) { return ops::neg(x); }},
      {"abs", [](const Tensor& x) { return ops::abs(x); }},
      {"silu", [](const Tensor& x) { return ops::silu(x); }},
      {"gelu", [](const Tensor& x) { return ops::gelu(x); }},
      {"tanh(square)", [](const Tensor& x) { return ops::tanh(ops::square(x)); }},
      {"rsqrt(x*x + 0.5)", [](const Tensor& x) { return ops::rsqrt(x * x + 0.5); }},
      {"clip", [](const Tensor& x) { return ops::clip(x, {.min = -0.5, .max = 0.7}); }},
      {"stop_gradient", [](const Tensor& x) { return ops::stop_gradient(x); }},
      {"contiguous", [](const Tensor& x) { return ops::contiguous(x); }},
      {"leaky_relu", [](const Tensor& x) { return ops::leaky_relu(x); }},
  };
  const auto& [text, op] = kOps[s.r[1] % std::size(kOps)];
  const Tensor x = pick(s.r[0]);
  push(op(x), cat(text, "(", name(x), ")"));
}

void Interpreter::binary(const Step& s) {
  static const std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)> kOps[] = {
      {"add", [](const Tensor& x, const Tensor& y) { return x + y; }},
      {"sub", [](const Tensor& x, const Tensor& y) { return x - y; }},
      {"mul(tanh)", [](const Tensor& x, const Tensor& y) { return x * ops::tanh(y); }},
      {"div(y*y+1)", [](const Tensor& x, const Tensor& y) { return x / (y * y + 1.0); }},
      {"maximum", [](const Tensor& x, const Tensor& y) { return ops::maximum(x, y); }},
      {"where(x>y,x,2y)",
       [](const Tensor& x, const Tensor& y) { return ops::where(ops::greater(x, y), x, y * 2.0); }},
      {"where(x>0.1,x/2,y)",
       [](const Tensor& x, const Tensor& y) {
         return ops::where(ops::greater(x, Scalar(0.1)), x * 0.5, y);
       }},
  };
  const auto& [text, op] = kOps[s.r[2] % std::size(kOps)];
  const Tensor x = pick(s.r[0]), y = pick(s.r[1]);
  Shape out;
  if (!broadcast_shapes(x.shape(), y.shape(), &out).ok()) return;
  if (out.numel() <= kMaxElements) push(op(x, y), cat(text, "(", name(x), ", ", name(y), ")"));
}

void Interpreter::scalar(const Step& s) {
  const double factors[] = {0.5, -1.0, 1.0, 0.0}, terms[] = {0.0, 1.0, -0.3};
  const double f = factors[s.r[1] % 4], t = terms[s.r[2] % 3];
  const Tensor x = pick(s.r[0]);
  push(x * f + t, cat(name(x), " * ", f, " + ", t));
}

void Interpreter::transpose(const Step& s) {
  const Tensor x = pick(s.r[0]);
  Dims perm;
  for (int d = 0; d < x.rank(); ++d) perm.push_back(d);
  for (int d = x.rank() - 1; d > 0; --d) {
    std::swap(perm[d], perm[static_cast<int>((s.r[1] >> d) % static_cast<uint64_t>(d + 1))]);
  }
  push(ops::transpose(x, perm), cat("transpose(", name(x), ", ", perm, ")"));
}

void Interpreter::slice(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0) return;
  const int d = axis(x, s.r[1]);
  const int64_t start = x.dim(d) ? static_cast<int64_t>(s.r[2]) % x.dim(d) : 0;
  const int64_t step = s.r[3] % 3 == 0 ? 2 : 1, end = s.r[4] % 2 ? ops::kEnd : start + 1;
  push(ops::slice_axis(x, d, start, end, step),
       cat("slice(", name(x), ", axis ", d, ", ", start, ":", s.r[4] % 2 ? "" : cat(end), ":", step,
           ")"));
}

void Interpreter::reshape(const Step& s) {
  const Tensor x = pick(s.r[0]);
  const int64_t n = x.numel();
  Shape reversed;
  for (int d = x.rank() - 1; d >= 0; --d) reversed.push_back(x.dim(d));
  const Shape to[] = {{n}, {1, n}, {n, 1}, reversed, x.shape()};
  const Shape& shape = to[s.r[1] % 5];
  push(ops::reshape(x, shape), cat("reshape(", name(x), ", ", shape, ")"));
}

void Interpreter::broadcast(const Step& s) {
  const Tensor x = pick(s.r[0]);
  Shape shape = x.shape();
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) shape[d] = static_cast<int64_t>(s.r[1] % 4) + 1;
  }
  if (shape.numel() <= kMaxElements) {
    push(ops::broadcast_to(x, shape), cat("broadcast_to(", name(x), ", ", shape, ")"));
  }
}

void Interpreter::reduce(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0 || x.numel() == 0) return;
  const int64_t d = axis(x, s.r[1]);
  const bool keep = s.r[2] % 2;
  Tensor y;
  switch (s.r[3] % 3) {
    case 0:
      y = ops::sum(x, {.axes = {d}, .keepdims = keep}) * 0.3;
      break;
    case 1:
      y = ops::mean(x, {.axes = {d}, .keepdims = keep});
      break;
    default:
      y = ops::max(x, {.axes = {d}, .keepdims = keep});
  }
  if (keep && s.r[4] % 2) y = x - y;
  push(y, cat("reduce ", s.r[3] % 3, s.r[4] % 2 && keep ? " subtracted" : "", "(", name(x),
              ", axis ", d, ", keepdims ", keep, ")"));
}

void Interpreter::rows(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0 || x.dim(x.rank() - 1) < 2) return;
  const Tensor y = s.r[1] % 3 == 0   ? ops::softmax(x)
                   : s.r[1] % 3 == 1 ? ops::log_softmax(x)
                                     : ops::layer_norm(x, {}, {}, {.eps = 0.1});
  push(y, cat("softmax/log_softmax/layer_norm ", s.r[1] % 3, "(", name(x), ")"));
}

void Interpreter::concat(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0) return;
  const Tensor like_x = like(x.shape(), s.r[2]);
  const Tensor parts[] = {x, like_x};
  push(ops::concat(parts, axis(x, s.r[1])),
       cat("concat(", name(x), ", ", name(like_x), ", axis ", axis(x, s.r[1]), ")"));
}

void Interpreter::matmul(const Step& s) {
  const Tensor x = pick(s.r[0]), y = pick(s.r[1]);
  if (x.rank() < 2 || x.rank() > 3) return;
  const bool fits = y.rank() == 2 && y.dim(1) == x.dim(x.rank() - 1);
  const Tensor& other = fits ? y : x;
  push(ops::matmul(x, other, {.transpose_b = true}) * 0.1,
       cat("0.1 * matmul(", name(x), ", ", name(other), "^T)"));
}

void Interpreter::cast(const Step& s) {
  const DType via[] = {DType::kBF16, DType::kF16, DType::kF64, DType::kF32};
  const Tensor x = pick(s.r[0]);
  const DType t = via[s.r[1] % 4];
  push(ops::cast(ops::cast(x, t), x.dtype()), cat("cast(", name(x), " by way of ", t, ")"));
}

// A convolution, a norm, perhaps a residual, a ReLU.
void Interpreter::conv(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() != 4 || x.dim(1) > 20 || x.numel() == 0) return;
  const int64_t c = x.dim(1);
  const Tensor flat = ops::reshape(values_[0], {-1});
  const Tensor one = ops::reshape(ops::slice(flat, {0}, {1}), {1, 1, 1, 1});
  const Tensor ramp =
      ops::reshape(ops::arange(0.0, static_cast<double>(c * c * 9), 1.0, x.dtype()), {c, c, 3, 3});
  const Tensor weight = (ops::sin(ramp) + ops::tanh(one)) * 0.2;
  Tensor y = ops::conv2d(x, weight, {}, {.pad = 1});
  std::string text = cat("conv2d(", name(x), ")");
  if (s.r[1] % 4 && x.dim(0) * x.dim(2) * x.dim(3) > 4) {
    const Tensor w = Tensor::full({c}, 1.1, x.dtype()), b = Tensor::full({c}, 0.1, x.dtype());
    const ops::BatchNormResult r = s.r[2] % 3 ? ops::batch_norm(y, w, b, {.eps = 0.1})
                                              : ops::batch_norm(y, {}, {}, {.eps = 0.1});
    y = r.y;
    text = cat("batch_norm(", text, ")");
    if (!m_.stats_.empty() && m_.stats_[0]->concrete().dim(0) == c && s.r[3] % 2) {
      ops::batch_norm_update_stats(*m_.stats_[0], *m_.stats_[1], r.mean, r.rstd,
                                   {.eps = 0.1, .count = x.dim(0) * x.dim(2) * x.dim(3)});
      text += " with statistics";
    }
  }
  if (s.r[4] % 3 == 0) {
    const Tensor residual = like(x.shape(), s.r[4] / 6);
    y = y + residual;
    text = cat(text, " + ", name(residual));
  }
  if (s.r[4] % 2) {
    y = ops::relu(y);
    text = cat("relu(", text, ")");
  }
  push(y, text);
}

void Interpreter::pool(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() != 4 || x.dim(2) < 2 || x.dim(3) < 2 || x.numel() == 0) return;
  if (s.r[1] % 2) {
    push(ops::max_pool2d(x, {.kernel = 2, .stride = 1, .pad = 1}), cat("max_pool(", name(x), ")"));
  } else {
    push(ops::avg_pool2d(x, {.kernel = 2}), cat("avg_pool(", name(x), ")"));
  }
}

// A result that lies in the arena and that nothing fuses with.
void Interpreter::scan(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0) return;
  push(ops::cumsum(x, {.axis = -1}) * 0.2, cat("0.2 * cumsum(", name(x), ")"));
}

void Interpreter::gather(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0 || x.numel() == 0) return;
  const int d = axis(x, s.r[1]);
  const int64_t n = x.dim(d), i = static_cast<int64_t>(s.r[2] % 100) % n;
  const Tensor index = Tensor::from<int64_t>({i, n - 1, 0}, {3});
  push(ops::gather(x, index, d), cat("gather(", name(x), ", axis ", d, ", [", i, ", -1, 0])"));
}

void Interpreter::random(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (s.r[1] % 2) {
    push(ops::dropout(m_.generator_.next_key(), x, {.p = 0.3}), cat("dropout(", name(x), ")"));
    return;
  }
  const Tensor u =
      ops::random_uniform(m_.generator_.next_key(), {.shape = x.shape(), .dtype = x.dtype()});
  push(x * u, cat("random_uniform * ", name(x)));
}

void Interpreter::read_state(const Step& s) {
  State& state = *m_.params_[s.r[0] % m_.params_.size()];
  const Tensor t = state.read();
  push(t, cat(state.name(), ".read()"));
  read_.push_back(t);
}

void Interpreter::write_state(const Step& s) {
  State& state = *m_.params_[s.r[0] % m_.params_.size()];
  Tensor t = like(state.concrete().shape(), s.r[1]);
  if (s.r[2] % 3 == 0) {
    const Tensor old = state.read();
    Dims perm;
    for (int d = old.rank() - 1; d >= 0; --d) perm.push_back(d);
    const Tensor turned = ops::transpose(old, perm);
    if (turned.shape() == old.shape()) t = turned;
  }
  if (!t.defined()) return;
  note(cat(state.name(), ".write(", name(t), ")"));
  state.write(t);
}

void Interpreter::update_state(const Step& s) {
  const size_t i = s.r[0] % m_.params_.size();
  State* p = m_.params_[i].get();
  State *first = m_.slots_[2 * i].get(), *second = m_.slots_[2 * i + 1].get();
  Tensor grad = like(p->concrete().shape(), s.r[1]);
  if (!grad.defined() || s.r[4] % 4 == 0) grad = p->read();
  note(cat(p->name(), ": update rule ", s.r[2] % 3, " with ", name(grad)));
  if (s.r[2] % 3 == 0) {
    const ops::SgdAttrs attrs{.weight_decay = 0.1};
    State* states[] = {p};
    const Tensor rest[] = {grad, m_.lr_};
    State::update(ops::kSgd, &attrs, states, rest);
  } else if (s.r[2] % 3 == 1) {
    const ops::MomentumAttrs attrs{.nesterov = s.r[3] % 2 == 0};
    State* states[] = {p, first};
    const Tensor rest[] = {grad, m_.lr_, m_.step_};
    State::update(ops::kMomentum, &attrs, states, rest);
  } else {
    const ops::AdamAttrs attrs{.eps = 0.1};
    State* states[] = {p, first, second};
    const Tensor rest[] = {m_.step_, grad, m_.lr_};
    State::update(ops::kAdamW, &attrs, states, rest);
  }
}

void Interpreter::recompute(const Step& s) {
  const Tensor x = pick(s.r[0]), y = pick(s.r[1]);
  if (x.impl() == y.impl()) return;
  note(cat("recompute(", name(x), ", ", name(y), "):"));
  // The second run may come when this interpreter is gone; it needs no log.
  auto log = std::make_shared<std::vector<std::string>*>(log_);
  const Tensors r = ops::recompute(
      [&m = m_, &body = s.body, log](const Tensors& in) {
        Interpreter inner(m, in, std::exchange(*log, nullptr));
        inner.run(body);
        return Tensors{inner.values().back()};
      },
      {x, y});
  push(r[0], "the body's last value");
}

void Interpreter::gradient(const Step& s) {
  // Handles of their own: an outer scope may track the values already.
  const Tensor a = pick(s.r[0]), b = pick(s.r[1]);
  const Tensor x = a * 1.5, y = b + 0.25;
  note(cat("gradients of the body by v0 = 1.5 * ", name(a), ", v1 = ", name(b), " + 0.25:"));
  GradScope scope;
  scope.watch(x);
  scope.watch(y);
  Interpreter inner(m_, {x, y}, log_);
  inner.run(s.body);
  const Tensor& out = inner.values().back();
  const Tensors g = scope.gradient(ops::sum(out * ops::cos(out)), {x, y});
  push(g[0], "gradient by v0");
  push(g[1], "gradient by v1");
}

std::span<const Interpreter::Kind> Interpreter::kinds() {
  using I = Interpreter;
  static const Kind kKinds[] = {
      {"unary", &I::unary, 8, false},         {"binary", &I::binary, 10, false},
      {"scalar", &I::scalar, 3, false},       {"transpose", &I::transpose, 3, false},
      {"slice", &I::slice, 3, false},         {"reshape", &I::reshape, 2, false},
      {"broadcast", &I::broadcast, 1, false}, {"reduce", &I::reduce, 3, false},
      {"rows", &I::rows, 2, false},           {"concat", &I::concat, 1, false},
      {"matmul", &I::matmul, 2, false},       {"cast", &I::cast, 1, false},
      {"conv", &I::conv, 4, false},           {"pool", &I::pool, 1, false},
      {"scan", &I::scan, 2, false},           {"gather", &I::gather, 1, false},
      {"random", &I::random, 2, false},       {"read_state", &I::read_state, 3, false},
      {"write", &I::write_state, 3, false},   {"update", &I::update_state, 3, false},
      {"recompute", &I::recompute, 1, true},  {"gradient", &I::gradient, 2, true},
  };
  return kKinds;
}

namespace {

Step random_step(Dice& dice, int depth) {
  uint64_t total = 0;
  for (const Interpreter::Kind& k : Interpreter::kinds()) total += k.weight;
  Step s;
  for (;;) {
    uint64_t at = dice.roll(total);
    s.kind = 0;
    while (at >= Interpreter::kinds()[s.kind].weight) at -= Interpreter::kinds()[s.kind++].weight;
    if (!Interpreter::kinds()[s.kind].has_body) break;
    if (depth >= 2) continue;
    s.body = random_steps(dice, 1 + dice.roll(6), depth + 1);
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
  p.gradient = dice.roll(3) == 0;
  p.steps = random_steps(dice, 2 + dice.roll(20), 0);
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
  if (p.shape.rank() != 4) return;
  stats_.push_back(make_ref<State>("mean", Tensor::zeros({p.shape[1]}, p.dtype)));
  stats_.push_back(make_ref<State>("var", Tensor::full({p.shape[1]}, 1.0, p.dtype)));
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
