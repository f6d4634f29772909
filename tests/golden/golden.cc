// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/golden/golden.h"

#include <cmath>
#include <fstream>

#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/ops/elementwise.h"

namespace rutile::golden {

namespace {

uint64_t start_of(const std::string& name) {
  uint64_t h = 0xCBF29CE484222325;
  for (unsigned char c : name) h = (h ^ c) * 0x100000001B3;
  return h;
}

uint64_t hash(uint64_t start, uint64_t i) {
  uint64_t z = start + i + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// f32 numbers scale * uniform(name), as `dtype`.
Tensor uniform(const std::string& name, double scale, const Shape& shape, DType dtype) {
  std::vector<float> v(static_cast<size_t>(shape.numel()));
  const uint64_t start = start_of(name);
  for (size_t i = 0; i < v.size(); ++i) {
    const double u = 2 * (static_cast<double>(hash(start, i) >> 11) * 0x1p-53) - 1;
    v[i] = static_cast<float>(scale * u);
  }
  return ops::cast(Tensor::from<float>(v, shape), dtype);
}

Tensor labels(const std::string& name, const Shape& shape, uint64_t classes) {
  std::vector<int64_t> v(static_cast<size_t>(shape.numel()));
  const uint64_t start = start_of(name);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<int64_t>(hash(start, i) % classes);
  return Tensor::from<int64_t>(v, shape);
}

Tensor initial_value(const std::string& name, const TensorMeta& meta, bool of_norm,
                     bool zero_init_residual) {
  const Shape& s = meta.shape;
  if (of_norm) {
    const bool one =
        name.ends_with("weight") && !(zero_init_residual && name.ends_with("bn3.weight"));
    return Tensor::full(s, one ? 1 : 0, meta.dtype);
  }
  double scale = 0.05;
  if (s.rank() == 4) scale = std::sqrt(3 * 2.0 / static_cast<double>(s[0] * s[2] * s[3]));
  if (s.rank() == 2) scale = 1 / std::sqrt(static_cast<double>(s[1]));
  return uniform(name, scale, s, meta.dtype);
}

}  // namespace

nlohmann::json read_golden(const std::string& name) {
  const std::string path = cat(RUTILE_SOURCE_DIR, "/tests/golden/", name, ".json");
  std::ifstream in(path);
  if (!in) throw_error(ErrorCode::kNotFound, cat(path, " cannot be opened"));
  return nlohmann::json::parse(in);
}

nn::CellPtr build(const std::string& network, DType dtype, bool zero_init_residual) {
  nn::CellPtr net;
  if (network == "resnet50") net = nn::models::resnet50({.classes = 10});
  if (network == "lenet") net = nn::make<nn::models::LeNet>();
  if (network == "mlp") net = nn::make<nn::models::Mlp>();
  if (network == "gpt") net = nn::make<nn::models::Gpt>();
  net->to(dtype);
  int rank_of_weight = 0;  // weights come before their bias
  for (const auto& [name, p] : net->named_parameters()) {
    const bool weight = name.ends_with("weight");
    if (weight) rank_of_weight = p->meta().rank();
    p->set_value(initial_value(name, p->meta(), rank_of_weight == 1, zero_init_residual));
  }
  return net;
}

Batch make_batch(const std::string& network, int64_t size, int step, DType dtype) {
  const std::string x = cat("x", step), y = cat("y", step);
  if (network == "gpt") return {labels(x, {size, 32}, 65), labels(y, {size, 32}, 65)};
  Shape shape{size, 784};
  if (network == "resnet50") shape = {size, 3, 32, 32};
  if (network == "lenet") shape = {size, 1, 32, 32};
  return {uniform(x, std::sqrt(3.0), shape, dtype), labels(y, {size}, 10)};
}

std::vector<double> sketch(const std::string& name, const std::vector<double>& values) {
  std::vector<double> sums(kSketches);
  const uint64_t start = start_of(name + "#sketch");
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t h = hash(start, i);
    for (int k = 0; k < kSketches; ++k) sums[k] += h >> k & 1 ? values[i] : -values[i];
  }
  return sums;
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v * v;
  return std::sqrt(sum);
}

std::vector<double> doubles(const Tensor& t) {
  return ops::cast(t, DType::kF64).to_vector<double>();
}

}  // namespace rutile::golden
