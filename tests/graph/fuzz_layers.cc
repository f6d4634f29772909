// SPDX-License-Identifier: Apache-2.0
// Steps with layers, samples of the op table, States and regions.
#include <algorithm>

#include "rutile/autograd/tape.h"
#include "rutile/ops/control.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/graph/fuzz_interpreter.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::fuzz {

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

// A layer with parameters as inference has it: its norm has given statistics.
void Interpreter::layer(const Step& s) {
  const Tensor x = pick(s.r[0]);
  const bool image = x.rank() == 4;
  if (x.rank() < 2 || x.numel() == 0) return;
  const int64_t c = image ? x.dim(1) : x.dim(x.rank() - 1);
  const Layer* l = m_.layer(c, image);
  if (!l) return;
  const Tensor bias = s.r[1] % 2 ? l->bias->read() : Tensor();
  Tensor y = image ? ops::conv2d(x, l->weight->read(), bias, {.pad = 1})
                   : ops::linear(x, l->weight->read(), bias);
  std::string text = cat(image ? "conv2d(" : "linear(", name(x), ", ", l->weight->name(), ")");
  if (s.r[2] % 3 && (image || x.rank() == 2)) {
    const bool affine = s.r[2] % 2;
    y = ops::batch_norm_inference(y, l->mean->read(), l->var->read(),
                                  affine ? l->gamma->read() : Tensor(),
                                  affine ? l->bias->read() : Tensor(), {.eps = 0.1});
    text = cat("batch_norm_inference(", text, ")");
  }
  if (s.r[3] % 2) {
    const Tensor residual = like(y.shape(), s.r[3] / 2);
    if (residual.defined()) {
      y = s.r[3] % 4 == 1 ? y + residual : residual + y;
      text = cat(text, " + ", name(residual));
    }
  }
  using Act = Tensor (*)(const Tensor&);
  static const std::pair<const char*, Act> kActs[] = {
      {"", [](const Tensor& v) { return v; }},
      {"relu", [](const Tensor& v) { return ops::relu(v); }},
      {"gelu", [](const Tensor& v) { return ops::gelu(v); }},
      {"silu", [](const Tensor& v) { return ops::silu(v); }},
      {"tanh", [](const Tensor& v) { return ops::tanh(v); }},
      {"relu6", [](const Tensor& v) { return ops::relu6(v); }},
      {"hswish", [](const Tensor& v) { return ops::hswish(v); }},
      {"sigmoid", [](const Tensor& v) { return ops::sigmoid(v); }}};
  const auto& [act, fn] = kActs[s.r[4] % std::size(kActs)];
  push(fn(y), cat(act, "(", text, ")"));
}

// An op of the table on a sample of its own, whose floating operands follow a value of the program.
void Interpreter::sample(const Step& s) {
  const std::vector<const samples::Sample*>& all = fuzzed_samples();
  const samples::Sample& chosen = *all[s.r[0] % all.size()];
  const Tensor x = pick(s.r[1]);
  const DType t = values_[0].dtype();
  const bool taken = std::count(chosen.dtypes.begin(), chosen.dtypes.end(), t) > 0;
  if (x.numel() == 0 || !taken) return;
  const Tensor factor = ops::tanh(ops::mean(ops::clip(x, {.min = -4, .max = 4}))) * 0.01 + 1.0;
  Tensors in = chosen.make_inputs(t);
  for (Tensor& v : in) {
    if (v.defined() && v.dtype() == t) v = v * factor;
  }
  const TensorList out = call_n(*chosen.op, chosen.attrs.get(), in);
  for (const Tensor& y : out) {
    if (!y.defined() || !is_floating(y.dtype())) continue;
    push(ops::tanh(ops::cast(y, t)),
         cat("tanh of ", chosen.op->name, " sample ", chosen.index, " with ", name(x)));
  }
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
    const Tensor rest[] = {grad, m_.lr_, m_.step_};
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

// The body in a branch or a loop. What decides is no rounding's affair.
void Interpreter::control(const Step& s) {
  const Tensor x = pick(s.r[0]), y = pick(s.r[1]);
  if (y.rank() == 0 || y.dim(0) > 4 || x.impl() == y.impl()) return;
  const auto body = [this, &s](const Tensors& in) {
    Interpreter inner(m_, in, std::exchange(log_, nullptr));
    inner.run(s.body);
    return inner.values().back();
  };
  auto* const log = log_;
  const auto next = [](const Tensor& carry, const Tensor& last) {
    return carry * 0.5 + ops::cast(ops::tanh(ops::mean(last)), carry.dtype());
  };
  Tensors results;
  if (s.r[2] % 3 == 0) {
    note(cat("cond(", s.r[3] % 2, "), ", name(x), ", ", name(y), ":"));
    const Tensor size = ops::max(ops::abs(x));
    const Tensor pred = s.r[3] % 2 ? ops::greater_equal(size, 0.0) : ops::less(size, 0.0);
    results = ops::cond(
        pred, [&](const Tensors& in) { return Tensors{body(in)}; },
        [&](const Tensors& in) { return Tensors{body(in) * 0.5}; }, {x, y});
  } else if (s.r[2] % 3 == 1) {
    note(cat("scan of ", name(y), " with ", name(x), ":"));
    auto [carry, ys] = ops::scan(
        [&](const Tensors& c, const Tensors& v) -> ops::ScanStep {
          const Tensor last = body({c[0], v[0]});
          return {{next(c[0], last)}, {last}};
        },
        {x}, {y}, {.reverse = s.r[3] % 2 == 0});
    results = {carry[0], ys[0]};
  } else {
    note(cat("while_loop of ", name(x), " beside ", name(y), ":"));
    const auto rounds = static_cast<int64_t>(s.r[3] % 4);
    results = ops::while_loop(
        [&](const Tensors& c) { return ops::less(c[0], Tensor::scalar(rounds, DType::kI64)); },
        [&](const Tensors& c) {
          return Tensors{c[0] + 1, next(c[1], body({c[1], y}))};
        },
        {Tensor::scalar(int64_t{0}, DType::kI64), x}, {.max_iterations = 5});
    results.erase(results.begin());
  }
  log_ = log;
  // A carry that no iteration changed is the same handle, eagerly.
  for (const Tensor& r : results) push(ops::reshape(r, r.shape()), "of the body");
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

}  // namespace rutile::fuzz
