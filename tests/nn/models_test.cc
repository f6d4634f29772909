// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/ops/random.h"

namespace rutile::nn::models {
namespace {

using testing::HasSubstr;

std::vector<std::string> names(const Cell& net) {
  std::vector<std::string> out;
  for (const auto& [name, state] : net.named_states()) out.push_back(name);
  return out;
}

TEST(Models, ResNet50) {
  auto net = resnet50();
  EXPECT_EQ(net->num_elements(), 25'557'032);
  EXPECT_EQ(net->parameters().size(), 161u);
  EXPECT_EQ(net->named_buffers().size(), 53u * 2);
  const auto all = names(*net);
  for (const char* n :
       {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.bias", "layer4.2.bn3.weight", "fc.weight", "fc.bias"}) {
    EXPECT_THAT(all, testing::Contains(n));
  }
  // v1.5: the stride stands in the 3x3 convolution.
  EXPECT_THAT(net->find("layer2.0.conv1")->extra_repr(), testing::Not(HasSubstr("stride")));
  EXPECT_THAT(net->find("layer2.0.conv2")->extra_repr(), HasSubstr("stride=2"));
}

TEST(Models, ResNet18) { EXPECT_EQ(resnet18()->num_elements(), 11'689'512); }

TEST(Models, ResNetStartsResidualsAtZeroIfAsked) {
  auto net = make<ResNet>(ResNetOptions{.blocks = {1, 1, 1, 1}, .zero_init_residual = true});
  for (const auto& [name, p] : net->named_parameters()) {
    if (!name.ends_with("bn3.weight")) continue;
    for (float v : p->value().to_vector<float>()) ASSERT_EQ(v, 0) << name;
  }
}

TEST(Models, ResNetShapes) {
  auto net = make<ResNet>(ResNetOptions{.blocks = {1, 1, 1, 1}, .classes = 7});
  net->eval();
  EXPECT_EQ(net(Tensor::zeros({2, 3, 32, 32})).shape(), (Shape{2, 7}));
  auto basic = make<ResNet>(
      ResNetOptions{.blocks = {1, 1, 1, 1}, .bottleneck = false, .channels = 1, .classes = 7});
  basic->eval();
  EXPECT_EQ(basic(Tensor::zeros({2, 1, 28, 28})).shape(), (Shape{2, 7}));
}

TEST(Models, LeNet) {
  auto net = make<LeNet>();
  EXPECT_EQ(net->num_elements(), 61'706);
  EXPECT_THAT(
      names(*net),
      testing::ElementsAre("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight",
                           "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"));
  EXPECT_EQ(net(Tensor::zeros({4, 1, 32, 32})).shape(), (Shape{4, 10}));
}

TEST(Models, Mlp) {
  auto net = make<Mlp>();
  EXPECT_EQ(net->num_elements(), 669'706);
  EXPECT_EQ(net(Tensor::zeros({4, 784})).shape(), (Shape{4, 10}));
  EXPECT_EQ(net(Tensor::zeros({4, 1, 28, 28})).shape(), (Shape{4, 10}));
}

TEST(Models, Gpt) {
  auto net = make<Gpt>();
  EXPECT_EQ(net->num_elements(), 10'795'776);
  const auto all = names(*net);
  for (const char* n : {"tok.weight", "pos.weight", "blocks.0.norm1.weight", "blocks.5.qkv.bias",
                        "blocks.3.proj.weight", "blocks.2.norm2.bias", "blocks.1.up.weight",
                        "blocks.4.down.bias", "norm.weight", "head.weight"}) {
    EXPECT_THAT(all, testing::Contains(n));
  }
  auto small =
      make<Gpt>(GptOptions{.vocab = 11, .positions = 8, .layers = 2, .width = 12, .heads = 3});
  EXPECT_EQ(small(Tensor::zeros({2, 5}, DType::kI64)).shape(), (Shape{2, 5, 11}));
  EXPECT_THROW(small(Tensor::zeros({2, 9}, DType::kI64)), Error);
}

TEST(Models, GptLooksBackOnly) {
  auto net =
      make<Gpt>(GptOptions{.vocab = 11, .positions = 8, .layers = 2, .width = 12, .heads = 3});
  const auto a = net(Tensor::from<int64_t>({1, 2, 3, 4}, {1, 4})).to_vector<float>();
  const auto b = net(Tensor::from<int64_t>({1, 2, 9, 9}, {1, 4})).to_vector<float>();
  for (int i = 0; i < 2 * 11; ++i) EXPECT_NEAR(a[i], b[i], 1e-6);
  EXPECT_GT(std::abs(a[2 * 11] - b[2 * 11]), 1e-4);
}

TEST(Models, SameSeedSameBits) {
  auto values = [] {
    set_seed(5);
    return make<LeNet>()->parameters()[4]->value().to_vector<float>();
  };
  EXPECT_EQ(values(), values());
}

}  // namespace
}  // namespace rutile::nn::models
