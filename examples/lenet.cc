// SPDX-License-Identifier: Apache-2.0
// LeNet on the four files of MNIST or Fashion-MNIST (plain or .gz): lenet <folder> <checkpoint>.
// Trains one epoch, tests, and leaves a checkpoint.
#include <rutile/rutile.h>

#include <cstdio>

using namespace rutile;
using dataset::Split;

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: lenet <folder of MNIST files> <checkpoint to write>\n");
    return 2;
  }
  set_seed(1);
  dataset::PipelineOptions options{.batch_size = 64};
  options.transforms = {dataset::resize(32, 32), dataset::normalize({0.2860f}, {0.3530f})};
  dataset::Pipeline test(dataset::mnist(Split::kTest, argv[1]), options);
  options.shuffle = options.drop_last = true;
  dataset::Pipeline train(dataset::mnist(Split::kTrain, argv[1]), options);

  auto net = nn::make<nn::models::LeNet>();
  auto momentum = std::make_shared<nn::optim::Momentum>(
      net->parameters(), nn::optim::MomentumOptions{.lr = 0.02, .momentum = 0.9});
  nn::TrainStep step(net, nn::CrossEntropyLoss(), momentum);

  train::PipelineFeed feed(train);
  train::Progress progress;
  train::Trainer trainer(step, feed, {.epochs = 1});
  trainer.add(std::make_shared<train::ProgressCallback>(progress));
  trainer.run();

  nn::EvalStep eval(net);
  const train::Evaluation result = train::evaluate(eval, test);
  std::printf("accuracy %.4f of %lld images\n", result.accuracy,
              static_cast<long long>(result.samples));
  train::save_checkpoint(argv[2], trainer.steps_done(), net->named_states());
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
