// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/models/resnet.h"

#include "rutile/nn/init.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::nn::models {

namespace {

Conv2dOptions conv_options(int64_t kernel, int64_t stride) {
  return {.stride = stride, .pad = kernel / 2, .bias = false};
}

// What both kinds of block share: the norm that ends the residual branch, and the shortcut.
class Block : public Cell {
 public:
  virtual BatchNorm2d& last_norm() = 0;

 protected:
  void add_shortcut(int64_t in, int64_t out, int64_t stride) {
    if (stride == 1 && in == out) return;
    shortcut_ = make<Sequential>();
    shortcut_->append(make<Conv2d>(in, out, 1, conv_options(1, stride)));
    shortcut_->append(make<BatchNorm2d>(out));
    register_cell("downsample", shortcut_);
  }
  Tensor join(const Tensor& branch, const Tensor& x) {
    return ops::relu(branch + (shortcut_ ? shortcut_(x) : x));
  }

 private:
  Ptr<Sequential> shortcut_;
};

class BasicBlock final : public Block {
 public:
  BasicBlock(int64_t in, int64_t planes, int64_t stride)
      : conv1_(add<Conv2d>("conv1", in, planes, 3, conv_options(3, stride))),
        bn1_(add<BatchNorm2d>("bn1", planes)),
        conv2_(add<Conv2d>("conv2", planes, planes, 3, conv_options(3, 1))),
        bn2_(add<BatchNorm2d>("bn2", planes)) {
    add_shortcut(in, planes, stride);
  }
  std::string type_name() const override { return "BasicBlock"; }
  BatchNorm2d& last_norm() override { return *bn2_; }

 protected:
  Tensor construct(const Tensor& x) override {
    return join(bn2_(conv2_(ops::relu(bn1_(conv1_(x))))), x);
  }

 private:
  Ptr<Conv2d> conv1_;
  Ptr<BatchNorm2d> bn1_;
  Ptr<Conv2d> conv2_;
  Ptr<BatchNorm2d> bn2_;
};

class Bottleneck final : public Block {
 public:
  static constexpr int64_t kExpansion = 4;
  Bottleneck(int64_t in, int64_t planes, int64_t stride)
      : conv1_(add<Conv2d>("conv1", in, planes, 1, conv_options(1, 1))),
        bn1_(add<BatchNorm2d>("bn1", planes)),
        conv2_(add<Conv2d>("conv2", planes, planes, 3, conv_options(3, stride))),
        bn2_(add<BatchNorm2d>("bn2", planes)),
        conv3_(add<Conv2d>("conv3", planes, planes * kExpansion, 1, conv_options(1, 1))),
        bn3_(add<BatchNorm2d>("bn3", planes * kExpansion)) {
    add_shortcut(in, planes * kExpansion, stride);
  }
  std::string type_name() const override { return "Bottleneck"; }
  BatchNorm2d& last_norm() override { return *bn3_; }

 protected:
  Tensor construct(const Tensor& x) override {
    Tensor y = ops::relu(bn1_(conv1_(x)));
    y = ops::relu(bn2_(conv2_(y)));
    return join(bn3_(conv3_(y)), x);
  }

 private:
  Ptr<Conv2d> conv1_;
  Ptr<BatchNorm2d> bn1_;
  Ptr<Conv2d> conv2_;
  Ptr<BatchNorm2d> bn2_;
  Ptr<Conv2d> conv3_;
  Ptr<BatchNorm2d> bn3_;
};

// As torchvision: convolutions for ReLU by fan out, and optionally blocks that start as identity.
void initialise(Cell& net, bool zero_init_residual) {
  net.apply([=](Cell& c) {
    if (auto* conv = dynamic_cast<Conv2d*>(&c)) {
      conv->weight->set_value(
          init::kaiming_normal(conv->weight->meta().shape, {.fan = init::Fan::kOut}));
    }
    if (auto* block = dynamic_cast<Block*>(&c); block && zero_init_residual) {
      Parameter& scale = *block->last_norm().weight;
      scale.set_value(init::zeros(scale.meta().shape));
    }
  });
}

}  // namespace

ResNet::ResNet(const ResNetOptions& o)
    : conv1_(add<Conv2d>("conv1", o.channels, 64, 7,
                         Conv2dOptions{.stride = 2, .pad = 3, .bias = false})),
      bn1_(add<BatchNorm2d>("bn1", 64)),
      maxpool_(add<MaxPool2d>("maxpool", 3, Pool2dOptions{.stride = 2, .pad = 1})) {
  for (int i = 0; i < 4; ++i) {
    layers_[i] = make_layer(cat("layer", i + 1), o, int64_t{64} << i, o.blocks[i], i == 0 ? 1 : 2);
  }
  fc_ = add<Linear>("fc", in_planes_, o.classes);
  initialise(*this, o.zero_init_residual);
}

Ptr<Sequential> ResNet::make_layer(const std::string& name, const ResNetOptions& o, int64_t planes,
                                   int blocks, int64_t stride) {
  Ptr<Sequential> layer = add<Sequential>(name);
  for (int i = 0; i < blocks; ++i) {
    const int64_t s = i == 0 ? stride : 1;
    if (o.bottleneck) {
      layer->append(make<Bottleneck>(in_planes_, planes, s));
      in_planes_ = planes * Bottleneck::kExpansion;
    } else {
      layer->append(make<BasicBlock>(in_planes_, planes, s));
      in_planes_ = planes;
    }
  }
  return layer;
}

Tensor ResNet::construct(const Tensor& x) {
  Tensor y = maxpool_(ops::relu(bn1_(conv1_(x))));
  for (const Ptr<Sequential>& layer : layers_) y = layer(y);
  return fc_(ops::flatten(ops::global_avg_pool(y), 1));
}

Ptr<ResNet> resnet18(const ResNetHead& o) {
  return make<ResNet>(ResNetOptions{.blocks = {2, 2, 2, 2},
                                    .bottleneck = false,
                                    .channels = o.channels,
                                    .classes = o.classes,
                                    .zero_init_residual = o.zero_init_residual});
}

Ptr<ResNet> resnet50(const ResNetHead& o) {
  return make<ResNet>(ResNetOptions{
      .channels = o.channels, .classes = o.classes, .zero_init_residual = o.zero_init_residual});
}

}  // namespace rutile::nn::models
