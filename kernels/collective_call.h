// SPDX-License-Identifier: Apache-2.0
// What rows of collectives share: the call as a group carries it out.
#pragma once

#include <memory>

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/ops/collective.h"

namespace rutile::kernels {

template <class A, CollectiveKind kKind>
Collective collective_of(const RefPlan& p, const void* in, void* out) {
  Collective c;
  c.kind = kKind;
  c.dtype = p.in[0].dtype;
  c.shape = p.in[0].shape;
  c.in = in;
  c.out = out;
  const A& a = p.as<A>();
  if constexpr (requires { a.reduce; }) c.reduce = a.reduce;
  if constexpr (requires { a.root; }) c.peer = static_cast<int>(a.root);
  return c;
}

// The group, if it still has the size by which the results got their shape.
template <class A, CollectiveKind kKind>
Status find_group(const RefPlan& p, std::shared_ptr<Communicator>* group) {
  RUTILE_RETURN_IF_ERROR(find_communicator(p.as<A>().group, group));
  if constexpr (requires(const A& a) { a.size; }) {
    const A& a = p.as<A>();
    const int size = (*group)->size();
    const bool same = a.size > 0 ? a.size == size
                      : kKind == CollectiveKind::kAllGather
                          ? p.in[0].numel() == 0 || p.out[0].numel() == p.in[0].numel() * size
                      : kKind == CollectiveKind::kReduceScatter
                          ? p.in[0].numel() == p.out[0].numel() * size
                          : p.in[0].dim(0) % size == 0;
    if (!same) {
      return value_error(cat("was made for another size of the group '", a.group, "', which has ",
                             size, " ranks now"));
    }
  }
  return Status();
}

// all_reduce rows take what is sent as it is; another dtype on the wire is the composition's.
inline bool sends_as_it_is(const CallMeta& c, Reason* why) {
  if (c.op != &ops::kAllReduce) return true;
  const OptionalDType wire = c.as<ops::AllReduceAttrs>().wire;
  if (!wire.set || wire.value == c.in(0).dtype) return true;
  why->text = "sends tensors in their own dtype";
  return false;
}

inline bool row_major(const CallMeta& c, Reason* why) {
  if (!sends_as_it_is(c, why)) return false;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (c.in(i).layout == kStrided && c.in(i).is_contiguous()) continue;
    why->text = "takes row-major tensors";
    return false;
  }
  return true;
}

// The collective of a bucket, in place.
inline Collective bucket_collective(const ops::AllReduceManyAttrs& a, const TensorMeta& flat,
                                    const Communicator& group, void* data) {
  Collective c{.kind = CollectiveKind::kAllReduce,
               .reduce = a.reduce,
               .dtype = flat.dtype,
               .shape = flat.shape,
               .in = data,
               .out = data};
  if (a.scatter > 0) {
    c.kind = CollectiveKind::kReduceScatter;
    c.out = static_cast<char*>(data) + static_cast<size_t>(flat.numel() / a.scatter) *
                                           static_cast<size_t>(group.rank()) *
                                           dtype_size(flat.dtype);
  }
  return c;
}

#define RUTILE_COLLECTIVES(F)                                                     \
  F(ops::AllReduceAttrs, CollectiveKind::kAllReduce, ops::kAllReduce)             \
  F(ops::GroupAttrs, CollectiveKind::kAllGather, ops::kAllGather)                 \
  F(ops::GroupAttrs, CollectiveKind::kAllToAll, ops::kAllToAll)                   \
  F(ops::ReduceScatterAttrs, CollectiveKind::kReduceScatter, ops::kReduceScatter) \
  F(ops::BroadcastAttrs, CollectiveKind::kBroadcast, ops::kBroadcast)

}  // namespace rutile::kernels
