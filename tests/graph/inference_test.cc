// SPDX-License-Identifier: Apache-2.0
// The inference pipeline: what it makes of networks, that folded weights are never stale, and calls
// from several threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "rutile/core/thread.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/post_ops.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

using Tensors = std::vector<Tensor>;

Tensor normal(const Shape& shape, uint64_t seed, DType t = DType::kF32) {
  return ops::random_normal(Tensor::from<uint64_t>({seed}, {1}), {.shape = shape, .dtype = t});
}

double distance(const Tensor& a, const Tensor& b) {
  return ops::max(ops::abs(ops::cast(a, DType::kF64) - ops::cast(b, DType::kF64))).item();
}

int count(const Compiled& f, const OpDef& op, bool frozen = false) {
  int n = 0;
  const Graph& g = *const_cast<Compiled&>(f).session().program().graph;
  for (NodeId id : g.order) {
    n += g.nodes[id].op == &op && (g.nodes[id].phase == Phase::kFrozen) == frozen;
  }
  return n;
}

// Convolution, norm with given statistics, residual, ReLU.
struct Block {
  explicit Block(int64_t c, DType t = DType::kF32)
      : w(make_ref<State>("w", normal({c, c, 3, 3}, 1, t) * 0.1)),
        mean(make_ref<State>("mean", normal({c}, 2, t))),
        var(make_ref<State>("var", ops::abs(normal({c}, 3, t)) + 0.5)),
        gamma(make_ref<State>("gamma", normal({c}, 4, t))),
        beta(make_ref<State>("beta", normal({c}, 5, t))) {}
  Tensor operator()(const Tensor& x) const {
    Tensor y = ops::conv2d(x, w->read(), {}, {.pad = 1});
    y = ops::batch_norm_inference(y, mean->read(), var->read(), gamma->read(), beta->read());
    return ops::relu(y + x);
  }
  Ref<State> w, mean, var, gamma, beta;
};

TEST(Inference, ABlockBecomesOneKernel) {
  for (const int64_t c : {16, 32, 37}) {
    const Block block(c);
    Compiled f = compile([&](const Tensors& x) { return Tensors{block(x[0])}; });
    const Tensor x = normal({2, c, 9, 8}, 7);
    EXPECT_LT(distance(f({x})[0], block(x)), 1e-4);
    EXPECT_EQ(pipeline_for(*f.session().program().graph), Pipeline::kTraining);  // frozen nodes
#if RUTILE_ONEDNN
    EXPECT_EQ(count(f, ops::kConv2dAct), 1);
    EXPECT_EQ(count(f, ops::kRelu) + count(f, ops::kAdd), 0);
#endif
    EXPECT_EQ(count(f, ops::kBatchNormInference), 0);
    EXPECT_GT(f.report().frozen_bytes, 0);
  }
}

TEST(Inference, AGraphWithAStateWriteOrAGradientIsForTraining) {
  const Block block(4);
  Compiled f = compile([&](const Tensors& x) {
    block.mean->write(block.mean->read() * 0.5);
    return Tensors{block(x[0])};
  });
  const Tensor x = normal({1, 4, 5, 5}, 7);
  const Tensor before = block.mean->read();
  f({x});
  EXPECT_EQ(f.session().program().frozen, nullptr);
  EXPECT_LT(distance(block.mean->read(), before * 0.5), 1e-6);
}

// A State that nothing reads but the update of another one (found by the fuzzer).
TEST(Inference, AStateMayGetAnotherOnesValue) {
  const auto a = make_ref<State>("a", normal({3}, 1)), b = make_ref<State>("b", normal({3}, 2));
  Compiled f = compile([&](const Tensors& x) {
    const Tensor old = a->read();
    b->write(old);
    return Tensors{x[0]};
  });
  Compiled g = compile([&](const Tensors& x) {
    const Tensor other = b->read(), old = a->read();
    a->write(other);
    static_cast<void>(old);
    return Tensors{x[0]};
  });
  f({normal({2}, 3)});
  EXPECT_EQ(b->read().to_vector<float>(), a->read().to_vector<float>());
  b->write(normal({3}, 4));
  g({normal({2}, 3)});
  EXPECT_EQ(a->read().to_vector<float>(), b->read().to_vector<float>());
}

