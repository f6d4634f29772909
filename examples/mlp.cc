// SPDX-License-Identifier: Apache-2.0
// A network of one's own, trained by a step that is compiled into one graph. The data are made up.
#include <rutile/rutile.h>

#include <cstdio>

using namespace rutile;

class Mlp : public nn::Cell {
 public:
  std::string type_name() const override { return "Mlp"; }

 protected:
  Tensor construct(const Tensor& x) override {
    return fc2_(ops::relu(fc1_(ops::reshape(x, {-1, 784}))));
  }

 private:
  nn::Ptr<nn::Linear> fc1_ = add<nn::Linear>("fc1", 784, 128);
  nn::Ptr<nn::Linear> fc2_ = add<nn::Linear>("fc2", 128, 10);
};

int main() {
  set_seed(1);
  auto net = nn::make<Mlp>();
  auto adam =
      std::make_shared<nn::optim::Adam>(net->parameters(), nn::optim::AdamOptions{.lr = 2e-3});
  nn::TrainStep step(net, nn::CrossEntropyLoss(), adam, {.mode = nn::Mode::kGraph});

  const dataset::SyntheticImages images{.samples = 2048, .shape = {1, 28, 28}};
  dataset::Pipeline train(dataset::synthetic_images(images),
                          {.batch_size = 64, .shuffle = true, .transforms = {dataset::to_float()}});
  for (int epoch = 1; epoch <= 3; ++epoch) {
    train::Mean loss;
    for (const dataset::Batch& batch : train) {
      loss.add(step(batch.x(), batch.labels()).loss.item(), batch.x().dim(0));
    }
    std::printf("epoch %d loss %.4f\n", epoch, loss.value());
  }

  nn::EvalStep eval(net);
  dataset::SyntheticImages unseen = images;
  unseen.first = images.samples;
  dataset::Pipeline test(dataset::synthetic_images(unseen),
                         {.batch_size = 64, .transforms = {dataset::to_float()}});
  std::printf("accuracy %.4f\n", train::evaluate(eval, test).accuracy);
}
