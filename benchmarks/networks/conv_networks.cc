// SPDX-License-Identifier: Apache-2.0
// Convolutional networks: depthwise, grouped and transposed convolutions, concatenation, odd sizes.
#include "rutile/benchmarks/networks/networks.h"
#include "rutile/nn/init.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::bench {

namespace {

using nn::Cell;
using nn::Ptr;
using nn::Sequential;

nn::Conv2dOptions conv_options(int64_t kernel, int64_t stride, int64_t groups = 1,
                               bool bias = false) {
  return {.stride = stride, .pad = kernel / 2, .groups = groups, .bias = bias};
}

// Convolution, norm, ReLU6 or nothing: children "0" and "1".
class ConvNorm final : public Cell {
 public:
  ConvNorm(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups, bool relu6)
      : conv_(add<nn::Conv2d>("0", in, out, kernel, conv_options(kernel, stride, groups))),
        norm_(add<nn::BatchNorm2d>("1", out)),
        relu6_(relu6) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = norm_(conv_(x));
    return relu6_ ? ops::relu6(y) : y;
  }

 private:
  Ptr<nn::Conv2d> conv_;
  Ptr<nn::BatchNorm2d> norm_;
  bool relu6_;
};

// Sandler et al., "MobileNetV2", 2018.
class InvertedResidual final : public Cell {
 public:
  InvertedResidual(int64_t in, int64_t out, int64_t stride, int64_t expand)
      : expand_(add<ConvNorm>("expand", in, in * expand, 1, 1, 1, true)),
        depth_(add<ConvNorm>("depth", in * expand, in * expand, 3, stride, in * expand, true)),
        project_(add<ConvNorm>("project", in * expand, out, 1, 1, 1, false)),
        residual_(stride == 1 && in == out) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = project_(depth_(expand_(x)));
    return residual_ ? x + y : y;
  }

 private:
  Ptr<ConvNorm> expand_, depth_, project_;
  bool residual_;
};

class MobileNet final : public Cell {
 public:
  MobileNet() {
    struct Stage {
      int64_t expand, out, count, stride;
    };
    stem_ = add<ConvNorm>("stem", 3, 32, 3, 2, 1, true);
    blocks_ = add<Sequential>("blocks");
    int64_t in = 32;
    for (const Stage& s : {Stage{1, 16, 1, 1},
                           {6, 24, 2, 2},
                           {6, 32, 2, 2},
                           {6, 64, 3, 2},
                           {6, 96, 2, 1},
                           {6, 160, 2, 2}}) {
      for (int64_t i = 0; i < s.count; ++i, in = s.out) {
        blocks_->append(nn::make<InvertedResidual>(in, s.out, i == 0 ? s.stride : 1, s.expand));
      }
    }
    last_ = add<ConvNorm>("last", in, 640, 1, 1, 1, true);
    head_ = add<nn::Linear>("head", 640, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    return head_(ops::flatten(ops::global_avg_pool(last_(blocks_(stem_(x)))), 1));
  }

 private:
  Ptr<ConvNorm> stem_, last_;
  Ptr<Sequential> blocks_;
  Ptr<nn::Linear> head_;
};

// Xie et al., "Aggregated residual transformations", 2017: 32 groups.
class ResNextBlock final : public Cell {
 public:
  ResNextBlock(int64_t in, int64_t width, int64_t out, int64_t stride)
      : reduce_(add<ConvNorm>("reduce", in, width, 1, 1, 1, false)),
        group_(add<ConvNorm>("group", width, width, 3, stride, 32, false)),
        expand_(add<ConvNorm>("expand", width, out, 1, 1, 1, false)) {
    if (in != out) shortcut_ = add<ConvNorm>("shortcut", in, out, 1, stride, 1, false);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = expand_(ops::relu(group_(ops::relu(reduce_(x)))));
    return ops::relu(y + (shortcut_ ? shortcut_(x) : x));
  }

 private:
  Ptr<ConvNorm> reduce_, group_, expand_, shortcut_;
};

class ResNext final : public Cell {
 public:
  ResNext() : stem_(add<ConvNorm>("stem", 3, 64, 7, 2, 1, false)) {
    blocks_ = add<Sequential>("blocks");
    blocks_->append(nn::make<ResNextBlock>(64, 128, 256, 1));
    blocks_->append(nn::make<ResNextBlock>(256, 128, 256, 1));
    blocks_->append(nn::make<ResNextBlock>(256, 256, 512, 2));
    blocks_->append(nn::make<ResNextBlock>(512, 256, 512, 1));
    head_ = add<nn::Linear>("head", 512, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = ops::max_pool2d(ops::relu(stem_(x)), {.kernel = 3, .stride = 2, .pad = 1});
    return head_(ops::flatten(ops::global_avg_pool(blocks_(y)), 1));
  }

 private:
  Ptr<ConvNorm> stem_;
  Ptr<Sequential> blocks_;
  Ptr<nn::Linear> head_;
};

// Ronneberger et al., "U-Net", 2015, on odd sizes: two convolutions a level, three levels.
class UNetLevel final : public Cell {
 public:
  UNetLevel(int64_t in, int64_t out)
      : first_(add<ConvNorm>("first", in, out, 3, 1, 1, false)),
        second_(add<ConvNorm>("second", out, out, 3, 1, 1, false)) {}

