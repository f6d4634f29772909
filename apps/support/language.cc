// SPDX-License-Identifier: Apache-2.0
#include "rutile/apps/support/language.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "rutile/apps/support/session.h"
#include "rutile/core/rng.h"
#include "rutile/dataset/text.h"
#include "rutile/train/text.h"

namespace rutile::apps {
namespace {

constexpr int64_t kSampleTokens = 160, kPrompt = 16;
constexpr double kTrainingPart = 0.9, kTemperature = 0.8;

using TextPtr = std::shared_ptr<const dataset::TextSource>;

Data load(const Options& o, const LanguageModel& m, TextPtr* text) {
  Data data;
  const int64_t window = m.net.positions;
  if (o.synthetic()) {
    const Shape shape{o.batch_size, window};
    data.classes = m.synthetic_vocab;
    data.feed = std::make_unique<train::FixedFeed>(random_labels(shape, data.classes, o.seed),
                                                   random_labels(shape, data.classes, o.seed + 1));
    data.description = "one batch of random tokens";
    return data;
  }
  std::shared_ptr<const dataset::BytePairs> pairs;
  if (!m.tokens.empty()) pairs = dataset::byte_pairs_file(m.tokens);
  *text = dataset::text_file(o.dataset, {.window = window, .end = kTrainingPart, .pairs = pairs});
  const auto test =
      dataset::text_file(o.dataset, {.window = window, .begin = kTrainingPart, .pairs = pairs});
  data.classes = (*text)->classes();
  data.description =
      cat(data.classes, pairs ? " tokens, " : " symbols, ", train::grouped((*text)->size()),
          " and ", train::grouped(test->size()), " windows of ", window);
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

void print_sample(const Options& o, const LanguageModel& m, const nn::CellPtr& net,
                  const dataset::TextSource& text) {
  dataset::Sample first;
  text.read(0, &first);
  // The window begins with a few true tokens; what stands behind a position does not reach it.
  const int64_t window = m.net.positions, prompt = std::min(kPrompt, window - 1);
  const int64_t end = std::min(prompt + kSampleTokens, window);
  std::vector<int32_t> tokens(static_cast<size_t>(window), 0);
  const auto* given = static_cast<const int32_t*>(first.fields()[0].data);
  std::copy(given, given + prompt, tokens.begin());
  nn::StepOptions step = o.step_options();
  step.amp = {};
  nn::EvalStep eval(net, step);
  for (int64_t i = prompt; i < end; ++i) {
    const Tensor ids = Tensor::from<int32_t>(std::span<const int32_t>(tokens), {1, window});
    const std::vector<float> logits = eval(ids).to_vector<float>();
    const auto words = philox(fold_in({o.seed}, 'g'), static_cast<uint64_t>(i));
    // Padding of the vocabulary is no token.
    tokens[static_cast<size_t>(i)] =
        draw(logits.data() + (i - 1) * m.net.vocab, text.classes(), uniform_f32(words[0]));
  }
  std::printf("sample: %s\n", text.decode({tokens.data(), static_cast<size_t>(end)}).c_str());
}

}  // namespace

void train_language(const Options& o, LanguageModel m) {
  TextPtr text;
  Data data = load(o, m, &text);
  if (m.net.vocab == 0) m.net.vocab = data.classes;
  if (m.net.vocab < data.classes) {
    throw_error(ErrorCode::kValue,
                cat("the network has ", m.net.vocab, " tokens, the text ", data.classes));
  }
  auto net = nn::make<nn::models::Gpt>(m.net);
  const Work work{
      .network = m.network,
      .net = net,
      .loss = nn::CrossEntropyLoss(),
      .optimizer = m.optimizer(*net, data.total_steps(o)),
      .unit = "tokens",
      .items_per_sample = m.net.positions,
      .before_last_line =
          [&] {
            if (text) print_sample(o, m, net, *text);
          },
  };
  train_and_report(o, data, work);
}

}  // namespace rutile::apps
