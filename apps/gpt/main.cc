// SPDX-License-Identifier: Apache-2.0
// Trains a small decoder-only transformer on the characters of a text: nine tenths of it train, the
// rest tests. At the end it writes a few lines of its own.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "rutile/apps/support/session.h"
#include "rutile/core/rng.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/train/text.h"

namespace rutile::apps {
namespace {

constexpr int64_t kVocabulary = 65, kPositions = 256;
constexpr int kSampleTokens = 160;
constexpr double kTrainingPart = 0.9, kTemperature = 0.8;

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

Data load(const Options& o, std::shared_ptr<const dataset::TextSource>* text) {
  Data data;
  if (o.synthetic()) {
    const Shape shape{o.batch_size, kPositions};
    data.classes = kVocabulary;
    data.feed = std::make_unique<train::FixedFeed>(random_labels(shape, kVocabulary, o.seed),
                                                   random_labels(shape, kVocabulary, o.seed + 1));
    data.description = "one batch of random tokens";
    return data;
  }
  *text = dataset::text_file(o.dataset, {.window = kPositions, .end = kTrainingPart});
  const auto test = dataset::text_file(o.dataset, {.window = kPositions, .begin = kTrainingPart});
  data.classes = (*text)->classes();
  data.description = cat(data.classes, " symbols, ", train::grouped((*text)->size()), " and ",
                         train::grouped(test->size()), " windows of ", kPositions);
  set_sources(o, *text, test, {}, {}, {}, &data);
  return data;
}

// Draws from softmax(logits / temperature).
int32_t draw(const float* logits, int64_t n, float uniform) {
  const float top = *std::max_element(logits, logits + n);
  std::vector<double> sums(static_cast<size_t>(n));
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sums[static_cast<size_t>(i)] = sum += std::exp((logits[i] - top) / kTemperature);
  }
  const auto at = std::upper_bound(sums.begin(), sums.end(), uniform * sum);
  return static_cast<int32_t>(std::min<int64_t>(at - sums.begin(), n - 1));
}

void print_sample(const Options& o, const nn::CellPtr& net, const dataset::TextSource& text) {
  dataset::Sample first;
  text.read(0, &first);
  // The window begins with a few true symbols; what stands behind a position does not reach it.
  constexpr int kPrompt = 16;
  std::vector<int32_t> tokens(kPositions, 0);
  const auto* given = static_cast<const int32_t*>(first.fields()[0].data);
  std::copy(given, given + kPrompt, tokens.begin());
  nn::StepOptions step = o.step_options();
  step.amp = {};
  nn::EvalStep eval(net, step);
  const int64_t classes = text.classes();
  for (int i = kPrompt; i < kPrompt + kSampleTokens; ++i) {
    const Tensor ids = Tensor::from<int32_t>(std::span<const int32_t>(tokens), {1, kPositions});
    const std::vector<float> logits = eval(ids).to_vector<float>();
    const auto words = philox(fold_in({o.seed}, 'g'), static_cast<uint64_t>(i));
    tokens[static_cast<size_t>(i)] =
        draw(logits.data() + (i - 1) * classes, classes, uniform_f32(words[0]));
  }
  std::printf("sample: %s\n",
              text.vocabulary().decode({tokens.data(), kPrompt + kSampleTokens}).c_str());
}

void train(const Options& o) {
  std::shared_ptr<const dataset::TextSource> text;
  Data data = load(o, &text);
  auto net = nn::make<nn::models::Gpt>(
      nn::models::GptOptions{.vocab = data.classes, .positions = kPositions});
  const Work work{
      .network = "GPT",
      .net = net,
      .loss = nn::CrossEntropyLoss(),
      .optimizer = std::make_shared<nn::optim::AdamW>(net->parameters(),
                                                      nn::optim::AdamWOptions{.lr = o.lr}),
      .unit = "tokens",
      .items_per_sample = kPositions,
      .before_last_line =
          [&] {
            if (text) print_sample(o, net, *text);
          },
  };
  train_and_report(o, data, work);
}

}  // namespace
}  // namespace rutile::apps

int main(int argc, char** argv) {
  return rutile::apps::run_program(argc, argv, rutile::apps::program(), rutile::apps::train);
}
