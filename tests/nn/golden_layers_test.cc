// SPDX-License-Identifier: Apache-2.0
// Recurrent layers and Transformers against PyTorch on the same weights: outputs and gradients,
// eager and compiled (tests/golden/make_golden_layers.py).
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/recurrent.h"
#include "rutile/nn/transformer.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/golden_values.h"

namespace rutile::nn {
namespace {

using Tensors = std::vector<Tensor>;
using Fn = std::function<Tensors(const Tensors&)>;

struct Layer {
  CellPtr cell;
  Fn run;
};

Tensors flat(const RecurrentOutput& r) {
  Tensors all{r.y, r.h};
  if (r.c.defined()) all.push_back(r.c);
  return all;
}

template <class T, class... Args>
Layer recurrent(Args&&... args) {
  const auto net = make<T>(args...);
  return {net, [net](const Tensors& x) {
            return flat(net->run(
                x[0], {.h = x.size() > 1 ? x[1] : Tensor(), .c = x.size() > 2 ? x[2] : Tensor()}));
          }};
}

template <class T>
Layer with_lengths() {
  const auto net =
      make<T>(3, 4, RecurrentOptions{.layers = 2, .batch_first = true, .bidirectional = true});
  return {net, [net](const Tensors& x) {
            return flat(net->run(
                x[0], {.h = {}, .c = {}, .lengths = Tensor::from<int64_t>({3, 5, 1}, {3})}));
          }};
}

template <class T, class... Args>
Layer cell(Args&&... args) {
  const auto net = make<T>(args...);
  return {net, [net](const Tensors& x) { return net->call(x); }};
}

// What PyTorch takes as bool masks, and as numbers.
Tensor causal_mask() { return ops::logical_not(ops::tril(ops::ones({4, 4}, DType::kBool))); }
Tensor added(const Tensor& mask) {
  return ops::where(mask, ops::full({}, -std::numeric_limits<double>::infinity(), DType::kF64),
                    ops::zeros({}, DType::kF64));
}
Tensor padding_mask() {
  return ops::cast(Tensor::from<int64_t>({0, 0, 0, 1, 0, 0, 0, 0}, {2, 4}), DType::kBool);
}

Layer attention(MultiheadAttentionOptions o, int64_t heads, const AttentionMasks& masks,
                bool weights) {
  const auto net = make<MultiheadAttention>(6, heads, o);
  return {net, [=](const Tensors& x) {
            const auto r = net->run(x[0], x.size() > 1 ? x[1] : x[0], x.size() > 2 ? x[2] : x[0],
                                    masks, weights);
            return weights ? Tensors{r.y, r.weights} : Tensors{r.y};
          }};
}

std::map<std::string, std::function<Layer()>> layers() {
  using O = TransformerOptions;
  const auto plain = O{.feedforward = 10, .dropout = 0};
  const auto pre = O{.feedforward = 10, .dropout = 0, .batch_first = true, .norm_first = true};
  auto gelu = pre;
  gelu.activation = TransformerActivation::kGelu;
  return {
      {"rnn_tanh", [] { return recurrent<RNN>(3, 4); }},
      {"rnn_relu",
       [] {
         return recurrent<RNN>(3, 4, RecurrentOptions{.layers = 2, .bias = false},
                               RnnNonlinearity::kRelu);
       }},
      {"lstm",
       [] { return recurrent<LSTM>(3, 5, RecurrentOptions{.layers = 2, .bidirectional = true}); }},
      {"gru",
       [] { return recurrent<GRU>(3, 5, RecurrentOptions{.layers = 2, .bidirectional = true}); }},
      {"lstm_single", [] { return recurrent<LSTM>(3, 4); }},
      {"lstm_lengths", with_lengths<LSTM>},
      {"gru_lengths", with_lengths<GRU>},
      {"rnn_lengths", with_lengths<RNN>},
      {"rnn_cell", [] { return cell<RNNCell>(3, 4); }},
      {"gru_cell", [] { return cell<GRUCell>(3, 4); }},
      {"lstm_cell", [] { return cell<LSTMCell>(3, 4, false); }},
      {"attention_self", [] { return attention({}, 2, {}, true); }},
      {"attention_masks",
       [] {
         return attention({.batch_first = true}, 2, {added(causal_mask()), added(padding_mask())},
                          false);
       }},
      {"attention_bool",
       [] {
         return attention({.batch_first = true}, 3,
                          {.attention = {}, .key_padding = padding_mask(), .causal = true}, true);
       }},
      {"attention_dims",
       [] { return attention({.bias = false, .kdim = 5, .vdim = 3}, 2, {}, true); }},
      {"encoder_layer",
       [=] {
         const auto net = make<TransformerEncoderLayer>(6, 2, plain);
         return Layer{net, [net](const Tensors& x) {
                        return Tensors{net->run(x[0], {.attention = causal_mask()})};
                      }};
       }},
      {"encoder_layer_pre",
       [=] {
         const auto net = make<TransformerEncoderLayer>(6, 3, gelu);
         return Layer{
             net, [net](const Tensors& x) {
               return Tensors{net->run(x[0], {.attention = {}, .key_padding = padding_mask()})};
             }};
       }},
      {"decoder_layer",
       [=] {
         const auto net = make<TransformerDecoderLayer>(6, 2, plain);
         return Layer{net, [net](const Tensors& x) {
                        return Tensors{net->run(
                            x[0], x[1], {.attention = {}, .key_padding = {}, .causal = true})};
                      }};
       }},
      {"decoder_layer_pre",
       [=] {
         const auto net = make<TransformerDecoderLayer>(6, 2, pre);
         return Layer{net, [net](const Tensors& x) { return Tensors{net(x[0], x[1])}; }};
       }},
      {"transformer",
       [] {
         const auto net = make<Transformer>(6, 2, TransformerSizes{2, 2},
                                            O{.feedforward = 8, .dropout = 0, .batch_first = true});
         return Layer{
             net, [net](const Tensors& x) {
               return Tensors{net->run(x[0], x[1], {}, {.attention = added(causal_mask())})};
             }};
       }},
  };
}

// Outputs, then gradients of the inputs and of the parameters.
Fn with_gradients(const Layer& layer, const std::string& seed) {
  return [&layer, seed](const Tensors& x) {
    GradScope scope;
    Tensors by = x;
    for (const ParameterPtr& p : layer.cell->parameters()) by.push_back(p->read());
    for (const Tensor& t : by) scope.watch(t);
    Tensors all = layer.run(x);
    Tensor total = ops::zeros({}, DType::kF64);
    for (size_t i = 0; i < all.size(); ++i) {
      golden::Json shape;
      for (int d = 0; d < all[i].rank(); ++d) shape.push_back(all[i].dim(d));
      total = total + ops::sum(all[i] * golden::make_input({{"shape", shape}}, cat(seed, "dy", i)));
    }
    const Tensors grads = scope.gradient(total, by);
    all.insert(all.end(), grads.begin(), grads.end());
    return all;
  };
}

TEST(GoldenLayers, EqualPyTorchForwardAndBackward) {
  const auto table = layers();
  const golden::Json file = golden::read_golden_file("layers_f64.json");
  EXPECT_EQ(file["samples"].size(), table.size());
  for (const golden::Json& sample : file["samples"]) {
    const std::string name = sample["name"], seed = cat("layers/", name, "/");
    SCOPED_TRACE(name);
    ASSERT_TRUE(table.count(name));
    const Layer layer = table.at(name)();
    layer.cell->to(DType::kF64);
    std::vector<std::string> names;
    Tensors inputs;
    for (size_t i = 0; i < sample["inputs"].size(); ++i) {
      inputs.push_back(golden::make_input(sample["inputs"][i], cat(seed, "x", i)));
      names.push_back(cat("x", i));
    }
    for (const auto& [path, p] : layer.cell->named_parameters()) {
      golden::Json shape;
      for (int d = 0; d < p->meta().rank(); ++d) shape.push_back(p->meta().dim(d));
      p->set_value(golden::make_input({{"shape", shape}, {"bound", 0.4}}, seed + path));
      names.push_back(path);
    }
    const Fn fn = with_gradients(layer, seed);
    graph::Compiled compiled = graph::compile(fn);
    for (const bool eager : {true, false}) {
      const Tensors got = eager ? fn(inputs) : compiled(inputs);
      const size_t n = sample["outputs"].size();
      ASSERT_EQ(got.size(), n + names.size());
      ASSERT_EQ(sample["grads"].size(), names.size());
      for (size_t i = 0; i < n; ++i)
        golden::compare(got[i], sample["outputs"][i], cat(seed, "y", i), 1e-9);
      for (size_t i = 0; i < names.size(); ++i) {
        SCOPED_TRACE(names[i]);
        golden::compare(got[n + i], sample["grads"][names[i]], cat(seed, "d", names[i]), 1e-9);
      }
    }
  }
}

TEST(Recurrent, SaysWhatIsWrong) {
  const auto lstm = make<LSTM>(3, 4);
  auto message = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.message();
    }
    return "no error";
  };
  const Tensor x = Tensor::zeros({5, 2, 3});
  EXPECT_NE(message([&] {
              lstm(Tensor::zeros({5, 2, 4}));
            }).find("[LSTM] expects x [t, n, 3]"),
            std::string::npos);
  EXPECT_NE(message([&] {
              lstm->run(x, {.h = Tensor::zeros({1, 2, 5})});
            }).find("h expects [1,2,4]"),
            std::string::npos);
  EXPECT_NE(message([&] {
              make<GRU>(3, 4)->run(x, {.h = {}, .c = Tensor::zeros({1, 2, 4})});
            }).find("has no c"),
            std::string::npos);
  EXPECT_NE(message([&] { make<LSTM>(0, 4); }).find("positive"), std::string::npos);
  EXPECT_EQ(lstm->extra_repr(), "3, 4");
  EXPECT_EQ(lstm(x).shape(), (Shape{5, 2, 4}));
}