 protected:
  Tensor construct(const Tensor& x) override { return ops::relu(second_(ops::relu(first_(x)))); }

 private:
  Ptr<ConvNorm> first_, second_;
};

class UNet final : public Cell {
 public:
  UNet() {
    down1_ = add<UNetLevel>("down1", 1, 32);
    down2_ = add<UNetLevel>("down2", 32, 64);
    bottom_ = add<UNetLevel>("bottom", 64, 128);
    // 75 x 93 halves to 37 x 46 and 18 x 23.
    up2_ = add<nn::ConvTranspose2d>("up2", 128, 64, 2,
                                    nn::ConvTranspose2dOptions{.stride = 2, .output_pad = {1, 0}});
    level2_ = add<UNetLevel>("level2", 128, 64);
    up1_ = add<nn::ConvTranspose2d>("up1", 64, 32, 2,
                                    nn::ConvTranspose2dOptions{.stride = 2, .output_pad = 1});
    level1_ = add<UNetLevel>("level1", 64, 32);
    head_ = add<nn::Conv2d>("head", 32, 1, 1);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor a = down1_(x), b = down2_(ops::max_pool2d(a, {.kernel = 2}));
    const Tensor c = bottom_(ops::max_pool2d(b, {.kernel = 2}));
    const Tensor skip2[] = {b, up2_(c)};
    const Tensor skip1[] = {a, up1_(level2_(ops::concat(skip2, 1)))};
    return head_(level1_(ops::concat(skip1, 1)));
  }

 private:
  Ptr<UNetLevel> down1_, down2_, bottom_, level2_, level1_;
  Ptr<nn::ConvTranspose2d> up2_, up1_;
  Ptr<nn::Conv2d> head_;
};

// Tan and Le, "EfficientNet", 2019: 5x5 depthwise, squeeze and excitation.
class MbConv final : public Cell {
 public:
  MbConv(int64_t in, int64_t out, int64_t stride)
      : expand_(add<ConvNorm>("expand", in, 4 * in, 1, 1, 1, false)),
        depth_(add<ConvNorm>("depth", 4 * in, 4 * in, 5, stride, 4 * in, false)),
        squeeze_(add<nn::Conv2d>("squeeze", 4 * in, in / 4, 1)),
        excite_(add<nn::Conv2d>("excite", in / 4, 4 * in, 1)),
        project_(add<ConvNorm>("project", 4 * in, out, 1, 1, 1, false)),
        residual_(stride == 1 && in == out) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = ops::silu(depth_(ops::silu(expand_(x))));
    const Tensor gate = ops::sigmoid(excite_(ops::silu(squeeze_(ops::global_avg_pool(y)))));
    const Tensor z = project_(y * gate);
    return residual_ ? x + z : z;
  }

 private:
  Ptr<ConvNorm> expand_, depth_;
  Ptr<nn::Conv2d> squeeze_, excite_;
  Ptr<ConvNorm> project_;
  bool residual_;
};

class EfficientNet final : public Cell {
 public:
  EfficientNet() {
    stem_ = add<ConvNorm>("stem", 3, 24, 3, 2, 1, false);
    blocks_ = add<Sequential>("blocks");
    blocks_->append(nn::make<MbConv>(24, 24, 1));
    blocks_->append(nn::make<MbConv>(24, 40, 2));
    blocks_->append(nn::make<MbConv>(40, 40, 1));
    blocks_->append(nn::make<MbConv>(40, 80, 2));
    blocks_->append(nn::make<MbConv>(80, 80, 1));
    head_ = add<nn::Linear>("head", 80, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = blocks_(ops::hswish(stem_(x)));
    return head_(ops::flatten(ops::global_avg_pool(y), 1));
  }

 private:
  Ptr<ConvNorm> stem_;
  Ptr<Sequential> blocks_;
  Ptr<nn::Linear> head_;
};

// Radford et al., "DCGAN", 2016: the generator.
class Generator final : public Cell {
 public:
  Generator() {
    const int64_t widths[] = {100, 256, 128, 64, 3};
    for (int i = 0; i < 4; ++i) {
      const nn::ConvTranspose2dOptions o{
          .stride = i == 0 ? 1 : 2, .pad = i == 0 ? 0 : 1, .bias = false};
      up_[i] = add<nn::ConvTranspose2d>(cat("up", i), widths[i], widths[i + 1], 4, o);
      if (i < 3) norm_[i] = add<nn::BatchNorm2d>(cat("norm", i), widths[i + 1]);
    }
  }

