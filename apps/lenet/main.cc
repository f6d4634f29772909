// SPDX-License-Identifier: Apache-2.0
// Trains LeNet-5 on 32x32 images.
#include <memory>

#include "rutile/apps/support/session.h"
#include "rutile/nn/models/lenet.h"

namespace rutile::apps {
namespace {

Program program() {
  Program p;
  p.name = "lenet";
  p.description = "Trains LeNet-5 on 32x32 images and tests it.";
  p.recipes = {
      {"fashion-mnist", 32, 64, 1, 0, "fp32", 0.01},
      {"synthetic", 32, 16, 1, 100, "fp32", 0.01},
  };
  return p;
}

void train(const Options& o) {
  Data data = load_images(o, {.channels = 1});
  auto net = nn::make<nn::models::LeNet>(nn::models::LeNetOptions{.classes = data.classes});
  const Work work{
      .network = "LeNet",
      .net = net,
      .loss = nn::CrossEntropyLoss(),
      .optimizer = std::make_shared<nn::optim::Momentum>(
          net->parameters(), nn::optim::MomentumOptions{.lr = o.lr, .momentum = 0.9}),
  };
  train_and_report(o, data, work);
}

}  // namespace
}  // namespace rutile::apps

int main(int argc, char** argv) {
  return rutile::apps::run_program(argc, argv, rutile::apps::program(), rutile::apps::train);
}