// Every second column of an image: strides that oneDNN has no descriptor for (found by the fuzzer).
TEST(Inference, AnImageWithInterleavedStridesIsPacked) {
  const auto w = make_ref<State>("w", normal({37, 37, 3, 3}, 1) * 0.1);
  const auto fn = [&](const Tensors& x) {
    const Tensor columns = ops::slice_axis(x[0], 3, 0, ops::kEnd, 2);
    return Tensors{ops::relu(ops::conv2d(columns, w->read(), {}, {.pad = 1}))};
  };
  const Tensor x = normal({1, 37, 1, 3}, 2);
  Compiled f = compile(fn);
  EXPECT_LT(distance(f({x})[0], fn({x})[0]), 1e-4);
  EXPECT_EQ(f.report().passes.size(), pipeline(Pipeline::kInference).size());
}

// A blocked result is turned and then flattened: there is no such view (found by the fuzzer).
TEST(Inference, AViewOfATurnedImageIsOfACopy) {
  const auto w = make_ref<State>("w", normal({16, 3, 3, 3}, 1));
  const auto fn = [&](const Tensors& x) {
    const Tensor y = ops::conv2d(x[0], w->read(), {}, {.pad = 1});
    return Tensors{ops::reshape(ops::transpose(y, {3, 0, 2, 1}), {-1}) * 2.0};
  };
  const Tensor x = normal({2, 3, 4, 17}, 2);
  Compiled f = compile(fn);
  EXPECT_LT(distance(f({x})[0], fn({x})[0]), 1e-4);
  for (const PassReport& p : f.report().passes) EXPECT_EQ(p.dropped, "") << p.name;
}

// Every way in which a State can get another value, for each State that was folded.
TEST(Inference, FoldedWeightsAreNeverStale) {
  for (const DType t : {DType::kF32, DType::kF64}) {
    const Block block(8, t);
    Compiled f = compile([&](const Tensors& x) { return Tensors{block(x[0])}; });
    const Tensor x = normal({2, 8, 6, 6}, 7, t);
    const auto check = [&](const char* what) {
      for (int i = 0; i < 2; ++i) EXPECT_LT(distance(f({x})[0], block(x)), 1e-4) << what;
    };
    check("first");
    for (const Ref<State>& s : {block.w, block.mean, block.var, block.gamma, block.beta}) {
      s->write(ops::abs(s->read()) * 0.7 + 0.1);
      check("write");
      s->set_concrete(s->concrete() + 0.3);
      check("set_concrete");
      Compiled step = compile([&](const Tensors& v) {
        s->write(s->read() * 1.25);
        return Tensors{v[0]};
      });
      step({x});
      check("another compiled function");
      const Tensor one = Tensor::full(s->meta().shape, 0.25, t);
      State* updated[] = {s.get()};
      State::update(ops::kAssignAdd, nullptr, updated, {&one, 1});
      check("update in place");
      Tensor raw = s->elements(Placement(), true);
      static_cast<void>(raw);
      s->wrote(raw * 0.9);
      check("elements written");
    }
    EXPECT_EQ(f.compilations(), 1);
    EXPECT_EQ(f.session().program().frozen->computations(), 1 + 5 * 5);
  }
}

TEST(Inference, AStateOfAnotherShapeOrTypeIsCompiledAnew) {
  const auto w = make_ref<State>("w", normal({40, 40}, 1));
  Compiled f = compile(
      [&](const Tensors& x) { return Tensors{ops::relu(ops::linear(x[0], w->read() * 2.0))}; });
  const Tensor x = normal({8, 40}, 2);
  f({x});
  w->set_concrete(normal({50, 40}, 3));
  EXPECT_EQ(f({x})[0].shape(), (Shape{8, 50}));
  EXPECT_LT(distance(f({x})[0], ops::relu(ops::linear(x, w->read() * 2.0))), 1e-4);
  EXPECT_EQ(f.compilations(), 2);
}