 protected:
  Tensor construct(const Tensor& z) override {
    Tensor y = z;
    for (int i = 0; i < 3; ++i) y = ops::relu(norm_[i](up_[i](y)));
    return ops::tanh(up_[3](y));
  }

 private:
  Ptr<nn::ConvTranspose2d> up_[4];
  Ptr<nn::BatchNorm2d> norm_[3];
};

// Bai et al., "TCN", 2018, with gates as in WaveNet: dilated 1-D convolutions over an odd length.
class Tcn final : public Cell {
 public:
  static constexpr int kLayers = 5;
  Tcn() {
    in_ = add<nn::Conv2d>("in", 40, 64, 1);
    for (int i = 0; i < kLayers; ++i) {
      const int64_t dilation = int64_t{1} << i;
      conv_[i] =
          add<nn::Conv2d>(cat("conv", i), 64, 128, Int2{1, 3},
                          nn::Conv2dOptions{.pad = {0, dilation}, .dilation = {1, dilation}});
      out_[i] = add<nn::Conv2d>(cat("out", i), 64, 64, 1);
    }
    head_ = add<nn::Linear>("head", 64, 10);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    Tensor y = in_(x);
    for (int i = 0; i < kLayers; ++i) {
      const std::vector<Tensor> h = ops::split(conv_[i](y), 2, 1);
      y = y + out_[i](ops::tanh(h[0]) * ops::sigmoid(h[1]));
    }
    return head_(ops::flatten(ops::global_avg_pool(y), 1));
  }

 private:
  Ptr<nn::Conv2d> in_, conv_[kLayers], out_[kLayers];
  Ptr<nn::Linear> head_;
};

// Liu et al., "A ConvNet for the 2020s", 2022.
class ConvNextBlock final : public Cell {
 public:
  explicit ConvNextBlock(int64_t width)
      : depth_(add<nn::Conv2d>("depth", width, width, 7, conv_options(7, 1, width, true))),
        norm_(add<nn::LayerNorm>("norm", width)),
        up_(add<nn::Linear>("up", width, 4 * width)),
        down_(add<nn::Linear>("down", 4 * width, width)) {
    register_parameter("gamma", nn::init::ones({width}), &gamma_);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = norm_(ops::permute(depth_(x), {0, 2, 3, 1}));
    return x + ops::permute(down_(ops::gelu(up_(y))) * gamma_->read(), {0, 3, 1, 2});
  }

 private:
  Ptr<nn::Conv2d> depth_;
  Ptr<nn::LayerNorm> norm_;
  Ptr<nn::Linear> up_, down_;
  nn::ParameterPtr gamma_;
};

class ConvNext final : public Cell {
 public:
  ConvNext() {
    stem_ = add<nn::Conv2d>("stem", 3, 96, 4, nn::Conv2dOptions{.stride = 4});
    blocks_ = add<Sequential>("blocks");
    for (int i = 0; i < 3; ++i) blocks_->append(nn::make<ConvNextBlock>(96));
    head_ = add<nn::Linear>("head", 96, 100);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    return head_(ops::flatten(ops::global_avg_pool(blocks_(stem_(x))), 1));
  }

 private:
  Ptr<nn::Conv2d> stem_;
  Ptr<Sequential> blocks_;
  Ptr<nn::Linear> head_;
};

// Simonyan and Zisserman, 2015, without norms.
class Vgg final : public Cell {
 public:
  Vgg() {
    features_ = add<Sequential>("features");
    int64_t in = 3;
    for (const int64_t out : {64, 64, 0, 128, 128, 0, 256, 256, 0}) {
      if (out == 0) {
        features_->append(nn::make<nn::MaxPool2d>(2));
        continue;
      }
      features_->append(nn::make<nn::Conv2d>(in, out, 3, conv_options(3, 1, 1, true)));
      features_->append(nn::make<nn::ReLU>());
      in = out;
    }
    fc1_ = add<nn::Linear>("fc1", 256 * 16, 512);
    drop_ = add<nn::Dropout>("drop", 0.5);
    fc2_ = add<nn::Linear>("fc2", 512, 10);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    return fc2_(drop_(ops::relu(fc1_(ops::flatten(features_(x), 1)))));
  }

