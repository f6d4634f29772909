// SPDX-License-Identifier: Apache-2.0
// Ten steps of every optimizer against PyTorch, or the paper: the ops with one and with many
// parameters, and the optimizers, eager and compiled.
#include <gtest/gtest.h>

#include <set>

#include "rutile/graph/compile.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/update.h"
#include "rutile/tests/support/golden_values.h"

namespace rutile::nn::optim {
namespace {

using namespace golden;

struct Case {
  Json json;
  std::string op, seed;
  Shape shape;
  double lr = 0;
  explicit Case(const Json& j)
      : json(j),
        op(j.at("op")),
        seed(cat("updates/", j.at("index").get<int>(), "/")),
        shape(shape_of(j.at("shape"))),
        lr(j.at("lr")) {}
  Tensor input(const std::string& name) const {
    return make_input({{"shape", json.at("shape")}}, seed + name);
  }
  Tensor grad(int step) const { return input(cat("grad.", step)); }
  int steps() const { return static_cast<int>(json.at("params").size()); }
  double number(const char* name, double otherwise) const {
    return json.at("attrs").value(name, otherwise);
  }
  bool flag(const char* name) const { return json.at("attrs").value(name, false); }

  void check(const Tensor& got, int step, double tolerance) const {
    const Json want{{"shape", json.at("shape")},
                    {"values", json.at("params")[static_cast<size_t>(step)]}};
    compare(ops::cast(got, DType::kF64), want, cat(op, " ", seed, "param.", step), tolerance);
  }
};

// f32 rounds in every step, and signs and rates by small gradients enlarge it.
double tolerance_of(DType t) { return t == DType::kF64 ? 1e-11 : 2e-5; }

Ref<State> state_of(const Tensor& t) { return make_ref<State>("s", t); }

std::vector<Ref<State>> states_of(const Case& c, const OpDef& op, DType t) {
  std::vector<Ref<State>> states{state_of(ops::cast(c.input("param"), t))};
  for (int i = 1; i < op.num_outputs; ++i) {
    const double start = c.json.at("starts").value(std::string(op.input_name(i)), 0.0);
    states.push_back(state_of(Tensor::full(c.shape, start, t)));
  }
  return states;
}

AnyAttrs attrs_of_case(const Case& c, const OpDef& op) {
  AnyAttrs attrs(op.attrs, nullptr);
  for (const auto& [key, value] : c.json.at("attrs").items()) {
    EXPECT_TRUE(set_attr(op, attrs.get_mutable(), key, value)) << c.op << ": " << key;
  }
  return attrs;
}

void run_single(const Case& c, const OpDef& op, DType t) {
  const AnyAttrs attrs = attrs_of_case(c, op);
  const std::vector<Ref<State>> states = states_of(c, op, t);
  std::vector<State*> pointers;
  for (const Ref<State>& s : states) pointers.push_back(s.get());
  const Tensor lr = Tensor::scalar(c.lr, DType::kF64), half = Tensor::scalar(0.5, DType::kF32);
  for (int k = 0; k < c.steps(); ++k) {
    // Twice the gradient, scaled by a half.
    const Tensor rest[] = {ops::mul(ops::cast(c.grad(k), t), 2.0), lr,
                           Tensor::scalar(int64_t{k + 1}, DType::kI64), Tensor(), half};
    State::update(op, attrs.get(), pointers, rest);
    c.check(states[0]->read(), k, tolerance_of(t));
  }
}

// Beside a second parameter.
void run_multi(const Case& c, const ops::UpdateFamily& f) {
  const AnyAttrs attrs = attrs_of_case(c, *f.single);
  std::vector<Tensor> own;
  for (const Ref<State>& s : states_of(c, *f.single, DType::kF32)) own.push_back(s->concrete());
  std::vector<Tensor> other(own.size(), ops::full({20000}, 0.5));
  for (int k = 0; k < c.steps(); ++k) {
    std::vector<Tensor> in{Tensor::scalar(c.lr, DType::kF64),
                           Tensor::scalar(int64_t{k + 1}, DType::kI64), Tensor(), Tensor()};
    for (size_t i = 0; i < own.size(); ++i) {
      in.push_back(own[i]);
      in.push_back(other[i]);
    }
    in.push_back(ops::cast(c.grad(k), DType::kF32));
    in.push_back(ops::full({20000}, 0.1));
    const TensorList out = call_n(*f.multi, attrs.get(), in);
    for (size_t i = 0; i < own.size(); ++i) {
      own[i] = out[static_cast<int>(2 * i)];
      other[i] = out[static_cast<int>(2 * i) + 1];
    }
    c.check(own[0], k, tolerance_of(DType::kF32));
  }
}

std::shared_ptr<Optimizer> adam_like(const Case& c, std::vector<ParameterPtr> p) {
  const double lr = c.lr, b1 = c.number("beta1", 0.9), b2 = c.number("beta2", 0.999);
  const double wd = c.number("weight_decay", 0), eps = c.number("eps", 1e-8);
  const bool max = c.flag("maximize"), ams = c.op.ends_with("_amsgrad"),
             decoupled = c.flag("decoupled_weight_decay");
  if (c.op.starts_with("adamw")) {
    return std::make_shared<AdamW>(p, AdamWOptions{lr, b1, b2, eps, wd, ams, max});
  }
  if (c.op == "adam" || c.op == "adam_amsgrad") {
    return std::make_shared<Adam>(p, AdamOptions{lr, b1, b2, eps, wd, ams, max});
  }
  if (c.op == "adamax") return std::make_shared<Adamax>(p, AdamaxOptions{lr, b1, b2, eps, wd, max});
  if (c.op == "nadam") {
    return std::make_shared<NAdam>(
        p, NAdamOptions{lr, b1, b2, eps, wd, c.number("momentum_decay", 4e-3), decoupled, max});
  }
  if (c.op == "radam") {
    return std::make_shared<RAdam>(p, RAdamOptions{lr, b1, b2, eps, wd, decoupled, max});
  }
  if (c.op == "lion") return std::make_shared<Lion>(p, LionOptions{lr, b1, b2, wd, max});
  if (c.op == "lamb") return std::make_shared<LAMB>(p, LAMBOptions{lr, b1, b2, eps, wd, max});
  return nullptr;
}

std::shared_ptr<Optimizer> optimizer_of(const Case& c, std::vector<ParameterPtr> p) {
  const double lr = c.lr, wd = c.number("weight_decay", 0), mom = c.number("momentum", 0.9);
  const bool max = c.flag("maximize");
  const Json& starts = c.json.at("starts");
  if (c.op == "sgd") return std::make_shared<SGD>(p, SGDOptions{lr, wd, max});
  if (c.op == "momentum") {
    return std::make_shared<Momentum>(
        p, MomentumOptions{lr, mom, c.number("dampening", 0), c.flag("nesterov"), wd, max});
  }
  if (c.op == "adagrad") {
    return std::make_shared<Adagrad>(
        p, AdagradOptions{lr, c.number("lr_decay", 0), wd, starts.value("sum", 0.0)});
  }
  if (c.op == "adadelta") {
    return std::make_shared<Adadelta>(
        p, AdadeltaOptions{lr, c.number("rho", 0.9), c.number("eps", 1e-6), wd});
  }
  if (c.op.starts_with("rmsprop")) {
    return std::make_shared<RMSProp>(
        p, RMSPropOptions{lr, c.number("alpha", 0), c.number("eps", 0), wd, c.number("momentum", 0),
                          c.op.find("centered") != std::string::npos});
  }
  if (c.op == "rprop") {
    return std::make_shared<Rprop>(
        p, RpropOptions{lr, c.number("eta_minus", 0.5), c.number("eta_plus", 1.2),
                        c.number("min_step", 1e-6), c.number("max_step", 50)});
  }
  if (c.op == "asgd") {
    return std::make_shared<ASGD>(p, ASGDOptions{lr, c.number("lambd", 1e-4),
                                                 c.number("alpha", 0.75), c.number("t0", 1e6), wd});
  }
  if (c.op == "ftrl") {
    return std::make_shared<FTRL>(
        p, FTRLOptions{lr, starts.value("accum", 0.1), c.number("lr_power", -0.5),
                       c.number("l1", 0), c.number("l2", 0)});
  }
  if (c.op == "lars") {
    return std::make_shared<LARS>(
        p, LARSOptions{lr, mom, c.number("coefficient", 0), c.number("eps", 0), wd});
  }
  return adam_like(c, p);
}

void run_optimizer(const Case& c, DType t, bool compile) {
  auto a = std::make_shared<Parameter>("a", ops::cast(c.input("param"), t));
  auto b = std::make_shared<Parameter>("b", Tensor::full({7}, 1.0, t));
  const std::shared_ptr<Optimizer> optimizer = optimizer_of(c, {a, b});
  ASSERT_TRUE(optimizer) << c.op;
  auto step = [&](const std::vector<Tensor>& grads) {
    optimizer->step(grads);
    return std::vector<Tensor>{optimizer->parameters()[0]->read()};
  };
  graph::Compiled compiled(step, {});
  for (int k = 0; k < c.steps(); ++k) {
    const std::vector<Tensor> grads{ops::cast(c.grad(k), t), Tensor::full({7}, 0.1, t)};
    c.check(compile ? compiled(grads)[0] : step(grads)[0], k, tolerance_of(t));
  }
}

TEST(OptimizerGolden, TenStepsOfEveryOneAgree) {
  std::set<const OpDef*> seen;
  const Json file = read_golden_file("updates_f64.json");
  for (const Json& j : file.at("samples")) {
    const Case c(j);
    const OpDef* op = find_op(c.op);
    ASSERT_TRUE(op) << c.op;
    seen.insert(op);
    for (const DType t : {DType::kF64, DType::kF32}) {
      run_single(c, *op, t);
      run_optimizer(c, t, /*compile=*/false);
      run_optimizer(c, t, /*compile=*/true);
    }
    run_multi(c, *ops::find_update(op));
  }
  for (const ops::UpdateFamily& f : ops::update_families()) {
    EXPECT_TRUE(seen.count(f.single)) << f.single->name << " has no golden sample";
  }
}

}  // namespace
}  // namespace rutile::nn::optim