// Dropout between layers, compiled as eagerly.
TEST(Recurrent, TrainsEagerlyAndCompiledAlike) {
  auto run = [](bool compiled) {
    default_generator().seed(3);
    const auto net = make<GRU>(4, 6, RecurrentOptions{.layers = 2, .dropout = 0.5});
    const graph::Function fn = [&](const Tensors& x) {
      GradScope scope;
      Tensors w;
      for (const ParameterPtr& p : net->parameters()) w.push_back(p->read());
      for (const Tensor& t : w) scope.watch(t);
      const Tensor loss = ops::mean(ops::square(net(x[0])));
      const Tensors g = scope.gradient(loss, w);
      for (size_t i = 0; i < w.size(); ++i) net->parameters()[i]->state()->write(w[i] - g[i] * 0.5);
      return Tensors{loss};
    };
    graph::Compiled f = graph::compile(fn);
    std::vector<float> losses;
    const Tensor x = ops::reshape(ops::sin(ops::arange(0.0, 60.0, 1.0)), {5, 3, 4});
    for (int i = 0; i < 5; ++i)
      losses.push_back(ops::cast((compiled ? f({x}) : fn({x}))[0], DType::kF32).item<float>());
    return losses;
  };
  const auto eager = run(false), compiled = run(true);
  for (size_t i = 0; i < eager.size(); ++i) EXPECT_NEAR(eager[i], compiled[i], 1e-6);
  EXPECT_LT(eager.back(), eager.front());
}

}  // namespace
}  // namespace rutile::nn
