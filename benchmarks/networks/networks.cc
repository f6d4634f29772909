// SPDX-License-Identifier: Apache-2.0
#include "rutile/benchmarks/networks/networks.h"

#include <cmath>
#include <string>

namespace rutile::bench {

namespace {

constexpr auto kCe = Loss::kCrossEntropy;
constexpr auto kMse = Loss::kMse;
constexpr auto kBce = Loss::kBceWithLogits;
constexpr auto kMom = Rule::kMomentum;
constexpr auto kAdam = Rule::kAdamW;

uint32_t name_seed(std::string_view name) {
  uint32_t h = 2166136261u;  // FNV-1a
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}

// 24 random bits by name and number.
uint32_t hashed(uint32_t seed, int64_t i) {
  uint32_t h = static_cast<uint32_t>(i) * 2654435761u + seed;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return (h ^ (h >> 16)) >> 8;
}

}  // namespace

std::span<const Network> networks() {
  static const Network table[] = {
      // name, Cell, x, vocabulary, y, classes, loss, optimizer
      {"mobilenet", make_mobilenet, {16, 3, 96, 96}, 0, {16}, 100, kCe, kMom},
      {"resnext", make_resnext, {8, 3, 112, 112}, 0, {8}, 100, kCe, kMom},
      {"unet", make_unet, {4, 1, 75, 93}, 0, {4, 1, 75, 93}, 2, kBce, kAdam},
      {"convnext", make_convnext, {8, 3, 112, 112}, 0, {8}, 100, kCe, kAdam},
      {"efficientnet", make_efficientnet, {8, 3, 96, 96}, 0, {8}, 100, kCe, kMom},
      {"generator", make_generator, {32, 100, 1, 1}, 0, {32, 3, 32, 32}, 0, kMse, kAdam},
      {"tcn", make_tcn, {16, 40, 1, 257}, 0, {16}, 10, kCe, kAdam},
      {"vgg", make_vgg, {16, 3, 32, 32}, 0, {16}, 10, kCe, kMom},
      {"densenet", make_densenet, {16, 3, 32, 32}, 0, {16}, 10, kCe, kMom},
      {"odd", make_odd, {64, 1, 29, 31}, 0, {64}, 11, kCe, kMom},
      {"vit", make_vit, {8, 3, 224, 224}, 0, {8}, 100, kCe, kAdam},
      {"mixer", make_mixer, {8, 3, 224, 224}, 0, {8}, 100, kCe, kAdam},
      {"bert", make_bert, {8, 128}, 2000, {8, 128}, 2000, kCe, kAdam},
      {"llama", make_llama, {8, 128}, 1000, {8, 128}, 1000, kCe, kAdam},
      {"lstm", make_lstm, {32, 32, 64}, 0, {32}, 10, kCe, kAdam},
      {"gru", make_gru, {32, 32, 64}, 0, {32}, 10, kCe, kAdam},
      {"chain", make_chain, {256, 4096}, 0, {256, 4096}, 0, kMse, kMom},
      {"autoencoder", make_autoencoder, {1024, 784}, 0, {1024, 784}, 0, kMse, kMom},
      {"recommender", make_recommender, {512, 16}, 50000, {512, 1}, 2, kBce, kMom},
      {"inception", make_inception, {8, 3, 127, 127}, 0, {8}, 100, kCe, kMom},
      {"upsampler", make_upsampler, {8, 3, 48, 48}, 0, {8, 3, 192, 192}, 0, kMse, kAdam},
      {"swin", make_swin, {4, 3, 112, 112}, 0, {4}, 100, kCe, kAdam},
      {"nerf", make_nerf, {16384, 3}, 0, {16384, 4}, 0, kMse, kAdam},
      {"graph", make_graph, {32768, 2}, 4096, {4096}, 16, kCe, kAdam},
      {"factorisation", make_factorisation, {4096, 2}, 20000, {4096, 1}, 0, kMse, kMom},
  };
  return table;
}

const Network& find_network(std::string_view name) {
  std::string known;
  for (const Network& n : networks()) {
    if (n.name == name) return n;
    known += cat(known.empty() ? "" : ", ", n.name);
  }
  throw_error(ErrorCode::kValue, cat("there is no network '", name, "'; known: ", known));
}

Tensor named_values(std::string_view name, const Shape& shape, double low, double high) {
  Tensor t = Tensor::empty(TensorMeta(shape, DType::kF32));
  const uint32_t seed = name_seed(name);
  float* to = static_cast<float*>(t.mutable_data());
  const auto from = static_cast<float>(low), range = static_cast<float>(high - low);
  for (int64_t i = 0, n = t.numel(); i < n; ++i) {
    to[i] = from + range * static_cast<float>(hashed(seed, i)) * 0x1p-24f;
  }
  return t;
}

Tensor named_ids(std::string_view name, const Shape& shape, int64_t count) {
  Tensor t = Tensor::empty(TensorMeta(shape, DType::kI64));
  const uint32_t seed = name_seed(name);
  int64_t* to = static_cast<int64_t*>(t.mutable_data());
  for (int64_t i = 0, n = t.numel(); i < n; ++i) to[i] = hashed(seed, i) % count;
  return t;
}

// Matrices and filters uniform with variance 1 / fan_in; vectors as the layers start: scales 1,
// the rest 0.
void set_named_values(nn::Cell& net) {
  for (const auto& [name, parameter] : net.named_parameters()) {
    const Shape& shape = parameter->meta().shape;
    if (shape.rank() < 2) {
      const bool is_scale = name.ends_with("weight") || name.ends_with("gamma");
      parameter->set_value(named_values(name, shape, is_scale, is_scale));
      continue;
    }
    double fan_in = 1;
    for (int i = 1; i < shape.rank(); ++i) fan_in *= static_cast<double>(shape[i]);
    const double bound = std::sqrt(3.0 / fan_in);
    parameter->set_value(named_values(name, shape, -bound, bound));
  }
}

}  // namespace rutile::bench
