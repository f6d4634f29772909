// SPDX-License-Identifier: Apache-2.0
// What the programs that train transformers share: text as tokens, training, a few lines at the
// end.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rutile/apps/support/options.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/optim/optimizer.h"

namespace rutile::apps {

struct LanguageModel {
  std::string network;  // "GPT-2"
  // Its `vocab` is at least that of the text; 0: that of the text.
  nn::models::GptOptions net;
  int64_t synthetic_vocab = 65;  // of random tokens
  std::string tokens = {};       // a folder with GPT-2's tokens; empty: the text's characters
  // Of the network, for so many steps.
  std::function<std::shared_ptr<nn::optim::Optimizer>(const nn::Cell&, int64_t steps)> optimizer;
};

// --dataset is "synthetic" or the path of a text file: nine tenths of it train, the rest tests.
void train_language(const Options& options, LanguageModel model);

}  // namespace rutile::apps
