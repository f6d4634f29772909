// SPDX-License-Identifier: Apache-2.0
// Gradients of data-parallel training: the mean over all ranks, sent in buckets while backward
// still runs. In a trace it records all_reduce of each gradient, which bucket_allreduce joins. In a
// group of one it does nothing.
//
//   dist::GradientReducer reducer({w.meta(), v.meta()});
//   {
//     GradScope scope;
//     const Tensor parameters[] = {w, v};
//     for (const Tensor& t : parameters) scope.watch(t);
//     const Tensor loss = ops::mean(ops::square(ops::matmul(x, w) * v));
//     reducer.attach(scope, parameters);  // before gradient()
//     grads = scope.gradient(loss, parameters);
//   }
//   reducer.finish(&grads);               // now they are the means
//
// Every rank calls the same, for the same parameters. Steps that only add to local sums leave both
// calls out: nothing is sent.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rutile/autograd/tape.h"
#include "rutile/ops/collective.h"

namespace rutile::dist {

struct ReducerOptions {
  std::string group = "world";
  Reduce reduce = Reduce::kMean;  // or kSum
  double bucket_mb = 25, first_bucket_mb = 1;
  OptionalDType wire = {};  // bf16: half the bytes; sums are made in f32 and rounded once
  // After which parameters a bucket ends (MindSpore's all_reduce_fusion_config); empty: by size.
  std::vector<int64_t> split = {};
  // nn::TrainStep compares the parameters of all ranks after so many steps each; 0: never.
  int64_t check_every = 0;
  // nn::TrainStep keeps the optimizer's states in shards, one on each rank of the group; those of
  // smaller parameters than the threshold stay whole (nn/optim/sharding.h).
  bool shard_optimizer = false;
  double shard_threshold_kb = 64;
  // With it: of a parameter whose states are cut into equal parts each rank gets its part of the
  // mean gradient only (reduce-scatter), which is half as many bytes as all of it.
  bool scatter_gradients = true;
};

class RUTILE_API GradientReducer {
 public:
  // `parameters` in the order of their use in forward, as far as that is known: gradients become
  // ready from the last to the first. From the second step on buckets follow the order that rank 0
  // saw in the first (without `split`).
  GradientReducer(std::vector<TensorMeta> parameters, ReducerOptions options = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // Of these parameters (true) finish() gives this rank's part: of the flattened gradient, cut into
  // as many equal parts as there are ranks, zeros behind the last one. Before the first step.
  void scatter(std::vector<bool> parameters);
  // Starts a bucket as soon as gradient() has all of it. `watched[k]` is parameter index[k]
  // (k if there is no index). Nothing in a trace and in a group of one.
  void attach(GradScope& scope, std::span<const Tensor> watched,
              std::span<const size_t> index = {});
  // Entry i is the gradient of parameter i, empty for one that has none; where another rank has
  // one, it counts as zeros here and the result is given on all ranks (of parameters that are
  // floating-point numbers, and not in a trace). The results share memory with one another.
  // Gradients that were changed since attach() saw them are sent again.
  void finish(std::vector<Tensor>* grads);
  // Parameters by bucket, in the order in which they are sent.
  const std::vector<std::vector<size_t>>& buckets() const;
  const ReducerOptions& options() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace rutile::dist
