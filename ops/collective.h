// SPDX-License-Identifier: Apache-2.0
// Collectives: ops that all processes of a group run together, in the same order. Without a group
// "world" of several processes (dist/group.h) they work on this process alone.
//
//   Tensor total = ops::all_reduce(x);                              // the sum over all ranks
//   Tensor mean = ops::all_reduce(x, {.reduce = Reduce::kMean});
//   Tensor all = ops::all_gather(x);                                // f32[8,3] -> f32[ranks * 8,3]
//
// Row-major copies are made of other inputs. Ranks that call different collectives, or with other
// shapes or dtypes, get an error that says how they differ. Error{kValue} for an unknown group.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/communicator.h"

namespace rutile::ops {

struct AllReduceAttrs {
  Reduce reduce = Reduce::kSum;
  std::string group = "world";
  OptionalDType wire = {};  // floats are sent in this dtype; unset: in their own
  // What a compiled function may reduce together (bucket_allreduce): 0 nothing; -1 what becomes
  // ready one after the other, up to bucket_mb; another number: all that have the same one.
  int64_t fusion = 0;
  double bucket_mb = 25;
  RUTILE_REFLECT(reduce, group, wire, fusion, bucket_mb)
};
// The element-wise sum, mean, maximum, minimum or product over the ranks; the same on all of them.
// f16 and bf16 are added up in f32. Any dtype but complex for max and min; the mean is of floats.
extern RUTILE_API const OpDef kAllReduce;
RUTILE_API Tensor all_reduce(Arg x, AllReduceAttrs attrs = {});

struct GroupAttrs {
  std::string group = "world";
  int64_t size = 0;  // the group's, by which results have their shape; 0: as it is now
  RUTILE_REFLECT(group, size)
};
// [n, ...] of each rank -> [ranks * n, ...], in the order of the ranks. One dimension at least.
extern RUTILE_API const OpDef kAllGather;
RUTILE_API Tensor all_gather(Arg x, GroupAttrs attrs = {});
// [n, ...] -> [n, ...]: the r-th of the equal parts of dimension 0 goes to rank r, and what comes
// stands in the order of the ranks. n is a multiple of the number of ranks.
extern RUTILE_API const OpDef kAllToAll;
RUTILE_API Tensor all_to_all(Arg x, GroupAttrs attrs = {});

struct ReduceScatterAttrs {
  Reduce reduce = Reduce::kSum;
  std::string group = "world";
  int64_t size = 0;
  RUTILE_REFLECT(reduce, group, size)
};
// [ranks * n, ...] -> [n, ...]: rank r gets the r-th part of what all_reduce would give.
extern RUTILE_API const OpDef kReduceScatter;
RUTILE_API Tensor reduce_scatter(Arg x, ReduceScatterAttrs attrs = {});

struct BroadcastAttrs {
  int64_t root = 0;  // a rank of the group
  std::string group = "world";
  RUTILE_REFLECT(root, group)
};
// The root's x, on every rank; the others give a tensor of the same shape and dtype.
extern RUTILE_API const OpDef kBroadcast;
RUTILE_API Tensor broadcast(Arg x, BroadcastAttrs attrs = {});

struct AllReduceManyAttrs {
  Reduce reduce = Reduce::kSum;
  std::string group = "world";
  OptionalDType wire = {};  // dtype that is sent; as the tensors if unset
  // 0: every rank gets all of the result. The group's size: each tensor is cut into as many equal
  // parts, zeros behind the last one, flat is [scatter, sum of parts], and rank r gets line r of
  // it.
  int64_t scatter = 0;
  RUTILE_REFLECT(reduce, group, wire, scatter)
};
// (xs*) -> flat [n]: packs the tensors, which have one dtype, and starts to reduce them. The result
// is there behind all_reduce_wait(flat) -> flat. The bucket_allreduce pass makes these two, and
// GradientReducer where the optimizer's states are in shards.
extern RUTILE_API const OpDef kAllReduceStart;
extern RUTILE_API const OpDef kAllReduceWait;
// Elements of one part where n are cut into so many.
inline int64_t part_of(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }

}  // namespace rutile::ops