TEST(Inference, ThePreludeRunsOnceAndAgainAfterAWriteOnly) {
  const Block block(16);
  const auto other = make_ref<State>("other", normal({4}, 1));
  Compiled f = compile([&](const Tensors& x) { return Tensors{block(x[0])}; });
  const Tensor x = normal({1, 16, 6, 6}, 7);
  for (int i = 0; i < 3; ++i) f({x});
  Frozen& frozen = *f.session().program().frozen;
  EXPECT_EQ(frozen.computations(), 1);
  other->write(normal({4}, 2));  // not one of its own
  f({x});
  EXPECT_EQ(frozen.computations(), 1);
  block.gamma->write(block.gamma->read());
  f({x});
  EXPECT_EQ(frozen.computations(), 2);
}

TEST(Inference, ConstantsAreFoldedAndPackedOnce) {
  const Tensor w = normal({64, 64, 3, 3}, 1), large = normal({600, 600}, 2);
  Compiled f = compile([&](const Tensors& x) {
    return Tensors{ops::relu(ops::conv2d(x[0], w * 0.1, {}, {.pad = 1})), large * 2.0};
  });
  const Tensor x = normal({1, 64, 8, 8}, 3);
  const Tensors y = f({x});
  EXPECT_LT(distance(y[0], ops::relu(ops::conv2d(x, w * 0.1, {}, {.pad = 1}))), 1e-4);
  EXPECT_LT(distance(y[1], large * 2.0), 1e-6);
  EXPECT_EQ(count(f, ops::kMul), 0);
  // What a caller does with a result is his own affair.
  Tensor mine = f({x})[1];
  static_cast<float*>(mine.mutable_data())[0] = 1e6f;
  EXPECT_LT(distance(f({x})[1], large * 2.0), 1e-6);
}

// Training goes on between evaluations, values are loaded, the network is cast.
TEST(Inference, EvaluationFollowsTraining) {
  for (const bool low : {false, true}) {
    auto net = nn::models::resnet18({.channels = 3, .classes = 4});
    auto opt = std::make_shared<nn::optim::Momentum>(net->parameters(),
                                                     nn::optim::MomentumOptions{.lr = 0.01});
    nn::TrainStep train(net, nn::CrossEntropyLoss(), opt, {});
    nn::StepOptions graph, eager{.mode = nn::Mode::kEager};
    if (low) graph.amp = eager.amp = DType::kBF16;
    nn::EvalStep eval(net, graph), as_written(net, eager);
    const Tensor x = normal({4, 3, 32, 32}, 1), y = Tensor::from<int32_t>({0, 1, 2, 3}, {4});
    const auto check = [&](const char* what) {
      const Tensor want = as_written(x);
      const double scale = ops::max(ops::abs(ops::cast(want, DType::kF32))).item();
      EXPECT_LT(distance(eval(x), want), (low ? 5e-2 : 1e-3) * scale) << what;
    };
    check("untrained");
    const nn::StateDict first = train.net().state_dict();
    for (int i = 0; i < 3; ++i) {
      train(x, y);
      check("trained");
    }
    net->load_state_dict(first);
    check("loaded");
    net->parameters()[0]->set_value(net->parameters()[0]->value() * 0.5);
    check("set_value");
    auto p = std::make_shared<nn::Parameter>("new", net->parameters()[0]->value() * 3.0);
    net->replace_parameter(net->named_parameters()[0].first, p);
    check("replaced");
    EXPECT_LE(eval.compiled()->compilations(), 2);
  }
}

