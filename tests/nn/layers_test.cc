// SPDX-License-Identifier: Apache-2.0
// Layers and losses against numbers of PyTorch 2.15 (float64, the parameters and inputs of ramp()).
#include "rutile/nn/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "rutile/autograd/tape.h"
#include "rutile/nn/losses.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::nn {
namespace {

using Numbers = std::vector<double>;

Tensor ramp(const Shape& shape) {
  std::vector<double> v(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = (static_cast<double>(i * 7 % 11) - 5) / 4;
  return Tensor::from<double>(v, shape);
}

void expect_near(const Tensor& got, const Numbers& want, const std::string& what) {
  const std::vector<double> values = got.to_vector<double>();
  ASSERT_EQ(values.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(values[i], want[i], 1e-8 * std::max(1.0, std::abs(want[i]))) << what << " " << i;
  }
}

struct Want {
  Shape shape;
  Numbers y, dx;
  std::map<std::string, Numbers> grads;
};

// y of the Cell with all parameters set to ramps, and the gradients of sum(y * ramp).
void check(Cell& cell, const Tensor& x, const Want& want) {
  cell.to(DType::kF64);
  GradScope scope;
  std::vector<Tensor> watched;
  for (const ParameterPtr& p : cell.parameters()) {
    p->set_value(ramp(p->meta().shape));
    watched.push_back(p->read());
  }
  if (is_floating(x.dtype())) watched.push_back(x);
  for (const Tensor& t : watched) scope.watch(t);
  const Tensor y = cell(x);
  EXPECT_EQ(y.shape(), want.shape) << cell.type_name();
  expect_near(y, want.y, cell.type_name() + " y");
  const std::vector<Tensor> grads = scope.gradient(ops::sum(y * ramp(y.shape())), watched);
  const auto named = cell.named_parameters();
  for (size_t i = 0; i < named.size(); ++i) {
    const auto it = want.grads.find(named[i].first);
    if (it != want.grads.end())
      expect_near(grads[i], it->second, cell.type_name() + named[i].first);
  }
  if (!want.dx.empty()) expect_near(grads.back(), want.dx, cell.type_name() + " dx");
}

TEST(Layers, Linear) {
  check(*make<Linear>(3, 2), ramp({2, 3}),
        {{2, 2},
         {0.8125, -0.5625, -2.3125, 2.6875},
         {2.1875, -0.5, 0.25, 2.1875, 0.0625, -0.6875},
         {{"weight", {0.9375, -0.75, 1, 0.9375, 0.5625, -1.1875}}, {"bias", {-1.75, 1.75}}}});
}

TEST(Layers, Conv2d) {
  check(
      *make<Conv2d>(2, 4, 3, Conv2dOptions{.stride = 2, .pad = 1, .groups = 2}), ramp({1, 2, 4, 3}),
      {{1, 4, 2, 2},
       {-2.1875, -0.5, -0.25, -2.4375, 1.0625, 1.625, -1.4375, 2.25, -1.25, -0.3125, -2.4375,
        -0.9375, 2.25, 4.125, 2.25, 6.1875},
       {-0.4375, 1.5,    0.5,  -0.6875, -0.75, 1.1875,  -0.625,  3.1875,
        0.3125,  -0.75,  2.75, 0,       1.625, -0.3125, -1.3125, 0.5,
        -0.625,  2.1875, 1.25, -0.375,  1.75,  0.3125,  -0.375,  -1.4375},
       {{"weight", {0.3125,  -1.5625, -0.125,  0.25,   -0.4375, -0.625, -0.1875, -3.875,  -0.1875,
                    0,       1.25,    0.25,    -0.375, 1.0625,  0.125,  -0.1875, 1.625,   -0.1875,
                    0.9375,  -1.3125, 0.1875,  0.875,  -0.5,    0.75,   1,       -0.0625, 1.0625,
                    -0.1875, 0.5625,  -0.9375, 0,      -0.1875, -1.5,   0.0625,  -0.5625, -1.9375}},
        {"bias", {0, 0.5, -1.75, 1.5}}}});
}

TEST(Layers, ConvTranspose2d) {
  const ConvTranspose2dOptions o{.stride = 2, .output_pad = {1, 0}, .groups = 2};
  auto up = make<ConvTranspose2d>(4, 6, 2, o);
  EXPECT_EQ(up->weight->meta().shape, (Shape{4, 3, 2, 2}));
  EXPECT_EQ(up->repr(), "ConvTranspose2d(4, 6, kernel=2, stride=2, groups=2, output_pad=(1, 0))");
  up->to(DType::kF64);
  const Tensor y = up(ramp({2, 4, 3, 5}));
  EXPECT_EQ(y.shape(), (Shape{2, 6, 7, 10}));
  // The pixel that the kernel does not reach holds the bias.
  EXPECT_EQ(ops::select(ops::select(ops::select(y, 0, 0), 1, 6), 1, 9).to_vector<double>(),
            up->bias->value().to_vector<double>());
}

TEST(Layers, BatchNorm2d) {
  auto bn = make<BatchNorm2d>(2);
  const Tensor x = ramp({2, 2, 1, 3});
  check(*bn, x,
        {{2, 2, 1, 3},
         {0.385686852, -2.36226706, -0.792007681, 1.23192004, 0.646384007, 0.0608479785,
          -3.14739675, -1.57713737, -0.00687799255, 0.939152022, 0.353615993, -0.231920036},
         {2.58120756e-05, -1.75522114e-05, 7.22738116e-06, 1.00376228e-05, 2.00752457e-06,
          -6.0225737e-06, -2.99420077e-05, -5.16241512e-06, 1.96171774e-05, 6.0225737e-06,
          -2.00752457e-06, -1.00376228e-05},
         {{"weight", {4.77620561, 5.12344025}}, {"bias", {-1.25, 0}}}});
  expect_near(bn->running_mean()->concrete(), {-0.0208333333, 0}, "running_mean");
  expect_near(bn->running_var()->concrete(), {0.976041667, 0.9875}, "running_var");
  bn->eval();
  expect_near(bn(x),
              {0.305193325, -1.90898022, -0.643738195, 1.12894007, 0.625788014, 0.122635957,
               -2.54160124, -1.27635921, -0.0111171817, 0.877364043, 0.374211986, -0.128940072},
              "eval");
  expect_near(bn->running_mean()->concrete(), {-0.0208333333, 0}, "running_mean after eval");
}

TEST(Layers, LayerNorm) {
  const Want want{{2, 4},
                  {0.391321355, 0.762611417, -0.237388583, 2.89132136, -1.4999968, -0.19999104,
                   -1.19999104, 1.0000032},
                  {0.689354969, -0.689354969, -0.689354969, 0.689354969, -0.00600040958,
                   -0.257993293, -0.192000947, 0.45599465},
                  {{"weight", {1.69132072, 1.31259798, 1.6625935, 1.64132136}},
                   {"bias", {-1, -0.25, 0.5, 1.25}}}};
  check(*make<LayerNorm>(4), ramp({2, 4}), want);
  Want two = want;
  two.shape = {2, 2, 2};
  check(*make<LayerNorm>(Shape{2, 2}), ramp({2, 2, 2}), two);
}

TEST(Layers, Embedding) {
  check(*make<Embedding>(5, 2), Tensor::from<int64_t>({0, 3, 3, 1}, {2, 2}),
        {{2, 2, 2},
         {-1.25, 0.5, 1, 0, 1, 0, -0.5, 1.25},
         {},
         {{"weight", {-1.25, 0.5, 1, 0, 0, 0, -0.25, 0.5, 0, 0}}}});
}

TEST(Layers, Pools) {
  check(*make<MaxPool2d>(3, Pool2dOptions{.stride = 2, .pad = 1}), ramp({1, 1, 4, 5}),
        {{1, 1, 2, 3},
         {1, 1.25, 1.25, 1, 1, 1.25},
         {0, 0, 0, 0, 0, 0, 0.25, 0, 0, 0, 0, 0, 0, 0, -0.75, 0, 0, 0, 0, 0},
         {}});
  check(*make<AvgPool2d>(2), ramp({1, 1, 4, 4}),
        {{1, 1, 2, 2},
         {-0.3125, 0.4375, -0.0625, 0},
         {-0.3125, -0.3125, 0.125, 0.125, -0.3125, -0.3125, 0.125, 0.125, -0.125, -0.125, 0.3125,
          0.3125, -0.125, -0.125, 0.3125, 0.3125},
         {}});
  const Tensor x = ramp({1, 2, 2, 2});
  expect_near(make<GlobalAvgPool>()(x), {0, 0.125}, "GlobalAvgPool");
  EXPECT_EQ(make<Flatten>()(x).shape(), (Shape{1, 8}));
}

TEST(Layers, MultiHeadSelfAttention) {
  check(*make<MultiHeadSelfAttention>(4, 2), ramp({1, 3, 4}),
        {{1, 3, 4},
         {5.640625, -2.1875, -0.21875, -1.515625, 1.37817914, -0.670747186, -0.511287037,
          0.101653797, -1.6811433, -0.59770326, 1.39913843, -0.329742118},
         {1.15100992, -7.97119639, 2.67580991, -2.8145835, -2.00786118, 1.93249142, 1.60015517,
          -0.388258812, 1.74924899, -0.161522538, 0.231556579, -2.24421765},
         {{"proj.weight",
           {2.80361839, -1.2696136, 2.51127667, -1.70410004, -0.758146509, 0.281981547,
            -0.887944267, -0.305460294, 0.465167463, -0.0597306494, 0.286338776, 0.0361172017,
            -2.43252297, 0.905217088, -0.700202365, 4.24707754}}}});
  EXPECT_THROW(make<MultiHeadSelfAttention>(5, 2), Error);
  EXPECT_THROW(self_attention(ramp({1, 3, 10}), 2), Error);
}

TEST(Layers, Activations) {
  const Tensor x = Tensor::from<double>({-1.5, 0.3, 2}, {3});
  expect_near(make<ReLU>()(x), {0, 0.3, 2}, "ReLU");
  expect_near(make<GELU>()(x), {-0.100210802, 0.185373427, 1.95449974}, "GELU");
  expect_near(make<GELU>(true)(x), {-0.100428423, 0.185370924, 1.95459769}, "GELU tanh");
  expect_near(make<SiLU>()(x), {-0.273638286, 0.172332755, 1.76159416}, "SiLU");
  expect_near(make<Sigmoid>()(x), {0.182425524, 0.574442517, 0.880797078}, "Sigmoid");
  expect_near(make<Tanh>()(x), {-0.905148254, 0.291312612, 0.96402758}, "Tanh");
  expect_near(make<Identity>()(x), {-1.5, 0.3, 2}, "Identity");
  expect_near(make<Softmax>()(ramp({1, 3})), {0.112719205, 0.648654237, 0.238626558}, "Softmax");
}

TEST(Layers, Dropout) {
  auto dropout = make<Dropout>(0.25);
  const Tensor x = Tensor::full({10'000}, 3.0);
  set_seed(1);
  const std::vector<float> first = dropout(x).to_vector<float>();
  const std::vector<float> second = dropout(x).to_vector<float>();
  EXPECT_NE(first, second);
  set_seed(1);
  EXPECT_EQ(dropout(x).to_vector<float>(), first);
  int zeros = 0;
  for (float v : first) {
    if (v == 0) {
      ++zeros;
    } else {
      EXPECT_FLOAT_EQ(v, 4);
    }
  }
  EXPECT_NEAR(zeros, 2500, 200);
  dropout->eval();
  EXPECT_EQ(dropout(x).to_vector<float>(), x.to_vector<float>());
  EXPECT_THROW(make<Dropout>(1.0), Error);
  EXPECT_THROW(make<Dropout>(-0.1), Error);
}

TEST(Layers, RefuseNonsense) {
  EXPECT_THROW(make<Linear>(0, 3), Error);
  EXPECT_THROW(make<Conv2d>(3, 4, 0), Error);
  EXPECT_THROW(make<Conv2d>(3, 4, 3, Conv2dOptions{.groups = 2}), Error);
  EXPECT_THROW(make<Conv2d>(3, 4, 3, Conv2dOptions{.groups = 0}), Error);
  EXPECT_THROW(make<BatchNorm2d>(0), Error);
  EXPECT_THROW(make<LayerNorm>(Shape{}), Error);
  EXPECT_THROW(make<Embedding>(-1, 2), Error);
}

TEST(Layers, CellList) {
  auto list = make<CellList>();
  list->append(make<Linear>(2, 3));
  list->append(make<Linear>(3, 1));
  EXPECT_EQ(list->parameters()[2]->name(), "1.weight");
  Tensor y = Tensor::zeros({1, 2});
  for (const CellPtr& c : *list) y = c(y);
  EXPECT_EQ(y.shape(), (Shape{1, 1}));
  EXPECT_THROW((*list)(y), Error);
}

// Nobody calls a list, but messages name it.
TEST(Layers, CellsOfListsAreNamedWithThem) {
  struct Net : Cell {
    Net() {
      blocks->append(make<Linear>(2, 3));
      auto outer = make<CellList>();
      outer->append(inner);
      register_cell("blocks", blocks);
      register_cell("outer", outer);
      inner->append(make<Linear>(4, 1));  // when it has a place
    }
    std::string type_name() const override { return "Net"; }
    Tensor construct(const Tensor& x) override { return (*inner)[0]((*blocks)[0](x)); }
    std::shared_ptr<CellList> blocks = make<CellList>(), inner = make<CellList>();
  };
  auto net = make<Net>();
  EXPECT_EQ((*net->blocks)[0]->name(), "blocks.0");
  EXPECT_EQ((*net->inner)[0]->name(), "outer.0.0");
  EXPECT_EQ(net->parameters()[0]->name(), "blocks.0.weight");
  try {
    net(Tensor::zeros({1, 2}));
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.message(), ::testing::HasSubstr("in Cell Net.outer.0.0"));
  }
}

TEST(Losses, ArePyTorchs) {
  const Tensor x = ramp({4, 3}),
               flipped = Tensor::from<double>(
                   [&] {
                     std::vector<double> v = x.to_vector<double>(), f;
                     for (int r = 3; r >= 0; --r)
                       f.insert(f.end(), v.begin() + r * 3, v.begin() + r * 3 + 3);
                     return f;
                   }(),
                   {4, 3});
  const Tensor labels = Tensor::from<int64_t>({0, 2, -100, 1}, {4});
  expect_near(CrossEntropyLoss{.label_smoothing = 0.1}(x, labels), {1.93824469}, "ce");
  expect_near(MSELoss{}(x, flipped), {0.885416667}, "mse");
  expect_near(L1Loss{}(x, flipped), {0.708333333}, "l1");
  expect_near(SmoothL1Loss{}(x, flipped), {0.359375}, "smooth_l1");
  const Tensor positive = ops::cast(ops::greater(x, 0.0), DType::kF64);
  expect_near(BCEWithLogitsLoss{}(x, positive), {0.412436052}, "bce");
}

TEST(Losses, CrossEntropyOfSequences) {
  const Tensor x = ramp({2, 2, 3}), labels = Tensor::from<int64_t>({0, 2, -100, 1}, {2, 2});
  expect_near(CrossEntropyLoss{.label_smoothing = 0.1}(x, labels), {1.93824469}, "ce");
  EXPECT_EQ((CrossEntropyLoss{.reduction = Reduction::kNone}(x, labels).shape()), (Shape{2, 2}));
  EXPECT_THROW(CrossEntropyLoss{}(x, Tensor::from<int64_t>({0, 1}, {2})), Error);
}

}  // namespace
}  // namespace rutile::nn
