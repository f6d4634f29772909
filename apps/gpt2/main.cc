// SPDX-License-Identifier: Apache-2.0
// Trains GPT-2 (124M parameters; Radford et al., 2019) on a text, as bytes in GPT-2's tokens where
// the two files that are published with the model are given, otherwise as characters: AdamW with
// weight decay on matrices, warm-up and half a cosine.
#include "rutile/apps/support/language.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/optim/schedule.h"

namespace rutile::apps {
namespace {

constexpr double kWeightDecay = 0.1, kLastPart = 0.1;
constexpr int64_t kWarmUp = 700;

Program program() {
  Program p;
  p.name = "gpt2";
  p.description = "Trains GPT-2 124M (12 layers, width 768, 1,024 positions) and tests it.";
  p.recipes = {
      {"synthetic", 0, 4, 1, 10, "bf16", 6e-4},
      {"text", 0, 4, 1, 0, "bf16", 6e-4},
  };
  p.other_dataset = "the path of a text file";
  p.extras = {{"--tokens", "folder with vocab.json and merges.txt, or encoder.json and vocab.bpe",
               "", false},
              {"--layers", "blocks", "12"},
              {"--width", "of a block", "768"},
              {"--heads", "of attention; they divide the width", "12"},
              {"--positions", "tokens in a sample", "1024"}};
  return p;
}

std::shared_ptr<nn::optim::Optimizer> adamw(const Options& o, const nn::Cell& net, int64_t steps) {
  auto optimizer = std::make_shared<nn::optim::AdamW>(
      nn::optim::decay_groups(net),
      nn::optim::AdamWOptions{
          .lr = o.lr, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = kWeightDecay});
  const int64_t warm = std::min(kWarmUp, std::max<int64_t>(1, steps / 10));
  optimizer->set_schedule(nn::optim::chain(
      {{warm, nn::optim::linear(o.lr / static_cast<double>(warm), o.lr, warm)},
       {std::max<int64_t>(1, steps - warm),
        nn::optim::cosine(o.lr, kLastPart * o.lr, std::max<int64_t>(1, steps - warm))}}));
  return optimizer;
}

void train(const Options& o) {
  nn::models::GptOptions net = nn::models::gpt2_124m();
  net.layers = o.extra_number("--layers");
  net.width = o.extra_number("--width");
  net.heads = o.extra_number("--heads");
  net.positions = o.extra_number("--positions");
  const std::string tokens = o.extra("--tokens");
  // Characters need no 50,304 rows.
  if (tokens.empty() && !o.synthetic()) net.vocab = 0;
  train_language(o, {.network = "GPT-2",
                     .net = net,
                     .synthetic_vocab = 50257,
                     .tokens = tokens,
                     .optimizer = [&o](const nn::Cell& cell, int64_t steps) {
                       return adamw(o, cell, steps);
                     }});
}

}  // namespace
}  // namespace rutile::apps

int main(int argc, char** argv) {
  return rutile::apps::run_program(argc, argv, rutile::apps::program(), rutile::apps::train);
}
