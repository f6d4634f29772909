// SPDX-License-Identifier: Apache-2.0
// Trains a small decoder-only transformer on the characters of a text: nine tenths of it train, the
// rest tests. At the end it writes a few lines of its own.
#include "rutile/apps/support/language.h"
#include "rutile/nn/optim/rules.h"

namespace rutile::apps {
namespace {

Program program() {
  Program p;
  p.name = "gpt";
  p.description = "Trains a small GPT (6 layers, width 384) and tests it.";
  p.recipes = {
      {"synthetic", 0, 16, 1, 20, "fp32", 1e-3},
      {"text", 0, 16, 1, 0, "fp32", 1e-3},
  };
  p.other_dataset = "the path of a text file";
  return p;
}

void train(const Options& o) {
  train_language(o, {.network = "GPT",
                     .net = {.vocab = 0, .positions = 256},
                     .optimizer = [&o](const nn::Cell& net, int64_t) {
                       return std::make_shared<nn::optim::AdamW>(
                           net.parameters(), nn::optim::AdamWOptions{.lr = o.lr});
                     }});
}

}  // namespace
}  // namespace rutile::apps

int main(int argc, char** argv) {
  return rutile::apps::run_program(argc, argv, rutile::apps::program(), rutile::apps::train);
}
