// SPDX-License-Identifier: Apache-2.0
#include "rutile/benchmarks/graph/work.h"

#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/ops/random.h"

namespace rutile::bench {

Work make_work(const std::string& network, int64_t batch, int64_t size) {
  Work w;
  w.items = batch;
  ops::RandomRandintAttrs labels;
  labels.shape = {batch};
  labels.high = 10;
  ops::RandomNormalAttrs image;
  if (network == "gpt") {
    w.net = nn::make<nn::models::Gpt>();
    labels.shape = {batch, size};
    labels.high = 65;
    w.x = ops::random_randint(labels);
    w.items = batch * size;
  } else if (network == "mlp") {
    w.net = nn::make<nn::models::Mlp>();
    image.shape = {batch, 784};
    w.x = ops::random_normal(image);
  } else if (network == "lenet") {
    w.net = nn::make<nn::models::LeNet>();
    image.shape = {batch, 1, 32, 32};
    w.x = ops::random_normal(image);
  } else if (network == "resnet50") {
    w.net = nn::models::resnet50({.classes = size >= 64 ? 1000 : 10});
    image.shape = {batch, 3, size, size};
    w.x = ops::random_normal(image);
  } else {
    throw_error(ErrorCode::kValue,
                cat("'", network, "' is none of resnet50, lenet, mlp, gpt, passes, limits"));
  }
  w.y = ops::random_randint(labels);
  if (network == "gpt") {
    w.optimizer = std::make_shared<nn::optim::AdamW>(w.net->parameters());
  } else {
    w.optimizer = std::make_shared<nn::optim::Momentum>(w.net->parameters());
  }
  return w;
}

nn::TrainStep make_step(const Work& work, bool bf16, const std::string& passes_off) {
  nn::StepOptions options;
  options.passes_off = passes_off;
  if (bf16) options.amp = DType::kBF16;
  return {work.net, nn::CrossEntropyLoss(), work.optimizer, options};
}

}  // namespace rutile::bench
