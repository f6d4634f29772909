// SPDX-License-Identifier: Apache-2.0
// The states of an optimizer spread over the ranks of a group (ZeRO stage 1: Rajbhandari et al.,
// "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020). Each rank keeps
// one part of every slot, updates that part of the parameters, and gets the rest from the others.
//
//   optimizer->shard({.group = "world"});            // before the first step, on every rank
//   nn::TrainStep step(net, loss, optimizer, {.data_parallel = dist::ReducerOptions{
//                                                 .shard_optimizer = true}});   // does it, too
//
// Gradients come in as means over all ranks. The results are those of an optimizer that is not
// sharded, to the rounding of its kernels.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rutile/nn/parameter.h"

namespace rutile::nn::optim {

struct ShardOptions {
  std::string group = "world";
  // The state of smaller parameters stays whole on every rank: cutting it up would cost more than
  // it saves.
  double threshold_kb = 64;
};

enum class ShardKind : uint8_t {
  kWhole,  // every rank has all of it
  // Rank r has the r-th of equal parts of the flattened state; zeros fill up the last ones. For
  // updates that treat each element by itself.
  kPart,
  kOwned  // one rank has all of it, the others none: for updates that look at whole parameters
};

struct Shard {
  ShardKind kind = ShardKind::kWhole;
  int owner = 0;     // of kOwned
  int64_t part = 0;  // of kPart: elements of one rank
  Shape shape = {};  // of the whole
};

// A state of which this rank has a shard.
struct ShardedState {
  std::string name;
  Ref<State> state;
  Shard shard;
};

class RUTILE_API Sharding {
 public:
  // `elementwise`: updates treat each element by itself. Owners are chosen so that all have about
  // as many elements. Error{kValue} for an unknown group.
  Sharding(const std::vector<ParameterPtr>& parameters, ShardOptions options, bool elementwise);

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  const ShardOptions& options() const { return options_; }
  const Shard& shard(size_t parameter) const { return shards_[parameter]; }
  // Of a value like the whole (or already this rank's shard): this rank's shard, in memory of its
  // own. Not in a trace.
  Tensor own(const Shard& shard, const Tensor& whole) const;
  // Back to the whole, on every rank: all of them call it. Not in a trace.
  Tensor whole(const Shard& shard, const Tensor& own) const;

  // What of a parameter this rank updates, with the elements of now (those of parts of f16 and bf16
  // in f32); null where another rank does. `grad`, of the whole or of the part already, becomes its
  // part. May be traced, as finish().
  ParameterPtr begin(size_t parameter, Tensor* grad);
  // By parameter: whether each rank needs its part of the gradient only.
  std::vector<bool> parts() const;
  bool is_part(size_t parameter, const Tensor& grad) const;
  // After the update: every rank gets what the others updated. The same parameters on all ranks.
  void finish(std::span<const size_t> parameters);
  void move(Device device);

 private:
  void gather_parts(std::span<const size_t> parameters);
  void broadcast_owned(int owner, std::span<const size_t> parameters);
  Tensor own_part(const Shard& shard, const Tensor& whole) const;

  std::vector<ParameterPtr> parameters_;
  ShardOptions options_;
  int rank_ = 0, ranks_ = 1;
  std::vector<Shard> shards_;
  std::vector<ParameterPtr> parts_;  // stand-ins of the parameters, of kPart
};

}  // namespace rutile::nn::optim
