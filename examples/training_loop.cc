// SPDX-License-Identifier: Apache-2.0
// The training loop by hand: gradient scope, clipping, optimizer, and a learning rate that follows
// a schedule. Fits sin(x); every op runs at once, so a debugger or a print may stand anywhere.
#include <rutile/rutile.h>

#include <cstdio>

using namespace rutile;

int main() {
  set_seed(7);
  auto net = nn::make<nn::Sequential>();
  net->append(nn::make<nn::Linear>(1, 32));
  net->append(nn::make<nn::Tanh>());
  net->append(nn::make<nn::Linear>(32, 1));

  nn::optim::AdamW optimizer(net->parameters(), nn::optim::AdamWOptions{.weight_decay = 1e-4});
  optimizer.set_schedule(nn::optim::warm_up(20, nn::optim::cosine(2e-2, 1e-4, 280)));

  for (int i = 0; i < 300; ++i) {
    const Tensor x = ops::random_uniform({.shape = {64, 1}, .low = -3, .high = 3});
    const Tensor y = ops::sin(x);

    GradScope scope;
    std::vector<Tensor> weights;
    for (const nn::ParameterPtr& p : optimizer.parameters()) {
      weights.push_back(p->read());
      scope.watch(weights.back());
    }
    const Tensor loss = nn::MSELoss()(net(x), y);
    std::vector<Tensor> grads = scope.gradient(loss, weights);
    weights.clear();  // nobody holds the weights any more: they are updated in place

    const Tensor norm = nn::optim::clip_by_global_norm(&grads, 1.0);
    optimizer.before_step();
    optimizer.step(grads);
    if (i % 100 == 99) {
      std::printf("step %d loss %.5f gradient norm %.4f lr %.5f\n", i + 1, loss.item(), norm.item(),
                  optimizer.lr());
    }
  }
}