 private:
  Ptr<Sequential> features_;
  Ptr<nn::Linear> fc1_, fc2_;
  Ptr<nn::Dropout> drop_;
};

// Huang et al., "Densely connected convolutional networks", 2017, growing by 37 channels.
constexpr int64_t kGrowth = 37;

class DenseLayer final : public Cell {
 public:
  explicit DenseLayer(int64_t in)
      : norm1_(add<nn::BatchNorm2d>("norm1", in)),
        conv1_(add<nn::Conv2d>("conv1", in, 2 * kGrowth, 1, conv_options(1, 1))),
        norm2_(add<nn::BatchNorm2d>("norm2", 2 * kGrowth)),
        conv2_(add<nn::Conv2d>("conv2", 2 * kGrowth, kGrowth, 3, conv_options(3, 1))) {}

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor both[] = {x, conv2_(ops::relu(norm2_(conv1_(ops::relu(norm1_(x))))))};
    return ops::concat(both, 1);
  }

 private:
  Ptr<nn::BatchNorm2d> norm1_;
  Ptr<nn::Conv2d> conv1_;
  Ptr<nn::BatchNorm2d> norm2_;
  Ptr<nn::Conv2d> conv2_;
};

class DenseNet final : public Cell {
 public:
  DenseNet() {
    stem_ = add<nn::Conv2d>("stem", 3, kGrowth, 3, conv_options(3, 1));
    layers_ = add<Sequential>("layers");
    int64_t channels = kGrowth;
    for (int block = 0; block < 2; ++block) {
      for (int i = 0; i < 4; ++i, channels += kGrowth) {
        layers_->append(nn::make<DenseLayer>(channels));
      }
      layers_->append(nn::make<nn::Conv2d>(channels, channels / 2, 1, conv_options(1, 1)));
      channels /= 2;
      layers_->append(nn::make<nn::AvgPool2d>(2));
    }
    norm_ = add<nn::BatchNorm2d>("norm", channels);
    head_ = add<nn::Linear>("head", channels, 10);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    return head_(ops::flatten(ops::global_avg_pool(ops::relu(norm_(layers_(stem_(x))))), 1));
  }

 private:
  Ptr<nn::Conv2d> stem_;
  Ptr<Sequential> layers_;
  Ptr<nn::BatchNorm2d> norm_;
  Ptr<nn::Linear> head_;
};

// No size is a multiple of anything.
class Odd final : public Cell {
 public:
  Odd() {
    conv1_ = add<nn::Conv2d>("conv1", 1, 6, 5);
    conv2_ = add<nn::Conv2d>("conv2", 6, 37, 3, conv_options(3, 1));
    norm_ = add<nn::BatchNorm2d>("norm", 37);
    conv3_ = add<nn::Conv2d>("conv3", 37, 37, 3, nn::Conv2dOptions{.stride = 2});
    conv4_ = add<nn::Conv2d>("conv4", 37, 53, 3, conv_options(3, 1, 1, true));
    fc1_ = add<nn::Linear>("fc1", 53 * 6, 101);
    fc2_ = add<nn::Linear>("fc2", 101, 11);
  }

 protected:
  Tensor construct(const Tensor& x) override {
    Tensor y = ops::tanh(conv1_(x));        // 6 x 25 x 27
    y = ops::relu(norm_(conv2_(y)));        // 37 x 25 x 27
    y = ops::leaky_relu(conv3_(y));         // 37 x 12 x 13
    y = ops::avg_pool2d(y, {.kernel = 3});  // 37 x 4 x 4
    y = ops::max_pool2d(ops::silu(conv4_(y)), {.kernel = {2, 2}, .stride = {2, 1}});  // 53 x 2 x 3
    return fc2_(ops::sigmoid(fc1_(ops::flatten(y, 1))));
  }

 private:
  Ptr<nn::Conv2d> conv1_, conv2_, conv3_, conv4_;
  Ptr<nn::BatchNorm2d> norm_;
  Ptr<nn::Linear> fc1_, fc2_;
};

}  // namespace

nn::CellPtr make_mobilenet() { return nn::make<MobileNet>(); }
nn::CellPtr make_resnext() { return nn::make<ResNext>(); }
nn::CellPtr make_unet() { return nn::make<UNet>(); }
nn::CellPtr make_convnext() { return nn::make<ConvNext>(); }
nn::CellPtr make_efficientnet() { return nn::make<EfficientNet>(); }
nn::CellPtr make_generator() { return nn::make<Generator>(); }
nn::CellPtr make_tcn() { return nn::make<Tcn>(); }
nn::CellPtr make_vgg() { return nn::make<Vgg>(); }
nn::CellPtr make_densenet() { return nn::make<DenseNet>(); }
nn::CellPtr make_odd() { return nn::make<Odd>(); }

}  // namespace rutile::bench
