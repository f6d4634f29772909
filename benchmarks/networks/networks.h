// SPDX-License-Identifier: Apache-2.0
// Small networks of many kinds, twins of benchmarks/compare/torch_zoo.py: state names and
// arithmetic are the same, parameters and data are functions of names, so that the losses of both
// sides can be compared.
#pragma once

#include <span>
#include <string_view>

#include "rutile/nn/cell.h"

namespace rutile::bench {

enum class Loss { kCrossEntropy, kMse, kBceWithLogits };
enum class Rule { kMomentum, kAdamW };

struct Network {
  const char* name;
  nn::CellPtr (*make)();
  Shape x;
  int64_t vocab;    // x holds ids below it; 0: floats
  Shape y;          // empty: y = x
  int64_t classes;  // y holds labels below it; 0: floats in [0, 1)
  Loss loss;
  Rule rule;
};

std::span<const Network> networks();
const Network& find_network(std::string_view name);  // Error{kValue} with the known names

// By file.
nn::CellPtr make_mobilenet();
nn::CellPtr make_resnext();
nn::CellPtr make_unet();
nn::CellPtr make_convnext();
nn::CellPtr make_efficientnet();
nn::CellPtr make_generator();
nn::CellPtr make_tcn();
nn::CellPtr make_vgg();
nn::CellPtr make_densenet();
nn::CellPtr make_odd();
nn::CellPtr make_vit();
nn::CellPtr make_mixer();
nn::CellPtr make_bert();
nn::CellPtr make_llama();
nn::CellPtr make_lstm();
nn::CellPtr make_gru();
nn::CellPtr make_chain();
nn::CellPtr make_autoencoder();
nn::CellPtr make_recommender();
nn::CellPtr make_factorisation();
nn::CellPtr make_inception();
nn::CellPtr make_upsampler();
nn::CellPtr make_swin();
nn::CellPtr make_nerf();
nn::CellPtr make_graph();

// Floats of variance 1 (rank 2 and more: 2 / fan_in) or ids, by name.
Tensor named_values(std::string_view name, const Shape& shape, double low, double high);
Tensor named_ids(std::string_view name, const Shape& shape, int64_t count);
void set_named_values(nn::Cell& net);

}  // namespace rutile::bench