TEST(Inference, LookingForWritesCostsLessThanAMicrosecond) {
  const Block block(8);
  Compiled f = compile([&](const Tensors& x) { return Tensors{block(x[0])}; });
  f({normal({1, 8, 4, 4}, 1)});
  Frozen& frozen = *f.session().program().frozen;
  double best = 1e9;
  for (int round = 0; round < 20; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 1000; ++i) frozen.get();
    const std::chrono::duration<double, std::micro> t = std::chrono::steady_clock::now() - start;
    best = std::min(best, t.count() / 1000);
  }
#ifdef NDEBUG
  EXPECT_LT(best, 1.0);
#endif
  std::printf("a look for writes: %.3f us\n", best);
}

// ---- Threads

void run_threads(int n, const std::function<void(int)>& body) {
  std::vector<std::thread> all;
  for (int i = 0; i < n; ++i) all.emplace_back([&, i] { body(i); });
  for (std::thread& t : all) t.join();
}

TEST(InferenceThreads, OneCompiledFunctionRunsInSeveralAtATime) {
  const Block block(8);
  Compiled f = compile([&](const Tensors& x) { return Tensors{block(block(x[0]))}; });
  std::vector<Tensor> inputs, want;
  for (uint64_t i = 0; i < 4; ++i) {
    inputs.push_back(normal({1, 8, 5 + static_cast<int64_t>(i % 2), 5}, i));
    want.push_back(block(block(inputs.back())));
  }
  std::vector<double> worst(4, 0);
  run_threads(4, [&](int t) {
    ThreadCountScope one(1);
    const size_t k = static_cast<size_t>(t);
    for (int i = 0; i < 200; ++i) {
      worst[k] = std::max(worst[k], distance(f({inputs[k]})[0], want[k]));
    }
  });
  for (const double d : worst) EXPECT_LT(d, 1e-4);
  EXPECT_EQ(f.compilations(), 2);  // a plan for each shape
}

TEST(InferenceThreads, SessionsOfOneFunctionShareTheFoldedWeights) {
  const Block block(8);
  Compiled f = compile([&](const Tensors& x) { return Tensors{block(x[0])}; });
  ThreadCountScope one(1);
  const Tensor x = normal({1, 8, 5, 5}, 1), want = block(x);
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < 3; ++i) sessions.push_back(f.new_session({x.meta()}));
  EXPECT_EQ(f.compilations(), 1);
  std::vector<double> worst(3, 0);
  run_threads(3, [&](int t) {
    ThreadCountScope inner(1);
    const size_t k = static_cast<size_t>(t);
    for (int i = 0; i < 100; ++i) {
      worst[k] = std::max(worst[k], distance(sessions[k]->run({x})[0], want));
    }
  });
  for (const double d : worst) EXPECT_LT(d, 1e-4);
  EXPECT_EQ(&sessions[0]->program(), &sessions[1]->program());
  EXPECT_EQ(f.session().program().frozen->computations(), 1);
  block.w->write(block.w->read() * 2.0);
  for (auto& s : sessions) EXPECT_LT(distance(s->run({x})[0], block(x)), 1e-4);
  EXPECT_EQ(f.session().program().frozen->computations(), 2);
}

// Calls that write States wait for each other: no update is lost.
TEST(InferenceThreads, CallsThatWriteStatesAreOneAfterTheOther) {
  const auto n = make_ref<State>("n", Tensor::zeros({64}));
  Compiled f = compile([&](const Tensors& x) {
    n->write(n->read() + ops::sum(x[0]));
    return Tensors{x[0]};
  });
  run_threads(3, [&](int t) {
    ThreadCountScope one(1);
    const Tensor x = Tensor::full({t % 2 + 1}, 1.0 / (t % 2 + 1));  // two plans
    for (int i = 0; i < 50; ++i) f({x});
  });
  EXPECT_EQ(n->read().to_vector<float>()[5], 150.0f);
}

}  // namespace
}  // namespace rutile::graph
