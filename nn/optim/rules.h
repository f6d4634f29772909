// SPDX-License-Identifier: Apache-2.0
// More optimizers. Formulas and papers stand at the ops (ops/update.h).
//
//   auto opt = std::make_shared<optim::Lion>(net->parameters(), optim::LionOptions{.lr = 1e-4});
#pragma once

#include "rutile/nn/optim/optimizer.h"

namespace rutile::nn::optim {

struct AdamaxOptions {
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  bool maximize = false;
};
RUTILE_OPTIMIZER(Adamax)

struct NAdamOptions {
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  double momentum_decay = 4e-3;
  bool decoupled_weight_decay = false;  // as AdamW's
  bool maximize = false;
};
RUTILE_OPTIMIZER(NAdam)

struct RAdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  bool decoupled_weight_decay = false;  // as AdamW's
  bool maximize = false;
};
RUTILE_OPTIMIZER(RAdam)

struct AdagradOptions {
  double lr = 0.01;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator = 0;
  double eps = 1e-10;
  bool maximize = false;
};
RUTILE_OPTIMIZER(Adagrad)

struct AdadeltaOptions {
  double lr = 1.0;
  double rho = 0.9, eps = 1e-6;
  double weight_decay = 0;
  bool maximize = false;
};
RUTILE_OPTIMIZER(Adadelta)

struct RMSPropOptions {
  double lr = 0.01;
  double alpha = 0.99, eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
  bool maximize = false;
};
// Keeps only the slots that the options ask for.
RUTILE_OPTIMIZER(RMSProp)

struct RpropOptions {
  double lr = 0.01;  // the first step's size; not read later
  double eta_minus = 0.5, eta_plus = 1.2;
  double min_step = 1e-6, max_step = 50;
  bool maximize = false;
};
RUTILE_OPTIMIZER(Rprop)

struct ASGDOptions {
  double lr = 0.01;
  double lambd = 1e-4, alpha = 0.75, t0 = 1e6;
  double weight_decay = 0;
  bool maximize = false;
};
// The averages are the states "ax.*".
RUTILE_OPTIMIZER(ASGD)

struct FTRLOptions {
  double lr = 1e-3;
  double initial_accumulator = 0.1;
  double lr_power = -0.5;
  double l1 = 0, l2 = 0;
  double weight_decay = 0;
  bool maximize = false;
};
RUTILE_OPTIMIZER(FTRL)

struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;  // as AdamW's
  bool maximize = false;
};
RUTILE_OPTIMIZER(Lion)

struct LAMBOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-6;
  double weight_decay = 0;  // part of the step whose norm counts
  bool maximize = false;
};
RUTILE_OPTIMIZER(LAMB)

struct LARSOptions {
  double lr = 0.1;
  double momentum = 0.9;
  double coefficient = 0.001, eps = 0;
  double weight_decay = 0;  // part of the step whose norm counts
  bool maximize = false;
};
RUTILE_OPTIMIZER(LARS)

}  // namespace rutile::nn::optim
