// SPDX-License-Identifier: Apache-2.0
// A small GPT on the characters of a text: gpt <text file> <steps>. Writes a line of its own at the
// end, always the likeliest next character.
#include <rutile/rutile.h>

#include <cstdio>
#include <cstdlib>

using namespace rutile;

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: gpt <text file> <steps>\n");
    return 2;
  }
  constexpr int64_t kWindow = 32;
  set_seed(3);
  auto text = dataset::text_file(argv[1], {.window = kWindow});
  dataset::Pipeline data(text, {.batch_size = 16, .shuffle = true, .drop_last = true});

  auto net = nn::make<nn::models::Gpt>(nn::models::GptOptions{
      .vocab = text->classes(), .positions = kWindow, .layers = 2, .width = 64, .heads = 4});
  const int64_t steps = std::atoll(argv[2]);
  auto adamw = std::make_shared<nn::optim::AdamW>(nn::optim::decay_groups(*net),
                                                  nn::optim::AdamWOptions{.lr = 3e-3});
  adamw->set_schedule(nn::optim::cosine(3e-3, 3e-4, steps));
  nn::TrainStep step(net, nn::CrossEntropyLoss(), adamw, {.clip_norm = 1.0});
  train::PipelineFeed feed(data);
  train::Trainer trainer(step, feed, {.epochs = 1 << 20, .steps = steps});
  const train::History history = trainer.run();
  std::printf("loss %.4f -> %.4f\n", history.losses.front(), history.losses.back());

  dataset::Sample first;
  text->read(0, &first);
  const auto* given = static_cast<const int32_t*>(first.fields()[0].data);
  std::vector<int32_t> tokens(given, given + 8);
  nn::EvalStep eval(net, {.mode = nn::Mode::kEager});
  while (tokens.size() < kWindow) {
    const auto t = static_cast<int64_t>(tokens.size());
    const Tensor ids = Tensor::from<int32_t>(std::span<const int32_t>(tokens), {1, t});
    const auto next = ops::argmax(eval(ids), {.axes = {-1}}).to_vector<int64_t>();  // [1, t]
    tokens.push_back(static_cast<int32_t>(next.back()));
  }
  std::printf("sample: %s\n", text->vocabulary().decode(tokens).c_str());
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
