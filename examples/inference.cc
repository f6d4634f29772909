// SPDX-License-Identifier: Apache-2.0
// Inference with the weights of a checkpoint: inference <checkpoint> <IDX file of images>.
// Prints the class and its probability for the first images.
#include <rutile/rutile.h>

#include <cstdio>

using namespace rutile;

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: inference <checkpoint> <images, an IDX file>\n");
    return 2;
  }
  auto net = nn::make<nn::models::LeNet>();
  net->load_state_dict(
      train::load_checkpoint(argv[1]).values);  // every name, shape and dtype must fit

  Tensor images = io::read_idx(argv[2]);  // u8 [n, 28, 28]
  const int64_t n = std::min<int64_t>(images.dim(0), 8);
  images = ops::reshape(ops::slice(images, {0}, {n}), {n, 1, 28, 28});
  dataset::PipelineOptions as_trained{.batch_size = n};
  as_trained.transforms = {dataset::resize(32, 32), dataset::normalize({0.2860f}, {0.3530f})};
  dataset::Pipeline data(dataset::from_tensors({images}), as_trained);
  const Tensor x = (*data.begin()).x();

  nn::EvalStep eval(net);  // compiled; weights packed once
  const Tensor p = ops::softmax(eval(x));
  const auto classes = ops::argmax(p, {.axes = {1}}).to_vector<int64_t>();
  const auto best = ops::max(p, {.axes = {1}}).to_vector<float>();
  for (size_t i = 0; i < classes.size(); ++i) {
    std::printf("image %zu: class %lld (%.2f)\n", i, static_cast<long long>(classes[i]), best[i]);
  }
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
